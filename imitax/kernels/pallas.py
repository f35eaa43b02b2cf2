"""The kernels of `imitax.kernels.api`, in Pallas for its Triton backend; imported only where they
run.

A program takes the minibatches of a seed one after the other. Weights and moments stay in the GPU's
memory, small enough for its caches, in the order of `imitax.kernels.arrangement`; slopes of kernels
between hidden layers stay with the threads that hold them, the others pass through memory.
"""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from imitax.kernels.arrangement import (
    SHORTEST,
    WARPS,
    Arrangement,
    arranged,
    arrangement,
    native,
    restored,
)
from imitax.kernels.shapes import BLOCK, DECAYS, Recipe, Rows, padded
from imitax.kernels.tiles import (
    Layer,
    Tools,
    across,
    backward,
    column_of,
    forward,
    input_tile,
    load,
    read,
    rest_tiles,
    write,
)

FEW_WARPS = 1
"""In a program of few rows."""
PASSING = "evict_first"
"""Cache policy of moments, which a step needs once: weights are needed more often."""


def descend(
    recipe: Recipe,
    state: Sequence[jax.Array],
    factors: jax.Array,
    scalars: jax.Array,
    rows: Rows,
    tools: Tools,
) -> list[jax.Array]:
    """Call the kernel of `imitax.kernels.api.descend`.

    Args:
        recipe: what is static.
        state: weights and both moments, [P] each.
        factors: of both moments in each step, [2, S].
        scalars: where gradients are cut, and the numbers of the losses.
        rows: the minibatches.
        tools: how to calculate.

    Returns:
        The new state.
    """
    how = arrangement(recipe.widths)
    shape = jax.ShapeDtypeStruct((how.size,), jnp.float32)
    slope = jax.ShapeDtypeStruct((how.size - how.starts[0],), jnp.float32)
    *state, _ = pl.pallas_call(
        functools.partial(_descend, tools, recipe, how, len(rows.columns)),
        out_shape=(shape, shape, shape, slope),
        grid=(1,),
        input_output_aliases={0: 0, 1: 1, 2: 2},
        interpret=tools.interpret,
        name="fused_descend",
        compiler_params=tools.params(WARPS),
    )(
        *[arranged(recipe.widths, x) for x in state],
        factors,
        scalars,
        rows.inputs,
        *rows.columns,
    )
    return [restored(recipe.widths, x) for x in state]


def _descend(tools: Tools, recipe: Recipe, how: Arrangement, num_columns: int, *refs: Any) -> None:
    """The program of one seed; the state changes in place."""
    factors, scalars, inputs, *rest = refs[3:]
    columns, state, slope = rest[:num_columns], rest[num_columns:-1], rest[-1]
    behind = how.end - how.starts[0] + lax.iota(jnp.int32, SHORTEST)
    write(slope, behind, behind < slope.shape[0], jnp.zeros(SHORTEST, jnp.float32))
    numbers = tuple(scalars[i] for i in range(1, scalars.shape[0]))
    inner = [(spot.first, spot.size) for spots in how.spots for spot in spots.values()]

    def step(index, nothing):
        data = (inputs, columns, numbers, index)
        held = _slopes(tools, recipe, how, state[0], slope, data)
        tools.wait()
        held += [slope[pl.ds(first - how.starts[0], size)] for first, size in how.pieces]
        cut = _cut(held, scalars[0]) if recipe.clips else jnp.float32(1.0)
        here = factors[0, index], factors[1, index]
        for (first, size), part in zip([*inner, *how.pieces], held, strict=True):
            _adam(recipe, state, pl.ds(first, size), part * cut, here)
        tools.wait()
        return nothing

    lax.fori_loop(0, inputs.shape[0], step, 0)


def _slopes(tools: Tools, recipe: Recipe, how: Arrangement, weights, slope, data):
    """Slopes of all kernels that stand apart, each [n]; the others are written."""
    held, nets = [], zip(recipe.widths, recipe.losses, how.spots, how.starts, strict=True)
    for widths, loss, spots, start in nets:
        net = load(weights, widths, spots, start)
        found = _gradient(tools, net, widths, loss, data)
        held += [native(found[i].kernel) for i in spots]
        kept = [one.bias if i in spots else one for i, one in enumerate(found)]
        places = rest_tiles(widths, spots, start - how.starts[0])
        for place, tile in zip(places, jax.tree.leaves(kept), strict=True):
            write(slope, *place, tile)
    return held


def _cut(slopes: Sequence[jax.Array], most: jax.Array) -> jax.Array:
    """The factor that brings all slopes together to a norm of at most so much.

    Squares are added within threads first: a sum over all threads makes them wait.
    """
    squares = [jnp.sum((x * x).reshape(-1, SHORTEST), axis=0) for x in slopes]
    norm = jnp.sqrt(jnp.sum(functools.reduce(operator.add, squares)))
    return jnp.where(norm < most, 1.0, most / norm)


def _adam(recipe: Recipe, state, place, slope: jax.Array, factors: Sequence[jax.Array]) -> None:
    """Change weights and moments at a place by one step along the slope."""
    weight = state[0][place]
    first, second = (triton.load(ref.at[place], eviction_policy=PASSING) for ref in state[1:])
    first = DECAYS[0] * first + (1.0 - DECAYS[0]) * slope
    second = DECAYS[1] * second + (1.0 - DECAYS[1]) * (slope * slope)
    move = factors[0] * first / (jnp.sqrt(factors[1] * second) + recipe.eps)
    state[0][place] = weight - move
    triton.store(state[1].at[place], first, eviction_policy=PASSING)
    triton.store(state[2].at[place], second, eviction_policy=PASSING)


def _gradient(tools: Tools, net: tuple[Layer, ...], widths, loss: Callable, data):
    """Of the mean loss of one minibatch, for a network's tiles."""
    inputs, columns, numbers, index = data
    batch = inputs.shape[1]
    block = min(batch, BLOCK)

    def of_block(first):
        x = input_tile(inputs, index, first, block)
        number = first + lax.iota(jnp.int32, block)
        cells = tuple(column[index, number] for column in columns)
        layers = forward(tools, net, x)
        said = tuple(column_of(layers[-1], i) for i in range(widths[-1]))

        def total(said):
            each = loss(said, cells, numbers)
            chex.assert_shape(each, (block,))
            return jnp.sum(each) * (1.0 / batch)

        return backward(tools, net, x, layers, jax.grad(total)(said))

    if block == batch:
        return of_block(0)

    def add(number, so_far):
        return jax.tree.map(jnp.add, so_far, of_block(number * block))

    return lax.fori_loop(0, batch // block, add, jax.tree.map(jnp.zeros_like, net))


def outputs(weights: Sequence[jax.Array], inputs: jax.Array, tools: Tools) -> jax.Array:
    """Call the kernel of `imitax.kernels.api.outputs`.

    Args:
        weights: kernel and bias of each layer in turn.
        inputs: [n, K].
        tools: how to calculate.
    """
    number = len(inputs)
    block = min(BLOCK, padded(number))
    return pl.pallas_call(
        functools.partial(_look, tools, block),
        out_shape=jax.ShapeDtypeStruct((number, len(weights[-1])), jnp.float32),
        grid=(-(-number // block),),
        interpret=tools.interpret,
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
        shift = read(bias, number, number < kernel.shape[1])
        tile = _matrix(kernel, lax.iota(jnp.int32, height), width)
        values = tools.dot(values, tile, wide=i == 0) + shift[None, :]
        values = values if i + 2 == len(weights) else tools.bend(values)
    write(said, *_cells(said, row, values.shape[1]), values)


def _matrix(ref, row: jax.Array, width: int) -> jax.Array:
    """Rows of a matrix, with zeros behind its last row and column."""
    return read(ref, *_cells(ref, row, width))


def _cells(ref, row: jax.Array, width: int):
    """Index and mask of so many columns of some rows of a matrix."""
    column = across((len(row), width))
    row = row[:, None] + 0 * column
    return (row, column), (row < ref.shape[0]) & (column < ref.shape[1])
