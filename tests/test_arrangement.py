"""The order of weights in a gradient kernel, against the one that NVIDIA documents."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from imitax.kernels import arrangement, shapes

NETWORKS = [
    ((4, 64, 64, 2), (4, 64, 64, 1)),
    ((5, 64, 32, 3), (5, 32, 1)),
    ((7, 128, 32, 64, 64, 16),),
    ((100, 128, 128, 2),),
    ((3, 16, 1),),
]


def inner_sizes(networks):
    """Of each kernel that stands apart, by the rule: whole warpgroups, few enough numbers."""
    pairs = [pair for w in networks for pair in itertools.pairwise(w[1:-1])]
    return [n * m for n, m in pairs if n % 64 == 0 and n * m <= 4096]


@pytest.mark.parametrize("networks", NETWORKS)
def test_every_weight_has_one_place(networks):
    total = sum(map(shapes.size_of, networks))
    vector = jnp.arange(1.0, total + 1)
    found = arrangement.arranged(networks, vector)
    how = arrangement.arrangement(networks)
    assert found.shape == (how.size,)
    assert sorted(found[: how.end].tolist()) == vector.tolist()
    assert not found[how.end :].any()
    np.testing.assert_array_equal(arrangement.restored(networks, found), vector)
    assert [spot.size for spots in how.spots for spot in spots.values()] == inner_sizes(networks)


@pytest.mark.parametrize("networks", NETWORKS)
def test_pieces_follow_one_another(networks):
    how, at = arrangement.arrangement(networks), sum(inner_sizes(networks))
    for first, size in how.pieces:
        assert first == at
        assert size in (512, 1024, 2048)
        at += size
    assert at == how.size
    assert how.end <= at < how.end + 512


@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (64, 16), (128, 32)])
def test_the_order_is_that_of_a_warpgroup(rows, columns):
    """PTX, wgmma, fragments of the accumulator D: a thread has rows l/4 and l/4 + 8 of its warp's
    16, and columns 2 (l mod 4) and the next, of every 8 columns; all threads side by side."""
    tile = np.arange(rows * columns).reshape(rows, columns)
    wanted = []
    for group in range(rows // 64):
        for eight in range(columns // 8):
            for thread in range(128):
                warp, lane = divmod(thread, 32)
                row, column = 64 * group + 16 * warp + lane // 4, 8 * eight + 2 * (lane % 4)
                for down in (0, 8):
                    wanted += [tile[row + down, column], tile[row + down, column + 1]]
    found = arrangement.native(jnp.asarray(tile))
    assert found.tolist() == [int(x) for x in wanted]
    np.testing.assert_array_equal(arrangement.tiled(found, rows, columns), tile)
