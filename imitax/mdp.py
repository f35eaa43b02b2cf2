"""Exact solvers of finite-horizon tabular MDPs, for one instance; vmap gives batches.

Conventions: an episode has `horizon` actions and as many rewards; the return is

    sum over t < horizon of discount^t r(s_t, a_t)  +  discount^(horizon - 1) f(s, a) at the last t

with f the final reward. Tables over time have `max_horizon` rows (static); rows at and after
`horizon` (traced) are zero. Loops run `horizon` times, so a short horizon costs a short time.
Sums over states and actions are written out (`imitax.sums`), so that on a CPU a seed's results are
the same bits in every batch. Beyond `UNROLLED` successors they are matrix products, at highest
precision: an accelerator's reduced default would spoil an exact result.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from imitax.config import is_concrete
from imitax.sums import HIGHEST, add_up, log_sum_exp, rounded, total, weighted

UNROLLED = 40
"""Largest number of successors whose sum is written out; beyond it, a matrix product."""


class TabularMDP(NamedTuple):
    """A finite MDP with S states, A actions and F features; K possible successors of each pair."""

    transition: jax.Array
    """[S, A, K] probabilities; K = S where `successor` is None."""
    step_reward: jax.Array | None
    """[S, A], earned at every step; None where the reader may not know it."""
    final_reward: jax.Array | None
    """[S, A], earned in addition at the last step; None for nothing."""
    initial: jax.Array
    """[S] distribution of the first state."""
    features: jax.Array | None = None
    """[S, A, F]; None means the indicator of each (s, a), F = S A."""
    successor: jax.Array | None = None
    """int32 [S, A, K], the states that the K columns stand for; None for dense rows."""


class Plan(NamedTuple):
    """A deterministic optimal policy."""

    policy: jax.Array
    """[T, S, A], one-hot."""
    value: jax.Array
    """[T, S] expected return from (t, s) on, discounted from t on."""


class SoftPlan(NamedTuple):
    """The maximum causal entropy policy of a reward."""

    log_policy: jax.Array
    """[T, S, A]."""
    value: jax.Array
    """[T, S] soft value, in the reward's units."""


def expect_next(mdp: TabularMDP, value: jax.Array) -> jax.Array:
    """Expectation of a function of the next state: value [S] -> [S, A]."""
    columns = mdp.transition.shape[-1]
    if mdp.successor is not None:
        return weighted(mdp.transition, value[mdp.successor])
    if columns > UNROLLED:
        return jnp.einsum("sak,k->sa", mdp.transition, value, precision=HIGHEST)
    return add_up([rounded(mdp.transition[..., k] * value[k]) for k in range(columns)])


def expect_change(mdp: TabularMDP, value: jax.Array) -> jax.Array:
    """Expected change of a function of the state in one step: value [S] -> [S, A].

    Differences are taken before they are weighted, so that a constant added to the function, or
    rows that sum to one only nearly, change nothing.
    """
    columns = mdp.transition.shape[-1]
    if mdp.successor is not None:
        return weighted(mdp.transition, value[mdp.successor] - value[:, None, None])
    if columns > UNROLLED:
        return expect_next(mdp, value) - value[:, None] * total(mdp.transition)
    return weighted(mdp.transition, (value - value[:, None])[:, None])


def push(mdp: TabularMDP, flow: jax.Array) -> jax.Array:
    """Distribution of the next state from a distribution over pairs: flow [S, A] -> [S]."""
    num_states, num_actions = flow.shape
    if mdp.successor is not None:
        mass = rounded(mdp.transition * flow[..., None])
        return jnp.zeros_like(mdp.initial).at[mdp.successor].add(mass)
    if num_states * num_actions > 4 * UNROLLED:
        return jnp.einsum("sak,sa->k", mdp.transition, flow, precision=HIGHEST)
    pairs = [(s, a) for s in range(num_states) for a in range(num_actions)]
    return add_up([rounded(mdp.transition[s, a] * flow[s, a]) for s, a in pairs])


def at(table: jax.Array, time: jax.Array) -> jax.Array:
    """The row [S, A] of a table [T, S, A], or the table itself if it is [S, A]."""
    return table if table.ndim == 2 else table[time]


def put(table: jax.Array, time: jax.Array, row: jax.Array) -> jax.Array:
    """The table with one row replaced; a slice update, which loops do in place."""
    return jax.lax.dynamic_update_index_in_dim(table, row, time, 0)


def num_actions(mdp: TabularMDP) -> int:
    """Number of actions A."""
    return mdp.transition.shape[1]


def rewards_at(mdp: TabularMDP, time: jax.Array, horizon: jax.Array) -> jax.Array:
    """The true reward [S, A] of one time step.

    Raises:
        ValueError: the MDP carries no reward, as in a learner's `Problem`.
    """
    if mdp.step_reward is None:
        raise ValueError("this MDP carries no reward: learners see reward-free parameters")
    if mdp.final_reward is None:
        return mdp.step_reward
    last = (time == horizon - 1).astype(mdp.step_reward.dtype)
    return mdp.step_reward + last * mdp.final_reward


def optimal_plan(
    mdp: TabularMDP,
    horizon: jax.Array,
    max_horizon: int,
    *,
    discount: jax.Array | float = 1.0,
    reward: jax.Array | None = None,
) -> Plan:
    """Finite-horizon value iteration; ties go to the first action.

        Q_t(s,a) = r_t(s,a) + discount sum_s' P(s'|s,a) V_{t+1}(s'),   V_t(s) = max_a Q_t(s,a)

    Args:
        mdp: dynamics and rewards.
        horizon: number of actions, int, at most `max_horizon`.
        max_horizon: number of rows T of the tables, static.
        discount: in [0, 1].
        reward: another reward to plan for, [S, A] or [T, S, A]; None for the MDP's own.

    Returns:
        Policy [T, S, A] and values [T, S].
    """
    shape = (max_horizon, *mdp.transition.shape[:2])
    dtype = mdp.transition.dtype

    def backward(i, carry):
        time = horizon - 1 - i
        next_value, policy, values = carry
        earned = rewards_at(mdp, time, horizon) if reward is None else at(reward, time)
        action_value = earned + rounded(discount * expect_next(mdp, next_value))
        greedy = jax.nn.one_hot(jnp.argmax(action_value, axis=-1), shape[2], dtype=dtype)
        value = jnp.max(action_value, axis=-1)
        return value, put(policy, time, greedy), put(values, time, value)

    start = (jnp.zeros(shape[1], dtype), jnp.zeros(shape, dtype), jnp.zeros(shape[:2], dtype))
    _, policy, values = jax.lax.fori_loop(0, horizon, backward, start)
    return Plan(policy, values)


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
        Log policy [T, S, A] and soft values [T, S].
    """
    shape = (max_horizon, *mdp.transition.shape[:2])
    dtype = mdp.transition.dtype

    def backward(i, carry):
        time = horizon - 1 - i
        next_value, log_policy, values = carry
        action_value = at(reward, time) + rounded(discount * expect_next(mdp, next_value))
        scores = action_value / temperature
        normaliser = log_sum_exp(scores)
        value = temperature * normaliser
        log_probs = scores - normaliser[:, None]
        return value, put(log_policy, time, log_probs), put(values, time, value)

    start = (jnp.zeros(shape[1], dtype), jnp.zeros(shape, dtype), jnp.zeros(shape[:2], dtype))
    _, log_policy, values = jax.lax.fori_loop(0, horizon, backward, start)
    return SoftPlan(log_policy, values)


def occupancy(
    mdp: TabularMDP, policy: jax.Array, horizon: jax.Array, max_horizon: int
) -> jax.Array:
    """Distribution over states at each time step.

        d_0 = initial,   d_{t+1}(s') = sum_{s,a} d_t(s) pi_t(a|s) P(s'|s,a)

    Args:
        mdp: dynamics.
        policy: [T, S, A] or [S, A].
        horizon: number of actions.
        max_horizon: number of rows T, static.

    Returns:
        [T, S]; rows at and after `horizon` are zero.
    """

    def forward(time, carry):
        distribution, rows = carry
        rows = put(rows, time, distribution)
        return push(mdp, distribution[:, None] * at(policy, time)), rows

    rows = jnp.zeros((max_horizon, mdp.initial.shape[0]), mdp.transition.dtype)
    return jax.lax.fori_loop(0, horizon, forward, (mdp.initial, rows))[1]


def flows(mdp: TabularMDP, policy: jax.Array, horizon: jax.Array, max_horizon: int) -> jax.Array:
    """Distribution over pairs at each time step, d_t(s) pi_t(a|s); see `occupancy`.

    Returns:
        [T, S, A]; rows at and after `horizon` are zero.
    """
    return occupancy(mdp, policy, horizon, max_horizon)[..., None] * policy


def expected_return(
    mdp: TabularMDP, policy: jax.Array, horizon: jax.Array, *, discount: jax.Array | float = 1.0
) -> jax.Array:
    """Exact expected return of a policy, [T, S, A] or [S, A]; see the head of the file."""

    def forward(time, carry):
        distribution, weight, gathered = carry
        flow = distribution[:, None] * at(policy, time)
        earned = weighted(flow.ravel(), rewards_at(mdp, time, horizon).ravel())
        return push(mdp, flow), weight * discount, gathered + rounded(weight * earned)

    one, zero = jnp.ones((), mdp.transition.dtype), jnp.zeros((), mdp.transition.dtype)
    return jax.lax.fori_loop(0, horizon, forward, (mdp.initial, one, zero))[2]


def advantage_gaps(
    mdp: TabularMDP,
    expert: jax.Array,
    policy: jax.Array,
    horizon: jax.Array,
    max_horizon: int,
    *,
    discount: jax.Array | float = 1.0,
) -> jax.Array:
    """What one step of the policy loses against the expert, who continues in both cases.

        gap_t(s) = sum_a (pi^E_t - pi_t)(a|s) Q^E_t(s,a)

    Values are carried relative to their maximum and enter as differences between a state and its
    successors, so that rounding is relative to how much states differ and not to the return
    itself. The gap of the expert is exactly zero.

    Returns:
        [T, S] with T = `max_horizon`; rows at and after `horizon` are zero.
    """

    def backward(i, carry):
        time = horizon - 1 - i
        relative, gaps = carry
        earned = rewards_at(mdp, time, horizon)
        advantage = earned + rounded(discount * expect_change(mdp, relative))
        expert_now = jnp.broadcast_to(at(expert, time), advantage.shape)
        gain = weighted(expert_now, advantage)
        # Centred on the expert's own value: rows of the two tables may sum to one differently.
        gap = weighted(expert_now - at(policy, time), advantage - gain[:, None])
        value = gain + rounded(discount * relative)
        return value - jnp.max(value), put(gaps, time, gap)

    num_states = mdp.initial.shape[0]
    start = jnp.zeros(num_states, mdp.transition.dtype)
    gaps = jnp.zeros((max_horizon, num_states), mdp.transition.dtype)
    return jax.lax.fori_loop(0, horizon, backward, (start, gaps))[1]


def regret(
    mdp: TabularMDP,
    expert: jax.Array,
    policy: jax.Array,
    horizon: jax.Array | int,
    *,
    discount: jax.Array | float = 1.0,
    max_horizon: int | None = None,
) -> jax.Array:
    """Exact regret J(expert) - J(policy), by the performance difference lemma.

        regret = sum_t discount^t sum_s d_t^pi(s) gap_t(s)

    with the gaps of `advantage_gaps` (Kakade and Langford 2002). A difference of returns would
    lose a regret of 1e-3 on a return of 128 in float32.

    Args:
        mdp: dynamics and rewards.
        expert: [T, S, A] or [S, A].
        policy: [T, S, A] or [S, A].
        horizon: number of actions, at most T where a table has a time axis.
        discount: in [0, 1].
        max_horizon: static bound on `horizon`; needed where both tables are the same at every
            step and `horizon` is traced.

    Returns:
        Scalar, in units of the reward.

    Raises:
        ValueError: nothing bounds the horizon statically.
    """
    chex.assert_equal_shape_suffix([expert, policy, mdp.transition[..., 0]], 2)
    rows = [table.shape[0] for table in (expert, policy) if table.ndim == 3]
    bound = max_horizon or (rows[0] if rows else _concrete(horizon))
    gaps = advantage_gaps(mdp, expert, policy, jnp.int32(horizon), bound, discount=discount)

    def forward(time, carry):
        distribution, weight, gathered = carry
        gathered = gathered + rounded(weight * weighted(distribution, gaps[time]))
        return push(mdp, distribution[:, None] * at(policy, time)), weight * discount, gathered

    one, zero = jnp.ones((), gaps.dtype), jnp.zeros((), gaps.dtype)
    return jax.lax.fori_loop(0, horizon, forward, (mdp.initial, one, zero))[2]


def _concrete(horizon: jax.Array | int) -> int:
    if not is_concrete(horizon):
        raise ValueError("the horizon is traced and both policies are stationary: give max_horizon")
    return int(horizon)
