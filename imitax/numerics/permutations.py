"""Orders without a sort: pseudo-random bijections of 0 .. n - 1.

A round is an odd multiplication, an addition and a shift by half the bits, each a bijection of the
numbers below a power of two. For another n a number that leaves the range walks on until it is back
in it ("cycle walking", Black and Rogaway 2002): a bijection of what is below n. A position's number
is computed where it is needed, so an order costs no memory and does not depend on any padding.
"""

import jax
import jax.numpy as jnp

ROUNDS = 4
"""Of `placed`."""


def shuffled(key: jax.Array, size: int) -> jax.Array:
    """A pseudo-random order of 0 .. size - 1, int32, in two rounds; `size` is a power of two."""
    drawn = jax.random.bits(key, (2, 2), jnp.uint32)
    half = jnp.uint32((size.bit_length()) // 2)
    order = jnp.arange(size, dtype=jnp.uint32)
    return _mixed(drawn, order, jnp.uint32(size - 1), half).astype(jnp.int32)


def placed(key: jax.Array, position: jax.Array, size: jax.Array) -> jax.Array:
    """The numbers at some positions of a pseudo-random order of 0 .. size - 1.

    Args:
        key: one order.
        position: int32 [B], below `size`.
        size: int32, positive, traced.

    Returns:
        int32 [B]; all positions together are a permutation.
    """
    drawn = jax.random.bits(key, (ROUNDS, 2), jnp.uint32)
    size = size.astype(jnp.uint32)
    mask = size - 1
    for shift in (1, 2, 4, 8, 16):
        mask = mask | (mask >> shift)
    num_bits = jax.lax.population_count(mask)
    half = jnp.maximum((num_bits + 1) // 2, 1)

    def walk(number):
        return jnp.where(number < size, number, _mixed(drawn, number, mask, half))

    first = _mixed(drawn, position.astype(jnp.uint32), mask, half)
    return jax.lax.while_loop(lambda x: jnp.any(x >= size), walk, first).astype(jnp.int32)


def _mixed(drawn: jax.Array, number: jax.Array, mask: jax.Array, half: jax.Array) -> jax.Array:
    """Rounds with factors and offsets [R, 2] of numbers not above the mask, all uint32."""
    for factor, offset in drawn:
        number = (number * (factor | 1) + offset) & mask
        number = number ^ (number >> half)
    return number
