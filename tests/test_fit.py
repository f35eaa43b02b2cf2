"""`imitax fit`: from recorded episodes to policies, through the command."""

import hashlib
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from recordings import BASELINES, IMITATION, real, written

from imitax import catalogue
from imitax.bench.fits import fit as fitting
from imitax.bench.fits import store
from imitax.cli import fit, parser
from imitax.core import keys
from imitax.core.errors import SpecError
from imitax.data import DataError
from imitax.experts import shipped
from imitax.tasks.rollout import rollout

CARTPOLE = ("--algorithm", "bc:batch_size=32,learning_rate=0.01,num_steps=100")
KEYS = ["environment", "algorithm", "horizon", "num_demos", "seed"]


def arguments(*words, env="CartPole-v1"):
    return parser.parse(["fit", "--env", env, *map(str, words)])


def command(capsys, *words, env="CartPole-v1"):
    """Exit status, standard output and the error message of `imitax fit`."""
    from imitax.cli import main

    status = main.main(["fit", "--env", env, *map(str, words)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def cells(text, label):
    """The numbers in a line of the table: mean, interval, interquartile mean, diverged, seeds."""
    (line,) = [line for line in text.splitlines() if line.startswith(label)]
    return [float(word) for word in re.findall(r"-?\d+\.?\d*", line.removeprefix(label))]


def leaning(num_episodes=5, *, right=True):
    """Episodes that push to the side the pole leans to, or to the other one."""
    length = 10 + np.arange(num_episodes)
    obs = np.random.default_rng(0).uniform(-0.2, 0.2, (length.sum(), 4)).astype(np.float32)
    starts = np.isin(np.arange(length.sum()), np.cumsum(length) - length)
    action = (obs[:, 2] > 0) == right
    rewards = np.ones(length.sum())
    return {"obs": obs, "actions": action * 1, "episode_starts": starts, "rewards": rewards}


def task(path, *words, env="CartPole-v1"):
    return fit.check(arguments(*CARTPOLE, "--demos", path, "--horizon", 40, *words, env=env))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A task on five short episodes, and its result."""
    path = written(tmp_path_factory.mktemp("small"), leaning())
    asked = task(path, "--seeds", 3, "--num-demos", 1, 2, 4)
    return asked, fitting.fit(asked)


def one(result, at):
    """The policy of one cell of the grid."""
    return jax.tree.map(lambda leaf: leaf[at], result.policy)


# --- real files


@pytest.mark.parametrize(("name", "recorded"), [(BASELINES, "495.27"), (IMITATION, "473.05")])
def test_real_file(tmp_path, capsys, name, recorded):
    path, out = real(name), tmp_path / "out"
    words = ("--algorithm", "bc", "--demos", path, "--seeds", 6, "--num-demos", 10, 1)
    status, text, error = command(capsys, *words, "--out", out)
    assert (status, error) == (0, "")
    assert "bc on CartPole-v1: 6 seeds, horizon 500" in text
    assert "Horizon: 500 steps, the limit of CartPole-v1" in text
    assert name in text
    assert f"recorded episodes {recorded}" in " ".join(text.split())
    assert "our expert 500.00 [500.00, 500.00]" in " ".join(text.split())
    assert "0 of 6" in text
    rows = pd.read_parquet(out / "results")
    assert rows[KEYS].values.tolist() == [
        ["CartPole-v1", "bc", 500, number, seed] for number in (1, 10) for seed in range(6)
    ]
    means = rows.groupby("num_demos").learner_return.mean()
    assert cells(text, "learner, 10 demonstrations")[0] == pytest.approx(means[10], abs=0.006)
    assert cells(text, "learner, 1 demonstration ")[0] == pytest.approx(means[1], abs=0.006)
    assert means[10] > 440, "close to the expert"
    assert rows.regret.to_numpy() == pytest.approx(500 - rows.learner_return, abs=1e-3)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["demonstrations"]["file"] == name
    assert manifest["demonstrations"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert returned(fit.load_policy(out, 10, 4), 4) == pytest.approx(
        rows.learner_return[10], rel=0.02
    ), "the loaded policy earns what the fitted one earned"


def returned(policy, seed):
    """Mean return over the evaluation episodes of a seed, by the definition."""
    env = catalogue.environment("CartPole-v1")
    key = keys.seed_keys("CartPole-v1", jnp.int32(seed)).evaluation
    horizon = jnp.int32(500)
    params = env.sample_params(key, horizon, jnp.int32(1), 500)

    @jax.jit
    @jax.vmap
    def total(index):
        episode_key = jax.random.fold_in(key, index)
        return rollout(episode_key, env, params, policy, horizon, 500).total_reward

    return float(total(jnp.arange(128)).mean())


# --- what is learned


def test_learner_does_what_was_recorded(tmp_path, small):
    asked, result = small
    obs = jnp.asarray(asked.recorded.obs[0])

    def share(policy):
        actions = jax.vmap(lambda row: policy(row, jnp.int32(0)).mode())(obs)
        return np.mean(actions == (obs[:, 2] > 0))

    assert share(one(result, (2, 0))) > 0.85
    path = written(tmp_path, leaning(right=False))
    opposite = task(path, "--seeds", 1, "--num-demos", 4)
    assert share(one(fitting.fit(opposite), (0, 0))) < 0.15


def test_subsets_are_nested_and_differ_between_seeds(small):
    asked, result = small
    order = fitting.orders(asked)
    assert np.sort(order, axis=1).tolist() == [[0, 1, 2, 3, 4]] * 3
    assert len(np.unique(order, axis=0)) == 3
    steps = np.cumsum(asked.recorded.length[order], axis=1)
    np.testing.assert_array_equal(result.metrics.expert_labels, steps[:, [0, 1, 3]].T)
    rows = store.table(asked, result)
    assert rows.recorded_return.tolist() == [
        pytest.approx(asked.recorded.episode_return[order[seed][:number]].mean())
        for number in (1, 2, 4)
        for seed in range(3)
    ]


def test_row_depends_neither_on_the_other_rows_nor_on_chunks(small, monkeypatch):
    asked, result = small
    monkeypatch.setattr(fitting, "_CHUNK", 2)
    alone = fitting.fit(asked._replace(num_demos=(2,)))
    assert alone.learner_return.shape == (1, 3)
    np.testing.assert_array_equal(
        *(found.metrics.expert_labels[i] for i, found in enumerate((alone, result)))
    )
    np.testing.assert_allclose(alone.learner_return[0], result.learner_return[1], atol=0.5)
    leaves = jax.tree.leaves(alone.policy), jax.tree.leaves(result.policy)
    for here, there in zip(*leaves, strict=True):
        np.testing.assert_allclose(here[0], there[1], atol=1e-3)


def test_environment_without_an_expert(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(shipped, "WEIGHTS", tmp_path / "none")
    members = leaning(1) | {"obs": np.tile(np.float32([-0.5, 0.01]), (10, 1))}
    del members["rewards"]
    words = (*CARTPOLE, "--demos", written(tmp_path, members), "--seeds", 1, "--horizon", 5)
    status, text, _ = command(capsys, *words, env="MountainCar-v0")
    assert status == 0
    assert "no expert of ours for MountainCar-v0" in text
    assert "no rewards" in text
    numbers = cells(text, "learner, 1 demonstration")
    assert (numbers[:2], numbers[-2:]) == ([-5.0, -5.0], [0.0, 1.0])  # no interval
    assert "our expert - - -" in " ".join(text.split())


def test_default_numbers_are_those_that_the_file_holds(tmp_path):
    path = written(tmp_path, leaning(8))
    assert task(path).num_demos == (1, 4, 7)
    assert task(path, "--num-demos", 8, 2, 2).num_demos == (2, 8)


def test_note_where_recorded_episodes_are_longer_than_the_horizon(small):
    asked, result = small
    assert "up to 14 steps, not cut at the horizon" in fit.describe(asked, result)
    assert "not cut" not in fit.describe(asked._replace(horizon=14), result)


# --- policies on disk


def test_saved_policies_act_identically(tmp_path, small):
    asked, result = small
    out = tmp_path / "new" / "out"
    store.save(out, asked, result)
    assert sorted(path.name for path in out.iterdir()) == [
        "manifest.json",
        "policies.npz",
        "results",
    ]
    assert [path.name for path in out.parent.iterdir()] == ["out"], "no draft stays behind"
    for index, number in enumerate((1, 2, 4)):
        policy, expected = fit.load_policy(out, number, 1), one(result, (index, 1))
        assert policy.apply == expected.apply
        assert jax.tree.structure(policy) == jax.tree.structure(expected)
        for here, there in zip(jax.tree.leaves(policy), jax.tree.leaves(expected), strict=True):
            np.testing.assert_array_equal(here, there)
    with np.load(out / "policies.npz", allow_pickle=False) as archive:
        shapes = {name: list(archive[name].shape) for name in archive.files}
    assert shapes == json.loads((out / "manifest.json").read_text())["parameters"]
    assert shapes["params/Dense_0/kernel"] == [3, 3, 4, 64]


def test_policies_that_are_not_there(tmp_path, small):
    out = tmp_path / "out"
    store.save(out, *small)
    with pytest.raises(DataError, match=r"no policy for num_demos 3; saved: \[1, 2, 4\]"):
        fit.load_policy(out, 3, 0)
    with pytest.raises(DataError, match=r"no policy for seed 3; saved: 0 to 2"):
        fit.load_policy(out, 4, 3)
    with pytest.raises(DataError, match="not a directory of imitax fit"):
        fit.load_policy(tmp_path, 4, 0)
    (out / "policies.npz").write_bytes(b"garbage")
    with pytest.raises(DataError, match="not a directory of imitax fit"):
        fit.load_policy(out, 4, 0)


def test_diverged_seeds_are_counted_and_left_out(tmp_path, small):
    asked, result = small
    policy = jax.tree.map(np.copy, result.policy)
    jax.tree.leaves(policy)[0][0, 1] = np.nan
    learner, diverged = result.learner_return.copy(), result.diverged.copy()
    learner[0], diverged[0, 1] = [10, np.nan, 20], True
    broken = result._replace(policy=policy, learner_return=learner, diverged=diverged)
    text = fit.describe(asked, broken)
    numbers = cells(text, "learner, 1 demonstration ")
    assert (numbers[0], *numbers[-2:]) == (15.0, 1.0, 3.0)
    assert "Diverged seeds are left out" in text
    store.save(tmp_path / "out", asked, broken)
    rows = pd.read_parquet(tmp_path / "out" / "results")
    assert rows.status.tolist() == ["ok", "diverged"] + ["ok"] * 7
    with pytest.raises(DataError, match="seed 1 diverged with num_demos 1"):
        fit.load_policy(tmp_path / "out", 1, 1)


def test_training_that_diverges_is_noticed(small):
    asked, _ = small
    chosen = catalogue.algorithm("bc:learning_rate=3e38,num_steps=5", asked.env)
    result = fitting.fit(asked._replace(chosen=chosen, num_seeds=1, num_demos=(1,)))
    assert result.diverged.tolist() == [[True]]
    assert np.isnan(result.learner_return).all()
    assert np.isnan(result.regret).all()


def test_failed_write_leaves_nothing(tmp_path, small, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(SpecError, match="out cannot be written"):
        store.save(tmp_path / "out", *small)
    assert not list(tmp_path.iterdir())


def test_recorded_episodes_are_subsampled(tmp_path):
    """Every third pair of episodes of 10, 11, 12, ... steps: three or four of each, or five."""
    asked = task(
        written(tmp_path, leaning()),
        "--seeds",
        6,
        "--num-demos",
        4,
        env="CartPole-v1:subsample=3",
    )
    labels = np.asarray(fitting.fit(asked).metrics.expert_labels)[0]
    lengths = 10 + fitting.orders(asked)[:, :4]
    assert np.all(
        (np.sum(lengths // 3, axis=1) <= labels) & (labels <= np.sum(-(-lengths // 3), axis=1))
    )
    assert len(set(labels)) > 1
