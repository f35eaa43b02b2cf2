"""Many Adam steps of small networks in one kernel, and what networks say in one, on NVIDIA GPUs.

XLA makes some forty kernels of a gradient step of a small network, and weights, moments and every
layer pass through the GPU's memory between them. Here one program of the GPU takes the minibatches
of a seed one after the other (`imitax.kernels.pallas`); `vmap` over seeds makes a program for each seed.

A kernel takes networks with the same inputs (a policy and its critic, or one discriminator) whose
hidden widths are powers of two, and a loss that is a mean over rows. Each step is that of

    optax.chain(clip_by_global_norm(max_gradient), scale_by_adam(eps=eps)),  then  w - rate * step

(Kingma and Ba 2015). Matrix products round their operands to 11 bits, as TF32 does, and tanh is the
hardware's, about as exact; see `imitax.kernels.tiles`. The kernels are written in Pallas for its Triton
backend, which JAX 0.11 still has and calls deprecated. Where it is missing, on other devices, and
with the environment variable `IMITAX_FUSED=0`, `available` is false and XLA does all the work.
"""

import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

NARROWEST = 16
"""Smallest side of a matrix product on tensor cores; narrower sides are padded with zeros."""
WIDEST = 128
"""Largest width of a layer: what registers hold."""
BLOCK = 64
"""Rows that a program looks at together."""
DECAYS = (0.9, 0.999)
"""Of Adam's moments."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What is static in a kernel; compares by value."""

    widths: tuple[tuple[int, ...], ...]
    """Of each network, from inputs to outputs; at least one hidden layer."""
    activation: str
    """`tanh` or `relu`, between layers."""
    losses: tuple[Callable[..., jax.Array], ...]
    """Of each network: `loss(outputs, columns, numbers) -> [n]`, from its outputs, a tuple of
    [n]; from what belongs to the rows, a tuple of [n]; and from scalars. Elementwise functions
    only. What is descended is the mean over rows of their sum."""
    eps: float
    """Adam's."""
    clips: bool = False
    """Whether the gradient of all networks together is cut at the norm `max_gradient`."""


class Moments(NamedTuple):
    """Adam's, as flat as the weights."""

    first: jax.Array
    second: jax.Array
    count: jax.Array
    """Steps taken, int32."""


class Rows(NamedTuple):
    """The minibatches of S steps of B rows, in order."""

    inputs: jax.Array
    """Float32 [S, B, K]."""
    columns: tuple[jax.Array, ...]
    """What else the losses read, each float32 [S, B]."""


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


def fits(widths: Sequence[int], batch: int) -> bool:
    """Whether a kernel can have a network of these widths, on minibatches of so many rows, with
    JAX at its default of 32 bits.
    """
    hidden = widths[1:-1]
    whole = all(_is_power(width) and NARROWEST <= width <= WIDEST for width in hidden)
    narrow = widths[0] < WIDEST and widths[-1] <= NARROWEST
    rows = batch % BLOCK == 0 or (_is_power(batch) and batch >= NARROWEST)
    is_single = not jax.config.read("jax_enable_x64")
    return len(hidden) > 0 and whole and narrow and rows and is_single


def _is_power(number: int) -> bool:
    return number & (number - 1) == 0


def padded(number: int) -> int:
    """The next power of two from `NARROWEST` on."""
    return max(NARROWEST, 1 << (number - 1).bit_length())


class Place(NamedTuple):
    """Where a layer stands in a vector of weights."""

    kernel: int
    bias: int
    rows: int
    columns: int


def places(widths: Sequence[int], first: int = 0) -> list[Place]:
    """Of each layer, the first weight at `first`: the kernel row by row, then the bias."""
    found = []
    for rows, columns in itertools.pairwise(widths):
        found.append(Place(first, first + rows * columns, rows, columns))
        first += (rows + 1) * columns
    return found


def size_of(widths: Sequence[int]) -> int:
    """Weights and biases."""
    last = places(widths)[-1]
    return last.bias + last.columns


def flat(params: Any) -> jax.Array:
    """Weights of an `imitax.rl.actor_critic.Net` without a convolution as one vector."""
    return jnp.concatenate([jnp.ravel(leaf) for leaf in leaves(params)])


def leaves(params: Any) -> list[jax.Array]:
    """Kernel and bias of each layer, in turn."""
    layers = [params["params"][f"Dense_{i}"] for i in range(len(params["params"]))]
    return [layer[name] for layer in layers for name in ("kernel", "bias")]


def unflat(vector: jax.Array, widths: Sequence[int]) -> Any:
    """The inverse of `flat`."""
    layers = {}
    for i, place in enumerate(places(widths)):
        kernel = vector[place.kernel : place.bias].reshape(place.rows, place.columns)
        bias = vector[place.bias : place.bias + place.columns]
        layers[f"Dense_{i}"] = {"kernel": kernel, "bias": bias}
    return {"params": layers}


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
        params: of an `imitax.rl.actor_critic.Net` without a convolution.
        inputs: float32 [n, K].

    Returns:
        [n, number of outputs].
    """
    from imitax.kernels import pallas

    return pallas.outputs(leaves(params), inputs, _tools(activation))
