"""Sums whose rounding does not depend on the batch.

On a CPU a matrix product takes another kernel for another batch, a compiler fuses a product into
the addition behind it or not, and reductions are reordered: a seed alone and the same seed among
others would differ in the last bits, which iterations amplify. Here sums are written out in a fixed
order, and products are rounded before they are added.
"""

import jax
import jax.numpy as jnp

HIGHEST = jax.lax.Precision.HIGHEST
"""For the matrix products that remain: an accelerator's default is too coarse."""


def rounded(product: jax.Array) -> jax.Array:
    """A product that is rounded before it is added to something.

    A compiler may fuse a multiplication into the addition behind it, or not, depending on how it
    vectorised the loop, and so on the size of the batch. It does not reach across a clamp (to both
    sides: of a square it would drop the lower one). With this, results of a seed are the same bits
    in every batch.
    """
    largest = jnp.finfo(product.dtype).max
    return jnp.minimum(jnp.maximum(product, -largest), largest)


def per_step(value: jax.Array, horizon: jax.Array) -> jax.Array:
    """A sum over time divided by the horizon.

    Written as a product: compilers turn a division by one number for many values into it anyway,
    but not where there is a single value.
    """
    return rounded(value * (1.0 / horizon))


def add_up(terms: list[jax.Array]) -> jax.Array:
    """Sum of equal shapes, added pairwise in a fixed order; see `rounded`."""
    while len(terms) > 1:
        pairs = zip(terms[::2], terms[1::2], strict=False)
        rest = terms[-1:] if len(terms) % 2 else []
        terms = [left + right for left, right in pairs] + rest
    return terms[0]


def add_rows(values: jax.Array) -> jax.Array:
    """Sum over the first axis in the order of `add_up`, [K, ...] -> [...]."""
    while len(values) > 1:
        whole = len(values) // 2 * 2
        left, right = (jax.lax.slice_in_dim(values, first, whole, 2) for first in (0, 1))
        folded = left + right
        values = jnp.concatenate([folded, values[whole:]]) if whole < len(values) else folded
    return values[0]


def total(values: jax.Array) -> jax.Array:
    """Sum over the last axis, halved again and again: the order does not depend on the batch."""
    while values.shape[-1] > 1:
        half = values.shape[-1] // 2
        folded = values[..., :half] + values[..., half : 2 * half]
        odd = values[..., 2 * half :]
        values = jnp.concatenate([folded, odd], axis=-1) if odd.shape[-1] else folded
    return values[..., 0]


def weighted(weights: jax.Array, values: jax.Array) -> jax.Array:
    """Inner product over the last axis, [..., K] x [..., K] -> [...], in a fixed order."""
    return total(rounded(weights * values))


def log_sum_exp(values: jax.Array) -> jax.Array:
    """Log of the sum of exponentials over the last axis, stable."""
    top = jnp.max(values, axis=-1)
    scaled = jnp.exp(values - top[..., None])
    return top + jnp.log(total(scaled))
