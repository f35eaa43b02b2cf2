"""Labelled observations in one preallocated buffer, and sums over them.

What is drawn for a row is drawn by its number, and sums run in blocks of a fixed size, so that
nothing depends on how long the buffer is.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from imitax.core.types import Demonstrations
from imitax.numerics.draws import below
from imitax.numerics.permutations import placed

BLOCK = 64
"""Rows that are added up together."""


class Dataset(NamedTuple):
    """Samples in one preallocated buffer of M rows, of which the first `size` count."""

    obs: jax.Array
    """[M, ...]"""
    action: jax.Array
    """[M, ...]"""
    size: jax.Array
    """int32."""
    held_out: jax.Array | None = None
    """Which rows are for validation, bool [M]; None where none is."""


class Rows(NamedTuple):
    """Some rows of a data set."""

    index: jax.Array  # pyright: ignore[reportIncompatibleMethodOverride]
    """int32 [M], of which the first `size` count."""
    size: jax.Array
    """int32."""


def dataset(demonstrations: Demonstrations, num_rows: int, num_actions: int = 0) -> Dataset:
    """Lay padded episodes end to end in a buffer of `num_rows` rows; padding is dropped.

    Args:
        demonstrations: with episodes.
        num_rows: M, static.
        num_actions: of a discrete space, static; up to 128 are stored as int8. 0 keeps the type.

    Raises:
        ValueError: the demonstrations hold counts only.
    """
    if demonstrations.obs is None or demonstrations.action is None:
        raise ValueError("a network learns from episodes: pose the problem with its demand")
    num_episodes, max_horizon = demonstrations.obs.shape[:2]
    obs = demonstrations.obs.reshape(num_episodes * max_horizon, *demonstrations.obs.shape[2:])
    action = demonstrations.action.reshape(
        num_episodes * max_horizon, *demonstrations.action.shape[2:]
    )
    dtype = jnp.int8 if 0 < num_actions <= 128 else action.dtype
    empty = Dataset(
        jnp.zeros((num_rows, *obs.shape[1:]), obs.dtype),
        jnp.zeros((num_rows, *action.shape[1:]), dtype),
        jnp.int32(0),
    )
    valid = jnp.arange(max_horizon) < demonstrations.length[:, None]  # pyright: ignore
    return append(empty, obs, action, valid.ravel())


def append(data: Dataset, obs: jax.Array, action: jax.Array, valid: jax.Array) -> Dataset:
    """Write the valid rows behind what is there; the others fall outside the buffer.

    Args:
        data: the buffer, with room for all valid rows.
        obs: [n, ...].
        action: [n, ...].
        valid: bool [n].
    """
    offset = jnp.cumsum(valid.astype(jnp.int32))
    index = jnp.where(valid, data.size + offset - 1, data.obs.shape[0])
    return data._replace(
        obs=data.obs.at[index].set(obs, mode="drop"),
        action=data.action.at[index].set(action.astype(data.action.dtype), mode="drop"),
        size=data.size + offset[-1],
    )


def hold_out(key: jax.Array, data: Dataset, percent: int) -> Dataset:
    """Set rows aside for validation, each on its own with the same probability.

    Row i is held out where a uniform number of `fold_in(key, i)` is below percent / 100, whatever
    the buffer's length and however many rows will be filled. Row 0 never is; where chance leaves
    nothing to look at, `split` holds out row 1, so that two samples are enough for both sides.
    """
    number = jnp.arange(data.obs.shape[0])
    uniform = jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(key, i)))(number)
    held_out = (uniform < percent / 100) & (number != 0)
    return data._replace(held_out=held_out)


def split(data: Dataset) -> tuple[Rows, Rows]:
    """The rows to train on and those held out; each in their order, all of them filled."""
    filled = jnp.arange(data.obs.shape[0]) < data.size
    if data.held_out is None:
        return _compact(filled), _compact(jnp.zeros_like(filled))
    held_out = data.held_out & filled
    held_out |= filled & (jnp.arange(data.obs.shape[0]) == 1) & ~jnp.any(held_out)
    return _compact(filled & ~held_out), _compact(filled & held_out)


def every_row(data: Dataset) -> Rows:
    """All rows."""
    return Rows(jnp.arange(data.obs.shape[0], dtype=jnp.int32), data.size)


def _compact(chosen: jax.Array) -> Rows:
    number = jnp.arange(chosen.shape[0], dtype=jnp.int32)
    position = jnp.cumsum(chosen.astype(jnp.int32))
    slots = jnp.where(chosen, position - 1, chosen.shape[0])
    return Rows(jnp.zeros_like(number).at[slots].set(number, mode="drop"), position[-1])


def draw(key: jax.Array, size: jax.Array, batch_size: int) -> jax.Array:
    """Numbers below `size`, with replacement, int32 [batch_size]."""
    return below(jax.random.uniform(key, (batch_size,)), size)


def draw_next(key: jax.Array, step: jax.Array, size: jax.Array, batch_size: int) -> jax.Array:
    """The batch of a gradient step in epochs without replacement, int32 [batch_size].

    Each epoch has its own order and ends with its last whole batch. When the data have grown since
    the last step, the new order is entered where the count of steps says, not at its beginning.

    Args:
        key: of the fit; epoch e uses fold e.
        step: gradient steps before, int32.
        size: rows to draw from, int32; below `batch_size` rows come again within a batch.
        batch_size: static.
    """
    # Nothing is negative, so quotients need no rounding down.
    per_epoch = jnp.maximum(jax.lax.div(size, jnp.int32(batch_size)), 1)
    epoch, within = jax.lax.div(step, per_epoch), jax.lax.rem(step, per_epoch)
    position = within * batch_size + jnp.arange(batch_size, dtype=jnp.int32)
    number = jax.lax.rem(position, jnp.broadcast_to(size, position.shape))
    return placed(jax.random.fold_in(key, epoch), number, size)


def add_up(term: Callable[[jax.Array, jax.Array], Any], size: jax.Array) -> Any:
    """Sum of terms over the numbers 0 .. size - 1.

    Args:
        term: `term(number [BLOCK], inside [BLOCK]) -> tree of sums`; numbers that are not inside
            are 0 and must add nothing.
        size: int32.
    """

    def add(block, total):
        number = block * BLOCK + jnp.arange(BLOCK, dtype=jnp.int32)
        inside = number < size
        return jax.tree.map(jnp.add, total, term(jnp.where(inside, number, 0), inside))

    like = jax.eval_shape(term, jnp.zeros(BLOCK, jnp.int32), jnp.zeros(BLOCK, bool))
    zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)
    return jax.lax.fori_loop(0, (size + BLOCK - 1) // BLOCK, add, zero)
