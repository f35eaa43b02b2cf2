"""Many Adam steps of small networks in one kernel, and what networks say in one, on NVIDIA GPUs.

XLA makes some forty kernels of a gradient step of a small network, and weights, moments and every
layer pass through the GPU's memory between them. Here one program of the GPU takes the minibatches
of a seed one after the other (`imitax.kernels.pallas`); `vmap` over seeds makes a program for each
seed.

A kernel takes networks with the same inputs (a policy and its critic, or one discriminator) whose
hidden widths are powers of two, and a loss that is a mean over rows. Each step is that of

    optax.chain(clip_by_global_norm(max_gradient), scale_by_adam(eps=eps)),  then  w - rate * step

(Kingma and Ba 2015). Matrix products round their operands to 11 bits, as TF32 does, and tanh is the
hardware's, about as exact; see `imitax.kernels.tiles`. The kernels are written in Pallas for its
Triton backend, which JAX 0.11 still has and calls deprecated. Where it is missing, on other
devices, and with the environment variable `IMITAX_FUSED=0`, `available` is false and XLA does all
the work.
"""

import functools
import os
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from imitax.kernels.shapes import DECAYS, Moments, Recipe, Rows, leaves


@functools.cache
def available() -> bool:
    """Whether programs that are traced now can have such kernels: JAX runs on NVIDIA's Ampere or
    newer, this JAX has Pallas's Triton backend, and `IMITAX_FUSED` is not 0.
    """
    if os.environ.get("IMITAX_FUSED") == "0":
        return False
    device = jax.devices()[0]
    if device.platform != "gpu" or "NVIDIA" not in device.device_kind:
        return False
    try:
        import imitax.kernels.pallas  # noqa: F401
    except ImportError:
        return False
    return float(getattr(device, "compute_capability", "0")) >= 8.0


def descend(
    recipe: Recipe,
    weights: jax.Array,
    moments: Moments,
    rows: Rows,
    rate: jax.Array | float,
    max_gradient: jax.Array | float = 0.0,
    numbers: Sequence[jax.Array | float] = (),
) -> tuple[jax.Array, Moments]:
    """Take S Adam steps; without a GPU, slowly, by Pallas's interpreter, and in float32.

    Args:
        recipe: what is static.
        weights: float32 [P], of the networks one behind the other, each as `flat` has it.
        moments: of all weights.
        rows: the minibatches.
        rate: step size.
        max_gradient: norm at which gradients are cut, where the recipe clips.
        numbers: scalars for the losses.

    Returns:
        Weights and moments after the last step.
    """
    from imitax.kernels import pallas

    taken = (moments.count + 1 + jnp.arange(len(rows.inputs))).astype(jnp.float32)
    # Of the first moment with the step size, and of the second: what makes them unbiased.
    factors = jnp.stack([rate / (1.0 - DECAYS[0] ** taken), 1.0 / (1.0 - DECAYS[1] ** taken)])
    scalars = jnp.stack([jnp.float32(x) for x in (max_gradient, *numbers)])
    state = (weights, moments.first, moments.second)
    tools = _tools(recipe.activation)
    new, first, second = pallas.descend(recipe, state, factors, scalars, rows, tools)
    return new, Moments(first, second, moments.count + len(rows.inputs))


def _tools(activation: str) -> Any:
    """How kernels calculate here: on a GPU in few bits, in the interpreter exactly."""
    from imitax.kernels.tiles import Tools

    interpret = jax.default_backend() != "gpu"
    return Tools(activation, interpret, half=activation == "tanh" and not interpret)


def outputs(activation: str, params: Any, inputs: jax.Array) -> jax.Array:
    """What a network says of some rows, without anything to differentiate.

    Without a GPU, slowly, by Pallas's interpreter, and in float32.

    Args:
        activation: `tanh` or `relu`.
        params: of an `imitax.networks.mlp.MLP` without a convolution.
        inputs: float32 [n, K].

    Returns:
        [n, number of outputs].
    """
    from imitax.kernels import pallas

    return pallas.outputs(leaves(params), inputs, _tools(activation))
