"""`imitax fit`: where its horizon is from, and what it says of a policy that earns too little."""

import json

import numpy as np
import pandas as pd
import pytest
from recordings import written
from test_fit import arguments, cells

from imitax.bench.fits import store
from imitax.bench.fits.fit import Fitted
from imitax.cli import fit
from imitax.cli.fit_notes import time_limit
from imitax.core.policies import Policy
from imitax.core.types import Metrics

SHAPES = {"CartPole-v1": (4, None), "Pendulum-v1": (3, 1), "sine-path": (2, 2)}
"""Numbers in an observation, and in an action that is not discrete."""


def episodes(env, lengths, reward=1.0):
    """Episodes of the given lengths, each step earning the same."""
    lengths = np.asarray(lengths)
    steps = int(lengths.sum())
    starts = np.isin(np.arange(steps), np.cumsum(lengths) - lengths)
    width, parts = SHAPES[env]
    action = np.zeros((steps, parts)) if parts else np.zeros(steps, np.int64)
    obs = np.full((steps, width), 0.1, np.float32)
    return {
        **{"obs": obs, "actions": action, "episode_starts": starts},
        "rewards": reward * np.ones(steps),
    }


def asked(folder, env, lengths, *words, reward=1.0) -> fit.Task:
    path = written(folder, episodes(env, lengths, reward))
    words = ("--algorithm", "bc", "--demos", path, "--seeds", 8, "--num-demos", 1, 2, *words)
    return fit.check(arguments(*words, env=env))


HORIZONS = {
    "own": ("CartPole-v1", [10, 12, 14], 500, "the limit of CartPole-v1"),
    "reached": ("Pendulum-v1", [200] * 3, 200, "Pendulum-v1, which recorded episodes reach"),
    "file": ("CartPole-v1", [200, 200, 200], 200, "a time limit in the file (3 of 3 recorded"),
    "most": ("CartPole-v1", [200, 150, 200], 200, "2 of 3 recorded episodes have so many; the"),
    "longer": ("Pendulum-v1", [300, 300], 300, "the limit of Pendulum-v1 is 200)"),
    "single": ("CartPole-v1", [20], 500, "the limit of CartPole-v1"),
    "none": ("sine-path", [7, 9], 9, "as the longest recorded episode (sine-path has no limit"),
    "limit": ("sine-path", [9, 9], 9, "a time limit in the file (2 of 2"),
}


@pytest.mark.parametrize("name", HORIZONS)
def test_the_horizon_is_from_the_file_and_the_environment(tmp_path, name):
    env, lengths, horizon, words = HORIZONS[name]
    if len(lengths) == 1:
        lengths = [*lengths, 3]  # two are asked for
    task = asked(tmp_path, env, lengths)
    assert task.horizon == horizon
    text = fit.describe(task, result(task))
    assert f", horizon {horizon}, " in text
    assert f"\nHorizon: {horizon} steps, " in text
    assert words in text


def test_a_horizon_that_was_asked_for_holds(tmp_path):
    task = asked(tmp_path, "CartPole-v1", [200, 200], "--horizon", 40)
    assert task.horizon == 40
    assert "Horizon: 40 steps, as asked" in fit.describe(task, result(task))


def test_nothing_is_left_of_a_constant():
    assert arguments("--algorithm", "bc", "--demos", "x").horizon is None


def test_one_episode_shows_no_time_limit(tmp_path):
    recorded = asked(tmp_path, "CartPole-v1", [20, 19]).recorded
    assert time_limit(recorded) is None
    assert time_limit(recorded._replace(length=np.array([20]))) is None
    assert time_limit(recorded._replace(length=np.array([20, 20, 3, 4]))) == 20
    assert time_limit(recorded._replace(length=np.array([20, 20, 3, 4, 5]))) is None


def result(task, returns=((200.0,) * 8,) * 2, converged=1) -> Fitted:
    """Returns of eight seeds at 1 and 2 demonstrations, without training."""
    earned = np.asarray(returns)
    ones = np.ones_like(earned)
    return Fitted(
        policy=Policy((), lambda *_: None),
        learner_return=earned,
        expert_return=np.nan * ones,
        regret=np.nan * ones,
        diverged=np.zeros(earned.shape, bool),
        metrics=metrics(earned.shape, fit_converged=converged),
    )


def metrics(shape, **changes) -> Metrics:
    """What the learners of all seeds report."""
    one = Metrics(expert_labels=1, gradient_updates=2800, training_loss=0.25)._replace(**changes)
    return Metrics(*(np.broadcast_to(value, shape) for value in one))


LADDER = np.linspace(-1, 1, 8)


def said(task, returns, converged):
    text = fit.describe(task, result(task, returns, converged))
    return [line for line in text.splitlines() if "far below" in line or "differ" in line]


def test_a_policy_far_below_says_whether_its_fit_was_done(tmp_path):
    task = asked(tmp_path, "Pendulum-v1", [200] * 3, reward=-0.75)  # -150 each
    low, near = -400 + 10 * LADDER, -152 + 10 * LADDER
    (line,) = said(task, [low, near], [0, 0, 0, 1, 1, 1, 1, 1])
    assert line.startswith("With 1 demonstration the learner is far below the recorded return")
    assert "(-400.00 against -150.00)" in line
    assert "not done in 3 of 8 seeds" in line
    assert "whose loss is 0.25 and falls; give it more updates (num_steps) or more demo" in line
    one, other = said(task, [low, low], 1)
    assert "done in every seed" in one
    assert "more demonstrations will help, and more updates hardly" in one
    assert other.startswith("With 2 demonstrations ")
    assert "is not known" in said(task, [low, near], -1)[0]
    whole = task._replace(num_demos=(1, 3))
    assert "more than the file's 3 demonstrations" in said(whole, [near, low], 1)[0]


def test_labels_that_are_used_up_are_what_is_missing(tmp_path):
    words = ("--algorithm", "bc:labels=20")
    task = asked(tmp_path, "Pendulum-v1", [200] * 3, *words, reward=-0.75)
    found = result(task, [-400 + LADDER, -400 + LADDER], 1)
    found = found._replace(metrics=metrics((2, 8), expert_labels=20, fit_converged=1))
    lines = [line for line in fit.describe(task, found).splitlines() if "far below" in line]
    assert len(lines) == 2
    assert all("more labels than labels=20 allows will help" in line for line in lines)
    found = found._replace(metrics=metrics((2, 8), expert_labels=20, fit_converged=0))
    wanted = "give it more labels than labels=20 allows or more updates (num_steps)."
    assert fit.describe(task, found).count(wanted) == 2


def test_what_is_near_or_uncertain_is_let_be(tmp_path):
    task = asked(tmp_path, "Pendulum-v1", [200] * 3, reward=-0.75)
    wide, close, better = -200 + 400 * LADDER, -154 + 0.1 * LADDER, -100 + LADDER
    assert said(task, [wide, close], 0) == []
    assert said(task, [better, better], 0) == []
    nothing = np.full(8, np.nan)
    assert said(task, [nothing, nothing], 0) == []
    unknown = task.recorded._replace(episode_return=np.full(3, np.nan))
    assert said(task._replace(recorded=unknown), [-400 + LADDER] * 2, 0) == []


CASES = {
    "longer": (
        "Pendulum-v1",
        [200] * 3,
        500,
        -2667.0,
        "over 500 steps, the recorded ones over 200;",
    ),
    "near": ("Pendulum-v1", [200] * 3, 500, -301.0, "compare them with --horizon 200"),
    "shorter": (
        "CartPole-v1",
        [190, 200, 150],
        50,
        50.0,
        "over 50 steps, the recorded ones over up",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_returns_over_other_numbers_of_steps_are_not_compared(tmp_path, name):
    """But with our expert's over as many, where there is one."""
    env, lengths, horizon, learner, words = CASES[name]
    task = asked(tmp_path, env, lengths, "--horizon", horizon, reward=-0.75)
    found = result(task, [learner + 0.1 * LADDER] * 2, 1)
    text = fit.describe(task, found)
    assert "far below" not in text
    assert words in text.splitlines()[-1]
    assert text.splitlines()[-1].startswith("Horizons differ: the learner's returns are ")
    better = found._replace(expert_return=found.learner_return + 0.5 * abs(learner))
    assert "below our expert's return over as many steps" in fit.describe(task, better)


def test_updates_and_unconverged_fits_are_counted(tmp_path):
    task = asked(tmp_path, "CartPole-v1", [200] * 3)
    some = result(task, converged=[0, 1, 1, 1, 0, 1, 1, 1])
    text = fit.describe(task, some)
    header = next(line for line in text.splitlines() if "mean return" in line)
    assert header.index("gradient updates") < header.index("unconverged") < header.index("diverged")
    assert cells(text, "learner, 1 demonstration ")[-5:] == [2800, 2, 8, 0, 8]
    unknown = fit.describe(task, result(task, converged=-1))
    assert cells(unknown, "learner, 1 demonstration ")[-3:] == [2800, 0, 8]


def test_the_results_say_how_each_seed_was_fitted(tmp_path):
    task = asked(tmp_path, "CartPole-v1", [200] * 3)
    store.save(tmp_path / "out", task, result(task, converged=[0, 1, -1, 1, 1, 1, 1, 1]))
    rows = pd.read_parquet(tmp_path / "out" / "results")
    assert set(rows["gradient_updates"]) == {2800}
    assert set(rows["training_loss"]) == {0.25}
    assert rows["held_out_loss"].isna().all()
    assert rows["fit_converged"].tolist()[:4] == [False, True, None, True]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["horizon"] == 200
    assert manifest["horizon_from"].startswith("a time limit in the file")
    assert [entry["unconverged"] for entry in manifest["returns"]] == [1, 1]
