"""Recorded demonstrations for tests: the real files, small ones of both layouts, bad ones."""

import os
import pickle
from pathlib import Path

import gymnax
import numpy as np
import pytest
from gymnax.environments.spaces import Box

from imitax.data import DataError, load

VARIABLE = "IMITAX_TEST_DATA"
DATA = Path(os.environ.get(VARIABLE) or Path(__file__).parents[1] / "../shared/data")
BASELINES = "stable_baselines_expert_cartpole.npz"
IMITATION = "imitation_rollouts_cartpole.npz"
ENV, PARAMS = gymnax.make("CartPole-v1")
SPACES = (ENV.observation_space(PARAMS), ENV.action_space(PARAMS))
CONTINUOUS = (SPACES[0], Box(-2.0, 2.0, (3,)))
LENGTHS = np.array([3, 1, 5])
STEPS = 9


def real(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no {name} in {DATA}: set {VARIABLE} to the folder of third-party data")
    return path


def baselines():
    """Three episodes of 3, 1 and 5 steps; every number tells where it belongs."""
    obs = 0.01 * np.arange(STEPS * 4, dtype=np.float32).reshape(STEPS, 4)
    starts = np.zeros(STEPS, bool)
    starts[[0, 3, 4]] = True
    return {
        "obs": obs,
        "actions": (np.arange(STEPS)[:, None] % 2).astype(np.int64),
        "rewards": np.arange(STEPS, dtype=np.float64),
        "episode_starts": starts,
        "episode_returns": np.array([3.0, 3.0, 30.0]),
    }


def imitation():
    """The same episodes; the final observations are all 0.4."""
    old = baselines()
    return {
        "obs": np.insert(old["obs"], [3, 4, 9], np.float32(0.4), axis=0),
        "acts": old["actions"][:, 0],
        "indices": np.array([3, 4]),
        "terminal": np.array([True, False, True]),
        "rews": old["rewards"],
    }


def written(folder, members, name="demos.npz"):
    path = folder / name
    np.savez_compressed(path, **members)
    return path


def refused(path, *words, spaces=SPACES):
    """Check that the file is refused in one line that holds its name and the words."""
    with pytest.raises(DataError) as caught:
        load(path, *spaces)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    rest = message.removeprefix(f"{path}: ")
    for word in words:
        assert word in rest, f"{word!r} is not in {rest!r}"
    assert rest.count("; ") >= 1, "a problem and a remedy"


class Marker:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def pickled(folder, kind):
    """An array, or bytes, which make `marker` in the folder when unpickled."""
    marker = Marker(folder / "marker")
    return np.array([marker], dtype=object) if kind == "array" else pickle.dumps(marker)
