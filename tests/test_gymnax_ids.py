"""Settings of gymnax ids: fixed horizons, dynamics, shifts, experts; and what every id returns."""

import functools

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import imitax
from imitax import controls
from imitax.config import SpecError
from imitax.distributions import Categorical, Point
from imitax.envs.gymnax_ids import GymnaxFamily, GymnaxSettings
from imitax.experts import shipped
from imitax.policies import Policy
from imitax.rollout import rollout, total_reward
from imitax.types import Capacity, Demand


def pump(params, obs, time):
    """Push where things move already: brings MountainCar to its goal, and swings Acrobot up."""
    return Categorical(jax.nn.one_hot(jnp.where(obs[params] > 0, 2, 0), 3))


def pump_force(params, obs, time):
    return Point(jnp.sign(obs[1:2]))


def at_random(name):
    return controls.uniform(imitax.environment(name).action_space(), name)


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


def cartpole_step(state, push, length):
    """Barto, Sutton and Anderson 1983 with Euler steps, as OpenAI's CartPole writes it."""
    x, x_dot, theta, theta_dot = np.float64(state)
    temp = (push + 0.1 * length * theta_dot**2 * np.sin(theta)) / 1.1
    turn = (9.8 * np.sin(theta) - np.cos(theta) * temp) / (
        length * (4 / 3 - 0.1 * np.cos(theta) ** 2 / 1.1)
    )
    speed = temp - 0.1 * length * turn * np.cos(theta) / 1.1
    return np.array(
        [x + 0.02 * x_dot, x_dot + 0.02 * speed, theta + 0.02 * theta_dot, theta_dot + 0.02 * turn]
    )


@pytest.mark.parametrize(
    ("setting", "length"),
    [("length=0.8", 0.8), ("shift=dynamics", 1.0), ("length=0.3,shift=both", 0.6)],
)
def test_the_pole_has_the_length_asked_for(setting, length):
    env = imitax.environment(f"CartPole-v1:{setting}")
    params = draw(env, 5)
    _, state = env.reset_env(jax.random.key(0), params)
    at = (0.1, -0.2, 0.15, 0.9)
    state = state.replace(
        **dict(zip(("x", "x_dot", "theta", "theta_dot"), map(jnp.float32, at), strict=True))
    )
    found = env.step_env(jax.random.key(0), state, 1, params)[0]
    np.testing.assert_allclose(found, cartpole_step(at, 10.0, length), rtol=1e-5)


def test_a_longer_pole_everywhere_is_no_shift():
    env = imitax.environment("CartPole-v1:length=0.8")
    assert env.source is env
    assert env.spec == "CartPole-v1:length=0.8"


def posed(env, num_demos=3, horizon=16):
    return jax.jit(
        lambda seed: imitax.pose(
            env, seed, horizon, num_demos, Capacity(horizon, num_demos), Demand("episodes")
        )
    )(jnp.int32(1))


def equal(left, right):
    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def resets(env, number=2000):
    params = draw(env, 5)
    return np.asarray(
        jax.vmap(lambda key: env.reset_env(key, params)[0])(
            jax.random.split(jax.random.key(0), number)
        )
    )


@pytest.mark.parametrize("shift", ["dynamics", "start", "both"])
def test_shifted_cartpole_is_demonstrated_unshifted(shift):
    env, normal = (imitax.environment(f"CartPole-v1:shift={x}") for x in (shift, "none"))
    there, here = posed(env), posed(normal)
    assert equal(there.problem.demonstrations, here.problem.demonstrations)
    assert equal(there.expert, here.expert)
    length = 0.5 if shift == "start" else 1.0
    for params in (there.params, there.problem.params):
        assert params.inner.length == length
        assert params.inner.polemass_length == pytest.approx(0.1 * length)
    assert here.params.inner.length == 0.5
    widest = np.abs(resets(env)).max(axis=0)
    bound = 0.05 if shift == "dynamics" else 0.15
    assert np.all((0.97 * bound < widest) & (widest <= bound))
    np.testing.assert_allclose(resets(env), resets(normal) * (bound / 0.05), rtol=1e-5)


def test_a_shift_keeps_the_other_changes_to_demonstrations():
    changes = "subsample=4,demos=shuffled,fixed=true"
    there, here = (
        posed(imitax.environment(f"CartPole-v1:{text}"))
        for text in (f"shift=both,{changes}", changes)
    )
    assert equal(there.problem.demonstrations, here.problem.demonstrations)
    assert there.params.inner.length == 1.0


def test_shifted_pendulum_hangs_and_is_heavier():
    swing = Policy((), pump_force)
    text = "Pendulum-v1:shift=both"
    env = imitax.environment(text, {"Pendulum-v1": swing})
    normal = imitax.environment("Pendulum-v1", {"Pendulum-v1": swing})
    there, here = posed(env), posed(normal)
    assert equal(there.problem.demonstrations, here.problem.demonstrations)
    assert there.params.inner.m == pytest.approx(1.3)
    first = resets(env)
    assert np.all(first[:, 0] < -np.cos(np.pi / 4) + 1e-6)
    assert first[:, 0].max() > -0.72
    assert 0.97 < np.abs(first[:, 2]).max() <= 1.0
    np.testing.assert_allclose(np.sum(first[:, :2] ** 2, axis=1), 1.0, rtol=1e-5)
    _, state = env.reset_env(jax.random.key(0), there.params)
    state = state.replace(theta=jnp.float32(0.3), theta_dot=jnp.float32(-0.5))
    after = env.step_env(jax.random.key(0), state, jnp.array([2.0]), there.params)[0]
    speed = -0.5 + 0.05 * (15 * np.sin(0.3) + 3 / 1.3 * 2.0)
    assert after[2] == pytest.approx(speed, rel=1e-5)
    assert env.source.inner_params.m == 1.0


def test_experts_can_be_given():
    other = Policy(jnp.ones(4), lambda params, obs, time: Categorical(jnp.array([0.0, 1.0])))
    env = imitax.environment("CartPole-v1", {"CartPole-v1": other, "Acrobot-v1": other})
    assert env.expert(None) is other
    assert env.spec == "CartPole-v1", "a file of experts is no part of the spec"
    found = posed(env)
    valid = np.arange(16) < found.problem.demonstrations.length[:, None]
    assert np.all(found.problem.demonstrations.action[valid] == 1)
    assert np.all(found.problem.demonstrations.length < 16)
    assert imitax.environment("Acrobot-v1", {"Acrobot-v1": other}).has_expert
    assert not equal(imitax.environment("CartPole-v1").expert(None).params, other.params)
    assert imitax.environment("lane", {"CartPole-v1": other}).family == "lane"
    at_random = imitax.environment("CartPole-v1:demos=random", {"CartPole-v1": other})
    assert at_random.expert(None) is other
    assert at_random.source.expert(None) is not other


def test_shipped_experts_are_those_that_are_named():
    for name in shipped.names():
        assert name in gymnax.registered_envs
        assert imitax.environment(name).has_expert
        assert isinstance(shipped.policy(name, "final"), Policy)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda: imitax.environment("Acrobot-v1:length=0.7"),
            "Acrobot-v1: length=0.7 has no meaning here, it is of CartPole-v1's pole",
        ),
        (
            lambda: imitax.environment("MountainCar-v0:shift=start"),
            "MountainCar-v0: shift=start is not defined for it; leave shift out, or take one of "
            "CartPole-v1, Pendulum-v1, gridworld",
        ),
        (
            lambda: GymnaxFamily(
                "CartPole-v1",
                GymnaxSettings(expert="2"),
                Policy((), pump),
            ),
            "CartPole-v1: expert=2 is a shipped snapshot, and another expert is given",
        ),
        (lambda: imitax.environment("FourRooms-misc:expert=1"), "FourRooms-misc: "),
        (
            lambda: imitax.environment("CartPole-v1:demos=shufled"),
            "CartPole-v1: demos=shufled cannot be read; did you mean 'shuffled'?",
        ),
        (
            lambda: imitax.environment("CartPole-v1:lenght=1.0"),
            "unknown setting of CartPole-v1 'lenght'; did you mean 'length'?",
        ),
        (
            lambda: imitax.environment("CartPole-v1:length=0"),
            "CartPole-v1: length=0.0 is out of range; allowed: > 0.0",
        ),
    ],
)
def test_settings_without_meaning_are_refused(act, message):
    with pytest.raises(SpecError) as caught:
        act()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
