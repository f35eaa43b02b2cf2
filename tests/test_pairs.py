"""What the players see: how often, from where, and what earlier rounds leave behind."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from game_oracles import annuity
from probes import Probe

from imitax.games import game, pairs
from imitax.games.pairs import KEPT, Expert, Pairs, Seen
from imitax.numerics import blocks
from imitax.rl.actor_critic import actor
from imitax.rl.ppo import Rollout

DISCRETE, CONTINUOUS = actor(Probe(), (8,)), actor(Probe(continuous=True), (8,))
MANY = 20_000
T, B = 6, 4


def draws(seed):
    return jax.random.uniform(jax.random.key(seed), (2, MANY))


def numbered_expert(size=5, absorbed=0.3, rows=8):
    """Row i holds i + 1 in every field; rows from `size` on hold -1."""
    number = np.where(np.arange(rows) < size, np.arange(rows) + 1, -1)
    inputs = jnp.float32(number[:, None] * np.ones(2))
    return Expert(inputs, jnp.int32(number), inputs + 0.5, jnp.int32(size), jnp.float32(absorbed))


def numbered_rollout(own=DISCRETE, first=1):
    """Cell (t, b) holds `first` + t B + b in every field; the reward is not a number."""
    number = first + jnp.arange(T * B, dtype=jnp.float32).reshape(T, B)
    inputs = number[..., None] * jnp.ones(2)
    action = jnp.int32(number) if own.discrete else number[..., None]
    odd = jnp.int32(number) % 2 == 1
    rest = (-number, jnp.full((T, B), jnp.nan), odd, ~odd, jnp.int32(number))
    return Rollout(inputs, inputs + 0.5, action, *rest)


def seen_of(past=None, num_past=0, absorbed=0.0, own=DISCRETE):
    return Seen(numbered_rollout(own), jnp.float32(absorbed), past, jnp.int32(num_past))


def numbers(found):
    """The rows that pairs came from; every field has to agree."""
    number = np.asarray(found.inputs)[:, 0]
    wanted = number[:, None] * np.ones(2)
    np.testing.assert_array_equal(found.inputs, wanted)
    np.testing.assert_array_equal(np.asarray(found.action).reshape(len(number)), number)
    real = number > 0
    np.testing.assert_array_equal(np.asarray(found.next_inputs)[real], wanted[real] + 0.5)
    np.testing.assert_array_equal(found.absorbed, ~real)
    return number.astype(int)


def is_uniform(found, low, high):
    counts = np.bincount(found, minlength=high)[low:]
    assert counts.sum() == len(found)
    return scipy.stats.chisquare(counts).pvalue > 1e-3


def test_demonstrated_pairs_are_drawn_evenly_and_ends_by_their_share():
    found = pairs.expert_pairs(numbered_expert(), *draws(0))
    number = numbers(found)
    assert number.min() == 0, "zeros stand for the state after an end, and padding for nothing"
    assert is_uniform(number[number > 0], 1, 6)
    ended = scipy.stats.binomtest(int((number == 0).sum()), MANY, 0.3)
    assert ended.pvalue > 1e-3
    assert not np.asarray(found.terminated).any()
    uniform, _ = draws(1)
    without = pairs.expert_pairs(numbered_expert(absorbed=0.99), uniform, jnp.ones(MANY))
    assert is_uniform(numbers(without), 1, 6)


def test_played_pairs_are_drawn_evenly_and_ends_by_their_share():
    found = pairs.learner_pairs(numbered_rollout(), jnp.float32(0.2), *draws(2))
    number = numbers(found)
    assert is_uniform(number[number > 0], 1, T * B + 1)
    assert scipy.stats.binomtest(int((number == 0).sum()), MANY, 0.2).pvalue > 1e-3
    np.testing.assert_array_equal(np.asarray(found.log_prob)[number > 0], -number[number > 0])
    odd = np.asarray(found.terminated)[number > 0]
    np.testing.assert_array_equal(odd, number[number > 0] % 2 == 1)


def test_all_pairs_are_all_cells_in_order():
    np.testing.assert_array_equal(
        numbers(pairs.all_pairs(numbered_rollout())), np.arange(1, T * B + 1)
    )


@pytest.mark.parametrize("every", [1, 3])
def test_the_share_after_ends(every):
    """Horizon 12; of two episodes that end early, 5 and 9 of 12 steps follow the end."""
    env = types.SimpleNamespace(subsample=every)
    length = jnp.array([7, 3, 12, 0, 0]) if every == 1 else jnp.array([2, 1, 4, 0, 0])
    found = pairs.share_after_end(env, jnp.int32(12), length)
    wanted = (5 + 9 + 0) / 36 if every == 1 else (6 + 9 + 0) / 36
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    np.testing.assert_array_equal(pairs.share_after_end(env, jnp.int32(12), 0 * length), 0.0)


@pytest.mark.parametrize("discount", [0.0, 0.5, 0.9, 0.99, 0.9999, 1.0])
def test_what_follows_an_end_is_a_sum(discount):
    steps = np.array([0, 1, 2, 7, 100, 500])
    wanted = [annuity(discount, int(n)) for n in steps]
    found = jax.jit(game.annuity)(jnp.float32(discount), jnp.int32(steps))
    np.testing.assert_allclose(found, wanted, rtol=1e-3)
    np.testing.assert_allclose(found[:4], wanted[:4], rtol=1e-2 if discount == 0.9999 else 1e-4)


# --- earlier rounds ----------------------------------------------------------------------------

SETTINGS = types.SimpleNamespace(discriminator_batch=2000)


def numbered_past(rows=300, count=150):
    """Row i holds 1000 + i; rows from `count` on hold -1."""
    number = jnp.where(jnp.arange(rows) < count, 1000.0 + jnp.arange(rows), -1.0)
    inputs, odd = number[:, None] * jnp.ones(2), jnp.int32(number) % 2 == 1
    return Pairs(inputs, jnp.int32(number), jnp.zeros(rows), inputs + 0.5, odd, -number)


def test_half_of_the_pairs_are_of_earlier_rounds():
    seen = seen_of(numbered_past(), 150)
    real, fake = pairs.draw_pairs(jax.random.key(3), SETTINGS, numbered_expert(), seen)
    assert set(numbers(real)) == {0, 1, 2, 3, 4, 5}
    number = numbers(fake)
    assert is_uniform(number[:1000], 1, T * B + 1)
    assert set(number[1000:]) <= set(range(1000, 1150))
    assert len(set(number[1000:])) > 140
    np.testing.assert_array_equal(fake.log_prob, -number)
    np.testing.assert_array_equal(fake.terminated, number % 2 == 1)


@pytest.mark.parametrize("past", [None, "empty"])
def test_without_earlier_rounds_all_pairs_are_of_this_one(past):
    seen = seen_of(None if past is None else numbered_past(), 0)
    _, fake = pairs.draw_pairs(jax.random.key(4), SETTINGS, numbered_expert(), seen)
    assert is_uniform(numbers(fake), 1, T * B + 1)


def test_the_two_sides_are_drawn_apart():
    real, fake = pairs.draw_pairs(
        jax.random.key(5), SETTINGS, numbered_expert(24, rows=24), seen_of()
    )
    both = np.stack([numbers(real), numbers(fake)])
    shown = both[:, both[0] > 0]
    assert abs(np.corrcoef(shown)[0, 1]) < 0.1


@pytest.mark.parametrize("own", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_remembered_pairs_stand_behind_the_earlier_ones(own):
    past, num_past = pairs.no_past(own, jnp.zeros((5, 2)), 3), jnp.int32(0)
    assert len(past.inputs) == 3 * KEPT
    empty = past
    for number in range(3):
        rollout = numbered_rollout(own, first=1 + 100 * number)
        seen = Seen(rollout, jnp.float32(0.25), past, num_past)
        past, num_past = pairs.remember(jax.random.key(6 + number), seen)
        assert jax.tree.map(jnp.result_type, past) == jax.tree.map(jnp.result_type, empty)
    assert num_past == 3 * KEPT
    found = numbers(past)
    for number in range(3):
        rows = found[number * KEPT : (number + 1) * KEPT]
        kept = rows[rows > 0]
        assert 1 + 100 * number <= kept.min() <= kept.max() <= T * B + 100 * number
        assert len(set(kept)) > T * B / 2
        assert 0.1 < (rows == 0).mean() < 0.4


def test_later_rows_are_left_alone():
    past = pairs.no_past(DISCRETE, jnp.zeros((5, 2)), 3)
    after, count = pairs.remember(jax.random.key(9), seen_of(past, KEPT))
    assert count == 2 * KEPT
    changed = np.flatnonzero(np.asarray(after.inputs)[:, 0])
    assert changed.min() >= KEPT
    assert changed.max() < 2 * KEPT
    assert len(changed) == KEPT


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 90])
def test_means_do_not_see_padding(size):
    rows = np.float32(np.random.default_rng(0).normal(size=(90, 3)) + 5.0)
    mean = jax.jit(blocks.mean_of_first)
    found = [
        mean(np.concatenate([rows[:size], np.full((more, 3), np.nan, np.float32)]), jnp.int32(size))
        for more in (1, 7, 500)
    ]
    wanted = rows[:size].astype(float).mean(0) if size else np.zeros(3)
    np.testing.assert_allclose(found[0], wanted, rtol=1e-6)
    for one in found[1:]:
        np.testing.assert_array_equal(one, found[0])
