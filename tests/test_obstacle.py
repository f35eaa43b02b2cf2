"""The obstacle: its geometry, its expert's choice, and what squared error makes of it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import imitax
from imitax.core.distributions import Point
from imitax.core.errors import SpecError
from imitax.core.policies import Policy
from imitax.core.types import Capacity, Demand
from imitax.envs.obstacle import SHORTEST
from imitax.tasks.rollout import rollout

HORIZON = 10


@functools.cache
def make(text="obstacle"):
    env = imitax.environment(text)
    return env, env.sample_params(jax.random.key(0), jnp.int32(HORIZON), jnp.int32(1), HORIZON)


def episodes(policy, number, text="obstacle"):
    env, params = make(text)

    def run(key):
        return rollout(key, env, params, policy, jnp.int32(HORIZON), HORIZON)

    found = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(1), number))
    return jax.tree.map(np.asarray, found)


def constant(params, obs, time):
    """The same action everywhere."""
    return Point(params)


def expert(text="obstacle"):
    env, params = make(text)
    return env.expert(params)


def test_the_expert_passes_on_either_side():
    number = 4096
    found = episodes(expert(), number)
    assert found.total_reward.mean() >= 0.99
    assert set(np.unique(found.total_reward)) <= {0.0, 1.0}
    left = np.mean(found.obs[:, 1, 1] > 0)
    assert left == pytest.approx(0.5, abs=2.5 / np.sqrt(number))
    start = found.obs[:, 0]
    assert abs(np.corrcoef(start[:, 1], found.obs[:, 1, 1] > 0)[0, 1]) < 5 / np.sqrt(number)


def test_the_choice_is_made_once_and_seen_in_the_position_alone():
    """The start says nothing of it; one step later the sign of y is the side for good."""
    found = episodes(expert(), 2048)
    side = np.sign(found.obs[:, 1:, 1])
    assert np.all(side == side[:, :1])
    assert np.min(np.abs(found.obs[:, 1, 1])) > 0.2, "outside the band where sides are chosen"
    assert np.all(np.abs(found.obs[:, 0] - [-0.75, 0.0]) <= [0.0300001, 0.1000001])
    for axis, width in enumerate((0.03, 0.1)):
        middle = found.obs[:, 0, axis] - (-0.75, 0.0)[axis]
        assert middle.std() == pytest.approx(width / np.sqrt(3), rel=0.05)
    again = jax.vmap(lambda key: expert()(jnp.array([-0.75, 0.05]), jnp.int32(0)).sample(key))
    drawn = np.asarray(again(jax.random.split(jax.random.key(0), 2000)))[:, 0]
    assert np.mean(drawn > 0) == pytest.approx(0.5, abs=0.06)
    assert np.all(np.abs(np.abs(drawn) - 1.0) < 0.25)
    away = jax.vmap(lambda key: expert()(jnp.array([-0.5, 0.5]), jnp.int32(1)).sample(key))
    drawn = np.asarray(away(jax.random.split(jax.random.key(0), 2000)))[:, 0]
    assert drawn.mean() == pytest.approx(0.6, abs=0.01)
    assert drawn.std() == pytest.approx(0.05, rel=0.1)


def test_straight_ahead_is_into_the_disc():
    found = episodes(Policy(jnp.zeros(1), constant), 2048)
    assert found.total_reward.mean() < 0.1
    assert np.mean(found.length) < 3


def test_steps_by_hand():
    env, params = make("obstacle:noise=0.0")
    key = jax.random.key(0)
    _, state = env.reset_env(key, params)
    state = state.replace(position=jnp.array([0.3, 0.6]))
    obs, after, reward, terminated, info = env.step_env(key, state, jnp.array([0.4]), params)
    np.testing.assert_allclose(obs, [0.5, 0.8], rtol=1e-6)
    assert (reward, terminated, info["discount"]) == (0.0, False, 1.0)
    obs, after, reward, *_ = env.step_env(key, after, jnp.array([-5.0]), params)
    np.testing.assert_allclose(obs, [0.7, -0.2], atol=1e-6, err_msg="clipped to 2")
    assert (reward, after.passed) == (1.0, True)
    _, after, reward, terminated, _ = env.step_env(key, after, jnp.array([0.0]), params)
    assert (reward, terminated) == (0.0, False)
    state = state.replace(position=jnp.array([-0.7, 0.1]))
    obs, stuck, reward, terminated, info = env.step_env(key, state, jnp.array([0.0]), params)
    np.testing.assert_allclose(obs, [-0.5, 0.1], atol=1e-6)
    assert (reward, terminated, info["discount"]) == (0.0, True, 0.0)
    still, _, reward, terminated, _ = env.step_env(key, stuck, jnp.array([2.0]), params)
    assert np.all(still == obs)
    assert (reward, terminated) == (0.0, True)
    assert np.isnan(env.step_env(key, state, jnp.array([0.0]), env.without_reward(params))[2])


def test_the_noise_is_that_of_both_coordinates():
    found = episodes(Policy(jnp.full(1, 2.0), constant), 8192, "obstacle:noise=0.05")
    moved = found.obs[:, 1] - found.obs[:, 0] - [0.2, 1.0]
    assert np.all(np.abs(moved.mean(axis=0)) < 5 * 0.05 / np.sqrt(8192))
    np.testing.assert_allclose(moved.std(axis=0), 0.05, rtol=5 / np.sqrt(2 * 8192))
    assert abs(np.corrcoef(moved.T)[0, 1]) < 5 / np.sqrt(8192)


def test_squared_error_steers_into_the_disc():
    """Of 50 demonstrations: the mean action at the start is too small to get round."""
    env, _ = make()
    algorithm = imitax.bc(env, imitax.NetworkBCConfig(num_steps=600, hidden=(32,), loss="mse"))

    def experiment(seed):
        capacity = Capacity(HORIZON, 50)
        instance = imitax.pose(env, seed, HORIZON, 50, capacity, Demand("episodes"))
        trained = imitax.train(instance.learner_key, algorithm, instance.problem)
        policy = algorithm.policy(instance.problem, trained.state)
        return imitax.evaluate(env, instance, policy, num_episodes=64)

    outcome = jax.jit(jax.vmap(experiment))(jnp.arange(4))
    assert np.mean(outcome.learner_return) < 0.5
    assert np.mean(outcome.expert_return) >= 0.99


def test_horizons_too_short_to_pass_are_refused():
    env, _ = make()
    assert env.check_grid((SHORTEST, 20), (1,)) is None
    with pytest.raises(SpecError) as caught:
        env.check_grid((20, SHORTEST - 1), (1,))
    assert "obstacle: horizon 7 is too short to pass the disc" in str(caught.value)
