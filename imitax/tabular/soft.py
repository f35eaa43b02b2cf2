"""Maximum causal entropy planning in a table: the soft best response to a reward.

Values grow with the horizon, and log pi = (Q - V) / temperature is a difference of two of them. So
values are carried in float64 (`imitax.tabular.doubles`), relative to their maximum over states with
the offset kept apart, action values are formed relative to the state's own, and each row is
normalised by its own sum: no rounding of the size of a return enters a policy.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from imitax.numerics.sums import rounded, total
from imitax.tabular import doubles
from imitax.tabular.mdp import TabularMDP, at, over_time, put


class SoftPlan(NamedTuple):
    """The maximum causal entropy policy of a reward."""

    log_policy: jax.Array
    """[T, S, A]."""
    value: jax.Array
    """[T, S] soft value, in the reward's units."""


@doubles.in_double
def soft_plan(
    mdp: TabularMDP,
    reward: jax.Array,
    horizon: jax.Array,
    max_horizon: int,
    *,
    discount: jax.Array | float,
    temperature: jax.Array | float = 1.0,
) -> SoftPlan:
    """Maximum causal entropy planning, backward in log space.

        Q_t = r_t + discount P V_{t+1},   V_t = temperature log sum_a exp(Q_t / temperature)
        log pi_t(a|s) = (Q_t - V_t) / temperature

    Ziebart 2010, "Modeling purposeful adaptive behavior with the principle of maximum causal
    entropy", section 9; the temperature is ours.

    Args:
        mdp: dynamics; its own rewards are not read.
        reward: [S, A], or [T, S, A] where it changes with time.
        horizon: number of actions, int, at most `max_horizon`.
        max_horizon: number of rows T, static.
        discount: in [0, 1]; required, since a default would hide a mismatch.
        temperature: positive, in units of the reward.

    Returns:
        Log policy [T, S, A] and soft values [T, S]. An error of log pi is a few float32 or float64
        roundings of log pi itself, besides about 1e-9 (in x64 1e-16) of a step's reward and change
        of value, divided by the temperature.
    """
    shape, dtype = (max_horizon, *mdp.transition.shape[:2]), mdp.transition.dtype
    reward, discount, temperature = doubles.widened((reward, discount, temperature), dtype)
    # A product: whether compilers make one of a division depends on the batch.
    dynamics, colder = doubles.dynamics(mdp), 1.0 / temperature

    def backward(i, carry):
        time = horizon - 1 - i
        relative, offset, log_policy, values = carry
        # Action values less the discounted value of the state itself, which no policy sees.
        change = doubles.expect_change(dynamics, relative)
        action_value = at(reward, time) + rounded(discount * change)
        top = jnp.max(jax.lax.stop_gradient(action_value), axis=-1)
        scores = rounded((action_value - top[:, None]) * colder)
        normaliser = jnp.log(total(jnp.exp(scores)))
        log_probs = (scores - normaliser[:, None]).astype(dtype)
        value = rounded(discount * relative) + top + rounded(temperature * normaliser)
        highest = jnp.max(jax.lax.stop_gradient(value))
        offset = rounded(discount * offset) + highest
        relative = value - highest
        values = put(values, time, (relative + offset).astype(dtype))
        return relative, offset, put(log_policy, time, log_probs), values

    relative, offset = jnp.zeros(shape[1]), jnp.zeros(())
    start = (relative, offset, jnp.zeros(shape, dtype), jnp.zeros(shape[:2], dtype))
    _, _, log_policy, values = over_time(horizon, backward, start)
    return SoftPlan(log_policy, values)
