"""Episodes of gymnax ids: what every id returns, fixed horizons, and returns alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import imitax
from imitax.core import policies
from imitax.core.distributions import Categorical, Point
from imitax.core.policies import Policy
from imitax.tasks.rollout import rollout, total_reward


def pump(params, obs, time):
    """Push where things move already: brings MountainCar to its goal, and swings Acrobot up."""
    return Categorical(jax.nn.one_hot(jnp.where(obs[params] > 0, 2, 0), 3))


def pump_force(params, obs, time):
    return Point(jnp.sign(obs[1:2]))


def at_random(name):
    return policies.uniform(imitax.environment(name).action_space(), name)


ENDING = {
    "CartPole-v1": (functools.partial(at_random, "CartPole-v1"), 40),
    "MountainCar-v0": (lambda: Policy(1, pump), 180),
    "MountainCarContinuous-v0": (lambda: Policy((), pump_force), 180),
    "Acrobot-v1": (lambda: Policy(5, pump), 150),
    "Catch-bsuite": (functools.partial(at_random, "Catch-bsuite"), 12),
}
"""A policy under which some episodes end before the horizon."""


def draw(env, horizon):
    return env.sample_params(jax.random.key(0), jnp.int32(horizon), jnp.int32(1), horizon)


def episodes(env, policy, horizon, number, params=None):
    params = draw(env, horizon) if params is None else params
    run = jax.vmap(lambda key: rollout(key, env, params, policy, jnp.int32(horizon), horizon))
    return jax.tree.map(np.asarray, jax.jit(run)(jax.random.split(jax.random.key(3), number)))


@pytest.mark.parametrize("name", ENDING)
def test_fixed_horizons_pay_the_same_and_never_end(name):
    policy, horizon = ENDING[name]
    normal, fixed = (
        episodes(imitax.environment(text), policy(), horizon, 24)
        for text in (name, f"{name}:fixed=true")
    )
    ended = normal.length < horizon
    assert np.sum(ended) > 3, "the test needs episodes that end"
    np.testing.assert_array_equal(fixed.total_reward, normal.total_reward)
    assert np.all(fixed.length == horizon)
    for i in np.flatnonzero(ended):
        length = normal.length[i]
        np.testing.assert_array_equal(fixed.obs[i, :length], normal.obs[i, :length])
        assert np.all(fixed.obs[i, length:] == fixed.obs[i, length])
        assert np.any(fixed.obs[i, length] != fixed.obs[i, length - 1])


def test_a_fixed_episode_is_over_for_good():
    """Frozen, unpaid, not terminated; the clock goes on, and the learner still sees no reward."""
    env = imitax.environment("CartPole-v1:fixed=true")
    params, key = draw(env, 9), jax.random.key(0)
    obs, state = env.reset_env(key, params)
    state = state.replace(inner=state.inner.replace(x=jnp.float32(2.39), x_dot=jnp.float32(1.0)))
    step = jax.jit(lambda state, params: env.step_env(key, state, 1, params))
    obs, state, reward, terminated, info = step(state, params)
    assert obs[0] > 2.4
    assert (reward, terminated, info["discount"]) == (1.0, False, 1.0)
    for time in range(2, 6):
        again, state, reward, terminated, _ = step(state, params)
        assert np.all(again == obs)
        assert (reward, terminated, state.time) == (0.0, False, time)
        assert np.all(env.get_obs(state) == env.observe(key, state, 1, params))
        assert not env.is_terminated(state, params)
    assert np.isnan(step(state, env.without_reward(params))[2])
    assert env.is_truncated(state.replace(time=9), params)


IDS = {
    "Breakout-MinAtar": (10, 10, 4),
    "SpaceInvaders-MinAtar": (10, 10, 6),
    "FourRooms-misc": (4,),
    "Catch-bsuite": (10, 5),
    "Pendulum-v1": (3,),
    "MountainCarContinuous-v0": (2,),
    "Acrobot-v1": (6,),
    "MountainCar-v0": (2,),
    "CartPole-v1": (4,),
}


@pytest.mark.parametrize("name", IDS)
def test_ids_return_what_a_learner_expects(name):
    """Shapes and types; and gymnax's own time limit, here of 1 step, ends nothing."""
    env, policy, horizon = imitax.environment(name), at_random(name), 7

    def run(key, params):
        return rollout(key, env, params, policy, jnp.int32(horizon), horizon)

    run = jax.jit(jax.vmap(run, in_axes=(0, None)))
    params, many = draw(env, horizon), jax.random.split(jax.random.key(2), 3)
    found = run(many, params)
    limited = params.replace(inner=params.inner.replace(max_steps_in_episode=1))
    for x, y in zip(found, run(many, limited), strict=True):
        np.testing.assert_array_equal(x, y)
    assert np.max(found.length) > 1
    space, actions = env.observation_space(), env.action_space()
    assert found.obs.shape == (3, horizon, *IDS[name])
    assert (found.obs.dtype, space.dtype, space.shape) == (jnp.float32, jnp.float32, IDS[name])
    assert found.action.shape == (3, horizon, *actions.shape)
    assert found.action.dtype == actions.dtype
    moved = jax.eval_shape(
        lambda key: env.step_env(
            key, env.reset_env(key, params)[1], policy(found.obs[0, 0], 0).mode(), params
        ),
        many[0],
    )
    assert (moved[2].dtype, moved[2].shape) == (jnp.float32, ())
    assert (moved[3].dtype, moved[3].shape) == (jnp.bool_, ())


def test_returns_are_those_of_the_episodes():
    """`total_reward` makes the same draws as `rollout`, to the bit."""
    cases = [("CartPole-v1", "random"), ("lane:noise=0.6", "expert"), ("obstacle", "random")]
    for text, kind in cases:
        env = imitax.environment(text)
        params = draw(env, 15)
        policy = env.expert(params) if kind == "expert" else at_random(text)

        def both(key, env=env, params=params, policy=policy):
            whole = rollout(key, env, params, policy, jnp.int32(12), 15)
            own = rollout(key, env, params, policy, jnp.int32(12), 15, policy_key=key)
            short = total_reward(key, env, params, policy, jnp.int32(12))
            other = total_reward(key, env, params, policy, jnp.int32(12), policy_key=key)
            return whole.total_reward, own.total_reward, short, other

        found = jax.jit(jax.vmap(both))(jax.random.split(jax.random.key(1), 16))
        np.testing.assert_array_equal(found[0], found[2], err_msg=text)
        np.testing.assert_array_equal(found[1], found[3], err_msg=text)
        assert kind == "expert" or np.any(found[0] != found[1])


def test_episodes_step_by_step():
    """The keys that the docstrings name, one step after the other, with two policy keys."""
    env, policy, horizon = imitax.environment("CartPole-v1"), at_random("CartPole-v1"), 40
    params, key = draw(env, horizon), jax.random.key(5)
    episode = functools.partial(rollout, key, env, params, policy, jnp.int32(horizon), horizon)
    short = functools.partial(total_reward, key, env, params, policy, jnp.int32(horizon))
    step = jax.jit(env.step_env)
    for policy_key in (jax.random.fold_in(key, 1), jax.random.key(9)):
        env_key, total, length = jax.random.fold_in(key, 0), 0.0, 0
        obs, state = env.reset_env(jax.random.fold_in(env_key, 0), params)
        found, terminated = jax.jit(episode)(policy_key=policy_key), False
        while not terminated:
            np.testing.assert_allclose(found.obs[length], obs, rtol=1e-5, atol=1e-6)
            step_key, _ = jax.random.split(jax.random.fold_in(policy_key, length))
            action = policy(obs, length).sample(step_key)
            assert found.action[length] == action
            step_key, length = jax.random.fold_in(env_key, length + 1), length + 1
            obs, state, reward, terminated, _ = step(step_key, state, action, params)
            total += reward
        assert length < horizon, "the test needs an episode that ends"
        assert (found.length, found.total_reward) == (length, total)
        assert jax.jit(short)(policy_key=policy_key) == total
