"""Shares of a sweep: in directories that merge by copying, or in one; and what is refused."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from test_store import SWEEP, table

from imitax.bench.errors import StoreError
from imitax.bench.plans.plan import Share, Sweep, all_chunks, parse_share, resolve
from imitax.bench.results.reading import ReportError, incomplete, read_manifest, read_rewards
from imitax.bench.results.store import Store
from imitax.bench.runs.local import run
from imitax.cli import main
from imitax.core.errors import SpecError

GRID = Sweep.grid(
    ["gridworld:size=3x2,goal=2x1"], ["bc", "maxent-irl:num_steps=3"], [3, 4], [2], 7, chunk_size=4
)


@pytest.fixture(scope="module")
def results():
    stats = []
    return list(run(resolve(GRID), on_program=stats.append)), stats


def store_share(directory, results, share, sweep=GRID):
    """What one process leaves behind."""
    store = Store(directory, resolve(sweep), share)
    store.begin()
    wanted = set(store.wanted())
    for result in results[0]:
        if result.chunk in wanted:
            store.write(result)
    for stats in results[1]:
        store.add_program(stats._replace(run_seconds=1.0))
    store.end()
    store.close()
    return store


def test_shares_are_a_partition():
    plan = resolve(GRID)
    parts = [Share(index, 3).of(plan) for index in range(3)]
    assert sorted(chunk for part in parts for chunk in part) == sorted(all_chunks(plan))
    assert parts[1] == all_chunks(plan)[1::3]
    assert {len(part) for part in parts} == {2, 3}


@pytest.mark.parametrize("text", ["4/4", "-1/4", "1", "a/4", "0/0", "1/4/2", ""])
def test_a_share_is_i_of_n(text):
    with pytest.raises(SpecError, match="i/n"):
        parse_share(text)
    assert parse_share("0/1") == Share(0, 1)
    assert parse_share("3/4") == Share(3, 4)


@pytest.mark.parametrize("together", [True, False], ids=["one directory", "merged"])
def test_shares_make_the_same_table(together, results, tmp_path):
    alone = store_share(tmp_path / "alone", results, Share(0, 1))
    merged = tmp_path / "merged"
    for index in range(3):
        out = merged if together else tmp_path / str(index)
        store_share(out, results, Share(index, 3))
        if not together:
            shutil.copytree(out, merged, dirs_exist_ok=True)
        part = incomplete(merged, read_manifest(merged))
        assert (part == "") == (index == 2)
    assert table(merged).equals(table(alone.directory))
    one, other = (read_rewards(directory)[0] for directory in (merged, alone.directory))
    np.testing.assert_array_equal(one.recovered, other.recovered)
    seconds = [entry["run_seconds"] for entry in read_manifest(merged)["programs"]]
    assert seconds == [3.0, 3.0]
    assert Store(merged, resolve(GRID)).missing() == []


def test_what_is_missing_is_told(results, tmp_path, capsys):
    store = store_share(tmp_path / "out", results, Share(1, 4))
    assert len(store.missing()) == 6
    assert main.main(["report", str(store.directory)]) == 0
    printed = capsys.readouterr()
    assert "incomplete: 2 of 8 chunks are there" in printed.err
    assert "incomplete: 2 of 8 chunks" in (store.directory / "report.md").read_text()


def test_a_share_of_something_else_is_refused(results, tmp_path):
    store_share(tmp_path / "a", results, Share(0, 2))
    other = dataclasses.replace(GRID, chunk_size=7)
    with pytest.raises(StoreError, match="chunk_size: 4 there, 7 here"):
        Store(tmp_path / "a", resolve(other), Share(1, 2))
    store_share(tmp_path / "b", ([], []), Share(1, 2), other)
    shutil.copytree(tmp_path / "b", tmp_path / "a", dirs_exist_ok=True)
    with pytest.raises(ReportError, match=r"no part of the sweep.*chunk_size"):
        read_manifest(tmp_path / "a")


def test_a_first_manifest_is_written_once(results, tmp_path):
    store_share(tmp_path, results, Share(0, 2))
    before = (tmp_path / "manifest.json").read_bytes()
    store_share(tmp_path, results, Share(1, 2))
    store_share(tmp_path, results, Share(1, 2))
    assert (tmp_path / "manifest.json").read_bytes() == before
    record = json.loads((tmp_path / "shards" / "1-of-2.json").read_text())
    assert (record["share"], len(record["resumed"])) == ("1/2", 1)


def test_two_processes_may_not_have_the_same_share(tmp_path):
    first, second, other = (
        Store(tmp_path, resolve(SWEEP), Share(*share)) for share in ((0, 2), (0, 2), (1, 2))
    )
    first.begin()
    other.begin()
    with pytest.raises(StoreError, match="another process"):
        second.begin()
    with pytest.raises(StoreError, match="another process"):
        Store(tmp_path, resolve(SWEEP)).begin()
    first.close()
    second.begin()


LINE = ["sweep", "--env", "reset-cliff:num_states=4", "--algorithm", "bc", "--horizons", "3"]
LINE += ["--num-demos", "2", "4", "--seeds", "6", "--chunk-size", "3", "--devices", "1"]


def test_shards_from_the_command_line(tmp_path, capsys):
    out = ["--out", str(tmp_path / "out")]
    assert main.main([*LINE, "--shard", "0/2", *out]) == 0
    assert "Share 0/2 is done; 2 of 4 chunks are there." in capsys.readouterr().out
    assert main.main([*LINE, "--shard", "1/2", *out]) == 0
    assert f"Now: imitax report {tmp_path / 'out'}" in capsys.readouterr().out
    assert main.main(["report", str(tmp_path / "out")]) == 0
    assert main.main([*LINE, "--out", str(tmp_path / "alone")]) == 0
    assert table(tmp_path / "out").equals(table(tmp_path / "alone"))


REFUSED = [
    (["--shard", "2/2"], "0 <= i < n"),
    (["--shard", "0/2", "--distributed"], "exclude each other"),
    (["--executor", "dask-local:2", "--distributed"], "exclude each other"),
    (["--executor", "dask-local:2", "--shard", "0/2"], "exclude each other"),
    (["--executor", "dask-local:0"], "dask-local:4"),
    (["--executor", "ray:2"], "dask:ADDRESS"),
    (["--executor", "dask-local:2"], "--devices has no meaning"),
    (["--process-id", "0"], "need --distributed"),
    (["--distributed"], "begin before JAX"),
    (["--wait", "-1"], "at least 0"),
    (["--wait", "nan"], "at least 0"),
    (["--block", "0"], "block must be"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED, ids=lambda part: str(part)[:40])
def test_what_has_no_meaning_together_is_refused(options, words, tmp_path, capsys):
    assert main.main([*LINE, *options, "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
