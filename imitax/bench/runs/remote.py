"""Chunks computed by other processes, through any `concurrent.futures.Executor`.

    from imitax.bench import remote
    from imitax.bench.plans.plan import Sweep, resolve
    results = remote.run(resolve(sweep), executor)     # as `imitax.bench.runs.local.run` yields
    them

A worker gets the sweep as plain data and a chunk, compiles each program once in its life, and
returns the chunk's columns. Only this process stores anything, each chunk once, so a worker may
die at any time: what it had not returned is submitted again.
"""

import collections
import concurrent.futures
import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future
from typing import Any, NamedTuple

import jax

from imitax.bench.plans.plan import Chunk, Group, Plan, Sweep, Task, all_chunks, chunks_of, resolve
from imitax.bench.programs import seed_blocks
from imitax.bench.programs.program import Pool, Program, seed_mesh
from imitax.bench.runs.local import Result, Stats, fetch, stats_of
from imitax.core.errors import SpecError
from imitax.core.version import __version__
from imitax.data import DataError

ATTEMPTS = 4
"""How often a chunk is submitted before its failure is believed."""

AHEAD = 256
"""Chunks that are submitted and not finished, at most."""

_ONE_AT_A_TIME = threading.Lock()
"""A worker with several threads still has only one set of devices."""


class ExecutorError(SpecError):
    """Chunks that could not be computed elsewhere; one line with the remedy."""


class Order(NamedTuple):
    """What a worker is asked for."""

    sweep: Sweep
    chunk: Chunk
    jax_version: str
    x64: bool
    version: str = __version__
    """Of this package."""


def run(
    plan: Plan,
    executor: concurrent.futures.Executor,
    *,
    skip: Callable[[Chunk], bool] = lambda chunk: False,
    on_program: Callable[[Stats], None] = lambda stats: None,
) -> Iterator[Result]:
    """Run a plan on the workers of an executor and yield each chunk when it has come.

    Args:
        plan: from `resolve`.
        executor: its workers can import imitax; its functions and results are pickled.
        skip: whether a chunk is not wanted.
        on_program: called after each chunk with what it cost.

    Raises:
        ExecutorError: a chunk failed `ATTEMPTS` times, or the executor takes no more.
        SpecError: the workers' versions or settings differ from ours.
    """
    # Workers have devices of their own.
    sweep = dataclasses.replace(plan.sweep, devices=None)
    asked = (jax.__version__, bool(jax.config.read("jax_enable_x64")))
    due = collections.deque((chunk, 1) for chunk in all_chunks(plan) if not skip(chunk))
    running: dict[Future, tuple[Chunk, int]] = {}
    try:
        while due or running:
            while due and len(running) < AHEAD:
                chunk, attempt = due.popleft()
                running[_submit(executor, Order(sweep, chunk, *asked))] = (chunk, attempt)
            for future in concurrent.futures.wait(running, return_when=FIRST_COMPLETED).done:
                chunk, attempt = running.pop(future)
                outcome = _outcome(future, chunk, attempt)
                if outcome is None:
                    due.append((chunk, attempt + 1))
                    continue
                on_program(outcome[1])
                yield outcome[0]
    finally:
        for future in running:
            future.cancel()


def _submit(executor: concurrent.futures.Executor, order: Order) -> Future:
    try:
        return executor.submit(work, order)
    except (BrokenExecutor, RuntimeError) as error:
        raise ExecutorError(_broken(error)) from error


def _outcome(future: Future, chunk: Chunk, attempt: int) -> tuple[Result, Stats] | None:
    """What a worker returned; None where it is to be asked again."""
    try:
        return future.result()
    except (SpecError, DataError):
        raise
    except BrokenExecutor as error:
        raise ExecutorError(_broken(error)) from error
    # Whatever a worker's death looks like: each engine has exceptions of its own.
    except (Exception, concurrent.futures.CancelledError) as error:
        if attempt < ATTEMPTS:
            return None
        raise ExecutorError(
            f"{chunk.environment}, {chunk.algorithm}: seeds from {chunk.first_seed} failed "
            f"{attempt} times on the workers ({_line(error)}); try them without --executor"
        ) from error


def _broken(error: BaseException) -> str:
    return (
        f"the executor takes no more chunks ({_line(error)}); run again with a new one, finished "
        "chunks are kept"
    )


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def work(order: Order) -> tuple[Result, Stats]:
    """Compute a chunk; called in a worker.

    Raises:
        SpecError: this process has another JAX, or another precision, than the one that asks.
    """
    here = Order(order.sweep, order.chunk, jax.__version__, bool(jax.config.read("jax_enable_x64")))
    if here != order:
        raise SpecError(
            f"a worker has imitax {here.version}, jax {here.jax_version}, x64 {here.x64}, this "
            f"process {order.version}, {order.jax_version}, {order.x64}; set both up alike"
        )
    with _ONE_AT_A_TIME:
        group, task = _places(order.sweep)[order.chunk]
        compiled_before = _program.cache_info().misses
        program = _program(order.sweep, group.env.spec, group.names)
        is_new = _program.cache_info().misses > compiled_before
        started = time.perf_counter()
        chunk = order.chunk
        place = (chunk.first_seed, chunk.num_seeds, chunk.horizon, chunk.num_demos)
        result = fetch(group, task, chunk, program(*place, task.algorithm.config))
        stats = stats_of(group, program, time.perf_counter() - started)
    return result, stats if is_new else stats._replace(**_NOTHING_COMPILED)


_NOTHING_COMPILED: dict[str, Any] = {
    "compile_seconds": 0.0,
    "num_compilations": 0,
    "cache_hits": 0,
    "cache_misses": 0,
}


@functools.lru_cache(maxsize=2)
def _places(sweep: Sweep) -> dict[Chunk, tuple[Group, Task]]:
    """Where each chunk of a sweep belongs."""
    return {
        chunk: (group, task)
        for group in resolve(sweep).groups
        for task, chunk in chunks_of(group, sweep.chunk_size)
    }


@functools.lru_cache(maxsize=2)
def _pool(sweep: Sweep) -> Pool:
    """Of the programs of a sweep, for as long as its places are known."""
    del sweep
    return Pool()


@functools.lru_cache(maxsize=64)
def _program(sweep: Sweep, environment: str, names: tuple[str, ...]) -> Program:
    """The program of a group of a sweep, on all devices of this process."""
    groups = (group for group, _ in _places(sweep).values())
    found = next(one for one in groups if (one.env.spec, one.names) == (environment, names))
    return seed_blocks.build(sweep, found, seed_mesh(len(jax.local_devices())), pool=_pool(sweep))
