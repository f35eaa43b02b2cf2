"""Running a sweep, without a disk.

    from imitax.bench.runs.local import Sweep, collect
    sweep = Sweep.grid(["reset-cliff"], ["bc", "dagger"], [8, 16, 32], [100], seeds=1000)
    columns = collect(sweep)          # one row per environment, algorithm, cell and seed

`resolve` checks everything and compiles nothing; `run` yields the columns of one chunk of seeds
at a time.
"""

import collections
import concurrent.futures
import functools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import jax
import numpy as np

from imitax.bench import schema
from imitax.bench.plans.plan import (
    Block,
    Chunk,
    Group,
    Plan,
    Sweep,
    Task,
    chunks_of,
    largest_cell,
    resolve,
)
from imitax.bench.programs import curves, seed_blocks
from imitax.bench.programs.experiment import Output, Row
from imitax.bench.programs.program import Pool, Program, seed_mesh
from imitax.core.types import Algorithm

__all__ = ["Block", "Plan", "Result", "Stats", "Sweep", "collect", "concatenate", "resolve", "run"]


class Stats(NamedTuple):
    """What a program cost in this run."""

    environment: str
    algorithms: tuple[str, ...]
    compile_seconds: float
    run_seconds: float
    num_compilations: int
    cache_hits: int = 0
    """Compilations that the persistent cache had; neither is counted where it is off."""
    cache_misses: int = 0
    block: int | None = None
    """Seeds that a device computes at once."""
    bytes_per_seed: int | None = None
    """Memory of a call on a device by XLA's analysis, divided by the block."""


class Result(NamedTuple):
    """A finished chunk."""

    chunk: Chunk
    columns: dict[str, np.ndarray]
    """One array of `chunk.num_seeds` values per column."""
    rewards: tuple[np.ndarray, np.ndarray] | None
    """True and recovered reward, mean over the chunk's finite seeds, [rows, columns]; only for the
    first chunk of the largest cell of a pair that recovers the reward of a grid."""
    curve: dict[str, np.ndarray] | None = None
    """Columns of the learning curves, a row per seed and checkpoint, if the sweep has any."""


def run(
    plan: Plan,
    *,
    skip: Callable[[Chunk], bool] = lambda chunk: False,
    on_program: Callable[[Stats], None] = lambda stats: None,
    compilers: int = 0,
    block_of: Callable[[Group], int | None] = lambda group: None,
) -> Iterator[Result]:
    """Run a plan and yield each chunk as it is finished.

    While the caller stores a chunk, the next is computed; there are never more than two.

    Args:
        plan: from `resolve`.
        skip: whether a chunk is not wanted; a program without wanted chunks is not compiled.
        on_program: called after each program with what it cost.
        compilers: threads that compile the next programs meanwhile; with 0 each is compiled when
            it is due, in this thread, where JAX's context managers such as `enable_x64` hold.
        block_of: the block of a program that has one already; by default `layout` chooses.
    """
    mesh = seed_mesh(plan.sweep.devices or len(jax.local_devices()))
    work, pool = [], Pool()
    for group in plan.groups:
        chunks = chunks_of(group, plan.sweep.chunk_size)
        wanted = [pair for pair in chunks if not skip(pair[1])]
        if wanted:
            work.append((group, wanted))
    makers = [
        functools.partial(seed_blocks.build, plan.sweep, group, mesh, block_of(group), pool)
        for group, _ in work
    ]
    for (group, wanted), program in zip(work, _ahead(makers, compilers), strict=True):
        yield from _run_group(group, wanted, program, on_program)


def _ahead(makers: list[Callable[[], Program]], threads: int) -> Iterator[Program]:
    """Call every maker and yield what it made, in order, up to `threads` of them ahead."""
    if threads == 0:
        yield from (maker() for maker in makers)
        return
    pool = concurrent.futures.ThreadPoolExecutor(threads)
    try:
        due = collections.deque(pool.submit(maker) for maker in makers[: threads + 1])
        for maker in [*makers[threads + 1 :], *[None] * len(due)]:
            yield due.popleft().result()
            if maker is not None:
                due.append(pool.submit(maker))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _run_group(group, wanted, program, on_program) -> Iterator[Result]:
    started = time.perf_counter()
    waiting = None
    for task, chunk in [*wanted, (None, None)]:
        # The next chunk is dispatched before the last one is fetched.
        sent = None
        if chunk is not None:
            place = (chunk.first_seed, chunk.num_seeds, chunk.horizon, chunk.num_demos)
            sent = (task, chunk, program(*place, task.algorithm.config))
        if waiting is not None:
            yield fetch(group, *waiting)
        waiting = sent
    on_program(stats_of(group, program, time.perf_counter() - started))


def stats_of(group: Group, program: Program, run_seconds: float) -> Stats:
    """What a program cost, with the seconds that its chunks took."""
    needed = program.bytes_per_device
    return Stats(
        group.env.spec,
        group.names,
        program.compile_seconds,
        run_seconds,
        program.num_compilations,
        program.cache.hits,
        program.cache.misses,
        program.block,
        None if needed is None else needed // program.block,
    )


def fetch(group: Group, task: Task, chunk: Chunk, output: Output) -> Result:
    """Wait for a chunk that was dispatched, and make columns of it."""
    row, found, points = jax.tree.map(lambda leaf: np.asarray(leaf)[: chunk.num_seeds], output)
    curve = None if points is None else curves.to_columns(points, chunk)
    columns = _columns(row, chunk, task.algorithm.build(group.env))
    cell = largest_cell(task)
    first = (*cell, task.cells[cell].start)
    is_first = (chunk.horizon, chunk.num_demos, chunk.first_seed) == first
    if found is None or not is_first:
        return Result(chunk, columns, None, curve)
    finite, shape = np.asarray(row.outcome.finite, bool), group.env.grid_size
    if not finite.any():
        return Result(chunk, columns, None, curve)
    true, recovered = (np.mean(leaf[finite], axis=0).reshape(shape) for leaf in found)
    # A recovered reward is identified up to a constant at best.
    return Result(chunk, columns, (true, recovered - recovered.min()), curve)


def _columns(row: Row, chunk: Chunk, algorithm: Algorithm) -> dict[str, np.ndarray]:
    count = chunk.num_seeds
    keys = schema.key_columns(*chunk[:4], chunk.first_seed + np.arange(count))
    metrics = row.metrics
    # Only learners that report a gap can be said to have closed it.
    iterates = np.isfinite(metrics.moment_gap) | np.isfinite(metrics.equilibrium_gap)
    rest = {"iterations": row.iterations, "converged": np.where(iterates, row.converged, -1)}
    named = row.outcome._asdict() | metrics._asdict() | row.reward._asdict() | rest
    said = {
        "status": np.where(row.outcome.finite, "ok", "diverged").astype(object),
        "knows_dynamics": np.full(count, algorithm.knows_dynamics),
        "reward_form": np.full(count, algorithm.reward_form, object),
    }
    return keys | schema.number_columns(named) | said


def concatenate(results: Iterable[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """One table of columns from those of several chunks."""
    parts = list(results)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def collect(sweep: Sweep) -> dict[str, np.ndarray]:
    """Run a sweep in memory.

    Returns:
        Columns of equal length, one row per (environment, algorithm, horizon, num_demos, seed);
        `pandas.DataFrame(collect(sweep))` makes a table of them.

    Raises:
        SpecError: the sweep has no meaning.
    """
    return concatenate(result.columns for result in run(resolve(sweep)))
