"""Where every random number comes from: a path of folds below one root key.

    root -> family name -> seed -> purpose -> episode block or step

The root is fixed, so an `int32` seed names an experiment. Names are hashed with CRC-32, because
Python's own `hash` is salted. Draws are made per time step and along a leading episode axis, so a
longer horizon or a larger set of demonstrations extends them and never changes them.
"""

import zlib
from typing import NamedTuple

import jax
import jax.numpy as jnp

ROOT = 0x1A17A
"""Number behind the root key; part of what a seed means."""


class Keys(NamedTuple):
    """The keys of one seed, one for each purpose."""

    instance: jax.Array
    """Drawing the task."""
    demonstrations: jax.Array
    """Collecting the expert's episodes."""
    learner: jax.Array
    evaluation: jax.Array
    subset: jax.Array
    """Choosing among recorded episodes."""


def family_hash(name: str) -> int:
    """A stable non-negative 31-bit number for a name."""
    return zlib.crc32(name.encode()) & 0x7FFFFFFF


def seed_keys(family: str, seed: jax.Array | int) -> Keys:
    """All keys of a seed.

    What does not depend on the seed is folded when the program is traced, and the purposes are
    folded together: each separate draw costs about half a second of compilation on a CPU.

    Args:
        family: name of the environment family.
        seed: int32 scalar.

    Returns:
        Typed threefry keys.
    """
    with jax.ensure_compile_time_eval():
        root = jax.random.key(ROOT, impl="threefry2x32")
        family_key = jax.random.fold_in(root, family_hash(family))
    purposes = jnp.arange(len(Keys._fields), dtype=jnp.uint32)
    fold = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
    return Keys(*fold(jax.random.fold_in(family_key, seed), purposes))
