"""Settings of gymnax ids: dynamics, shifts between demonstrations and evaluation, experts."""

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_gymnax_episodes import draw, pump, pump_force

import imitax
from imitax.core.distributions import Categorical
from imitax.core.errors import SpecError
from imitax.core.policies import Policy
from imitax.core.types import Capacity, Demand
from imitax.envs.gymnax_family import GymnaxFamily, GymnaxSettings
from imitax.experts import shipped


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
        (lambda: imitax.environment("DeepSea-bsuite:expert=1"), "DeepSea-bsuite: no expert"),
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
