"""Where every random number comes from: a path of folds below one root key.

    root -> family name -> seed -> purpose -> episode block or step

The root is fixed, so an `int32` seed names an experiment. Names are hashed with CRC-32, because
Python's own `hash` is salted. Draws are made per time step and along a leading episode axis, so a
longer horizon or a larger set of demonstrations extends them and never changes them.
"""

import zlib

import jax

ROOT = 0x1A17A
"""Number behind the root key; part of what a seed means."""

INSTANCE, DEMONSTRATIONS, LEARNER, EVALUATION, SUBSET = range(5)
"""The purposes: drawing the instance, collecting, learning, evaluating, choosing episodes."""


def family_hash(name: str) -> int:
    """A stable non-negative 31-bit number for a name."""
    return zlib.crc32(name.encode()) & 0x7FFFFFFF


def seed_key(family: str, seed: jax.Array, purpose: int) -> jax.Array:
    """The key of one purpose of one seed.

    Args:
        family: name of the environment family.
        seed: int32 scalar.
        purpose: one of the purposes of this module.

    Returns:
        A typed threefry key.
    """
    root = jax.random.key(ROOT, impl="threefry2x32")
    family_key = jax.random.fold_in(root, family_hash(family))
    return jax.random.fold_in(jax.random.fold_in(family_key, seed), purpose)
