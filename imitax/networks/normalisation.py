"""Observations in units of their own spread."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from imitax.networks.dataset import Dataset, add_up
from imitax.networks.head import Head
from imitax.numerics.blocks import mean_of_first

FLOOR = 1e-2
"""A coordinate that varies by a smaller part of its own size is taken for a constant."""


class Normaliser(NamedTuple):
    """Subtracts a mean and divides by a scale."""

    mean: jax.Array
    """[F]: of each coordinate of a vector, of each channel of an image."""
    scale: jax.Array
    """[F], positive: the standard deviation, or a size where a coordinate hardly varies."""

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Inputs [..., F], each coordinate with mean 0 and deviation 1 over the data."""
        return (inputs - self.mean) / self.scale


def normaliser(head: Head, data: Dataset) -> Normaliser:
    """Mean and standard deviation (divided by n, not n - 1) of all filled rows of a data set.

    Sums are of differences to the first row, so that a constant coordinate has deviation 0
    exactly. A coordinate that hardly varies in the data may vary elsewhere, and divided by its
    deviation it would then be nothing that the network was ever trained on. So one whose deviation
    is below `FLOOR` of its size is taken for a constant: its mean is removed, and it is divided by
    the half-width of its box, or, where the box has no bounds, by no less than 1. Its size is that
    half-width, or |mean| without bounds.
    """

    def rows(number):
        inputs = jax.vmap(head.raw_inputs)(data.obs[number])
        return inputs.reshape(inputs.shape[0], -1, inputs.shape[-1])

    start = rows(jnp.zeros(1, jnp.int32))
    first = start[0, 0]
    count = jnp.maximum(data.size * start.shape[1], 1).astype(first.dtype)

    def mean_of(function):
        def term(number, inside):
            values = jnp.where(inside[:, None, None], function(rows(number) - first), 0.0)
            return jnp.sum(values, axis=(0, 1))

        return add_up(term, data.size) / count

    shift = mean_of(lambda x: x)
    deviation = jnp.sqrt(mean_of(lambda x: (x - shift) ** 2))
    mean = first + shift
    if head.half_widths is None:
        size, unit = jnp.abs(mean), jnp.maximum(deviation, 1.0)
    else:
        half_widths = jnp.asarray(head.half_widths, mean.dtype)
        size = jnp.where(half_widths > 0.0, half_widths, jnp.abs(mean))
        unit = jnp.where(half_widths > 0.0, half_widths, jnp.maximum(deviation, 1.0))
    varies = deviation > FLOOR * size
    return Normaliser(mean, jnp.where(varies, deviation, unit))


SMALLEST_DEVIATION = 1e-6
"""Coordinates that vary less are not scaled."""


def scaling_of(shown: jax.Array, size: jax.Array, seen: jax.Array) -> Normaliser:
    """Mean and deviation of two sets of inputs, each with half the weight.

    Args:
        shown: [M, D], of which the first `size` rows count.
        size: int32.
        seen: [n, D].
    """
    mean = 0.5 * (mean_of_first(shown, size) + jnp.mean(seen, axis=0))
    squares = mean_of_first((shown - mean) ** 2, size)
    deviation = jnp.sqrt(0.5 * (squares + jnp.mean((seen - mean) ** 2, axis=0)))
    return Normaliser(mean, jnp.where(deviation > SMALLEST_DEVIATION, deviation, 1.0))
