"""Networks as tiles of a GPU's program: what the kernels of `imitax.kernels.pallas` calculate with.

The sides of a tile are powers of two from 16 on. The inputs have a one behind them, so that the
first layer's bias is a row of its kernel, and outputs have zeros behind them.

**Precision.** Sums are float32. Operands of products are rounded to the 11 significant bits of a
tensor core. In TF32, with the exponents of float32, where a product touches the network's inputs,
whose size nobody knows, or where activations have no bound (relu). Between layers with tanh in
float16, which has as many bits, moves without detours and needs half the room: activations are
within 1, and the slopes of a minibatch are divided by the largest of its outputs' beforehand, so
that what is lost is far below the rounding of what is kept.
"""

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from imitax.kernels.arrangement import Spot, tiled
from imitax.kernels.shapes import padded

TINIEST = 1e-30
"""What slopes are divided by at least."""


class Tools(NamedTuple):
    """How a kernel calculates."""

    activation: str
    interpret: bool
    """Whether on any device."""
    half: bool
    """Whether operands are float16 where they may be; in the interpreter others are float32."""

    def dot(self, one: jax.Array, other: jax.Array, *, wide: bool = False) -> jax.Array:
        """The product of two matrices; `wide`: of numbers of any size."""
        precision = None if self.interpret else lax.DotAlgorithmPreset.TF32_TF32_F32
        if self.half and not wide:
            one, other = one.astype(jnp.float16), other.astype(jnp.float16)
            precision = None
        across = (((1,), (0,)), ((), ()))
        return lax.dot_general(
            one, other, across, precision=precision, preferred_element_type=jnp.float32
        )

    def bend(self, values: jax.Array) -> jax.Array:
        """The activation."""
        if self.activation == "relu":
            return jnp.maximum(values, 0.0)
        return jnp.tanh(values) if self.interpret else triton.approx_tanh(values)

    def unbend(self, bent: jax.Array, slope: jax.Array) -> jax.Array:
        """The slope before the activation, from what it gave and the slope behind it."""
        if self.activation == "relu":
            return jnp.where(bent > 0.0, slope, 0.0)
        return slope * (1.0 - bent * bent)

    def wait(self) -> None:
        """Until every thread of the program has written what others read."""
        if not self.interpret:
            triton.debug_barrier()

    def params(self, warps: int) -> Any:
        """Compiler settings."""
        return None if self.interpret else triton.CompilerParams(num_warps=warps, num_stages=1)


class Layer(NamedTuple):
    """Tiles of a layer, or their slopes; the first one's bias is a row of its kernel."""

    kernel: jax.Array
    bias: jax.Array | None


def forward(tools: Tools, net: Sequence[Layer], x: jax.Array) -> list[jax.Array]:
    """What each layer gives, the last one without an activation."""
    layers = [tools.bend(tools.dot(x, net[0].kernel, wide=True))]
    for layer in net[1:-1]:
        layers.append(tools.bend(_through(tools, layers[-1], layer)))
    layers.append(_through(tools, layers[-1], net[-1]))
    return layers


def _through(tools: Tools, values: jax.Array, layer: Layer) -> jax.Array:
    assert layer.bias is not None
    return tools.dot(values, layer.kernel) + layer.bias[None, :]


def backward(
    tools: Tools,
    net: Sequence[Layer],
    x: jax.Array,
    layers: Sequence[jax.Array],
    slopes: Sequence[jax.Array],
) -> tuple[Layer, ...]:
    """Slopes of a network's tiles.

    Args:
        tools: how to calculate.
        net: the tiles.
        x: inputs, [n, K].
        layers: of `forward`.
        slopes: of the loss in each output, [n] each.
    """
    top = jnp.float32(1.0)
    if tools.half:
        largest = functools.reduce(jnp.maximum, [jnp.abs(column) for column in slopes])
        top = jnp.maximum(jnp.max(largest), TINIEST)
    slope, number = jnp.zeros(layers[-1].shape, jnp.float32), across(layers[-1].shape)
    for i, column in enumerate(slopes):
        slope = slope + jnp.where(number == i, (column / top)[:, None], 0.0)
    found = []
    for i in range(len(net) - 1, 0, -1):
        kernel = tools.dot(layers[i - 1].T, slope)
        found.append(Layer(top * kernel, top * jnp.sum(slope, axis=0)))
        slope = tools.unbend(layers[i - 1], tools.dot(slope, net[i].kernel.T))
    found.append(Layer(top * tools.dot(x.T, slope, wide=True), None))
    return tuple(reversed(found))


def column_of(values: jax.Array, index: int) -> jax.Array:
    """A column of a tile, [n]."""
    return jnp.sum(jnp.where(across(values.shape) == index, values, 0.0), axis=1)


def across(shape: tuple[int, ...]) -> jax.Array:
    """Numbers of columns."""
    return lax.broadcasted_iota(jnp.int32, shape, 1)


def input_tile(inputs: Any, index: jax.Array, first: jax.Array | int, block: int) -> jax.Array:
    """Rows of a minibatch with a one behind them for the bias, and zeros.

    Args:
        inputs: all minibatches, [S, B, K].
        index: which.
        first: its first row.
        block: how many rows.
    """
    width = inputs.shape[2]
    shape = (block, padded(width + 1))
    row, column = first + lax.broadcasted_iota(jnp.int32, shape, 0), across(shape)
    values = read(inputs, (index, row, column), column < width)
    return jnp.where(column == width, 1.0, values)


def load(ref: Any, widths: Sequence[int], spots: dict[int, Spot], start: int) -> tuple[Layer, ...]:
    """Tiles of a network in an arranged vector (`imitax.kernels.arrangement`)."""
    rest = [read(ref, *place) for place in rest_tiles(widths, spots, start)]
    net = []
    for i in range(len(widths) - 1):
        if i in spots:
            spot = spots[i]
            kernel = tiled(ref[pl.ds(spot.first, spot.size)], spot.rows, spot.columns)
        else:
            kernel = rest.pop(0)
        net.append(Layer(kernel, rest.pop(0) if i > 0 else None))
    return tuple(net)


def rest_tiles(
    widths: Sequence[int], spots: dict[int, Spot], start: int
) -> Iterator[tuple[jax.Array, jax.Array | None]]:
    """Index and mask of all tiles that do not stand apart, layer by layer, kernels first."""
    last = len(widths) - 2
    for i, (rows, columns) in enumerate(itertools.pairwise(widths)):
        width = padded(columns) if i == last else columns
        if i not in spots:
            yield _kernel_tile(start, rows, columns, width, is_first=i == 0)
            start += rows * columns
        if i > 0:
            number = lax.iota(jnp.int32, width)
            yield start + number, number < columns if i == last else None
        start += columns


def _kernel_tile(start: int, rows: int, columns: int, width: int, *, is_first: bool):
    height = padded(rows + 1) if is_first else rows
    row, column = lax.broadcasted_iota(jnp.int32, (height, width), 0), across((height, width))
    mask = row < rows + 1 if is_first else column < columns if width > columns else None
    return start + row * columns + column, mask


def read(ref: Any, index: Any, mask: jax.Array | None) -> jax.Array:
    """Numbers at places, and zeros where masked."""
    index = index if isinstance(index, tuple) else (index,)
    if mask is None:
        return ref[index]
    return triton.load(ref.at[index], mask=mask, other=0.0)


def write(ref: Any, index: Any, mask: jax.Array | None, values: jax.Array) -> None:
    """The inverse of `read`."""
    index = index if isinstance(index, tuple) else (index,)
    if mask is None:
        ref[index] = values
    else:
        triton.store(ref.at[index], values, mask=mask)
