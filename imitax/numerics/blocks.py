"""A block of rows at a time, so that what a network keeps is small: gradients and values."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

ROWS = 128
"""Most rows of a block, in a gradient."""
MANY_ROWS = 256
"""Of a rollout that networks look at together, outside gradient steps; a power of two."""


def block_size(total: int, most: int = ROWS) -> int:
    """The largest divisor of `total` from `most` down to half of it; without one, `total`.

    Smaller blocks would cost more time than they save memory.
    """
    sizes = range(min(most, total), most // 2, -1)
    return next((size for size in sizes if total % size == 0), total)


def gradient(
    losses: Sequence[Callable[..., jax.Array]], params: Any, rows: Any, most: int = ROWS
) -> Any:
    """Gradient of a sum of losses, one loss and one block of rows after the other.

    Equal to the gradient over all rows at once, up to rounding.

    Args:
        losses: each takes params and the trees of `rows`, and is a mean over rows; a summand that
            does not depend on the rows may be part of it.
        params: where the gradient is taken.
        rows: trees of arrays [B, ...].
        most: rows in a block, see `block_size`; static.
    """
    total = len(jax.tree.leaves(rows)[0])
    size = block_size(total, most)
    blocks = jax.tree.map(lambda x: x.reshape(total // size, size, *x.shape[1:]), rows)
    sums = jax.tree.map(jnp.zeros_like, params)
    # Each loop starts from the sums of the one before, so that they never run side by side.
    for loss in losses:
        sums = _add(loss, params, blocks, sums)
    return jax.tree.map(lambda x: x * (size / total), sums)


def _add(loss: Callable[..., jax.Array], params: Any, blocks: Any, sums: Any) -> Any:
    """The gradients of a loss in each block, added to `sums`."""

    def add(sums, block):
        return jax.tree.map(jnp.add, sums, jax.grad(loss)(params, *block)), None

    return jax.lax.scan(add, sums, blocks)[0]


def over_rollout(
    function: Callable[..., jax.Array], args: Any, shape: tuple[int, ...]
) -> jax.Array:
    """A function of rows applied to a whole rollout, a block at a time.

    The layers of a network over the whole rollout would be most of a seed's memory.

    Args:
        function: takes arrays of n rows, returns [n].
        args: trees of arrays [T, B, ...].
        shape: T and B, static; their product is a power of two.

    Returns:
        [T, B].
    """
    total = shape[0] * shape[1]
    size = min(total, MANY_ROWS)
    blocks = jax.tree.map(lambda x: x.reshape(total // size, size, *x.shape[2:]), args)
    return jax.lax.map(lambda rows: function(*rows), blocks).reshape(shape)


BLOCK = 32
"""Rows that `mean_of_first` adds at once."""


def mean_of_first(rows: jax.Array, size: jax.Array) -> jax.Array:
    """Mean of the first `size` of rows [M, D], [D]; 0 of none.

    Added in blocks of one shape, so that rounding does not depend on the padding behind them.
    """
    padded = jnp.pad(rows, ((0, -len(rows) % BLOCK), (0, 0)))

    def add(index, total):
        first = index * BLOCK
        block = jax.lax.dynamic_slice_in_dim(padded, first, BLOCK)
        valid = (first + jnp.arange(BLOCK) < size)[:, None]
        return total + jnp.sum(jnp.where(valid, block, 0.0), axis=0)

    num_blocks = (size + BLOCK - 1) // BLOCK
    total = jax.lax.fori_loop(0, num_blocks, add, jnp.zeros_like(rows[0]))
    return total / jnp.maximum(size, 1)
