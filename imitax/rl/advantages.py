"""What PPO makes of a rollout's rewards: their scale, their level, and advantages."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

SHORTEST_RATE = 1e-3
"""At `discount` 1 without an end there is no mean value; rewards over 1000 steps stand for it."""

LEAST_SHARE = 0.2
"""Smallest divisor of rewards, as a share of the root mean square of the discounted returns.

A constant reward in episodes of a thousand steps has a deviation of .22 of it at a discount of .99:
below that, returns hardly differ, and their size is the only scale there is.
"""


class Spread(NamedTuple):
    """Running deviation of discounted returns."""

    total: jax.Array
    """Discounted return so far in each environment, [B]."""
    count: jax.Array  # pyright: ignore[reportIncompatibleMethodOverride]
    mean: jax.Array
    square: jax.Array
    """Sum of squared deviations from the mean."""


def advantages(
    reward: jax.Array,
    value: jax.Array,
    next_value: jax.Array,
    terminated: jax.Array,
    truncated: jax.Array,
    discount: jax.Array | float,
    trace_decay: jax.Array | float,
) -> jax.Array:
    """Generalised advantages, backward in time; see the head of `imitax.rl.ppo`. All arrays [T, B].

    `next_value` belongs to the observation before any reset. An episode still running at the last
    row is continued by its value.
    """
    delta = reward + discount * jnp.where(terminated, 0.0, next_value) - value
    keep = discount * trace_decay * (1.0 - (terminated | truncated))

    def backward(later, row):
        delta, keep = row
        here = delta + keep * later
        return here, here

    start = jnp.zeros_like(delta[0])
    return jax.lax.scan(backward, start, (delta, keep), reverse=True, unroll=8)[1]


def centred(reward: jax.Array, terminated: jax.Array, discount: jax.Array | float) -> jax.Array:
    """Rewards [T, B] less what a constant value v of every state accounts for.

        r_t - v (1 - discount (1 - e_t)),   v = mean(r) / (1 - discount (1 - mean(e)))

    with e_t = 1 where the episode terminated.

    A shaping by a constant potential (Ng et al. 1999), which prefers no policy; v is the constant
    that satisfies Bellman's equation on average. A value network starts near 0. Without this, under
    rewards below 0 whatever is new looks better than it is, and a reward that is the same
    everywhere teaches to explore.
    """
    ends = jnp.mean(terminated.astype(reward.dtype))
    level = jnp.mean(reward) / jnp.maximum(1.0 - discount * (1.0 - ends), SHORTEST_RATE)
    return reward - level * (1.0 - discount * (1.0 - terminated))


def rescaled(
    spread: Spread, reward: jax.Array, over: jax.Array, discount: jax.Array | float
) -> tuple[Spread, jax.Array]:
    """Rewards [T, B] divided by the running deviation of discounted returns, and the new spread.

    The divisor is at least `LEAST_SHARE` of the root mean square of the returns, so that what is
    always the same (one-step episodes, discount 0) stays of order one; zeros stay zeros.
    """

    def forward(total, row):
        reward, over = row
        total = discount * total + reward
        return jnp.where(over, 0.0, total), total

    last, totals = jax.lax.scan(forward, spread.total, (reward, over), unroll=8)
    count = spread.count + totals.size
    shift = jnp.mean(totals) - spread.mean
    square = (
        spread.square
        + jnp.sum((totals - jnp.mean(totals)) ** 2)
        + shift**2 * spread.count * totals.size / count
    )
    spread = Spread(last, count, spread.mean + shift * totals.size / count, square)
    size = jnp.sqrt(square / count + spread.mean**2)
    divisor = jnp.maximum(jnp.sqrt(square / count), LEAST_SHARE * size)
    return spread, reward / jnp.where(size > 0.0, divisor, 1.0)
