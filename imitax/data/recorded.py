"""Demonstrations recorded by other projects, checked against an environment's spaces.

Two layouts of npz file are read, told apart by their member names and not by the file's name:

* `stable-baselines`: `obs [n, ...]`, `actions [n, ...]` (discrete ones `[n, 1]`) and
  `episode_starts [n]`; where present also `rewards [n]`.
* `imitation`: `acts [n, ...]`, `indices [episodes - 1]` (split points of `acts`),
  `terminal [episodes]` and `obs [n + episodes, ...]`, which keeps the observation after the last
  step of each episode; where present also `rews [n]`.

No other member is read (`infos` is a pickle), nothing is unpickled, nothing is written.
"""

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imitax.core.errors import DataError

if TYPE_CHECKING:
    from gymnax.environments.spaces import Box, Discrete

TOLERANCE = 0.05  # an observation may leave the environment's box by this fraction of the bound

_LFS_POINTER = b"version https://git-lfs"
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
_REQUIRED = {
    "stable-baselines": ("obs", "actions", "episode_starts"),
    "imitation": ("obs", "acts", "indices", "terminal"),
}
_NAMES = {"stable-baselines": ("actions", "rewards"), "imitation": ("acts", "rews")}

_FETCH = "fetch the file again from its source"
_RECORD = "record or convert the file again"
_CONVERT = "convert it to a numeric array and save the file again"
_OTHER = "pass a file recorded in this environment"

_Members = dict[str, np.ndarray]


class _Problem(Exception):
    """What is wrong and what to do, two texts; `load` adds the file's name."""


class Recorded(NamedTuple):
    """Demonstrations as padded arrays: N episodes, at most T steps, zeros after an episode's end.

    Attributes:
        obs: float32 [N, T, *obs_shape], `obs[e, t]` is what `action[e, t]` was chosen on; the
            observation after an episode's last step is not kept.
        action: int32 [N, T], or float32 [N, T, *action_shape] for a continuous action space.
        length: int32 [N], steps per episode, at least 1.
        episode_return: float64 [N], undiscounted sum of the recorded rewards, NaN without rewards.
        terminated: bool [N], ended by termination rather than by a time limit; False also where
            that is unknown. A stable-baselines file says nothing about it: all False. In an
            imitation file `terminal` marks complete episodes, those cut by a time limit included,
            so True here means complete and shorter than the longest episode of the file. That
            takes one time limit for all episodes, each recorded from its reset.
        layout: "stable-baselines" or "imitation".
        path: the file name as given.
    """

    obs: np.ndarray
    action: np.ndarray
    length: np.ndarray
    episode_return: np.ndarray
    terminated: np.ndarray
    layout: str
    path: str


def load(
    path: str | os.PathLike[str],
    observation_space: "Box | Discrete",
    action_space: "Box | Discrete",
) -> Recorded:
    """Read a file of demonstrations and check it against an environment's gymnax spaces.

    Observations must lie in the observation space, give or take `TOLERANCE`; discrete actions
    must lie in the action space. Continuous actions must be finite but may lie outside the box:
    policies are commonly recorded before clipping.

    Args:
        path: npz file in one of the two layouts.
        observation_space: gives shape and bounds of an observation.
        action_space: gives shape and bounds of an action.

    Returns:
        Padded arrays; see `Recorded`.

    Raises:
        DataError: the file is missing, is no data, is damaged, is inconsistent, needs unpickling,
            or belongs to another environment.
    """
    try:
        return _load(str(path), observation_space, action_space)
    except _Problem as problem:
        text = f"{path}: {'; '.join(problem.args)}"
    raise DataError("".join(c if c.isprintable() else "?" for c in text))


def _load(path: str, observation_space: Any, action_space: Any) -> Recorded:
    _check_file(path)
    layout, members = _read(path)
    action_name, reward_name = _NAMES[layout]
    action = _rows(action_name, members[action_name], action_space, "actions")
    obs = _rows("obs", members["obs"], observation_space, "observations")
    _require(len(action), f"has no steps: {action_name} is empty")
    imitation = layout == "imitation"
    start = (_imitation_starts if imitation else _baselines_starts)(members, len(action))
    length = np.diff(start, append=len(action))
    obs_start = _obs_starts(int(imitation), start, len(action), len(obs))
    action = _values(action_name, action, action_space)
    obs = _values("obs", obs, observation_space).astype(np.float32)
    _check_bounds(obs, observation_space)
    return Recorded(
        obs=_pad(obs, obs_start, length),
        action=_pad(action, start, length),
        length=length.astype(np.int32),
        episode_return=_returns(members, reward_name, start, len(action)),
        terminated=_terminated(members, length),
        layout=layout,
        path=path,
    )


def _require(condition: Any, problem: str, remedy: str = _RECORD) -> None:
    if not condition:
        raise _Problem(problem, remedy)


def _require_all(right: np.ndarray, values: np.ndarray, member: str, why: str, remedy: str) -> None:
    """Refuse a member of which an entry is not right, naming the first such entry."""
    wrong = np.argwhere(~right)
    if len(wrong):
        at = tuple(wrong[0].tolist())
        raise _Problem(f"{member}{list(at)} is {values[at]!s}, {why}", remedy)


def _check_file(path: str) -> None:
    """Refuse what is no archive, saying what it is."""
    _require(not os.path.isdir(path), "is a directory", "name one npz file in it")
    _require(os.path.exists(path), "no such file", "check the name and the working directory")
    _require(os.path.isfile(path), "is not a regular file", "name an npz file")
    try:
        with open(path, "rb") as file:
            head = file.read(len(_LFS_POINTER))
    except OSError as error:
        raise _Problem(f"cannot be opened ({error.strerror})", "check its permissions") from error
    _require(head, "is empty (0 bytes)", _FETCH)
    if head.startswith(_LFS_POINTER):
        raise _Problem("is a Git LFS pointer, not data", "run `git lfs pull` where it comes from")
    _require(head.startswith(_ZIP_STARTS), "is not an npz archive", f"{_FETCH} or convert it")


def _read(path: str) -> tuple[str, _Members]:
    """Recognise the layout and read its members, and no others."""
    try:
        archive = np.load(path, allow_pickle=False)
    except Exception as error:  # whatever zipfile and numpy raise, the archive is damaged
        raise _Problem(f"is a damaged or truncated npz archive ({error})", _FETCH) from error
    with archive:
        layout = _layout(archive.files)
        wanted = [name for name in (*_REQUIRED[layout], _NAMES[layout][1]) if name in archive.files]
        return layout, {member: _member(archive, member) for member in wanted}


def _layout(found: list[str]) -> str:
    matching = [layout for layout, needed in _REQUIRED.items() if set(needed) <= set(found)]
    if len(matching) == 1:
        return matching[0]
    expected = " or ".join(f"{', '.join(needed)} ({name})" for name, needed in _REQUIRED.items())
    listed = ", ".join(sorted(found)[:12]) + (", ..." if len(found) > 12 else "")
    problem = f"unknown layout: found members {listed or 'none'}; expected {expected}"
    raise _Problem(problem, "rename or convert its members to one of these layouts")


def _member(archive: Any, member: str) -> np.ndarray:
    try:
        array = archive[member]
    except Exception as error:  # as in _read
        problem = f"member {member} is a pickled object array, which is never unpickled"
        _require("Object arrays" not in str(error), problem, _CONVERT)
        raise _Problem(f"member {member} is damaged ({error})", _FETCH) from error
    _require(isinstance(array, np.ndarray), f"member {member} is not a numpy array", _CONVERT)
    problem = f"member {member} holds {array.dtype}, not real numbers"
    _require(array.dtype.kind in "biuf", problem, _CONVERT)
    return array


def _rows(member: str, array: np.ndarray, space: Any, what: str) -> np.ndarray:
    """The array as [n, *space.shape]; a column [n, 1] counts as scalars."""
    shape = tuple(space.shape)
    if shape == () and array.shape[1:] == (1,):
        array = array[:, 0]
    problem = f"{member} has shape {list(array.shape)}, expected {['n', *shape]}".replace("'", "")
    _require(array.ndim == 1 + len(shape), f"{problem}: wrong rank")
    _require(array.shape[1:] == shape, f"{problem}: {what} of another environment", _OTHER)
    return array


def _vector(members: _Members, member: str, size: int, per: str) -> np.ndarray:
    """A one-dimensional member with one entry per step or per episode."""
    array = members[member]
    _require(array.ndim == 1, f"{member} has shape {list(array.shape)}, expected [n]: wrong rank")
    problem = f"unequal lengths: {member} has {len(array)} entries for {size} {per}"
    _require(len(array) == size, problem)
    return array


def _baselines_starts(members: _Members, steps: int) -> np.ndarray:
    """The first step of each episode, from `episode_starts`."""
    starts = _vector(members, "episode_starts", steps, "actions")
    starts = _integers("episode_starts", starts, 1, "true", _RECORD)
    problem = "episode_starts[0] is not True, so the first episode has no beginning"
    _require(starts[0], problem, "set it, or drop the steps before the first True in all arrays")
    return np.flatnonzero(starts)


def _imitation_starts(members: _Members, steps: int) -> np.ndarray:
    """The first step of each episode, from `indices`."""
    indices = _vector(members, "indices", members["indices"].size, "splits")
    indices = _integers("indices", indices, steps, "the end of acts", _RECORD)
    start = np.concatenate([[0], indices])
    length = np.diff(start, append=steps)
    first = start[length.argmin()]
    _require(length.min() >= 0, f"indices are not increasing (after {first} comes a smaller one)")
    _require(length.min() > 0, f"indices make an empty episode at step {first}", "drop it")
    return start


def _obs_starts(final: int, start: np.ndarray, steps: int, rows: int) -> np.ndarray:
    """The first row of each episode in obs, which keeps `final` rows after each episode."""
    expected = steps + final * len(start)
    problem = f"unequal lengths: obs has {rows} rows, expected {expected}"
    _require(rows == expected, f"{problem} for {steps} actions in {len(start)} episodes")
    return start + final * np.arange(len(start))


def _finite(member: str, values: np.ndarray, dtype: type) -> np.ndarray:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
        cast = values.astype(dtype)
    why = f"not a finite {np.dtype(dtype)}"
    _require_all(np.isfinite(cast), values, member, why, "drop that episode, or record it again")
    return cast


def _integers(member: str, values: np.ndarray, last: int, what: str, remedy: str) -> np.ndarray:
    right = (values == np.floor(values)) & (values >= 0) & (values <= last)
    _require_all(right, values, member, f"not an integer from 0 to {last}, {what}", remedy)
    return values.astype(np.int64)


def _values(member: str, values: np.ndarray, space: Any) -> np.ndarray:
    """The values as int32 in a discrete space, as finite float32 in a box."""
    if not hasattr(space, "n"):
        return _finite(member, values, np.float32)
    return _integers(member, values, space.n - 1, "the environment's last", _OTHER).astype(np.int32)


def _check_bounds(obs: np.ndarray, space: Any) -> None:
    """Refuse observations outside the environment's box, give or take `TOLERANCE`."""
    if hasattr(space, "n"):
        return
    low = np.broadcast_to(np.asarray(space.low, np.float64), obs.shape[1:])
    high = np.broadcast_to(np.asarray(space.high, np.float64), obs.shape[1:])
    low_slack, high_slack = TOLERANCE * np.abs(low) + 1e-6, TOLERANCE * np.abs(high) + 1e-6
    right = (obs >= low - low_slack) & (obs <= high + high_slack)
    at = np.unravel_index(right.argmin(), right.shape)[1:]  # the dimension of the first wrong one
    limits = f"[{low[at]:.4g}, {high[at]:.4g}] (tolerance {TOLERANCE:.0%})"
    why = f"outside the environment's {limits}: observations of another environment"
    _require_all(right, obs, "obs", why, f"{_OTHER}, with observations that are not normalised")


def _returns(members: _Members, member: str, start: np.ndarray, steps: int) -> np.ndarray:
    if member not in members:
        return np.full(len(start), np.nan)
    rewards = _vector(members, member, steps, "actions")
    return np.add.reduceat(_finite(member, rewards, np.float64), start)


def _terminated(members: _Members, length: np.ndarray) -> np.ndarray:
    """What is known of it; see `Recorded`."""
    if "terminal" not in members:
        return np.zeros(len(length), bool)
    complete = _vector(members, "terminal", len(length), "episodes")
    complete = _integers("terminal", complete, 1, "true", _RECORD).astype(bool)
    return complete & (length < length.max())


def _pad(rows: np.ndarray, start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Rows [n, ...] as [N, T, ...], zero after each episode's end."""
    padded = np.zeros((len(length), length.max(), *rows.shape[1:]), rows.dtype)
    for episode, (first, steps) in enumerate(zip(start, length, strict=True)):
        padded[episode, :steps] = rows[first : first + steps]
    return padded
