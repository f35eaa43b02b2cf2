"""`--distributed`: two real processes that JAX lets meet, and one result set."""

import os
import socket
import subprocess
import sys
import time

import pytest
from test_store import table

from imitax.bench.results.reading import read_manifest

LINE = ["sweep", "--env", "reset-cliff:num_states=4", "--algorithm", "bc", "dagger"]
LINE += ["--horizons", "3", "--num-demos", "2", "4", "--seeds", "10", "--chunk-size", "4"]


def start(out, *options):
    env = {key: value for key, value in os.environ.items() if key != "JAX_NUM_CPU_DEVICES"}
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "imitax.cli.start",
            *LINE,
            "--devices",
            "2",
            "--out",
            str(out),
            *options,
        ],
        env=env | {"JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def meeting(index, count=2, *, port):
    return [
        *("--distributed", "--coordinator", f"127.0.0.1:{port}"),
        *("--num-processes", str(count), "--process-id", str(index)),
    ]


@pytest.fixture
def port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def finish(processes):
    """Status, standard output and standard error of each process."""
    try:
        printed = [process.communicate(timeout=400) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(one.returncode, *text) for one, text in zip(processes, printed, strict=True)]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_make_one_result_set(tmp_path, port):
    out = tmp_path / "out"
    first, second = finish([start(out, *meeting(index, port=port)) for index in (0, 1)])
    assert (first[0], second[0]) == (0, 0), (first, second)
    assert "report.md" in first[1]
    assert "Share 1/2 is done" in second[1]
    assert "incomplete" not in (out / "report.md").read_text()
    assert sorted(path.name for path in (out / "shards").iterdir()) == [
        "0-of-2.json",
        "1-of-2.json",
    ]
    manifest = read_manifest(out)
    assert manifest["chunks"] == len(list((out / "results").iterdir())) == 12
    assert [entry["num_compilations"] for entry in manifest["programs"]] == [2, 2]
    (alone,) = finish([start(tmp_path / "alone")])
    assert alone[0] == 0, alone
    assert table(out).equals(table(tmp_path / "alone"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_process_that_dies_takes_nothing_along(tmp_path, port):
    out = tmp_path / "out"
    survivor = start(out, *meeting(0, port=port), "--wait", "1")
    victim = start(out, *meeting(1, port=port))
    # Dies when it has met the other and would begin.
    for line in iter(lambda: (out / "shards").exists(), True):
        assert line is False
        time.sleep(0.01)
        if victim.poll() is not None:
            break
    victim.kill()
    status, _, errors = finish([survivor])[0]
    assert status == 2, errors
    assert "run the same command again" in errors
    done = {path.name for path in (out / "results").iterdir()}
    assert 6 <= len(done) < 12
    (again,) = finish([start(out)])
    assert again[0] == 0, again
    assert len(table(out)) == 40
    victim.communicate()


@pytest.mark.slow
def test_where_nothing_can_be_detected_the_options_are_named(tmp_path):
    ((status, _, errors),) = finish([start(tmp_path / "out", "--distributed")])
    assert status == 2
    assert "--coordinator HOST:PORT" in errors
    assert errors.count("\n") == 1
