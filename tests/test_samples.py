"""The buffer of labels: who is held out, what is drawn, sums and statistics against numpy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imitax.networks.dataset import BLOCK, Dataset, add_up, append, draw, hold_out, split
from imitax.networks.head import Head
from imitax.networks.mlp import MLP
from imitax.networks.normalisation import normaliser

KEY = jax.random.key(5)
RNG = np.random.default_rng(0)
VECTORS = Head(MLP((), 1), "mse", None, "mode")
IMAGES = dataclasses.replace(VECTORS, network=MLP((), 1, image=True))


def buffer(rows, num_rows, filler=0.0):
    """A data set whose first rows are `rows`, and whose others hold a filler."""
    obs = np.full((num_rows, *rows.shape[1:]), filler, np.float32)
    obs[: len(rows)] = rows
    return Dataset(jnp.asarray(obs), jnp.zeros((num_rows, 1)), jnp.int32(len(rows)))


def test_who_is_held_out_depends_on_the_row_alone():
    short = hold_out(KEY, buffer(np.zeros((0, 1)), 40), 30).held_out
    long = hold_out(KEY, buffer(np.zeros((9, 1)), 3000), 30).held_out
    np.testing.assert_array_equal(short, long[:40])
    assert np.mean(long) == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("percent", [1, 90])
def test_two_samples_are_enough_for_both_sides(percent):
    for seed in range(20):
        data = hold_out(jax.random.key(seed), buffer(np.zeros((2, 1)), 5), percent)
        train, held_out = split(data)
        assert (int(train.size), int(held_out.size)) == (1, 1)
        assert (int(train.index[0]), int(held_out.index[0])) == (0, 1)


def test_no_row_is_always_held_out():
    """Of few samples of an episode the second is as telling as any: see bc on Acrobot."""
    keys = jax.random.split(KEY, 200)
    data = buffer(np.zeros((15, 1)), 20)
    share = np.mean([np.asarray(hold_out(key, data, 30).held_out[:15]) for key in keys], axis=0)
    assert share[0] == 0.0
    np.testing.assert_allclose(share[1:], 0.3, atol=0.15)


def test_rows_are_split_in_their_order_and_unfilled_ones_belong_to_nobody():
    data = buffer(np.zeros((7, 1)), 10)
    data = data._replace(held_out=jnp.bool_([0, 1, 0, 0, 1, 1, 0, 0, 1, 1]))
    train, held_out = split(data)
    assert list(np.asarray(train.index[: train.size])) == [0, 2, 3, 6]
    assert list(np.asarray(held_out.index[: held_out.size])) == [1, 4, 5]
    everything, nothing = split(data._replace(held_out=None))
    assert list(np.asarray(everything.index[:7])) == list(range(7))
    assert (int(everything.size), int(nothing.size)) == (7, 0)


def test_appended_rows_keep_who_is_held_out():
    data = hold_out(KEY, buffer(np.ones((2, 1)), 6), 50)
    valid = jnp.bool_([1, 0, 1])
    grown = append(data, jnp.float32([[7], [8], [9]]), jnp.zeros((3, 1)), valid)
    assert list(np.asarray(grown.obs[:, 0])) == [1, 1, 7, 9, 0, 0]
    assert int(grown.size) == 4
    np.testing.assert_array_equal(grown.held_out, data.held_out)


def test_draws_are_uniform_over_the_filled_rows():
    number = np.asarray(draw(KEY, jnp.int32(5), 20_000))
    assert set(number) == set(range(5))
    np.testing.assert_allclose(np.bincount(number) / len(number), 0.2, atol=0.02)


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_a_sum_in_blocks_is_the_sum(size):
    values = RNG.standard_normal(3 * BLOCK).astype(np.float32)

    def term(number, inside):
        return jnp.sum(jnp.where(inside, jnp.asarray(values)[number], 0.0))

    found = jax.jit(lambda size: add_up(term, size))(jnp.int32(size))
    np.testing.assert_allclose(found, values[:size].sum(), rtol=1e-5, atol=1e-6)


def test_statistics_are_numpys_and_what_hardly_varies_is_not_magnified():
    rows = RNG.standard_normal((150, 3)) * [1e-3, 20.0, 0.0] + [5.0, -3000.0, 0.1]
    rows = np.float32(rows)
    found = normaliser(VECTORS, buffer(rows, 400, np.nan))
    exact = rows.astype(np.float64)
    np.testing.assert_allclose(found.mean, exact.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found.scale[1], exact.std(0)[1], rtol=1e-5)
    np.testing.assert_array_equal(found.scale[np.array([0, 2])], 1.0)
    np.testing.assert_array_equal(found(jnp.asarray(rows))[:, 2], 0.0)
    scaled = np.asarray(found(jnp.asarray(rows)))[:, 1]
    np.testing.assert_allclose([scaled.mean(), scaled.std()], [0.0, 1.0], atol=1e-4)


def test_a_coordinate_that_hardly_varies_in_its_box_is_in_units_of_the_box():
    """Divided by its deviation it would be far outside of all training wherever it does vary."""
    head = dataclasses.replace(VECTORS, half_widths=(4.8, 4.8, 0.0))
    rows = np.float32(RNG.standard_normal((150, 3)) * [1e-5, 0.5, 1e-5] + 0.01)
    found = normaliser(head, buffer(rows, 400, np.nan))
    np.testing.assert_allclose(found.scale, [4.8, rows[:, 1].std(dtype=float), 1.0], rtol=1e-5)


def test_statistics_are_the_same_bits_in_any_buffer():
    rows = RNG.standard_normal((70, 2))
    small, large = (normaliser(VECTORS, buffer(rows, size)) for size in (70, 999))
    for x, y in zip(small, large, strict=True):
        np.testing.assert_array_equal(x, y)


def test_an_image_is_measured_by_channel():
    rows = np.float32(RNG.standard_normal((20, 4, 3, 2)) * [2.0, 0.1] + [1.0, -1.0])
    found = normaliser(IMAGES, buffer(rows, 30, np.nan))
    np.testing.assert_allclose(found.mean, rows.mean((0, 1, 2), dtype=float), rtol=1e-4)
    np.testing.assert_allclose(found.scale, rows.std((0, 1, 2), dtype=float), rtol=1e-5)
