"""Trees as one array, for loops whose steps are too small for a kernel per leaf.

On a GPU every leaf that a step of a loop carries or writes costs a kernel of its own, a few
microseconds each, while a step of a small environment is computed in less. `pack` puts all leaves
of 32 bits, and booleans, into the words of one array, bit by bit, so that a step writes once. On a
CPU it would save little time, and what is unpacked after a loop takes memory beside what is packed,
so there `pack_on_gpu` leaves trees as they are.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

WORD = jnp.uint32


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["words", "others"], meta_fields=["layout"]
)
@dataclasses.dataclass(frozen=True)
class Packed:
    """A tree whose leaves all have the same leading axes, packed along the last one."""

    words: jax.Array
    """uint32 [..., W]: the leaves that fit, one behind the other."""
    others: tuple[jax.Array, ...]
    """Leaves of other sizes: keys, small integers, double precision."""
    layout: "Layout"


@dataclasses.dataclass(frozen=True)
class Layout:
    """How leaves stand in the words; compares by value."""

    tree: Any
    shapes: tuple[tuple[int, ...], ...]
    """Of each leaf without the leading axis."""
    dtypes: tuple[Any, ...]


def pack(tree: Any) -> Packed:
    """Pack a tree of arrays [B, ...].

    Args:
        tree: at least one leaf; leaves of any type.

    Returns:
        The same bits; `unpack` is the inverse.
    """
    leaves, structure = jax.tree.flatten(tree)
    leaves = [jnp.asarray(leaf) for leaf in leaves]
    layout = Layout(
        structure, tuple(leaf.shape[1:] for leaf in leaves), tuple(leaf.dtype for leaf in leaves)
    )
    batch = len(leaves[0])
    words = [_to_words(leaf).reshape(batch, -1) for leaf in leaves if _fits(leaf.dtype)]
    others = tuple(leaf for leaf in leaves if not _fits(leaf.dtype))
    empty = jnp.zeros((batch, 0), WORD)
    return Packed(jnp.concatenate(words, axis=1) if words else empty, others, layout)


def pack_on_gpu(tree: Any) -> Any:
    """`pack` where JAX runs on a GPU; elsewhere the tree itself, which `unpack` leaves alone."""
    return pack(tree) if jax.default_backend() == "gpu" else tree


def unpack(packed: Any) -> Any:
    """The tree of a `Packed`, which may have got more leading axes, as from a scan."""
    if not isinstance(packed, Packed):
        return packed
    layout, others, at, leaves = packed.layout, list(packed.others), 0, []
    lead = packed.words.shape[:-1]
    for shape, dtype in zip(layout.shapes, layout.dtypes, strict=True):
        if not _fits(dtype):
            leaves.append(others.pop(0))
            continue
        size = math.prod(shape)
        words = lax.slice_in_dim(packed.words, at, at + size, axis=-1)
        leaves.append(_from_words(words.reshape(*lead, *shape), dtype))
        at += size
    return jax.tree.unflatten(layout.tree, leaves)


def _fits(dtype: Any) -> bool:
    if not isinstance(dtype, jnp.dtype):
        return False
    return dtype == jnp.bool_ or (dtype.kind in "fiu" and dtype.itemsize == 4)


def _to_words(leaf: jax.Array) -> jax.Array:
    if leaf.dtype == jnp.bool_:
        return leaf.astype(WORD)
    return lax.bitcast_convert_type(leaf, WORD)


def _from_words(words: jax.Array, dtype: Any) -> jax.Array:
    if dtype == jnp.bool_:
        return words.astype(jnp.bool_)
    return lax.bitcast_convert_type(words, dtype)
