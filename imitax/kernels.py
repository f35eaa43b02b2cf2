"""The kernels of `imitax.fused`, in Pallas for its Triton backend; imported only where they run.

A program keeps a network as tiles, whose sides are powers of two from 16 on: the inputs have a one
behind them, so that the first bias is a row of the first kernel, and outputs have zeros behind
them. Weights, moments and the slope of a step stay in the GPU's memory, small enough for its
caches, and a program waits for its own threads before it reads what others of them wrote.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from imitax.fused import BLOCK, CHUNK, DECAYS, Recipe, Rows, padded, places, size_of

WARPS = 4
"""Of 32 threads, in a program of many rows."""
FEW_WARPS = 2
"""In a program of few rows."""
PASSING = "evict_first"
"""Cache policy of moments, which a step needs once: weights and slope are needed more often."""


class Tools(NamedTuple):
    """How a kernel calculates."""

    activation: str
    interpret: bool
    """Whether on any device, in float32."""

    def dot(self, one: jax.Array, other: jax.Array) -> jax.Array:
        """The product of two matrices."""
        precision = None if self.interpret else lax.DotAlgorithmPreset.TF32_TF32_F32
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


def descend(
    recipe: Recipe,
    state: Sequence[jax.Array],
    factors: jax.Array,
    scalars: jax.Array,
    rows: Rows,
    interpret: bool,
) -> list[jax.Array]:
    """Call the kernel of `imitax.fused.descend`.

    Args:
        recipe: what is static.
        state: weights and both moments, each padded to whole chunks.
        factors: of both moments in each step, [2, S].
        scalars: where gradients are cut, and the numbers of the losses.
        rows: the minibatches.
        interpret: whether to run on any device.

    Returns:
        The new state.
    """
    tools = Tools(recipe.activation, interpret)
    shape = jax.ShapeDtypeStruct(state[0].shape, jnp.float32)
    *state, _ = pl.pallas_call(
        functools.partial(_descend, tools, recipe, len(rows.columns)),
        out_shape=(shape,) * 4,
        grid=(1,),
        input_output_aliases={0: 0, 1: 1, 2: 2},
        interpret=interpret,
        name="fused_descend",
        compiler_params=tools.params(WARPS),
    )(*state, factors, scalars, rows.inputs, *rows.columns)
    return state


def _descend(tools: Tools, recipe: Recipe, num_columns: int, *refs: Any) -> None:
    """The program of one seed; the state and the slope change in place."""
    factors, scalars, inputs, *rest = refs[3:]
    columns, state = rest[:num_columns], rest[num_columns:]
    slope = state[3]
    end = sum(size_of(widths) for widths in recipe.widths)
    behind = end + lax.iota(jnp.int32, CHUNK)
    _write(slope, behind, behind < slope.shape[0], jnp.zeros(CHUNK, jnp.float32))
    numbers = tuple(scalars[i] for i in range(1, scalars.shape[0]))

    def step(index, nothing):
        at = 0
        for widths, loss in zip(recipe.widths, recipe.losses, strict=True):
            net, data = _load(state[0], widths, at), (inputs, columns, numbers, index)
            tiles = jax.tree.leaves(_gradient(tools, net, widths, loss, data))
            for place, tile in zip(_tiles(widths, at), tiles, strict=True):
                _write(slope, *place, tile)
            at += size_of(widths)
        tools.wait()
        cut = _cut(slope, scalars[0]) if recipe.clips else jnp.float32(1.0)
        _adam(recipe, state, cut, factors[0, index], factors[1, index])
        tools.wait()
        return nothing

    lax.fori_loop(0, inputs.shape[0], step, 0)


def _cut(slope: Any, most: jax.Array) -> jax.Array:
    """The factor that brings the slope to a norm of at most so much."""
    chunks = [slope[pl.ds(at, CHUNK)] for at in range(0, slope.shape[0], CHUNK)]
    squares = functools.reduce(jnp.add, [chunk * chunk for chunk in chunks])
    norm = jnp.sqrt(jnp.sum(squares))
    return jnp.where(norm < most, 1.0, most / norm)


def _adam(recipe: Recipe, state, cut, first_factor, second_factor) -> None:
    """Change weights and moments by one step along the slope, all flat."""

    def chunk(index, nothing):
        place = pl.ds(index * CHUNK, CHUNK)
        weight, slope = state[0][place], state[3][place] * cut
        first, second = (triton.load(ref.at[place], eviction_policy=PASSING) for ref in state[1:3])
        first = DECAYS[0] * first + (1.0 - DECAYS[0]) * slope
        second = DECAYS[1] * second + (1.0 - DECAYS[1]) * (slope * slope)
        move = first_factor * first / (jnp.sqrt(second_factor * second) + recipe.eps)
        state[0][place] = weight - move
        triton.store(state[1].at[place], first, eviction_policy=PASSING)
        triton.store(state[2].at[place], second, eviction_policy=PASSING)
        return nothing

    lax.fori_loop(0, state[0].shape[0] // CHUNK, chunk, 0)


class _Layer(NamedTuple):
    """Tiles of a layer; the first one's bias is a row of its kernel."""

    kernel: jax.Array
    bias: jax.Array | None


def _gradient(tools: Tools, net, widths: Sequence[int], loss: Callable, data):
    """Of the mean loss of one minibatch, for a network's tiles."""
    inputs, columns, numbers, index = data
    batch = inputs.shape[1]
    block = min(batch, BLOCK)

    def of_block(first):
        x = _input_tile(inputs, index, first, block)
        number = first + lax.iota(jnp.int32, block)
        cells = tuple(column[index, number] for column in columns)
        layers = _forward(tools, net, x)
        said = tuple(_column(layers[-1], i) for i in range(widths[-1]))

        def total(said):
            each = loss(said, cells, numbers)
            chex.assert_shape(each, (block,))
            return jnp.sum(each) * (1.0 / batch)

        return _backward(tools, net, x, layers, jax.grad(total)(said))

    if block == batch:
        return of_block(0)

    def add(number, so_far):
        return jax.tree.map(jnp.add, so_far, of_block(number * block))

    return lax.fori_loop(0, batch // block, add, jax.tree.map(jnp.zeros_like, net))


def _forward(tools: Tools, net, x: jax.Array) -> list[jax.Array]:
    """What each layer gives, the last one without an activation."""
    layers = [tools.bend(tools.dot(x, net[0].kernel))]
    for layer in net[1:-1]:
        layers.append(tools.bend(tools.dot(layers[-1], layer.kernel) + layer.bias[None, :]))
    layers.append(tools.dot(layers[-1], net[-1].kernel) + net[-1].bias[None, :])
    return layers


def _backward(tools: Tools, net, x: jax.Array, layers, slopes):
    """Gradients in the shape of the network's tiles, from those of its output columns."""
    number = _across(layers[-1].shape)
    slope = jnp.zeros(layers[-1].shape, jnp.float32)
    for i, column in enumerate(slopes):
        slope = slope + jnp.where(number == i, column[:, None], 0.0)
    found = []
    for i in range(len(net) - 1, 0, -1):
        found.append(_Layer(tools.dot(layers[i - 1].T, slope), jnp.sum(slope, axis=0)))
        slope = tools.unbend(layers[i - 1], tools.dot(slope, net[i].kernel.T))
    found.append(_Layer(tools.dot(x.T, slope), None))
    return tuple(reversed(found))


def _column(values: jax.Array, index: int) -> jax.Array:
    return jnp.sum(jnp.where(_across(values.shape) == index, values, 0.0), axis=1)


def _across(shape: tuple[int, ...]) -> jax.Array:
    return lax.broadcasted_iota(jnp.int32, shape, 1)


def _input_tile(inputs, index, first, block: int) -> jax.Array:
    """Rows of inputs with a one behind them for the bias, and zeros."""
    width = inputs.shape[2]
    shape = (block, padded(width + 1))
    row, column = first + lax.broadcasted_iota(jnp.int32, shape, 0), _across(shape)
    values = _read(inputs, (index, row, column), column < width)
    return jnp.where(column == width, 1.0, values)


def _tiles(widths: Sequence[int], at: int) -> Iterator[tuple[jax.Array, jax.Array | None]]:
    """Index and mask in a vector of each layer's kernel and bias, in the order of `_Layer`s."""
    found = places(widths, at)
    for i, place in enumerate(found):
        is_first, is_last = i == 0, i == len(found) - 1
        height = padded(place.rows + 1) if is_first else place.rows
        width = padded(place.columns) if is_last else place.columns
        row, column = lax.broadcasted_iota(jnp.int32, (height, width), 0), _across((height, width))
        mask = row < place.rows + 1 if is_first else column < place.columns if is_last else None
        yield place.kernel + row * place.columns + column, mask
        if not is_first:
            number = lax.iota(jnp.int32, width)
            yield place.bias + number, number < place.columns if is_last else None


def _load(ref, widths: Sequence[int], at: int) -> tuple[_Layer, ...]:
    """Tiles of a network in a vector."""
    first, *rest = [_read(ref, *place) for place in _tiles(widths, at)]
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return (_Layer(first, None), *(_Layer(*pair) for pair in pairs))


def _read(ref, index, mask) -> jax.Array:
    index = index if isinstance(index, tuple) else (index,)
    if mask is None:
        return ref[index]
    return triton.load(ref.at[index], mask=mask, other=0.0)


def _write(ref, index, mask, values: jax.Array) -> None:
    index = index if isinstance(index, tuple) else (index,)
    if mask is None:
        ref[index] = values
    else:
        triton.store(ref.at[index], values, mask=mask)


def outputs(
    activation: str, weights: Sequence[jax.Array], inputs: jax.Array, interpret: bool
) -> jax.Array:
    """Call the kernel of `imitax.fused.outputs`.

    Args:
        activation: `tanh` or `relu`.
        weights: kernel and bias of each layer in turn.
        inputs: [n, K].
        interpret: whether to run on any device.
    """
    tools, number = Tools(activation, interpret), len(inputs)
    block = min(BLOCK, padded(number))
    return pl.pallas_call(
        functools.partial(_look, tools, block),
        out_shape=jax.ShapeDtypeStruct((number, len(weights[-1])), jnp.float32),
        grid=(-(-number // block),),
        interpret=interpret,
        name="fused_outputs",
        compiler_params=tools.params(WARPS if block == BLOCK else FEW_WARPS),
    )(inputs, *weights)


def _look(tools: Tools, block: int, inputs, *refs: Any) -> None:
    """The program of one block of rows."""
    *weights, said = refs
    row = pl.program_id(0) * block + lax.iota(jnp.int32, block)
    values = _matrix(inputs, row, padded(inputs.shape[1]))
    for i in range(0, len(weights), 2):
        kernel, bias = weights[i : i + 2]
        height, width = (padded(size) for size in kernel.shape)
        number = lax.iota(jnp.int32, width)
        shift = _read(bias, number, number < kernel.shape[1])
        tile = _matrix(kernel, lax.iota(jnp.int32, height), width)
        values = tools.dot(values, tile) + shift[None, :]
        values = values if i + 2 == len(weights) else tools.bend(values)
    _write(said, *_cells(said, row, values.shape[1]), values)


def _matrix(ref, row: jax.Array, width: int) -> jax.Array:
    """Rows of a matrix, with zeros behind its last row and column."""
    return _read(ref, *_cells(ref, row, width))


def _cells(ref, row: jax.Array, width: int):
    """Index and mask of so many columns of some rows of a matrix."""
    column = _across((len(row), width))
    row = row[:, None] + 0 * column
    return (row, column), (row < ref.shape[0]) & (column < ref.shape[1])
