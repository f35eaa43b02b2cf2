"""Linear rewards: features and answers to a gap by float64 numpy."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from game_oracles import continuous_features, discrete_features
from probes import Probe

from imitax.games import linear_player
from imitax.games.linear_player import LinearState
from imitax.games.pairs import Expert, Pairs, Seen
from imitax.rl.actor_critic import actor
from imitax.rl.ppo import Rollout

DISCRETE, CONTINUOUS = actor(Probe(), (8,)), actor(Probe(continuous=True), (8,))
ACTORS = pytest.mark.parametrize("own", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])


def settings(**changes):
    base = {"gap_rate": 1.0, "reward_rate": 0.05, "l2": 0.1}
    return types.SimpleNamespace(**(base | changes))


def sample(own, seed, size=12):
    """Observations and actions; few rows, so that all their means differ."""
    rng = np.random.default_rng(seed)
    action = rng.integers(2, size=size) if own.discrete else rng.normal(size=(size, 1))
    return rng.normal(size=(size, 2)), action


def phi(own, x, action, absorbed=None):
    """The features of the head of the file, and the flag of the state after an end, [B, F].

    The flag is one more entry of a block of an action, or one more feature.
    """
    absorbed = np.zeros(len(x)) if absorbed is None else np.asarray(absorbed, float)
    if not own.discrete:
        return np.concatenate([continuous_features(x, action), absorbed[:, None]], axis=-1)
    blocks = discrete_features(x, action, 2).reshape(len(x), 2, -1)
    flags = absorbed[:, None, None] * np.eye(2)[action][..., None]
    return np.concatenate([blocks, flags], axis=-1).reshape(len(x), -1)


def after_end(own):
    """Features of the state after an end: zeros and the flag, [F]."""
    action = np.zeros(1, int) if own.discrete else np.zeros((1, 1))
    return phi(own, np.zeros((1, 2)), action, [1.0])[0]


@functools.cache
def order_of(own):
    """The place of each of the oracle's features among the library's, found from values."""
    x, action = sample(own, 99, 40)
    absorbed = np.arange(40) % 3 == 0
    pairs = Pairs(jnp.asarray(x), jnp.asarray(action), jnp.float32(absorbed))
    found = np.asarray(linear_player.features(own, pairs), float)
    wanted = phi(own, x, action, absorbed)
    assert found.shape == wanted.shape
    apart = np.abs(found[:, None, :] - wanted[:, :, None]).max(0)
    np.testing.assert_allclose(apart.min(-1), 0.0, atol=1e-5)
    return apart.argmin(-1)


@ACTORS
def test_features(own):
    """Each of the oracle's features is one of the library's, and the other way round."""
    order = order_of(own)
    assert sorted(order) == list(range(len(order)))
    assert len(order) == (12 if own.discrete else 10)


# --- answers -----------------------------------------------------------------------------------

GAP = np.array([0.3, -1.2, 0.0, 0.4])


def state_of(theta=None, moments=None):
    theta = jnp.zeros(4) if theta is None else jnp.float32(theta)
    return LinearState(theta, theta, moments)


def test_the_answer_in_the_ball_is_the_direction_of_the_gap():
    theta, _ = linear_player.answer("l2-ball", settings(), state_of(), jnp.float32(GAP))
    np.testing.assert_allclose(theta, GAP / np.linalg.norm(GAP), rtol=1e-6)
    others = np.random.default_rng(0).normal(size=(1000, 4))
    others /= np.linalg.norm(others, axis=-1, keepdims=True)
    assert (others @ GAP).max() < theta @ GAP
    still, _ = linear_player.answer("l2-ball", settings(), state_of(), jnp.zeros(4))
    np.testing.assert_array_equal(still, 0.0)


def test_the_answer_on_the_simplex_is_its_best_corner():
    theta, _ = linear_player.answer("simplex", settings(), state_of(), jnp.float32(GAP))
    np.testing.assert_array_equal(theta, [0.0, -1.0, 0.0, 0.0])
    corners = np.concatenate([np.eye(4), -np.eye(4)])
    np.testing.assert_allclose(theta @ GAP, (corners @ GAP).max(), rtol=1e-6)
    turned, _ = linear_player.answer("simplex", settings(), state_of(), jnp.float32(-GAP))
    np.testing.assert_array_equal(turned, [0.0, 1.0, 0.0, 0.0])


def test_the_likelihood_rests_where_its_gradient_vanishes():
    """theta . g - (l2 / 2) |theta|^2 is largest at g / l2."""
    own = settings(l2=0.5, reward_rate=0.05)
    state = linear_player.linear_player(own, "likelihood").start(
        None, DISCRETE, expert_of(DISCRETE, 1, 3)
    )
    moments = jax.tree.map(lambda x: x[:4] if x.ndim else x, state.moments)

    @jax.jit
    def climb(state):
        def one(_, state):
            theta, moments = linear_player.answer("likelihood", own, state, jnp.float32(GAP))
            return state._replace(theta=theta, moments=moments)

        return jax.lax.fori_loop(0, 2000, one, state)

    first = linear_player.answer("likelihood", own, state_of(moments=moments), jnp.float32(GAP))
    # Adam's first step is its rate in the direction of the gap's signs.
    np.testing.assert_allclose(first[0], 0.05 * np.sign(GAP), atol=1e-6)
    np.testing.assert_allclose(climb(state_of(moments=moments)).theta, GAP / 0.5, atol=2e-3)


# --- the player --------------------------------------------------------------------------------


def expert_of(own, seed, size, absorbed=0.0, rows=16):
    """A buffer of `rows` rows with numbers without meaning behind the first `size`."""
    x, action = sample(own, seed, rows)
    later = jnp.arange(rows) >= size
    x = jnp.where(later[:, None], 1e6, jnp.float32(x))
    return Expert(x, jnp.asarray(action), None, jnp.int32(size), jnp.float32(absorbed))


def seen_of(own, seed, absorbed=0.0):
    x, action = sample(own, seed)
    shape, none = (3, 4), jnp.zeros((3, 4))
    rows = [
        jnp.float32(x).reshape(*shape, 2),
        jnp.asarray(action).reshape(*shape, *action.shape[1:]),
    ]
    over = none.astype(bool)
    rollout = Rollout(rows[0], rows[0], rows[1], none, none * jnp.nan, over, over, none)
    return Seen(rollout, jnp.float32(absorbed), None, jnp.int32(0)), x, action


def gap_by_hand(own, expert, x, action, absorbed):
    """Mean features of the steps before ends and, by their share, of the state after them."""
    size = int(expert.size)
    shown = phi(own, expert.inputs[:size], expert.action[:size]).mean(0)
    played = phi(own, x, action).mean(0)
    end, share = after_end(own), float(expert.absorbed)
    return (1.0 - share) * shown + share * end - (1.0 - absorbed) * played - absorbed * end


@ACTORS
def test_the_gap_is_of_mean_features(own):
    player = linear_player.linear_player(settings(gap_rate=0.25), "l2-ball")
    expert = expert_of(own, 1, 9, absorbed=0.3)
    state, order = player.start(None, own, expert), order_of(own)
    gap = 0.0
    for number in range(3):
        seen, x, action = seen_of(own, 10 + number, absorbed=0.2)
        newest = gap_by_hand(own, expert, x, action, 0.2)
        gap = newest if number == 0 else 0.75 * gap + 0.25 * newest
        state = player.respond(None, own, None, state, expert, seen)
        np.testing.assert_allclose(np.asarray(state.gap)[order], gap, rtol=1e-4, atol=1e-5)
        theta = gap / np.linalg.norm(gap)
        np.testing.assert_allclose(np.asarray(state.theta)[order], theta, rtol=1e-4, atol=1e-5)
    x, action = sample(own, 20)
    absorbed = np.arange(12) < 4
    pairs = Pairs(jnp.float32(x), jnp.asarray(action), jnp.float32(absorbed))
    wanted = phi(own, x, action, absorbed) @ theta
    np.testing.assert_allclose(player.reward(state, own, pairs), wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(
        player.reward(state, own, pairs), player.recovered(state, own, pairs)
    )
