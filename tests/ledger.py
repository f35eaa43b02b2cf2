"""A generator of random numbers that notes what each of its keys is spent on, inside a program."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import io_callback
from jax.extend.random import define_prng_impl, threefry_prng_impl

_KEY = jax.ShapeDtypeStruct(threefry_prng_impl.key_shape, jnp.uint32)


class KeyLedger:
    """Draws as threefry does; every key made while it is open is one of its own.

    Notes are taken where a compiled program runs, so that loops and branches count as often as
    they are gone through; a program traced in a ledger may run later without one. A key may be
    drawn from (or split) once, or be folded, with different numbers; never both.
    """

    def __init__(self):
        self.spent, self.folded = [], []

    def __enter__(self):
        self._make = jax.random.key
        jax.random.key = lambda seed, impl=None: self._make(seed, impl=_NOTING)
        _open.append(self)
        return self

    def __exit__(self, *_):
        jax.random.key = self._make
        _open.remove(self)

    def check(self):
        jax.effects_barrier()
        assert self.spent, "nothing was drawn, so nothing was checked"
        assert len(self.spent) == len(set(self.spent)), "a key was drawn from twice"
        repeated = [path for path, count in Counter(self.folded).items() if count > 1]
        assert not repeated, f"a key was folded twice with the same number: {repeated}"
        both = {path[:2] for path in self.folded} & set(self.spent)
        assert not both, "a key was both drawn from and folded"


def unnoted(key):
    """The same key of the ordinary generator, for what may draw twice on purpose."""
    return jax.random.wrap_key_data(jax.random.key_data(key), impl="threefry2x32")


_open = []


def _spend(key):
    for ledger in _open[-1:]:
        ledger.spent.append(tuple(np.asarray(key).tolist()))
    return np.asarray(key)


def _fold(key, number):
    for ledger in _open[-1:]:
        ledger.folded.append((*np.asarray(key).tolist(), int(number)))
    return np.asarray(key)


# The note hands the key on, so that nothing can be drawn without it; callbacks that are not pure
# are neither merged nor left out by the compiler.
_NOTING = define_prng_impl(
    key_shape=threefry_prng_impl.key_shape,
    seed=threefry_prng_impl.seed,
    split=lambda key, shape: threefry_prng_impl.split(io_callback(_spend, _KEY, key), shape),
    random_bits=lambda key, width, shape: threefry_prng_impl.random_bits(
        io_callback(_spend, _KEY, key), width, shape
    ),
    fold_in=lambda key, number: threefry_prng_impl.fold_in(
        io_callback(_fold, _KEY, key, number), number
    ),
    name="noting",
    tag="note",
)
