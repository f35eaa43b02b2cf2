"""Linear least squares and ridge regression, solved instead of descended to.

    minimise over W, b   mean_i |a_i - W' x_i - b|^2 + (l2 / 2) |W|^2

With centred inputs b is the mean action, and W solves the normal equations. Conjugate gradients on
them (Hestenes and Stiefel 1952) need a pass over the data for a product and no factorisation: a
batched QR inside `shard_map` hangs on several CPU devices. Coordinates are scaled to unit deviation
first, and each restart computes the slope from the data anew, so that what rounding did to earlier
directions is forgotten. Where the data leave a direction free, it stays at zero: the solution of
least norm in units of the inputs' deviations. Where scaled coordinates are nearly dependent
(condition number above about 1000 in float32) the loss is still at its minimum, but weights may
trade against each other.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from imitax.core.errors import SpecError
from imitax.networks.dataset import Dataset, add_up
from imitax.networks.head import Head
from imitax.numerics.sums import HIGHEST

RESTARTS = 3
"""Rounds of conjugate gradients, each of as many steps as there are coordinates."""
SMALLEST = 1e-6
"""Coordinates that vary by less, relative to their size, are constant."""


class Moments(NamedTuple):
    """Of the data: means and deviations."""

    inputs: jax.Array
    """[D]"""
    scale: jax.Array
    """[D], positive; 1 where a coordinate is constant."""
    varies: jax.Array
    """[D], bool."""
    action: jax.Array
    """[J]"""


def applies(settings: Any, head: Head, is_counted: bool, name: str) -> bool:
    """Whether a fit is solved.

    Args:
        settings: `imitax.networks.settings.NetworkSettings`.
        head: the policy.
        is_counted: whether the settings give a number of gradient steps.
        name: of the algorithm, for messages.

    Raises:
        SpecError: `solver=exact` where nothing can be solved.
    """
    network = head.network
    linear = head.loss == "mse" and not network.hidden and not network.image
    plain = settings.augment == "none" and not settings.validation and settings.decay == "none"
    if settings.solver != "exact":
        return settings.solver == "auto" and linear and plain and not is_counted
    if not linear:
        raise SpecError(
            f"{name}: solver=exact needs hidden=none and loss=mse; set both, or solver=auto"
        )
    if is_counted or not plain:
        raise SpecError(
            f"{name}: solver=exact takes no gradient step, so numbers of them, decay, augment and "
            "validation have no meaning beside it; leave them out, or set solver=adam"
        )
    return True


def solve(head: Head, params: Any, data: Dataset, l2: jax.Array | float) -> Any:
    """The network's parameters at the minimum; see the head of the file.

    Args:
        head: a linear network, D inputs and J outputs, under squared error.
        params: with a `normaliser` if inputs are normalised; the weights are not read.
        data: all samples.
        l2: weight of the penalty on W, in units of the network's own inputs.

    Returns:
        `params` with kernel [D, J] and bias [J] replaced.
    """
    pairs = _pairs(head, params, data)
    moments = _moments(pairs, data)
    count = jnp.maximum(data.size, 1).astype(moments.action.dtype)
    penalty = 0.5 * l2 / moments.scale[:, None] ** 2

    def centred(number, inside):
        inputs, action = pairs(number)
        keep = inside[:, None] & moments.varies
        scaled = jnp.where(keep, (inputs - moments.inputs) / moments.scale, 0.0)
        return scaled, jnp.where(inside[:, None], action - moments.action, 0.0)

    def product(direction):
        def term(number, inside):
            scaled, _ = centred(number, inside)
            return _times(scaled.T, _times(scaled, direction))

        return add_up(term, data.size) / count + penalty * direction

    def slope(weights):
        def term(number, inside):
            scaled, action = centred(number, inside)
            return _times(scaled.T, action - _times(scaled, weights))

        return add_up(term, data.size) / count - penalty * weights

    weights = jnp.zeros((len(moments.inputs), len(moments.action)), moments.action.dtype)
    for _ in range(RESTARTS):
        weights = _descend(product, slope(weights), weights)
    kernel = weights / moments.scale[:, None]
    bias = moments.action - _times(moments.inputs[None], kernel)[0]
    layer = {"kernel": kernel, "bias": bias}
    return {**params, "params": {**params["params"], "Dense_0": layer}}


def _times(left: jax.Array, right: jax.Array) -> jax.Array:
    return jnp.matmul(left, right, precision=HIGHEST)


def _pairs(head: Head, params: Any, data: Dataset):
    def pairs(number):
        inputs = jax.vmap(lambda obs: head.inputs(params, obs))(data.obs[number])
        return inputs, data.action[number].reshape(len(number), -1).astype(inputs.dtype)

    return pairs


def _moments(pairs: Any, data: Dataset) -> Moments:
    """Means and deviations, from differences to the first sample."""
    first = jax.tree.map(lambda rows: rows[0], pairs(jnp.zeros(1, jnp.int32)))
    count = jnp.maximum(data.size, 1)

    def mean_of(function):
        def term(number, inside):
            away = jax.tree.map(lambda rows, one: rows - one, pairs(number), first)
            return jax.tree.map(
                lambda rows: jnp.sum(jnp.where(inside[:, None], rows, 0.0), axis=0), function(*away)
            )

        return jax.tree.map(lambda total: total / count, add_up(term, data.size))

    shift, action = mean_of(lambda inputs, action: (inputs, action))
    deviation = jnp.sqrt(mean_of(lambda inputs, action: (inputs - shift) ** 2))
    mean = first[0] + shift
    varies = deviation > SMALLEST * jnp.abs(mean)
    scale = jnp.where(varies, deviation, 1.0)
    return Moments(mean, scale, varies, first[1] + action)


def _descend(product: Any, residual: jax.Array, weights: jax.Array) -> jax.Array:
    """D steps of conjugate gradients, each of the J right sides on its own."""

    def step(_, carry):
        weights, residual, direction, size = carry
        moved = product(direction)
        curvature = jnp.sum(direction * moved, axis=0)
        length = jnp.where(curvature > 0.0, size / jnp.where(curvature > 0.0, curvature, 1.0), 0.0)
        weights, residual = weights + length * direction, residual - length * moved
        new = jnp.sum(residual**2, axis=0)
        ratio = jnp.where(size > 0.0, new / jnp.where(size > 0.0, size, 1.0), 0.0)
        return weights, residual, residual + ratio * direction, new

    start = (weights, residual, residual, jnp.sum(residual**2, axis=0))
    return jax.lax.fori_loop(0, len(weights), step, start)[0]
