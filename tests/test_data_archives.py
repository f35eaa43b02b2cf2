"""Files that are no usable archive: refused in one line, and never unpickled."""

import os
import pickle
import zipfile

import numpy as np
import pytest
from recordings import (
    LENGTHS,
    SPACES,
    STEPS,
    baselines,
    imitation,
    pickled,
    refused,
    written,
)

from imitax.data import DataError, load


def test_missing_file(tmp_path):
    refused(tmp_path / "absent.npz", "no such file", "check the name")


def test_directory(tmp_path):
    refused(tmp_path, "is a directory", "name one npz file")


def test_device():
    refused(os.devnull, "not a regular file", "name an npz file")


def test_file_that_may_not_be_read(tmp_path, monkeypatch):
    def forbidden(*_):
        raise PermissionError(13, "Permission denied")

    path = written(tmp_path, baselines())
    monkeypatch.setattr("builtins.open", forbidden)
    refused(path, "cannot be opened (Permission denied)", "check its permissions")


@pytest.mark.parametrize(
    ("content", "problem", "remedy"),
    [
        (b"", "empty (0 bytes)", "fetch the file again"),
        (b"\x00\x01garbage" * 50, "not an npz archive", "fetch the file again"),
        (pickle.dumps({"obs": [1]}), "not an npz archive", "fetch the file again"),
        (b"PK\x03\x04" + b"garbage" * 50, "damaged or truncated", "fetch the file again"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer", "git lfs pull"),
    ],
    ids=["empty", "garbage", "pickle", "zip garbage", "lfs pointer"],
)
def test_no_archive(tmp_path, content, problem, remedy):
    path = tmp_path / "demos.npz"
    path.write_bytes(content)
    refused(path, problem, remedy)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.99])
def test_truncated_archive(tmp_path, share):
    path = written(tmp_path, baselines())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(path, "damaged or truncated", "fetch the file again")


def test_damaged_member(tmp_path):
    path = tmp_path / "demos.npz"
    np.savez(path, **baselines())  # not compressed, so the observations can be found
    content = bytearray(path.read_bytes())
    content[content.index(baselines()["obs"].tobytes()) + 40] ^= 0xFF
    path.write_bytes(content)
    refused(path, "member obs is damaged", "fetch the file again")


def test_bare_array(tmp_path):
    path = tmp_path / "demos.npy"
    np.save(path, baselines()["obs"])
    refused(path, "not an npz archive", "convert")


def test_message_stays_one_line(tmp_path):
    path = tmp_path / "two\nlines.npz"
    with pytest.raises(DataError, match=r"two\?lines\.npz: no such file; ") as caught:
        load(path, *SPACES)
    assert str(caught.value).isprintable()


# --- layouts


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"states": np.zeros(3), "moves": np.zeros(3)}, ["found members moves, states"]),
        ({}, ["found members none"]),
        (baselines() | imitation(), ["episode_starts"]),
    ],
    ids=["unknown", "none", "both"],
)
def test_unknown_layout(tmp_path, members, words):
    expected = "obs, actions, episode_starts (stable-baselines)", "obs, acts, indices, terminal"
    refused(written(tmp_path, members), "unknown layout", *words, *expected, "rename or convert")


@pytest.mark.parametrize(
    ("make", "member"),
    [(baselines, "obs"), (baselines, "actions"), (baselines, "episode_starts")]
    + [(imitation, name) for name in ("obs", "acts", "indices", "terminal")],
)
def test_missing_member(tmp_path, make, member):
    members = make()
    del members[member]
    refused(written(tmp_path, members), "unknown layout", "expected obs, actions", "convert")


# --- pickles


def test_marker_works(tmp_path):
    pickle.loads(pickled(tmp_path, "bytes"))
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("make", "member"),
    [(baselines, name) for name in ("obs", "actions", "episode_starts", "rewards")]
    + [(imitation, name) for name in ("obs", "acts", "indices", "terminal", "rews")],
)
def test_pickled_member_is_refused_and_not_run(tmp_path, make, member):
    path = written(tmp_path, make() | {member: pickled(tmp_path, "array")})
    refused(path, f"member {member} is a pickled object array", "convert it to a numeric array")
    assert not (tmp_path / "marker").exists()


def test_bare_pickle_as_member_is_refused_and_not_run(tmp_path):
    members = baselines()
    del members["obs"]
    path = written(tmp_path, members)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("obs.npy", pickled(tmp_path, "bytes"))
    refused(path, "member obs is not a numpy array", "convert it to a numeric array")
    assert not (tmp_path / "marker").exists()


def test_bare_pickle_as_file_is_refused_and_not_run(tmp_path):
    path = tmp_path / "demos.npz"
    path.write_bytes(pickled(tmp_path, "bytes"))
    refused(path, "not an npz archive", "fetch")
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("make", [baselines, imitation])
def test_members_that_are_not_needed_are_not_touched(tmp_path, make):
    path = written(tmp_path, make() | {"infos": pickled(tmp_path, "array")})
    assert load(path, *SPACES).length.tolist() == LENGTHS.tolist()
    assert not (tmp_path / "marker").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name], "nothing is written"


@pytest.mark.parametrize(
    "array",
    [np.array(["a.png"] * STEPS), np.ones((STEPS, 4), complex), np.ones(STEPS, "f4,f4")],
    ids=["text", "complex", "structured"],
)
def test_member_without_real_numbers(tmp_path, array):
    path = written(tmp_path, baselines() | {"obs": array})
    refused(path, "member obs holds", "not real numbers", "convert it to a numeric array")
