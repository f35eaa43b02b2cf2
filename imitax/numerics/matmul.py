"""The matrix product of a layer, with a gradient laid out for small matrices.

Reverse mode writes the gradient of the weights as a product that contracts the leading axes of
both sides. XLA's CPU kernels are slower at it than at a plain product of the size of our layers,
and much slower where one side is a few columns wide. Here the layer's inputs are transposed
first, and a narrow side goes first. Values are the same up to rounding.
"""

from typing import Any

import jax
import jax.numpy as jnp

NARROW = 8
"""Largest width that counts as narrow."""


@jax.custom_vjp
def product(inputs: jax.Array, kernel: jax.Array) -> jax.Array:
    """Inputs [..., K] times kernel [K, N], at highest precision: [..., N]."""
    return jnp.matmul(inputs, kernel, precision=jax.lax.Precision.HIGHEST)


def _forward(inputs: jax.Array, kernel: jax.Array):
    return product(inputs, kernel), (inputs, kernel)


def _backward(kept, slope: jax.Array) -> tuple[jax.Array, jax.Array]:
    inputs, kernel = kept
    rows = inputs.reshape(-1, inputs.shape[-1])
    slopes = slope.reshape(-1, slope.shape[-1])
    if slopes.shape[-1] <= NARROW:
        weights = product(slopes.T, rows).T
    else:
        weights = product(jax.lax.optimization_barrier(rows.T), slopes)
    return product(slope, kernel.T), weights


product.defvjp(_forward, _backward)


def dot_general(inputs: Any, kernel: Any, dimension_numbers: Any, **options: Any) -> jax.Array:
    """`product` as flax's `Dense` calls it; the options, a precision, are not read."""
    del dimension_numbers, options
    return product(inputs, kernel)
