"""Spectral normalisation of the dense and convolutional kernels of a network.

Each kernel W, as a matrix with the outputs in columns, becomes W / max(1, sigma / limit) with its
largest singular value sigma, so no layer stretches by more than `limit` (Miyato et al. 2018 divide
by sigma itself; Gouk et al. 2021 and acme only where it is too large). sigma comes from one step
of the power method a call, from vectors that are kept between calls.
"""

from typing import Any

import jax
import jax.numpy as jnp

TINY = 1e-12


def _is_kernel(leaf: jax.Array) -> bool:
    return leaf.ndim >= 2


def vectors(params: Any) -> Any:
    """Start of the power method: a unit vector [outputs] per kernel, an empty one per bias."""

    def start(leaf):
        if not _is_kernel(leaf):
            return jnp.zeros(0)
        return jnp.full(leaf.shape[-1], leaf.shape[-1] ** -0.5)

    return jax.tree.map(start, params)


def normalise(params: Any, kept: Any, limit: jax.Array | float = 1.0) -> tuple[Any, Any]:
    """Kernels of norm at most `limit`, and the vectors for the next call.

    Gradients flow through sigma as if the vectors were constants, as in the paper.

    Args:
        params: of a flax network.
        kept: from `vectors` or the last call.
        limit: largest singular value.
    """
    leaves, structure = jax.tree.flatten(params)
    pairs = [
        _one(leaf, vector, limit)
        for leaf, vector in zip(leaves, jax.tree.leaves(kept), strict=True)
    ]
    kernels, rest = zip(*pairs, strict=True)
    return jax.tree.unflatten(structure, kernels), jax.tree.unflatten(structure, rest)


def _one(leaf: jax.Array, vector: jax.Array, limit: jax.Array | float):
    if not _is_kernel(leaf):
        return leaf, vector
    matrix = leaf.reshape(-1, leaf.shape[-1])
    left = _unit(jax.lax.stop_gradient(matrix) @ vector)
    right = _unit(left @ jax.lax.stop_gradient(matrix))
    sigma = left @ matrix @ right
    return leaf / jnp.maximum(1.0, sigma / limit), right


def _unit(vector: jax.Array) -> jax.Array:
    return vector / jnp.maximum(jnp.sqrt(jnp.sum(vector**2)), TINY)
