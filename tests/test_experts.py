"""Trained experts: the files, what is refused, what comes with the package, the command line."""

import hashlib
import io
import itertools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from recordings import pickled

from imitax.cli import main
from imitax.cli.experts import page, show
from imitax.core.distributions import Categorical, Certain, Normal, Point
from imitax.core.errors import SpecError
from imitax.core.policies import Policy
from imitax.data import DataError
from imitax.envs.gymnax_family import GymnaxFamily
from imitax.experts import files, shipped
from imitax.experts.network import Actor, Weights
from imitax.rl import measure
from imitax.rl.recipes import RECIPES

NAMES = (
    *("Acrobot-v1", "CartPole-v1", "Catch-bsuite", "FourRooms-misc"),
    *("MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1"),
)
REQUIRED = {
    "Acrobot-v1": -80,
    "CartPole-v1": 500,
    "MountainCar-v0": -105,
    "MountainCarContinuous-v0": 92,
    "Pendulum-v1": -150,
    "FourRooms-misc": 1,
    "Catch-bsuite": 1,
}
"""Of the issue; the last two are the largest return there is."""
HORIZONS = {"CartPole-v1": 500, "Acrobot-v1": 500, "MountainCar-v0": 200, "Pendulum-v1": 200}
HORIZONS |= {"MountainCarContinuous-v0": 999, "FourRooms-misc": 500, "Catch-bsuite": 9}


def network(seed, sizes, num_scales=0):
    rng = np.random.default_rng(seed)
    layers = list(itertools.pairwise(sizes))
    parts = (
        rng.normal(size=sizes[0]),
        1 + rng.random(sizes[0]),
        tuple(rng.normal(size=layer) for layer in layers),
        tuple(rng.normal(size=layer[1]) for layer in layers),
        rng.normal(size=num_scales),
    )
    return jax.tree.map(lambda part: part.astype(np.float32), Weights(*parts))


def policies(box=()):
    return {
        name: Policy(
            network(seed, (3, 4, 2), len(box)),
            Actor("mode" if name == "final" else "sample", tuple(-x for x in box), box),
        )
        for seed, name in enumerate(files.SNAPSHOTS)
    }


def manifest(name="x"):
    found = dict.fromkeys(files.NUMBERS, 1)
    return {"name": name, "snapshots": dict.fromkeys(files.SNAPSHOTS, found)}


def written(folder, box=(), **changes):
    return files.write(folder, manifest(), policies(box) | changes)


@pytest.mark.parametrize("box", [(), (2.0, 0.5)])
def test_files_hold_what_was_written(box, tmp_path):
    path = written(tmp_path / "new", box)
    assert sorted(file.name for file in path.parent.iterdir()) == ["x.json", "x.npz"]
    expert = files.read(path.parent, "x")
    for name, policy in policies(box).items():
        assert expert.policy(name).apply == policy.apply
        for mine, other in zip(*map(jax.tree.leaves, (expert.policy(name), policy)), strict=True):
            assert mine.dtype == jnp.float32
            assert np.all(mine == other)
    content = path.with_suffix(".npz").read_bytes()
    assert expert.manifest["sha256"] == hashlib.sha256(content).hexdigest()
    assert expert.manifest["bytes"] == len(content)
    assert expert.manifest["network"]["hidden"] == [4]
    again = written(tmp_path / "other", box)
    assert again.with_suffix(".npz").read_bytes() == content, "the same weights, the same bytes"


@pytest.mark.parametrize("box", [(), (2.0, 0.5)])
def test_networks_against_numpy(box):
    """Normalised input, tanh, linear; what the outputs mean for each kind of action."""
    weights = network(7, (3, 4, 2), len(box))
    obs = np.array([0.3, -2.0, 1.1])
    hidden = np.tanh((obs - weights.mean) / weights.scale @ weights.kernels[0] + weights.biases[0])
    outputs = hidden @ weights.kernels[1] + weights.biases[1]
    low = tuple(-x for x in box)
    best, drawn = (
        Actor(act, low, box)(weights, jnp.asarray(obs, jnp.float32), jnp.int32(0))
        for act in ("mode", "sample")
    )
    if box:
        assert (type(best), type(drawn)) == (Point, Normal)
        np.testing.assert_allclose(best.value, np.clip(outputs, low, box), rtol=1e-5)
        assert np.any(np.abs(outputs) > box), "the test needs a mean outside the box"
        np.testing.assert_allclose(drawn.mean, outputs, rtol=1e-5)
        np.testing.assert_allclose(drawn.scale, np.exp(weights.log_scale), rtol=1e-5)
        return
    assert (type(best), type(drawn)) == (Certain, Categorical)
    assert np.all(best.probs == np.eye(2)[np.argmax(outputs)])
    np.testing.assert_allclose(drawn.probs, np.exp(outputs) / np.exp(outputs).sum(), rtol=1e-5)


def resealed(folder, arrays):
    """Put other arrays in the archive, with a manifest that agrees."""
    archive = io.BytesIO()
    np.savez_compressed(archive, **arrays)
    (folder / "x.npz").write_bytes(archive.getvalue())
    edited(folder, sha256=hashlib.sha256(archive.getvalue()).hexdigest())


def edited(folder, **changes):
    path = folder / "x.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def arrays(folder):
    with np.load(folder / "x.npz") as archive:
        return dict(archive)


def cut(folder):
    path = folder / "x.npz"
    path.write_bytes(path.read_bytes()[:-7])


def broken_archive(folder):
    (folder / "x.npz").write_bytes(b"PK\x03\x04 and no more")
    edited(folder, sha256=hashlib.sha256(b"PK\x03\x04 and no more").hexdigest())


def network_of(folder, **changes):
    held = json.loads((folder / "x.json").read_text())["network"]
    edited(folder, network=held | changes)


DAMAGE = {
    "no npz": (lambda at: (at / "x.npz").unlink(), "x.npz: cannot be read"),
    "no json": (lambda at: (at / "x.json").unlink(), "x.json: cannot be read"),
    "bad json": (lambda at: (at / "x.json").write_text("{"), "x.json: is no valid JSON"),
    "a list": (lambda at: (at / "x.json").write_text("[]"), "x.json: is not of the format"),
    "binary json": (lambda at: (at / "x.json").write_bytes(b"\xff\xfe"), "is no valid JSON"),
    "cut": (cut, "x.npz: has sha256"),
    "wrong sha256": (lambda at: edited(at, sha256="0" * 64), "its manifest says 000000000000"),
    "no archive": (broken_archive, "x.npz: is no npz archive"),
    "pointer": (
        lambda at: (at / "x.npz").write_bytes(b"version https://git-lfs.github.com/spec/v1"),
        "Git LFS pointer",
    ),
    "a member less": (
        lambda at: resealed(at, {k: v for k, v in arrays(at).items() if k != "2/bias_1"}),
        "lacks 2/bias_1",
    ),
    "a member more": (lambda at: resealed(at, arrays(at) | {"z": np.zeros(2)}), "a surplus z"),
    "a shape": (
        lambda at: resealed(at, arrays(at) | {"final/kernel_0": np.zeros((3, 5), np.float32)}),
        "final/kernel_0 is float32 [3, 5], not float32 [3, 4]",
    ),
    "a type": (lambda at: resealed(at, arrays(at) | {"1/mean": np.zeros(3)}), "1/mean is float64"),
    "a value": (
        lambda at: resealed(at, arrays(at) | {"3/scale": np.zeros(3, np.float32)}),
        "3/scale holds values that no network has",
    ),
    "other widths": (lambda at: network_of(at, hidden=[5]), "1/bias_0 is float32 [4]"),
    "an act": (lambda at: network_of(at, act=dict.fromkeys("123", "mode")), "garbles a value"),
    "half a box": (lambda at: network_of(at, low=[1.0, 1.0]), "garbles a value (low, high)"),
    "no returns": (lambda at: edited(at, snapshots={}), "garbles a value"),
    "another name": (lambda at: edited(at, name="y"), "is the manifest of y"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_files_are_refused(kind, tmp_path):
    damage, words = DAMAGE[kind]
    written(tmp_path)
    damage(tmp_path)
    with pytest.raises(DataError) as caught:
        files.read(tmp_path, "x")
    message = str(caught.value)
    assert words in message
    assert "\n" not in message
    assert "; " in message, "a remedy"


def test_nothing_is_unpickled(tmp_path):
    written(tmp_path)
    resealed(tmp_path, arrays(tmp_path) | {"1/mean": pickled(tmp_path, "array")})
    with pytest.raises(DataError, match="no npz archive of numbers"):
        files.read(tmp_path, "x")
    assert not (tmp_path / "marker").exists()


def test_unknown_names_and_snapshots_are_refused():
    with pytest.raises(SpecError, match=r"CartPole-v2: no expert .*did you mean 'CartPole-v1'"):
        shipped.policy("CartPole-v2")
    with pytest.raises(SpecError, match=r"unknown snapshot of CartPole-v1 '4'.*1, 2, 3, final"):
        shipped.policy("CartPole-v1", 4)


def test_what_is_shipped():
    assert shipped.names() == NAMES
    assert set(RECIPES) == set(NAMES)
    held = {path.name for path in shipped.WEIGHTS.iterdir()}
    assert held == {f"{name}.{kind}" for name in NAMES for kind in ("json", "npz")}
    assert sum(path.stat().st_size for path in shipped.WEIGHTS.iterdir()) < 500_000


@pytest.mark.parametrize("name", NAMES)
def test_manifests_state_what_the_issue_asks_for(name):
    held = shipped.expert(name).manifest
    found = [held["snapshots"][one] for one in files.SNAPSHOTS]
    assert found[-1]["mean"] >= REQUIRED[name]
    assert all((one["episodes"], one["horizon"]) == (1000, HORIZONS[name]) for one in found)
    assert all(one["low"] <= one["mean"] <= one["high"] for one in found)
    random = held["random"]["mean"]
    shares = [(one["mean"] - random) / (found[-1]["mean"] - random) for one in found]
    np.testing.assert_allclose(shares, (0.25, 0.5, 0.75, 1.0), atol=0.12)
    for weaker, better in itertools.pairwise(found):
        assert weaker["high"] < better["low"], "snapshots differ by more than their intervals"
    assert held["recipe"]["settings"]["hidden"] == held["network"]["hidden"]
    assert {"seed", "environment_steps", "versions", "wall_seconds", "hardware"} <= set(held)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("snapshot", files.SNAPSHOTS)
def test_recorded_returns_are_reproduced(name, snapshot):
    """200 fresh episodes; both means have an error, and five of them together are allowed."""
    recorded = shipped.expert(name).manifest["snapshots"][snapshot]
    policy = shipped.policy(name, snapshot)
    fresh = measure.measure(jax.random.key(1), name, policy, recorded["horizon"], 200)
    errors = [(one["high"] - one["low"]) / 3.92 for one in (recorded, fresh._asdict())]
    rare = 3 / 1000 * abs(recorded["mean"])  # what a thousand episodes may have missed
    assert abs(fresh.mean - recorded["mean"]) <= 5 * math.hypot(*errors) + rare


@pytest.mark.parametrize("name", NAMES)
def test_experts_fit_their_environments(name):
    """As a family poses them: inside a trace, in the environment's own action space."""
    env = GymnaxFamily(name)
    params = env.default_params
    for snapshot in files.SNAPSHOTS:
        policy = shipped.policy(name, snapshot)
        assert hash(policy.apply) == hash(shipped.policy(name, snapshot).apply)

        def act(key, policy=policy):
            obs, _ = env.reset_env(key, params)
            return policy(obs, jnp.int32(0)).sample(key)

        action = jax.jit(act)(jax.random.key(0))
        assert action.shape == env.action_space(params).shape
        if snapshot == "final":
            assert env.action_space(params).contains(action)


def test_the_list_is_printed_and_written(tmp_path, capsys):
    path = tmp_path / "experts.md"
    assert main.main(["experts", "list", "--markdown", str(path)]) == 0
    printed = capsys.readouterr().out
    text = path.read_text()
    for name in NAMES:
        held = shipped.expert(name).manifest
        line = next(line for line in printed.splitlines() if line.startswith(name))
        for cell in (show(held["snapshots"]["final"]), held["sha256"][:12]):
            assert cell in line
            assert cell in text
    assert text == page([shipped.expert(name).manifest for name in NAMES])
    committed = shipped.WEIGHTS.parents[2] / "benchmarks" / "results" / "experts.md"
    assert committed.read_text() == text, "imitax experts list --markdown FILE writes it again"


def test_returns_are_shown_with_their_intervals():
    assert show({"mean": 500.0, "low": 500.0, "high": 500.0}) == "500.0"
    assert show({"mean": -98.51, "low": -99.0, "high": -98.04}) == "-98.5 [-99.0, -98.0]"
    assert show({"mean": 0.4351, "low": 0.404, "high": 0.4657}) == "0.435 [0.404, 0.466]"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["train", "CartPole-v2"], "did you mean 'CartPole-v1'"),
        (["train", "CartPole-v1", "--seed", "-1"], "--seed -1 is out of range"),
        (["train", "CartPole-v1", "--seed", "x"], "--seed"),
        (["list", "--markdown", "{file}/x.md"], "cannot be written"),
        (["train", "CartPole-v1", "--out", "{file}"], "--out"),
        (["lst"], "lst"),
        ([], "ACTION"),
    ],
)
def test_bad_command_lines_are_one_line(argv, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    assert main.main(["experts", *(word.format(file=tmp_path / "file") for word in argv)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert words in printed.err
