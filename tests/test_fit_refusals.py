"""What `imitax fit` refuses: one line that names the file, exit status 2, nothing written."""

import gymnax
import numpy as np
import pytest
from recordings import baselines, imitation, pickled, written

from imitax.bench.fits import fit
from imitax.cli import main

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
OTHER = "recorded in this environment"


@pytest.fixture
def refused(tmp_path, capsys, monkeypatch):
    """Run the command; check status, form of the message, and that nothing ran or was written."""

    def never(*_):
        raise AssertionError("training began")

    monkeypatch.setattr(fit, "fit", never)
    monkeypatch.setattr("imitax.cli.fit.fit", never)

    def run(path, *words, env="CartPole-v1", algorithm="bc", out=None):
        before = {entry: entry.stat().st_mtime_ns for entry in tmp_path.rglob("*")}
        out = tmp_path / "out" if out is None else out
        asked = ["--algorithm", algorithm, "--env", env, "--demos", str(path), "--out", str(out)]
        assert main.main(["fit", *asked, *map(str, words)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        message = captured.err
        assert message.startswith("imitax: ")
        assert message.endswith("\n")
        assert message.count("\n") == 1
        assert {entry: entry.stat().st_mtime_ns for entry in tmp_path.rglob("*")} == before
        return message.removeprefix("imitax: ").rstrip("\n")

    return run


def changed(make, **members):
    return lambda folder: written(folder, make() | members)


def content(data):
    def write(folder):
        path = folder / "demos.npz"
        path.write_bytes(data)
        return path

    return write


def pickle_of(make, member):
    return lambda folder: written(folder, make() | {member: pickled(folder, "array")})


def with_number(value, make=baselines):
    obs = make()["obs"].copy()
    obs[5, 1] = value
    return changed(make, obs=obs)


BAD = {
    "missing": (lambda folder: folder / "absent.npz", "no such file", "check the name"),
    "directory": (lambda folder: folder, "is a directory", "name one npz file"),
    "empty": (content(b""), "empty (0 bytes)", "fetch the file again"),
    "garbage": (content(b"\x00\x01garbage" * 50), "not an npz archive", "fetch the file again"),
    "lfs pointer": (content(LFS_POINTER), "Git LFS pointer", "git lfs pull"),
    "wrong rank": (changed(baselines, obs=np.ones((9, 4, 1))), "wrong rank", "record or convert"),
    "wrong shape": (changed(baselines, obs=np.ones((9, 3))), "expected [n, 4]", OTHER),
    "unequal": (changed(baselines, actions=np.ones(8)), "unequal lengths", "record or convert"),
    "no final": (changed(imitation, obs=np.ones((9, 4))), "unequal lengths", "record or convert"),
    "nan": (with_number(np.nan), "obs[5, 1] is nan, not a finite", "drop that episode"),
    "inf": (with_number(np.inf, imitation), "obs[5, 1] is inf, not a finite", "drop that episode"),
    "action 2": (changed(baselines, actions=2 * np.ones(9)), "actions[0] is 2", OTHER),
    "action -1": (changed(imitation, acts=-np.ones(9)), "acts[0] is -1", OTHER),
    "pickled obs": (pickle_of(baselines, "obs"), "obs is a pickled object array", "convert it"),
    "pickled acts": (pickle_of(imitation, "acts"), "acts is a pickled object array", "convert it"),
    "unknown": (lambda folder: written(folder, {"x": np.ones(3)}), "unknown layout", "rename"),
}


@pytest.mark.parametrize(("make", "problem", "remedy"), BAD.values(), ids=BAD.keys())
def test_bad_file(tmp_path, refused, make, problem, remedy):
    path = make(tmp_path)
    message = refused(path)
    assert message.startswith(f"{path}: ")
    assert problem in message
    assert remedy in message
    assert not (tmp_path / "marker").exists(), "unpickled"


def test_observations_of_another_environment(tmp_path, refused):
    path = written(tmp_path, baselines())
    message = refused(path, env="MountainCar-v0")
    assert message.startswith(f"{path}: ")
    assert "observations of another environment" in message
    assert OTHER in message
    env, params = gymnax.make("Acrobot-v1")
    shifted = np.full((9, *env.observation_space(params).shape), 0.1)
    assert "[n, 4]" in refused(written(tmp_path, baselines() | {"obs": shifted}))


def test_more_demonstrations_than_the_file_holds(tmp_path, refused):
    path = written(tmp_path, baselines())
    message = refused(path, "--num-demos", 2, 5)
    assert message == (f"{path}: holds 3 episodes, --num-demos asks for 5; ask for at most 3")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--seeds", 0), ("--seeds 0 is out of range", ">= 1")),
        (("--horizon", -3), ("--horizon -3 is out of range", ">= 1")),
        (("--num-demos", 1, 0), ("--num-demos 0 is out of range", ">= 1")),
        (("--seeds", "many"), ("--seeds", "many")),
    ],
)
def test_number_out_of_range(tmp_path, refused, flags, words):
    message = refused(written(tmp_path, baselines()), *flags)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("algorithm", "words"),
    [
        ("dagger", ("dagger asks the expert for labels", "use bc")),
        ("noisy-expert", ("noisy-expert on CartPole-v1", "use bc")),
        ("expert", ("expert does not learn from recorded episodes", "use bc")),
        ("bd", ("unknown algorithm 'bd'", "did you mean 'bc'?")),
        ("bc:unseen=first", ("unseen",)),
        ("bc:learning_rate=0", ("learning_rate=0", "> 0")),
    ],
)
def test_algorithm_without_meaning(tmp_path, refused, algorithm, words):
    message = refused(written(tmp_path, baselines()), algorithm=algorithm)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ("reset-cliff", ("reset-cliff", "CartPole-v1")),
        ("CartPole-v2", ("unknown environment 'CartPole-v2'", "did you mean 'CartPole-v1'?")),
    ],
)
def test_environment_without_meaning(tmp_path, refused, env, words):
    message = refused(written(tmp_path, baselines()), env=env)
    for word in words:
        assert word in message


def test_out_that_is_in_use(tmp_path, refused):
    path = written(tmp_path, baselines())
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("mine")
    assert "used is not empty; choose another" in refused(path, out=tmp_path / "used")
    assert "demos.npz is a file" in refused(path, out=path)
    assert "no writable directory" in refused(path, out=path / "below")


def test_settings_of_demonstrations(tmp_path, refused):
    path = written(tmp_path, baselines())
    message = refused(path, env="CartPole-v1:demos=random")
    assert message.endswith("the file holds the demonstrations; leave demos out")
    message = refused(path, env="lane:label_noise=0.1")
    assert message.endswith("the file holds the labels; leave label_noise out")
    message = refused(path, env="CartPole-v1:subsample=99")
    assert "subsample=99 is a sub-sampling factor above the episode length" in message


def test_episodes_without_successors(tmp_path, refused):
    """AIRL compares each step with the next one; cloning has enough in single steps."""
    single = changed(baselines, episode_starts=np.ones(9, bool), episode_returns=np.ones(9))
    path = single(tmp_path)
    message = refused(path, algorithm="airl")
    assert message == (
        f"{path}: episodes of 1 step hold none of the successors that the algorithm compares; "
        "give episodes of 2 steps or more"
    )
