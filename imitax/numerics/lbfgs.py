"""Limited-memory BFGS directions, one seed at a time.

Nocedal and Wright 2006, algorithm 7.4. Ours rather than optax's for two reasons: its inner products
are matrix products, whose rounding on a CPU depends on the batch, and its line search is an inner
loop in which seeds under vmap wait for the slowest.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from imitax.numerics.sums import rounded, weighted

MEMORY = 10
"""Steps remembered."""


class Memory(NamedTuple):
    """The last steps and what they did to the gradient; a ring of M rows of D numbers."""

    moves: jax.Array
    """[M, D]"""
    changes: jax.Array
    """[M, D]"""
    inverse: jax.Array
    """1 / (move . change), [M]; zero for an empty row."""
    count: jax.Array  # pyright: ignore[reportIncompatibleMethodOverride]
    """Rows written so far, int32."""


def empty(gradient: jax.Array) -> Memory:
    """A memory without steps for gradients of this shape, [D]."""
    rows = jnp.zeros((MEMORY, *gradient.shape), gradient.dtype)
    return Memory(rows, rows, jnp.zeros(MEMORY, gradient.dtype), jnp.int32(0))


def remember(memory: Memory, move: jax.Array, change: jax.Array) -> Memory:
    """The memory with one more step; one without positive curvature is left out.

    Args:
        memory: so far.
        move: new position minus old, [D].
        change: new gradient minus old, [D].
    """
    curvature = weighted(move, change)
    row = memory.count % MEMORY
    after = Memory(
        memory.moves.at[row].set(move),
        memory.changes.at[row].set(change),
        memory.inverse.at[row].set(1.0 / curvature),
        memory.count + 1,
    )
    return jax.tree.map(lambda new, old: jnp.where(curvature > 0, new, old), after, memory)


def direction(memory: Memory, gradient: jax.Array) -> jax.Array:
    """What to subtract from the position, [D]: the inverse Hessian's estimate times the gradient.

    Without a remembered step it is `steepest`.
    """

    def newest_first(i, carry):
        vector, weights = carry
        row = (memory.count - 1 - i) % MEMORY
        weight = memory.inverse[row] * weighted(memory.moves[row], vector)
        vector = vector - rounded(weight * memory.changes[row])
        return vector, weights.at[row].set(weight)

    def oldest_first(i, vector):
        row = (memory.count + i) % MEMORY
        weight = memory.inverse[row] * weighted(memory.changes[row], vector)
        return vector + rounded((weights[row] - weight) * memory.moves[row])

    start = (gradient, jnp.zeros(MEMORY, gradient.dtype))
    vector, weights = jax.lax.fori_loop(0, MEMORY, newest_first, start)
    vector = rounded(_scale(memory, gradient) * vector)
    return jax.lax.fori_loop(0, MEMORY, oldest_first, vector)


def steepest(gradient: jax.Array) -> jax.Array:
    """The gradient, shortened to length one where it is longer, [D]."""
    return rounded(_shortened(gradient) * gradient)


def _shortened(gradient: jax.Array) -> jax.Array:
    return 1.0 / jnp.maximum(jnp.sqrt(weighted(gradient, gradient)), 1.0)


def _scale(memory: Memory, gradient: jax.Array) -> jax.Array:
    last = (memory.count - 1) % MEMORY
    curvature = memory.inverse[last] * weighted(memory.changes[last], memory.changes[last])
    latest = 1.0 / jnp.where(curvature > 0, curvature, 1.0)
    return jnp.where(memory.count > 0, latest, _shortened(gradient))
