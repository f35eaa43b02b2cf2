"""Archives with contents that are inconsistent or belong to another environment."""

import numpy as np
import pytest
from gymnax.environments.spaces import Discrete
from recordings import CONTINUOUS, SPACES, STEPS, baselines, imitation, refused, written

from imitax.data import load

# Each case: (members that are accepted, what is changed, words of the problem and the remedy).

BASE, IMIT = baselines(), imitation()
NO_START = np.isin(np.arange(STEPS), [3, 4])
TWO_START = np.array([1, 0, 0, 2, 1, 0, 0, 0, 0])
AGAIN, OTHER, DROP = "record or convert", "recorded in this environment", "drop"
INCONSISTENT = {
    "obs rank 3": (BASE, {"obs": np.ones((STEPS, 4, 1))}, ["[9, 4, 1]", "wrong rank", AGAIN]),
    "obs rank 1": (IMIT, {"obs": np.ones(12)}, ["obs has shape [12]", "wrong rank", AGAIN]),
    "obs rank 0": (BASE, {"obs": np.float32(1)}, ["obs has shape []", "wrong rank", AGAIN]),
    "obs dimension": (
        BASE,
        {"obs": np.ones((STEPS, 3))},
        ["shape [9, 3], expected [n, 4]", "observations of another environment", OTHER],
    ),
    "action dimension": (BASE, {"actions": np.ones((STEPS, 3))}, ["[9, 3]", "wrong rank", AGAIN]),
    "rewards rank": (BASE, {"rewards": np.ones((STEPS, 2))}, ["rewards", "wrong rank", AGAIN]),
    "starts rank": (BASE, {"episode_starts": NO_START[None]}, ["[1, 9]", "wrong rank", AGAIN]),
    "indices rank": (IMIT, {"indices": np.array(3)}, ["indices", "wrong rank", AGAIN]),
    "fewer obs": (BASE, {"obs": BASE["obs"][:8]}, ["unequal lengths: obs has 8 rows", "9", AGAIN]),
    "fewer actions": (BASE, {"actions": BASE["actions"][:8]}, ["unequal lengths", "8", AGAIN]),
    "fewer starts": (
        BASE,
        {"episode_starts": BASE["episode_starts"][:8]},
        ["unequal lengths: episode_starts has 8 entries for 9", AGAIN],
    ),
    "more rewards": (BASE, {"rewards": np.ones(10)}, ["unequal lengths: rewards has 10", AGAIN]),
    "fewer rews": (IMIT, {"rews": np.ones(8)}, ["unequal lengths: rews has 8", AGAIN]),
    "fewer terminal": (
        IMIT,
        {"terminal": np.ones(2, bool)},
        ["unequal lengths: terminal has 2 entries for 3 episodes", AGAIN],
    ),
    "no final obs": (
        IMIT,
        {"obs": BASE["obs"]},
        ["unequal lengths: obs has 9 rows, expected 12", "3 episodes", AGAIN],
    ),
    "one split less": (IMIT, {"indices": np.array([3])}, ["12 rows, expected 11", AGAIN]),
    "first not a start": (
        BASE,
        {"episode_starts": NO_START},
        ["episode_starts[0] is not True", "drop the steps before"],
    ),
    "start 2": (BASE, {"episode_starts": TWO_START}, ["episode_starts[3] is 2", AGAIN]),
    "terminal 7": (IMIT, {"terminal": np.array([1, 7, 0])}, ["terminal[1] is 7", AGAIN]),
    "decreasing": (IMIT, {"indices": np.array([4, 3])}, ["not increasing", "after 4", AGAIN]),
    "beyond the end": (
        IMIT,
        {"indices": np.array([3, 10])},
        ["indices[1] is 10", "0 to 9, the end of acts", AGAIN],
    ),
    "negative": (IMIT, {"indices": np.array([-1, 3])}, ["indices[0] is -1", "0 to 9", AGAIN]),
    "half index": (IMIT, {"indices": np.array([3, 4.5])}, ["indices[1] is 4.5", AGAIN]),
    "empty middle": (IMIT, {"indices": np.array([3, 3])}, ["empty episode at step 3", DROP]),
    "empty first": (IMIT, {"indices": np.array([0, 4])}, ["empty episode at step 0", DROP]),
    "empty last": (IMIT, {"indices": np.array([3, 9])}, ["empty episode at step 9", DROP]),
    "no steps": (
        BASE,
        {name: array[:0] for name, array in BASE.items()},
        ["no steps", "actions is empty", AGAIN],
    ),
    "no acts": (IMIT, {"acts": IMIT["acts"][:0]}, ["no steps", "acts is empty", AGAIN]),
    "action 2": (
        BASE,
        {"actions": BASE["actions"] * 2},
        ["actions[1] is 2", "integer from 0 to 1", OTHER],
    ),
    "action -1": (IMIT, {"acts": IMIT["acts"] - 1}, ["acts[0] is -1", "0 to 1", OTHER]),
    "action 0.5": (BASE, {"actions": BASE["actions"] / 2}, ["actions[1] is 0.5", "0 to 1", OTHER]),
    "action nan": (IMIT, {"acts": IMIT["acts"] * np.nan}, ["acts[0] is nan", "0 to 1", OTHER]),
}


@pytest.mark.parametrize("case", INCONSISTENT.values(), ids=INCONSISTENT.keys())
def test_inconsistent_contents(tmp_path, case):
    members, change, words = case
    load(written(tmp_path, members), *SPACES)  # without the change it is accepted
    refused(written(tmp_path, members | change), *words)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_observation_that_is_not_finite(tmp_path, value):
    obs = BASE["obs"].astype(np.float64)
    obs[5, 1] = value  # a dimension without bounds
    refused(written(tmp_path, BASE | {"obs": obs}), f"obs[5, 1] is {value}", "not a finite", DROP)


def test_numbers_that_are_not_finite(tmp_path):
    actions = np.zeros((STEPS, 3))
    actions[2, 1] = np.nan
    path = written(tmp_path, BASE | {"actions": actions})
    refused(path, "actions[2, 1] is nan", "not a finite", DROP, spaces=CONTINUOUS)
    path = written(tmp_path, BASE | {"rewards": np.where(np.arange(STEPS) == 4, np.inf, 0)})
    refused(path, "rewards[4] is inf", "not a finite", DROP)


def test_actions_of_another_environment(tmp_path):
    path = written(tmp_path, BASE | {"actions": np.zeros((STEPS, 2))})
    words = "shape [9, 2], expected [n, 3]", "actions of another environment", OTHER
    refused(path, *words, spaces=CONTINUOUS)


@pytest.mark.parametrize(
    ("column", "value", "limits"), [(0, 5.1, "[-4.8, 4.8]"), (2, -0.45, "[-0.4189, 0.4189]")]
)
@pytest.mark.parametrize("make", [baselines, imitation])
def test_observation_outside_the_box(tmp_path, make, column, value, limits):
    members = make()
    members["obs"][7, column] = value
    words = f"obs[7, {column}] is {value}", limits, "observations of another environment", OTHER
    refused(written(tmp_path, members), *words)


def test_discrete_observation_outside_the_space(tmp_path):
    path = written(tmp_path, BASE | {"obs": np.arange(STEPS)})
    refused(path, "obs[4] is 4", "integer from 0 to 3", OTHER, spaces=(Discrete(4), Discrete(2)))
