"""`imitax.bench.analysis.scores` and `imitax.bench.spec_facts`: against scores that are known."""

import gymnax
import jax
import numpy as np
import pandas as pd
import pytest
from classic import RETURNS, SEEDS, results, rows_of
from scipy.stats import trim_mean

from imitax.bench.analysis.scores import (
    COLUMNS,
    aggregate,
    constant_warnings,
    scored,
    summarise_scores,
)
from imitax.bench.analysis.statistics import (
    FEW_SEEDS,
    interquartile_mean,
    stratified_interquartile_mean,
)
from imitax.bench.report.markdown import show_middle
from imitax.bench.report.scores import score_section
from imitax.bench.spec_facts import ENDS_EARLY, is_tabular, is_variable_horizon, settings, task_of

LADDER = np.linspace(-1, 1, SEEDS)
KEYS = ["environment", "algorithm", "num_demos"]


@pytest.fixture(scope="module")
def scores():
    return scored(results())


@pytest.fixture(scope="module")
def summary(scores):
    return summarise_scores(scores)


def cell(scores, environment, algorithm, demos):
    rows = scores.set_index(KEYS).sort_index().loc[(environment, algorithm, demos)]
    return rows["score"].to_numpy()


def test_scores_are_those_that_were_put_in(scores):
    found = cell(scores, "CartPole-v1:subsample=10", "bc", 4)
    np.testing.assert_allclose(found, 0.875 + 0.075 * LADDER, atol=1e-12)
    assert not set(scores["algorithm"]) & {"expert", "random"}


def test_a_task_is_normalised_by_its_own_controls_whatever_is_demonstrated(scores):
    for kind, score, spread in (("random", 0.6, 0.4), ("shuffled", 0.9, 0.1)):
        spec = f"CartPole-v1:demos={kind},subsample=10"
        found = cell(scores, spec, "gail:reward=softplus", 4)
        np.testing.assert_allclose(found, score + spread * LADDER, atol=1e-12)
    assert task_of("CartPole-v1:demos=random") == task_of("CartPole-v1:subsample=10")
    assert task_of("lane:label_noise=0.1") == task_of("lane")
    assert task_of("CartPole-v1:fixed=true") != task_of("CartPole-v1")
    parts = [rows_of("CartPole-v1", "random", 4, 0.0), rows_of("CartPole-v1", "expert", 4, 1.0)]
    other = rows_of("CartPole-v1:fixed=true", "bc", 4, 0.5)
    assert scored(pd.concat([*parts, other], ignore_index=True)).empty


def test_the_cells_own_controls_come_first():
    parts = [
        rows_of("CartPole-v1", "random", 4, 0.0),
        rows_of("CartPole-v1", "expert", 4, 1.0),
        rows_of("CartPole-v1", "random", 1, 0.5),
        rows_of("CartPole-v1", "expert", 1, 1.0),
        rows_of("CartPole-v1", "bc", 1, 0.75),
        rows_of("CartPole-v1", "bc", 7, 0.75),
    ]
    found = scored(pd.concat(parts, ignore_index=True)).groupby("num_demos")["score"].mean()
    assert found.to_dict() == pytest.approx({1: 0.5, 7: (0.75 - 0.25) / (1.0 - 0.25)})


def test_a_diverged_control_is_no_reference():
    parts = [rows_of("CartPole-v1", "expert", 4, 1.0), rows_of("CartPole-v1", "bc", 4, 0.5)]
    random = rows_of("CartPole-v1", "random", 4, 0.0)
    random.loc[0, ["regret", "learner_return"]] = (np.nan, 12345.0)
    found = scored(pd.concat([*parts, random], ignore_index=True))
    np.testing.assert_allclose(found["score"], np.full(SEEDS, 0.5))


@pytest.mark.parametrize("missing", ["expert", "random", "better"])
def test_there_is_no_score_without_both_controls_in_their_order(missing):
    parts = [rows_of("CartPole-v1", "bc", 4, 0.5)]
    parts += [rows_of("CartPole-v1", "expert", 4, 1.0)] if missing != "expert" else []
    random = 1.0 if missing == "better" else 0.0
    parts += [rows_of("CartPole-v1", "random", 4, random)] if missing != "random" else []
    rows = pd.concat(parts, ignore_index=True)
    assert scored(rows).empty
    assert summarise_scores(scored(rows)).columns.tolist() == list(COLUMNS)


def test_tables_have_no_score():
    parts = [rows_of("CartPole-v1", name, 4, score) for name, score in (("expert", 1), ("bc", 0.5))]
    parts.append(rows_of("CartPole-v1", "random", 4, 0.0))
    rows = pd.concat(parts, ignore_index=True)
    assert len(scored(rows)) == SEEDS
    assert scored(rows.assign(environment="gridworld:size=3x3")).empty
    assert len(scored(rows.assign(environment="sine-path"))) == SEEDS


def test_summary_and_failures(summary):
    table = summary.set_index(KEYS).sort_index()
    row = table.loc[("CartPole-v1:subsample=10", "bc", 1)]
    values = 0.5 + 0.3 * LADDER
    assert row["interquartile_mean"] == pytest.approx(trim_mean(values, 0.25))
    assert row["mean"] == pytest.approx(values.mean())
    assert row["failures"] == 0.5
    assert row["low"] < row["interquartile_mean"] < row["high"]
    assert row["seeds"] == SEEDS
    diverged = table.loc[("Acrobot-v1:subsample=5", "bc", 1)]
    assert diverged["failures"] == 8 / 16  # three of the eight below one half have no number
    assert diverged["mean"] == pytest.approx(values[3:].mean())
    assert table.loc[("CartPole-v1:subsample=10", "bc", 10)]["failures"] == 0


def test_horizons_are_marked(summary):
    marks = summary.set_index("environment")["variable_horizon"].to_dict()
    assert marks["CartPole-v1:subsample=10"]
    assert not marks["CartPole-v1:fixed=true,subsample=10"]
    assert not marks["Acrobot-v1:demos=random,fixed=true,subsample=5"]
    variable = ["Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "lane", "obstacle"]
    assert all(map(is_variable_horizon, variable))
    fixed = ["Pendulum-v1", "Catch-bsuite", "lane:absorbing=false", "reset-cliff", "sine-path"]
    assert not any(map(is_variable_horizon, fixed))


def test_marks_agree_with_gymnax():
    assert set(gymnax.registered_envs) >= ENDS_EARLY
    for name in ("Pendulum-v1", "CartPole-v1"):
        env, params = gymnax.make(name)
        state = env.reset_env(jax.random.key(0), params)[1]
        far = jax.tree.map(lambda leaf: leaf + 3, state)
        assert is_variable_horizon(name) == bool(env.is_terminated(far, params))


def test_together_are_environments_with_several_numbers_of_demonstrations(scores):
    found = aggregate(scores)
    assert {name for name, _ in found} == {"bc", "fem", "gtal"}
    middle, failed, count, fewest = found["bc", 4]
    both = np.tile(0.875 + 0.075 * LADDER, 2)
    assert middle.mean == pytest.approx(trim_mean(both, 0.25))
    assert (failed, count, fewest, middle.count) == (0.0, 2, 16, 32)
    assert found["bc", 1][1] == 0.5
    shuffled = scores.assign(
        environment=scores["environment"].str.replace(
            "Acrobot-v1:subsample", "Acrobot-v1:demos=shuffled,subsample"
        )
    )
    assert aggregate(shuffled) == {}


def test_a_constant_discriminator_that_succeeds_is_warned_of(summary):
    lines = constant_warnings(summary)
    assert len(lines) == 2
    assert any("`CartPole-v1:subsample=10` (N = 4)" in line for line in lines)
    assert all("shows nothing about imitation" in line and "scores 0.97" in line for line in lines)
    rows = results()
    rows["learner_return"] = RETURNS["CartPole-v1"][1]
    rows.loc[rows["algorithm"] == "random", "learner_return"] = RETURNS["CartPole-v1"][0]
    every = constant_warnings(summarise_scores(scored(rows)))
    fixed = [line for line in every if "fixed=true" in line]
    assert len(every) == 4
    assert len(fixed) == 2
    assert not any("shows nothing" in line for line in fixed)


def test_settings_of_an_algorithm_hold_its_defaults():
    found = settings("bc:hidden=8")
    assert (found["hidden"], found["num_steps"]) == ("8", "0")
    assert settings("unheard-of:a=b") == {"a": "b"}
    assert is_tabular("random-mdp:num_states=5")
    assert not is_tabular("CartPole-v1:fixed=true")


def test_intervals_of_few_seeds_are_marked():
    """By the smallest stratum; one seed has none, and a cell without a number says so."""
    few = FEW_SEEDS["interquartile mean"]
    for count, ending in ((1, "0"), (few - 1, "] †"), (few, "]")):
        text = show_middle(interquartile_mean(np.arange(count)), 2)
        assert text.endswith(ending)
        assert ("[" in text) == (count > 1)
    strata = [np.arange(few - 1), np.arange(100)]
    assert show_middle(stratified_interquartile_mean(strata), 2, few - 1).endswith("] †")
    assert show_middle(interquartile_mean([np.nan]), 2) == "no finite seed"


def test_scores_of_one_seed_and_of_none(scores):
    """In the section: no interval, and no number made of nothing."""
    one = scores.loc[scores["seed"] == 0, :].reset_index(drop=True)
    one.loc[(one["algorithm"] == "bc") & (one["num_demos"] == 4), "score"] = np.nan
    table = summarise_scores(one)
    assert table[["low", "high"]].isna().all(axis=None)
    assert set(table["scored"]) == {0, 1}
    text = "\n".join(score_section(one, table))
    assert "no finite seed" in text
    assert "nan" not in text
    assert "] |" not in text.replace("IQM [95%] |", "")
    together = aggregate(one)
    assert together["bc", 1][1:] == (1.0, 1, 1)  # on Acrobot this seed has diverged
    assert together["bc", 4][1:] == (1.0, 0, 0)
