"""Shapes of the fused kernels: which networks and batches fit, and where each weight lies."""

import dataclasses
import itertools
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
    count: jax.Array  # pyright: ignore[reportIncompatibleMethodOverride]
    """Steps taken, int32."""


class Rows(NamedTuple):
    """The minibatches of S steps of B rows, in order."""

    inputs: jax.Array
    """Float32 [S, B, K]."""
    columns: tuple[jax.Array, ...]
    """What else the losses read, each float32 [S, B]."""


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
    """Weights of an `imitax.networks.mlp.MLP` without a convolution as one vector."""
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
