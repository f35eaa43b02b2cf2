"""`imitax.bench.results.store`: whole files or none, and a manifest that guards them."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from imitax.bench.errors import StoreError
from imitax.bench.plans.plan import Sweep, all_chunks, resolve
from imitax.bench.results.manifest import load_manifest
from imitax.bench.results.reading import read_rewards
from imitax.bench.results.store import Store, file_name
from imitax.bench.runs.local import Result, run
from imitax.bench.schema import CURVES, RESULTS, to_table

KEYS = ["environment", "algorithm", "horizon", "num_demos", "seed"]
SWEEP = Sweep.grid(["reset-cliff"], ["bc"], [4, 6], [3], seeds=7, chunk_size=4)


def tree(directory):
    """Every file's content and time of change."""
    return {
        path.relative_to(directory): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def table(directory):
    return pd.read_parquet(directory / "results").sort_values(KEYS, ignore_index=True)


def points(directory):
    rows = pd.read_parquet(directory / "curves")
    return rows.sort_values([*KEYS, "checkpoint"], ignore_index=True)


@pytest.fixture(scope="module")
def computed():
    """The results of `SWEEP`, and what its program cost."""
    stats = []
    return list(run(resolve(SWEEP), on_program=stats.append)), stats


@pytest.fixture
def stored(tmp_path, computed):
    store = Store(tmp_path / "out", resolve(SWEEP))
    store.begin()
    for result in computed[0]:
        store.write(result)
    store.add_program(computed[1][0])
    store.end()
    return store


def test_one_flat_file_per_chunk_with_the_schema(stored):
    files = sorted(stored.results.iterdir())
    assert sorted(path.name for path in files) == sorted(map(file_name, all_chunks(resolve(SWEEP))))
    assert all(path.name.startswith("reset-cliff_bc_H") for path in files)
    for path in files:
        assert pq.read_schema(path).equals(RESULTS)
    rows = table(stored.directory)
    assert len(rows) == 14
    assert rows["moment_gap"].isna().all()
    assert rows["seed"].dtype == np.int64


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_any_subset_of_the_files_can_be_read(stored, kept):
    for path in sorted(stored.results.iterdir())[kept:]:
        path.unlink()
    (stored.results / ".half.parquet.tmp").write_bytes(b"PAR1 and then killed")
    rows = pd.read_parquet(stored.results)
    assert not rows.duplicated(KEYS).any()
    assert list(rows.columns) == RESULTS.names


def test_diverged_numbers_stay_and_meaningless_ones_are_null(computed):
    columns = dict(computed[0][0].columns)
    columns["regret"] = np.array([np.nan, np.inf, 0.5, 1.0])
    regret, gap = (to_table(columns).column(name) for name in ("regret", "moment_gap"))
    assert regret.null_count == 0
    assert gap.null_count == 4


def test_a_write_that_fails_leaves_no_file(stored, computed, monkeypatch):
    path = stored.results / file_name(computed[0][0].chunk)
    path.unlink()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StoreError, match="No space left"):
        stored.write(computed[0][0])
    assert not path.exists()
    assert len(pd.read_parquet(stored.results)) == 10


def test_manifest_says_what_ran(stored):
    manifest = json.loads((stored.directory / "manifest.json").read_text())
    assert manifest["settings"]["seeds"] == 7
    assert manifest["settings"]["blocks"][0]["cells"] == [[4, 3], [6, 3]]
    assert manifest["chunk_size"] == 4
    assert manifest["num_devices"] >= 1
    assert manifest["x64"] is False
    assert set(manifest["versions"]) >= {"python", "jax", "gymnax", "imitax"}
    program = manifest["programs"][0]
    assert (program["environment"], program["algorithm"]) == ("reset-cliff", "bc")
    assert program["num_compilations"] == 1
    assert manifest["started"] <= manifest["finished"]


def test_a_second_session_adds_its_times(stored, computed):
    again = Store(stored.directory, resolve(SWEEP))
    assert all(again.has(chunk) for chunk in all_chunks(resolve(SWEEP)))
    again.manifest["programs"][0]["run_seconds"] = 2.0
    again.add_program(computed[1][0]._replace(run_seconds=1.5))
    manifest = load_manifest(stored.directory)
    assert [entry["run_seconds"] for entry in manifest["programs"]] == [3.5]
    assert len(manifest["resumed"]) == 1


CURVED = dataclasses.replace(SWEEP, curve=2)


@pytest.fixture
def curved(tmp_path):
    """A store with curves, and the results that it holds."""
    store = Store(tmp_path / "out", resolve(CURVED))
    store.begin()
    results = list(run(resolve(CURVED)))
    for result in results:
        store.write(result)
    return store, results


def test_curves_are_files_beside_the_results(curved):
    store, _ = curved
    names = sorted(path.name for path in store.results.iterdir())
    assert names == sorted(path.name for path in (store.directory / "curves").iterdir())
    for path in (store.directory / "curves").iterdir():
        assert pq.read_schema(path).equals(CURVES)
    found = points(store.directory)
    assert len(found) == 2 * len(table(store.directory)) == 28
    assert not found.duplicated([*KEYS, "checkpoint"]).any()
    assert json.loads((store.directory / "manifest.json").read_text())["settings"]["curve"] == 2


@pytest.mark.parametrize("folder", ["results", "curves"])
def test_a_chunk_is_finished_when_both_its_files_are_there(curved, folder):
    store, results = curved
    chunk = results[1].chunk
    (store.directory / folder / file_name(chunk)).unlink()
    again = Store(store.directory, resolve(CURVED))
    assert [one for one in all_chunks(resolve(CURVED)) if not again.has(one)] == [chunk]
    again.write(results[1])
    assert again.has(chunk)


def test_rows_are_written_after_their_curves(curved, monkeypatch):
    store, results = curved
    for folder in ("results", "curves"):
        (store.directory / folder / file_name(results[0].chunk)).unlink()
    written = []
    real = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: written.append(b.parent.name) or real(a, b))
    store.write(results[0])
    assert written == ["curves", "results"]


def test_results_without_curves_have_no_such_folder(stored):
    assert not (stored.directory / "curves").exists()
    assert "curve" not in json.loads((stored.directory / "manifest.json").read_text())["settings"]


OTHERS = {
    "curve": (dataclasses.replace(SWEEP, curve=3), "curve: null there, 3 here"),
    "seeds": (Sweep.grid(["reset-cliff"], ["bc"], [4, 6], [3], 8, chunk_size=4), "seeds: 7 there"),
    "chunk": (Sweep.grid(["reset-cliff"], ["bc"], [4, 6], [3], 7, chunk_size=3), "chunk_size: 4"),
    "cells": (Sweep.grid(["reset-cliff"], ["bc"], [4, 5], [3], 7, chunk_size=4), "cells: 6 there"),
    "algorithm": (
        Sweep.grid(["reset-cliff"], ["bc:unseen=first"], [4, 6], [3], 7, chunk_size=4),
        'algorithms: "bc" there, "bc:unseen=first" here',
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_configuration_is_refused_and_nothing_changes(stored, name):
    sweep, words = OTHERS[name]
    before = tree(stored.directory)
    with pytest.raises(StoreError, match="another configuration") as refused:
        Store(stored.directory, resolve(sweep))
    assert words in str(refused.value)
    assert tree(stored.directory) == before


def test_only_one_process_writes(stored):
    with pytest.raises(StoreError, match="another process"):
        Store(stored.directory, resolve(SWEEP)).begin()
    stored.close()
    Store(stored.directory, resolve(SWEEP)).begin()


def test_foreign_and_damaged_directories_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"notes\.txt but no manifest\.json"):
        load_manifest(tmp_path)
    with pytest.raises(StoreError, match="not a directory"):
        load_manifest(tmp_path / "notes.txt")
    manifest = tmp_path / "manifest.json"
    for content, words in (("{", "no valid JSON"), ("[]", "not a manifest"), ("{}", "not a")):
        manifest.write_text(content)
        with pytest.raises(StoreError, match=words):
            load_manifest(tmp_path)
    assert load_manifest(tmp_path / "absent") is None


def test_reward_maps_are_gathered(stored, computed):
    chunk = computed[0][0].chunk
    small = (np.eye(2), np.zeros((2, 2)))
    large = (np.ones((3, 4)), np.full((3, 4), 2.0))
    for name, maps in (("a", small), ("b", large), ("a", small)):
        stored.write(Result(chunk._replace(environment=name), computed[0][0].columns, maps))
    assert len(list((stored.directory / "rewards").iterdir())) == 2
    one, other = read_rewards(stored.directory)
    assert (one.environment, other.environment, one.algorithm) == ("a", "b", "bc")
    np.testing.assert_array_equal(one.true, np.eye(2))
    np.testing.assert_array_equal(other.recovered, large[1])


SUITE = """
curve = 2
[[block]]
environments = ["reset-cliff"]
algorithms = ["bc", "dagger"]
horizons = [4, 8, 12]
num_demos = [3, 5]
"""


def command(suite, out):
    options = ["--seeds", "40", "--chunk-size", "4", "--out", str(out)]
    return [sys.executable, "-m", "imitax", "run", str(suite), *options]


def run_to_end(suite, out):
    env = os.environ | {"JAX_NUM_CPU_DEVICES": "2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        command(suite, out), env=env, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    suite = folder / "small.toml"
    suite.write_text(SUITE)
    run_to_end(suite, folder / "whole")
    return suite, folder / "whole"


def begun(out, num_files):
    """Whether the manifest and so many chunks are there."""
    files = list(out.glob("results/*.parquet"))
    return (out / "manifest.json").exists() and len(files) >= num_files


@pytest.mark.slow
@pytest.mark.parametrize("num_files", [0, 23])
def test_a_killed_run_continues_to_the_same_table(uninterrupted, tmp_path, num_files):
    suite, whole = uninterrupted
    out = tmp_path / "out"
    env = os.environ | {"JAX_NUM_CPU_DEVICES": "2", "JAX_PLATFORMS": "cpu"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command(suite, out), env=env, **quiet)
    deadline = time.monotonic() + 300
    while not begun(out, num_files) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    process.wait(timeout=60)
    done = len(list(out.glob("results/*.parquet")))
    assert num_files <= done < 120
    early = tree(out / "results")
    run_to_end(suite, out)
    pd.testing.assert_frame_equal(table(out), table(whole), check_exact=True)
    pd.testing.assert_frame_equal(points(out), points(whole), check_exact=True)
    kept = tree(out / "results")
    assert all(kept[path] == content for path, content in early.items() if path.suffix != ".tmp")
    assert len(load_manifest(out)["resumed"]) == 1


def test_a_complete_run_computes_nothing_again(uninterrupted, tmp_path):
    suite, whole = uninterrupted
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    before = tree(out / "results")
    run_to_end(suite, out)
    assert tree(out / "results") == before
    programs = load_manifest(out)["programs"]
    assert [entry["num_compilations"] for entry in programs] == [1, 1]
