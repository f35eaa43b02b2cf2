"""`--expert-file`: whose expert a file is, what is refused, and what the manifest keeps."""

import hashlib
import types
from pathlib import Path

import jax.numpy as jnp
import pytest

from imitax import catalogue
from imitax.bench.errors import StoreError
from imitax.bench.plans import expert_files
from imitax.bench.plans.expert_files import ExpertFile, load_experts, parse
from imitax.bench.plans.plan import Sweep, resolve
from imitax.bench.results.manifest import settings_of
from imitax.bench.results.store import Store
from imitax.core.errors import SpecError
from imitax.core.policies import Policy, lookup

NAMES = ("iter0000000", "iter0000100")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CartPole-v0.h5", ("CartPole-v1", "CartPole-v0.h5", "-1")),
        ("a/b.c/Acrobot-v0.h5@iter0000040", ("Acrobot-v1", "a/b.c/Acrobot-v0.h5", "iter0000040")),
        ("MountainCar-v0.h5@2", ("MountainCar-v0", "MountainCar-v0.h5", "2")),
        ("Pendulum-v1=a@b/x.h5", ("Pendulum-v1", "a@b/x.h5", "-1")),
        ("./a=b.h5", ("a=b", "a=b.h5", "-1")),
        ("CartPole-v1=x.h5@-2", ("CartPole-v1", "x.h5", "-2")),
    ],
)
def test_a_file_names_its_environment_and_its_snapshot(text, expected):
    environment, path, snapshot = expected
    assert parse(text) == ExpertFile(environment, Path(path), snapshot)


@pytest.fixture
def reader(monkeypatch):
    """A reader of expert files that notes what it is asked for, in the place of the real one."""
    asked = []

    def policy(path, snapshot, *, num_observations, num_actions):
        asked.append((path.name, snapshot, num_observations, num_actions))
        return Policy(jnp.zeros(2), lookup)

    module = types.SimpleNamespace(policy=policy, snapshots=lambda path: NAMES)
    monkeypatch.setattr(expert_files, "original", module)
    return asked


def written(folder, name, content=b"weights"):
    path = folder / name
    path.write_bytes(content)
    return str(path)


def test_policies_are_read_and_recorded(reader, tmp_path):
    paths = [written(tmp_path, "MountainCar-v0.h5"), written(tmp_path, "x.h5", b"other")]
    files = [parse(paths[0]), parse(f"CartPole-v1={paths[1]}@iter0000000")]
    experts = load_experts(files, ["MountainCar-v0", "CartPole-v1", "lane"])
    assert set(experts.policies) == {"CartPole-v1", "MountainCar-v0"}
    assert reader == [("MountainCar-v0.h5", "-1", 2, 3), ("x.h5", "iter0000000", 4, 2)]
    assert experts.records == (
        {
            "environment": "CartPole-v1",
            "file": "x.h5",
            "snapshot": "iter0000000",
            "sha256": hashlib.sha256(b"other").hexdigest(),
        },
        {
            "environment": "MountainCar-v0",
            "file": "MountainCar-v0.h5",
            "snapshot": "iter0000100",
            "sha256": hashlib.sha256(b"weights").hexdigest(),
        },
    )


def test_two_files_for_one_environment_are_refused(reader, tmp_path):
    file = parse(written(tmp_path, "CartPole-v0.h5"))
    with pytest.raises(SpecError, match="CartPole-v1 has a file already"):
        load_experts([file, file], ["CartPole-v1"])


def swept(path):
    grid = Sweep.grid(["CartPole-v1"], ["bc:num_steps=1"], [4], [2], 2, expert_files=(parse(path),))
    return resolve(grid)


def test_experts_reach_the_environments_and_guard_the_directory(reader, tmp_path, monkeypatch):
    given = []

    def environment(text, experts=None):
        given.append(experts)
        return real(text)

    real = catalogue.environment
    monkeypatch.setattr(catalogue, "environment", environment)
    path = written(tmp_path, "CartPole-v0.h5")
    plan = swept(path)
    assert given[0] is None  # asked for its spaces
    assert list(given[1]) == ["CartPole-v1"]
    assert settings_of(plan)["expert_files"] == list(plan.expert_files)
    store = Store(tmp_path / "out", plan)
    store.begin()
    store.close()
    Store(tmp_path / "out", swept(path))
    with pytest.raises(StoreError, match=r"snapshot.*iter0000000"):
        Store(tmp_path / "out", swept(f"{path}@0"))
    written(tmp_path, "CartPole-v0.h5", b"changed")
    with pytest.raises(StoreError, match="sha256"):
        Store(tmp_path / "out", swept(path))
    ours = resolve(Sweep.grid(["CartPole-v1"], ["bc:num_steps=1"], [4], [2], 2))
    assert "expert_files" not in settings_of(ours)
    with pytest.raises(StoreError, match="expert_files"):
        Store(tmp_path / "out", ours)
