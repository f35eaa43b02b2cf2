"""`imitax.numerics.draws`: whole numbers below a size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imitax.numerics.draws import below

LAST = np.nextafter(np.float32(1), np.float32(0))
"""The largest uniform number."""


@pytest.mark.parametrize("size", [1, 2, 7, 1000, 12345])
def test_numbers_are_the_floor(size):
    uniform = jax.random.uniform(jax.random.key(size), (4000,))
    expected = np.floor(np.float64(np.float32(uniform) * np.float32(size)))
    for given in (size, jnp.int32(size)):
        found = jax.jit(below)(uniform, given)
        assert found.dtype == jnp.int32
        np.testing.assert_array_equal(found, np.minimum(expected, size - 1))
    share = np.bincount(found, minlength=size) / 4000
    if size <= 7:
        assert np.abs(share - 1 / size).max() <= 5 * np.sqrt(0.25 / 4000), "five standard errors"


@pytest.mark.parametrize("size", [3, 2**24 - 1, 2**24 + 3, 2**25 - 1, 2**31 - 1])
def test_numbers_stay_below_the_size(size):
    """Also where float32 does not hold it, and of a number that was itself rounded up to 1."""
    assert int(below(jnp.asarray(LAST), jnp.int32(size))) in range(size - 128, size)
    assert int(below(jnp.asarray(1.0), jnp.int32(size))) == size - 1


def test_of_nothing_the_first():
    assert below(jnp.array([0.0, 0.5]), jnp.int32(0)).tolist() == [0, 0]
