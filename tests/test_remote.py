"""Chunks on other processes: any executor, a real Dask cluster, and a worker that is killed."""

import contextlib
import os
import signal
import sys
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import dask
import distributed
import pandas as pd
import pytest
from test_store import KEYS, table

from imitax.bench.plans.plan import Sweep, all_chunks, resolve
from imitax.bench.results.store import Store
from imitax.bench.runs import dask_cluster, remote
from imitax.bench.runs.local import concatenate, run
from imitax.cli import main
from imitax.core.errors import SpecError

SWEEP = Sweep.grid(["reset-cliff:num_states=4"], ["bc", "dagger"], [3], [2, 3, 4], 12, chunk_size=2)


def rows(results):
    frame = pd.DataFrame(concatenate(result.columns for result in results))
    return frame.sort_values(KEYS, ignore_index=True)


@pytest.fixture(scope="module")
def expected():
    return rows(run(resolve(SWEEP)))


class Here(Executor):
    """Computes in this process, when it is asked; some chunks fail first."""

    def __init__(self, failures=0, error=RuntimeError("worker lost")):
        self.failures, self.error = failures, error

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        if self.failures > 0:
            self.failures -= 1
            future.set_exception(self.error)
        else:
            future.set_result(fn(*args, **kwargs))
        return future


def test_any_executor_gives_the_rows_of_this_process(expected):
    stats = []
    found = list(remote.run(resolve(SWEEP), Here(), on_program=stats.append))
    pd.testing.assert_frame_equal(rows(found), expected, check_exact=True)
    assert sum(one.num_compilations for one in stats) == 2
    assert len(stats) == len(found) == 36


def test_only_what_is_wanted_is_submitted():
    chunk = all_chunks(resolve(SWEEP))[5]
    found = list(remote.run(resolve(SWEEP), Here(), skip=lambda one: one != chunk))
    assert [result.chunk for result in found] == [chunk]


def test_threads_of_a_worker_take_turns(expected):
    with ThreadPoolExecutor(3) as pool:
        found = list(remote.run(resolve(SWEEP), pool))
    pd.testing.assert_frame_equal(rows(found), expected, check_exact=True)


def test_chunks_that_fail_are_submitted_again_a_few_times(expected):
    found = list(remote.run(resolve(SWEEP), Here(failures=3)))
    pd.testing.assert_frame_equal(rows(found), expected, check_exact=True)
    with pytest.raises(SpecError, match=r"failed 4 times .*worker lost"):
        list(remote.run(resolve(SWEEP), Here(failures=10**6)))


def test_a_broken_pool_is_told(expected):
    broken = Here(failures=1, error=BrokenProcessPool("a child died"))
    with pytest.raises(SpecError, match=r"takes no more .*finished chunks are kept"):
        list(remote.run(resolve(SWEEP), broken))


def test_a_worker_that_is_set_up_otherwise_is_refused():
    chunk = all_chunks(resolve(SWEEP))[0]
    with pytest.raises(SpecError, match=r"a worker has imitax .* jax .* set both up alike"):
        remote.work(remote.Order(SWEEP, chunk, "0.0.1", False))


@pytest.mark.slow
def test_a_pool_of_fresh_processes(expected):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = list(remote.run(resolve(SWEEP), pool))
    pd.testing.assert_frame_equal(rows(found), expected, check_exact=True)


def kept(directory):
    """The table that a run in this process stores."""
    store = Store(directory, resolve(SWEEP))
    store.begin()
    for result in run(resolve(SWEEP)):
        store.write(result)
    store.close()
    return table(directory)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_dask_worker_loses_nothing(tmp_path):
    plan = resolve(SWEEP)
    store = Store(tmp_path / "out", plan)
    store.begin()
    with contextlib.ExitStack() as stack:
        here = stack.enter_context(dask_cluster.local(3))
        client = stack.enter_context(distributed.Client(here, set_as_default=False))
        client.wait_for_workers(3)
        workers = client.run(os.getpid)
        assert len(set(workers.values())) == 3
        done = []
        for result in remote.run(plan, client.get_executor(), on_program=store.add_program):
            assert not store.has(result.chunk)
            store.write(result)
            done.append(result.chunk)
            if len(done) == 4:
                os.kill(min(workers.values()), signal.SIGKILL)
        again = client.run(os.getpid)
    assert len(set(again.values()) & set(workers.values())) == 2
    assert sorted(done) == sorted(all_chunks(plan))
    assert table(tmp_path / "out").equals(kept(tmp_path / "alone"))


@pytest.mark.slow
def test_dask_from_the_command_line(tmp_path):
    line = ["sweep", "--env", "reset-cliff:num_states=4", "--algorithm", "bc", "--horizons", "3"]
    line += ["--num-demos", "2", "--seeds", "5", "--chunk-size", "2"]
    assert main.main([*line, "--executor", "dask-local:1", "--out", str(tmp_path / "a")]) == 0
    assert main.main([*line, "--out", str(tmp_path / "b")]) == 0
    assert table(tmp_path / "a").equals(table(tmp_path / "b"))


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SpecError, match=r"imitax\[cluster\]"):
        dask_cluster.check("dask-local:2")


def test_no_scheduler_is_told():
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(SpecError, match="no scheduler answers"),
        dask_cluster.connect("dask:tcp://127.0.0.1:9"),
    ):
        pass
