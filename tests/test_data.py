"""Loading of demonstrations which other projects recorded: what is read."""

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments.classic_control.cartpole import EnvState
from gymnax.environments.spaces import Discrete
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import (
    BASELINES,
    CONTINUOUS,
    ENV,
    IMITATION,
    LENGTHS,
    PARAMS,
    SPACES,
    STEPS,
    baselines,
    imitation,
    real,
    refused,
    written,
)

from imitax.data import load


def stepped(obs, action):
    """CartPole's next observations, by gymnax."""

    def step(row, choice):
        state = EnvState(x=row[0], x_dot=row[1], theta=row[2], theta_dot=row[3], time=0)
        return ENV.step_env(jax.random.key(0), state, choice, PARAMS)[0]

    return np.asarray(jax.jit(jax.vmap(step))(jnp.asarray(obs), jnp.asarray(action)))


def misalignment(data):
    """Largest distance of any recorded observation from what the step before leads to."""
    before = np.concatenate([o[: n - 1] for o, n in zip(data.obs, data.length, strict=True)])
    after = np.concatenate([o[1:n] for o, n in zip(data.obs, data.length, strict=True)])
    chosen = np.concatenate([a[: n - 1] for a, n in zip(data.action, data.length, strict=True)])
    return np.abs(stepped(before, chosen) - after).max()


# --- real files


@pytest.mark.parametrize(
    ("name", "layout", "episodes", "steps", "shortest", "mean_return"),
    [
        (BASELINES, "stable-baselines", 100, 49_527, 27, 495.27),
        (IMITATION, "imitation", 57, 26_964, 393, 473.0526315789474),
    ],
)
def test_real_file(name, layout, episodes, steps, shortest, mean_return):
    path = real(name)
    data = load(path, *SPACES)
    assert data.layout == layout
    assert data.path == str(path)
    assert data.obs.shape == (episodes, 500, 4)
    assert data.obs.dtype == np.float32
    assert data.action.shape == (episodes, 500)
    assert data.action.dtype == np.int32
    assert data.length.dtype == np.int32
    assert data.episode_return.dtype == np.float64
    assert data.terminated.shape == (episodes,)
    assert data.terminated.dtype == np.bool_
    assert (data.length.sum(), data.length.min(), data.length.max()) == (steps, shortest, 500)
    assert data.episode_return.mean() == pytest.approx(mean_return, abs=1e-9)
    after_end = np.arange(500) >= data.length[:, None]
    assert not data.obs[after_end].any()
    assert not data.action[after_end].any()
    assert data.obs[~after_end].any(axis=-1).all()


@pytest.mark.parametrize("name", [BASELINES, IMITATION])
def test_real_actions_lead_to_the_next_observation(name):
    data = load(real(name), *SPACES)
    assert misalignment(data) < 1e-4
    assert misalignment(data._replace(action=1 - data.action)) > 1e-2
    assert misalignment(data._replace(action=np.roll(data.action, 1, axis=1))) > 1e-2
    assert np.abs(data.obs[:, 0]).max() <= 0.05, "episodes begin where CartPole is reset"


def test_real_final_observations_are_dropped_and_tell_of_termination():
    path = real(IMITATION)
    data = load(path, *SPACES)
    with np.load(path, allow_pickle=False) as raw:
        raw_obs = raw["obs"]
    assert len(raw_obs) == data.length.sum() + len(data.length)
    final = raw_obs[np.cumsum(data.length + 1) - 1]
    last = np.arange(len(data.length)), data.length - 1
    np.testing.assert_allclose(stepped(data.obs[last], data.action[last]), final, atol=1e-4)
    fallen = (np.abs(final[:, 0]) > 2.4) | (np.abs(final[:, 2]) > np.radians(12))
    assert 0 < fallen.sum() < len(fallen)
    np.testing.assert_array_equal(data.terminated, fallen)


def test_real_baselines_file_knows_no_termination():
    assert not load(real(BASELINES), *SPACES).terminated.any()


def test_real_lfs_pointer():
    refused(real("git_lfs_pointer.npz"), "Git LFS pointer", "git lfs pull")


def test_real_file_of_another_environment():
    env, params = gymnax.make("MountainCar-v0")
    spaces = (env.observation_space(params), env.action_space(params))
    words = "observations of another environment", "recorded in this environment"
    refused(real(BASELINES), *words, spaces=spaces)


# --- what is read


@pytest.mark.parametrize("make", [baselines, imitation])
def test_episodes_are_padded_in_order(tmp_path, make):
    data = load(written(tmp_path, make(), name="any name.data.npz"), *SPACES)
    assert data.layout == {baselines: "stable-baselines", imitation: "imitation"}[make]
    np.testing.assert_array_equal(data.length, LENGTHS)
    np.testing.assert_array_equal(data.episode_return, [0 + 1 + 2, 3, 4 + 5 + 6 + 7 + 8])
    rows = baselines()["obs"]
    for episode, first in enumerate([0, 3, 4]):
        steps = LENGTHS[episode]
        np.testing.assert_array_equal(data.obs[episode, :steps], rows[first : first + steps])
        np.testing.assert_array_equal(
            data.action[episode, :steps], np.arange(first, first + steps) % 2
        )
        assert not data.obs[episode, steps:].any()
        assert not data.action[episode, steps:].any()


def test_terminated_takes_a_complete_episode_that_is_not_the_longest(tmp_path):
    members = imitation()  # complete: the first of 3 steps and the last of 5
    assert load(written(tmp_path, members), *SPACES).terminated.tolist() == [True, False, False]


@pytest.mark.parametrize(("make", "member"), [(baselines, "rewards"), (imitation, "rews")])
def test_returns_are_nan_without_rewards(tmp_path, make, member):
    members = make()
    del members[member]
    assert np.isnan(load(written(tmp_path, members), *SPACES).episode_return).all()


def test_one_imitation_episode_has_no_split_points(tmp_path):
    members = imitation()
    members |= {"obs": members["obs"][:10], "indices": np.array([]), "terminal": np.array([True])}
    data = load(written(tmp_path, members), *SPACES)
    assert data.length.tolist() == [9]
    np.testing.assert_array_equal(data.obs[0], members["obs"][:9])


@pytest.mark.parametrize("make", [baselines, imitation])
def test_continuous_actions(tmp_path, make):
    name = "actions" if make is baselines else "acts"
    actions = np.arange(STEPS * 3, dtype=np.float64).reshape(STEPS, 3)
    data = load(written(tmp_path, make() | {name: actions}), *CONTINUOUS)
    assert data.action.dtype == np.float32
    assert data.action.shape == (3, 5, 3)
    np.testing.assert_array_equal(data.action[2], actions[4:])


def test_discrete_observations(tmp_path):
    members = baselines() | {"obs": np.arange(STEPS)[:, None] % 4}
    data = load(written(tmp_path, members), Discrete(4), Discrete(2))
    assert data.obs.dtype == np.float32
    assert data.obs[0].tolist() == [0, 1, 2, 0, 0]


def test_observations_may_leave_the_box_a_little(tmp_path):
    members = baselines()
    members["obs"][4] = [4.81, 1e6, -0.42, -1e6]
    assert load(written(tmp_path, members), *SPACES).obs[2, 0, 1] == 1e6


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_both_layouts_hold_the_same_episodes(tmp_path_factory, lengths):
    folder = tmp_path_factory.mktemp("layouts")
    steps, ends = sum(lengths), np.cumsum(lengths)
    obs = 0.001 * np.arange(1, 4 * steps + 1, dtype=np.float32).reshape(steps, 4)
    one = baselines() | {"obs": obs, "actions": np.arange(steps)[:, None] % 2}
    starts = np.isin(np.arange(steps), ends - lengths)
    one |= {"rewards": np.arange(steps), "episode_starts": starts}
    two = {"obs": np.insert(obs, ends, 0.4, axis=0), "acts": np.arange(steps) % 2}
    two |= {"indices": ends[:-1], "terminal": np.ones(len(ends)), "rews": np.arange(steps)}
    first = load(written(folder, one, "one.npz"), *SPACES)
    second = load(written(folder, two, "two.npz"), *SPACES)
    assert first.length.tolist() == second.length.tolist() == lengths
    np.testing.assert_array_equal(first.obs, second.obs)
    np.testing.assert_array_equal(first.action, second.action)
    np.testing.assert_array_equal(first.episode_return, second.episode_return)
