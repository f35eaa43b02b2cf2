"""How weights, moments and slopes stand in the memory of a gradient kernel.

A product on tensor cores leaves the slope of a layer's kernel spread over the threads of a program
in a fixed pattern. Where weights and moments of that kernel stand in memory in the same order, each
thread finds what belongs to the numbers that it holds in consecutive places, and no slope has to
pass through memory. `arranged` brings the kernels between hidden layers into that order, first all
of them; the rest, narrow and of odd sizes, stays in the order of `imitax.kernels.shapes.flat`
behind them.

The order is that of NVIDIA's warpgroup products (PTX, wgmma, matrix fragments of the accumulator):
a warp holds 16 rows, a thread two neighbouring numbers of two rows, eight apart, every 8 columns.
On other GPUs the compiler moves numbers between threads, and only speed is lost.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from imitax.kernels.shapes import places, size_of

WARPS = 4
"""Of 32 threads, in a program of many rows."""
INNER = 64 * 64
"""Largest kernel whose slope threads hold until the step is taken."""
SHORTEST, LONGEST = 512, 2048
"""Of the pieces in which the rest is changed: powers of two."""


class Spot(NamedTuple):
    """Where a kernel between hidden layers stands."""

    first: int
    rows: int
    columns: int

    @property
    def size(self) -> int:
        """Numbers."""
        return self.rows * self.columns


class Arrangement(NamedTuple):
    """Of a vector of several networks' weights; all static."""

    spots: tuple[dict[int, Spot], ...]
    """Of each network, of those layers whose kernels stand apart."""
    starts: tuple[int, ...]
    """Where the rest of each network begins; the first one's is where all spots have ended."""
    end: int
    """Of the last network's rest."""
    pieces: tuple[tuple[int, int], ...]
    """First number and size, of what covers all rests, a little beyond the end."""

    @property
    def size(self) -> int:
        """Of the vector, with zeros behind the end."""
        return sum(self.pieces[-1])


def arrangement(networks: Sequence[Sequence[int]]) -> Arrangement:
    """For networks of these widths, each from inputs to outputs."""
    first, spots, starts = 0, [], []
    for widths in networks:
        here = {}
        for i in range(1, len(widths) - 2):
            spot = Spot(first, widths[i], widths[i + 1])
            if spot.rows % (16 * WARPS) == 0 and spot.size <= INNER:
                here[i] = spot
                first += spot.size
        spots.append(here)
    for widths, here in zip(networks, spots, strict=True):
        starts.append(first)
        first += size_of(widths) - sum(spot.size for spot in here.values())
    return Arrangement(tuple(spots), tuple(starts), first, _pieces(starts[0], first))


def _pieces(first: int, end: int) -> tuple[tuple[int, int], ...]:
    found = []
    while first < end:
        fitting = 1 << ((end - first).bit_length() - 1)
        size = max(SHORTEST, min(LONGEST, fitting))
        found.append((first, size))
        first += size
    return tuple(found)


def arranged(networks: Sequence[Sequence[int]], vector: jax.Array) -> jax.Array:
    """The vector of `imitax.kernels.api.descend`, [P], as a kernel wants it."""
    how, inner, rest, first = arrangement(networks), [], [], 0
    for widths, spots in zip(networks, how.spots, strict=True):
        for i, place in enumerate(places(widths, first)):
            kernel = vector[place.kernel : place.bias]
            if i in spots:
                inner.append(native(kernel.reshape(place.rows, place.columns)))
            else:
                rest.append(kernel)
            rest.append(vector[place.bias : place.bias + place.columns])
        first += size_of(widths)
    return jnp.concatenate([*inner, *rest, jnp.zeros(how.size - how.end, vector.dtype)])


def restored(networks: Sequence[Sequence[int]], vector: jax.Array) -> jax.Array:
    """The inverse of `arranged`."""
    how, found = arrangement(networks), []
    for widths, spots, start in zip(networks, how.spots, how.starts, strict=True):
        for i, place in enumerate(places(widths)):
            size = (place.rows + 1) * place.columns
            if i in spots:
                spot, size = spots[i], place.columns
                kernel = vector[spot.first : spot.first + spot.size]
                found.append(tiled(kernel, spot.rows, spot.columns).reshape(-1))
            found.append(vector[start : start + size])
            start += size
    return jnp.concatenate(found)


def native(tile: jax.Array) -> jax.Array:
    """A matrix as a vector, in the order in which threads hold it after a product."""
    rows, columns = tile.shape
    # Row: which 64, warp, which 8, eighth of a warp. Column: which 8, thread, which of two.
    parts = tile.reshape(rows // (16 * WARPS), WARPS, 2, 8, columns // 8, 4, 2)
    return parts.transpose(0, 4, 1, 3, 5, 2, 6).reshape(rows * columns)


def tiled(vector: jax.Array, rows: int, columns: int) -> jax.Array:
    """The inverse of `native`."""
    parts = vector.reshape(rows // (16 * WARPS), columns // 8, WARPS, 8, 4, 2, 2)
    return parts.transpose(0, 2, 5, 3, 1, 4, 6).reshape(rows, columns)
