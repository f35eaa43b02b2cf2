"""Continuous families and gymnax ids, against closed forms and the wrapped environments."""

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from imitax import environment
from imitax.core import spec
from imitax.core.distributions import Point
from imitax.core.errors import SpecError
from imitax.core.policies import Policy
from imitax.core.types import Capacity, Demand
from imitax.envs.gymnax_family import GymnaxFamily
from imitax.envs.lane import Lane, LaneSettings
from imitax.envs.linear import Linear
from imitax.envs.obstacle import Obstacle
from imitax.envs.sine_path import SinePath, SinePathSettings
from imitax.tasks.evaluate import evaluate
from imitax.tasks.pose import pose
from imitax.tasks.rollout import rollout

FAMILIES = {
    "lane": Lane,
    "sine-path": SinePath,
    "linear": Linear,
    "obstacle": Obstacle,
    "CartPole-v1": lambda: GymnaxFamily("CartPole-v1"),
}


def lane(**settings):
    return Lane(LaneSettings(**settings))


def draw(env, horizon=12):
    return env.sample_params(jax.random.key(0), jnp.int32(horizon), jnp.int32(4), horizon)


def episodes(env, horizon, number, policy=None):
    """Independent episodes of the expert or of another policy."""
    params = draw(env, horizon)
    policy = env.expert(params) if policy is None else policy
    run = jax.vmap(lambda key: rollout(key, env, params, policy, jnp.int32(horizon), horizon))
    return jax.jit(run)(jax.random.split(jax.random.key(5), number))


def always(params, obs, time):
    """The same action everywhere."""
    return Point(params)


@pytest.mark.parametrize("name", FAMILIES)
def test_gymnax_interface(name):
    """Six values, under jit and vmap; spaces contain what is seen; the last step resets."""
    env = FAMILIES[name]()
    params, horizon = draw(env, 3), 3
    keys = jax.random.split(jax.random.key(1), 5)
    obs, state = jax.vmap(env.reset, in_axes=(0, None))(keys, params)
    assert np.all(jax.vmap(env.get_obs)(state) == obs)
    shape = obs.shape
    step = jax.jit(jax.vmap(env.step, in_axes=(0, 0, 0, None)))
    actions = jnp.zeros_like(jax.vmap(env.action_space(params).sample)(keys))
    actions = actions + (name == "obstacle")  # zero ends there at once
    for time in range(horizon):
        obs, state, reward, terminated, truncated, info = step(keys, state, actions, params)
        assert np.all(truncated == (time == horizon - 1))
        assert np.all(jax.vmap(env.observation_space(params).contains)(obs))
    assert obs.shape == info["final_observation"].shape == shape
    assert reward.shape == terminated.shape == (5,)
    assert (obs.dtype, reward.dtype) == (jnp.float32, jnp.float32)
    assert np.all(state.time == 0)
    assert env.name == env.family == name
    assert spec.write(name, env.settings) == name


@pytest.mark.parametrize("name", FAMILIES)
def test_learners_see_no_reward(name):
    env = FAMILIES[name]()
    params = draw(env)
    hidden = env.without_reward(params)
    _, state = env.reset(jax.random.key(0), params)
    action = env.action_space(params).sample(jax.random.key(1))
    seen, blind = (env.step_env(jax.random.key(2), state, action, one) for one in (params, hidden))
    assert np.isnan(blind[2])
    assert np.isfinite(seen[2])
    assert np.all(seen[0] == blind[0])
    assert seen[3] == blind[3]


@pytest.mark.parametrize("name", ["lane", "obstacle", "FourRooms-misc", "CartPole-v1"])
def test_learners_do_not_see_which_steps_earn_nothing(name):
    """XLA makes a product with a boolean a selection; NaN must come out of it all the same."""
    env = environment(name)
    params = draw(env)
    _, state = env.reset_env(jax.random.key(0), params)
    if name == "lane":
        state = state.replace(position=jnp.full(1, 9.0))
    if name == "CartPole-v1":
        state = state.replace(x=jnp.float32(9.0))
    action = env.action_space(params).sample(jax.random.key(1))
    step = jax.jit(lambda params: env.step_env(jax.random.key(2), state, action, params)[2])
    assert step(params) == 0.0
    assert np.isnan(step(env.without_reward(params)))


@pytest.mark.parametrize("name", FAMILIES)
def test_expert_has_no_regret(name):
    env = FAMILIES[name]()

    def experiment(seed):
        instance = pose(env, seed, 20, 3, Capacity(20, 3), Demand("episodes"))
        outcome = evaluate(env, instance, instance.expert, num_episodes=16)
        return outcome, instance.problem.demonstrations

    outcome, shown = jax.jit(experiment)(jnp.int32(0))
    assert outcome.finite
    assert outcome.regret == 0.0
    linear = -0.1 * (1 - 0.95**20) / 0.05
    expected = {"sine-path": 0.0, "obstacle": 1.0, "linear": linear}.get(name, 20.0)
    assert outcome.expert_return == pytest.approx(expected, abs=1e-4)
    assert np.all(shown.length == 20)
    assert shown.obs.shape[:2] == shown.action.shape[:2] == (3, 20)


def test_lane_is_the_linear_system_it_says():
    """Mean and variance of s: m' = (1 - k) m, v' = (1 - k)^2 v + noise^2."""
    number, horizon, gain, noise = 8192, 12, 0.3, 0.4
    found = episodes(lane(gain=gain, noise=noise, absorbing=False), horizon, number)
    mean, variance = 0.05, 0.0
    hits = 0.0
    for time in range(horizon):
        s = np.asarray(found.obs[:, time, 0], np.float64)
        assert s.mean() == pytest.approx(mean, abs=5 * np.sqrt(variance / number) + 1e-7)
        assert s.var() == pytest.approx(variance, abs=5 * variance * np.sqrt(2 / number) + 1e-9)
        mean, variance = (1 - gain) * mean, (1 - gain) ** 2 * variance + noise**2
        hits += np.diff(norm.cdf([-1, 1], mean, np.sqrt(variance)))[0]
    total = np.asarray(found.total_reward)
    assert total.mean() == pytest.approx(hits, abs=5 * total.std() / np.sqrt(number))
    assert np.all(found.length == horizon)


def test_absorbing_lane_against_the_kernel():
    """Survival by powers of the transition kernel on a grid of the lane (after theory 1.10)."""
    number, horizon, gain, noise = 8192, 16, 0.3, 0.5
    found = episodes(lane(gain=gain, noise=noise), horizon, number)
    edges = np.linspace(-1, 1, 401)
    middle = 0.5 * (edges[1:] + edges[:-1])
    kernel = np.diff(norm.cdf(edges, (1 - gain) * middle[:, None], noise), axis=-1)
    mass = np.diff(norm.cdf(edges, (1 - gain) * 0.05, noise))
    alive = []
    for _ in range(horizon):
        alive.append(mass.sum())
        mass = mass @ kernel
    total = np.asarray(found.total_reward)
    assert 2 < sum(alive) < horizon - 2, "the test needs episodes that end early"
    assert total.mean() == pytest.approx(sum(alive), abs=5 * total.std() / np.sqrt(number))
    ended = np.asarray(found.length) < horizon
    assert np.all(total[ended] == found.length[ended] - 1), "the step that leaves earns nothing"


def test_leaving_the_lane():
    """Absorbing: terminated, held, unpaid. Otherwise: unpaid outside, and back."""
    right, left = jnp.array([1.5]), jnp.array([-1.5])
    for env in (lane(noise=0.0), lane(noise=0.0, absorbing=False)):
        params, key = draw(env), jax.random.key(0)
        obs, state = env.reset_env(key, params)
        assert np.all(obs == np.float32(0.05))
        outside, state, reward, terminated, info = env.step_env(key, state, right, params)
        assert outside == pytest.approx(1.55)
        assert reward == 0.0
        assert terminated == env.settings.absorbing == (info["discount"] == 0.0)
        back, _, reward, terminated, _ = env.step_env(key, state, left, params)
        assert back == pytest.approx(1.55 if env.settings.absorbing else 0.05)
        assert reward == (not env.settings.absorbing)
        assert terminated == env.settings.absorbing
        far = env.step_env(key, env.reset_env(key, params)[1], jnp.array([9.0]), params)[0]
        assert far == pytest.approx(2.05), "actions are clipped to twice the width"


def test_sine_path_moves_and_rewards():
    env = SinePath(SinePathSettings(noise=0.0))
    params, key = draw(env), jax.random.key(3)
    obs, state = env.reset_env(key, params)
    assert obs[0] == 0.0
    state = state.replace(position=jnp.array([0.25, -0.1]))
    expert = env.expert(params)(state.position, state.time).mode()
    np.testing.assert_allclose(expert, [0.2, 0.3], rtol=1e-6)  # sin 0.5 + 0.1 = 0.579, clipped
    action = expert + jnp.array([0.3, -0.4])
    after, _, reward, terminated, _ = env.step_env(key, state, action, params)
    np.testing.assert_allclose(after, [0.75, -0.2], atol=1e-6)
    assert reward == pytest.approx(-0.5, rel=1e-5)
    assert not terminated
    clipped = env.step_env(key, state, jnp.array([5.0, 0.3]), params)
    np.testing.assert_allclose(clipped[0], [1.25, 0.2], atol=1e-6)
    assert clipped[2] == pytest.approx(-0.8, rel=1e-5), "judged by the clipped action"


def test_sine_path_noise_and_start():
    """Start (0, 0.1 z); after two zero actions both coordinates have gained 2 noise^2."""
    number, noise = 8192, 0.05
    env = SinePath(SinePathSettings(noise=noise))
    found = episodes(env, 3, number, Policy(jnp.zeros(2), always))
    x, y = np.moveaxis(np.asarray(found.obs[:, ::2], np.float64), -1, 0)
    relative = 5 * np.sqrt(2 / number)
    assert np.all(x[:, 0] == 0)
    assert y[:, 0].var() == pytest.approx(0.01, rel=relative)
    assert x[:, 1].var() == pytest.approx(2 * noise**2, rel=relative)
    assert (y[:, 1] - y[:, 0]).var() == pytest.approx(2 * noise**2, rel=relative)
    assert abs(np.corrcoef(x[:, 1], y[:, 1] - y[:, 0])[0, 1]) < 5 / np.sqrt(number)


def test_gymnax_ids_are_the_wrapped_environments():
    """The same transition and spaces as gymnax itself, and our horizon in place of its own."""
    env, (inner, inner_params) = GymnaxFamily("Acrobot-v1"), gymnax.make("Acrobot-v1")
    params, key = draw(env, 7), jax.random.key(4)
    obs, state = env.reset(key, params)
    inner_obs, inner_state = inner.reset(key, inner_params)
    assert np.all(obs == inner_obs)
    ours = env.step_env(key, state, 2, params)
    theirs = inner.step_env(key, inner_state, 2, inner_params)
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert np.all(mine == other)
    assert np.all(env.observe(key, state, 2, params) == obs)
    assert env.num_actions == 3
    assert env.action_space(params).n == env.action_space().n == 3
    assert env.observation_space(params).shape == (6,)
    assert env.is_truncated(state.replace(time=7), params)
    assert not env.is_truncated(state.replace(time=6), params)
    assert int(env.default_params.max_steps_in_episode) == inner_params.max_steps_in_episode


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: GymnaxFamily("CartPole-v2"), "did you mean 'CartPole-v1'?"),
        (
            lambda: GymnaxFamily("DeepSea-bsuite").check_grid((8,), (1,)),
            "DeepSea-bsuite: no expert exists for it yet",
        ),
        (lambda: GymnaxFamily("DeepSea-bsuite").expert(None), "no expert exists"),
        (lambda: lane(noise=-0.1), "LaneSettings: noise=-0.1 is out of range; allowed: >= 0.0"),
        (lambda: lane(width=0.01), "LaneSettings: width=0.01 is out of range; allowed: >= 0.05"),
        (
            lambda: SinePath(SinePathSettings(noise=float("nan"))),
            "SinePathSettings: noise=nan is out",
        ),
    ],
)
def test_bad_settings_are_refused(act, message):
    with pytest.raises(SpecError) as caught:
        act()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_check_grid_passes_where_there_is_an_expert():
    for make in FAMILIES.values():
        assert make().check_grid((8, 16), (1, 10)) is None
    assert GymnaxFamily("CartPole-v1").has_expert
    assert not GymnaxFamily("DeepSea-bsuite").has_expert
