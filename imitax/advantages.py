"""What PPO makes of a rollout's rewards: their scale, advantages, and the order of minibatches."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Spread(NamedTuple):
    """Running deviation of discounted returns."""

    total: jax.Array
    """Discounted return so far in each environment, [B]."""
    count: jax.Array
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
    """Generalised advantages, backward in time; see the head of `imitax.ppo`. All arrays [T, B].

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


def shuffled(key: jax.Array, size: int) -> jax.Array:
    """A pseudo-random order of 0 .. size - 1 without a sort, int32; `size` is a power of two.

    Two rounds of an odd multiplication, an addition and a shift by half the bits, each a bijection
    of the numbers below `size`.
    """
    drawn = jax.random.bits(key, (4,), jnp.uint32)
    bits = size.bit_length() - 1
    order = jnp.arange(size, dtype=jnp.uint32)
    for round_index in range(2):
        factor, offset = drawn[2 * round_index] | 1, drawn[2 * round_index + 1]
        order = (order * factor + offset) & jnp.uint32(size - 1)
        order = order ^ (order >> ((bits + 1) // 2))
    return order.astype(jnp.int32)


def rescaled(
    spread: Spread, reward: jax.Array, over: jax.Array, discount: jax.Array | float
) -> tuple[Spread, jax.Array]:
    """Rewards [T, B] divided by the running deviation of discounted returns, and the new spread."""

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
    return spread, reward / jnp.sqrt(square / count + 1e-8)
