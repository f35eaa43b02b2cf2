"""Whole numbers from uniform ones."""

import jax
import jax.numpy as jnp


def below(uniform: jax.Array, size: jax.Array | int) -> jax.Array:
    """floor(u * size): the number of {0, ..., size - 1} that belongs to a uniform number, int32.

    One draw for each number, whatever the size: `jax.random.randint` makes several, and a
    permutation of a padded axis would depend on the padding. Below `size` whatever the product
    rounds to.

    Args:
        uniform: in [0, 1).
        size: int32, may be traced; 0 counts as 1.
    """
    size = jnp.maximum(size, 1)
    return jnp.minimum((uniform * size).astype(jnp.int32), size - 1)
