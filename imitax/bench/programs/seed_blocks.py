"""How the seeds of a sweep are laid out: the chunk that is stored, the block that is computed.

A *chunk* is dispatched and stored together, the same for a whole sweep; it decides which files
there are. A *block* is what a device computes at once, and decides speed and memory only: small
networks of a few seeds and tables of a hundred stay in a CPU's cache, accelerators take all they
get, and XLA's memory analysis of the compiled program has the last word.
"""

import dataclasses
import math
import os
import time
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from imitax.bench.plans.plan import CHUNK_SIZE, Group, Plan, Sweep, Task, chunk_width
from imitax.bench.programs import instances
from imitax.bench.programs.experiment import Setup
from imitax.bench.programs.program import Pool, Program, seed_mesh
from imitax.core.family import Family
from imitax.core.types import Capacity

NETWORK_BLOCK = 8
"""Seeds of a block where networks are trained on a CPU."""

TABLE_BLOCK = 128
"""Seeds of a block where small tables are learned on a CPU."""

TABLE_BYTES = 4 * 2**20
"""Of one table over times, states and actions, for all seeds of a block: more leave a CPU's caches.
Learners read and write a handful of such tables."""

ACCELERATOR_CHUNK = 2048
"""Seeds of a chunk, at most, where no size is given and JAX does not run on a CPU."""

LARGEST_CHUNK = 16384
"""The search for a chunk size goes no further."""

SEARCH_FROM = 8
"""Chunks of the default size in a cell, from which another size is looked for."""

WORTH = 1.1
"""A chunk of twice the size must bring so many times the seeds per second."""

SEARCH_SHARE = 0.1
"""Of the time that a pair will take, at most, is spent on the search."""

_DEVICE_SHARE, _HOST_SHARE = 0.8, 0.5


class Trial(NamedTuple):
    """One size that was tried."""

    environment: str
    algorithm: str
    chunk_size: int
    seconds: float
    """Of one chunk in the smallest cell, without compilation."""


def default_chunk_size() -> int:
    """Seeds of a chunk, at most, where no size is given or found; the same on every machine."""
    return CHUNK_SIZE if jax.default_backend() == "cpu" else ACCELERATOR_CHUNK


def build(
    sweep: Sweep, group: Group, mesh: Mesh, block: int | None = None, pool: Pool | None = None
) -> Program:
    """Compile the program of a group, in blocks that fit the memory.

    Args:
        sweep: its chunk size and what else is static.
        group: of a plan.
        mesh: from `seed_mesh`.
        block: seeds that a device computes at once, at most; by default `first_block` of them.
        pool: of programs that groups share.
    """
    first = group.tasks[0].algorithm
    setup = Setup(group.env, first.factory, group.capacity, sweep.evaluation_episodes, sweep.curve)
    each = instances.bytes_per_seed(group.env, group.capacity.horizon)
    share = math.ceil(chunk_width(group, sweep.chunk_size) / mesh.size)
    block = min(block or sweep.block or first_block(group) or share, share)
    while True:
        # Equal blocks: 20 seeds in blocks of at most 16 are two of 10.
        block = math.ceil(share / math.ceil(share / block))
        blocks = math.ceil(share / block)
        if each:
            blocks = min(blocks, max(1, instances.LARGEST // (each * block)))
        program = Program(setup, first.config, blocks * block * mesh.size, mesh, block, pool)
        needed, there = program.bytes_per_device, memory_per_device(mesh)
        if needed is None or needed <= there or block == 1:
            return program
        block = max(1, min(block // 2, block * there // needed))


def first_block(group: Group) -> int | None:
    """The block to begin with; None for all that a device gets."""
    if jax.default_backend() != "cpu":
        return None
    return block_on_cpu(group.env, group.tasks[0].algorithm.config, group.capacity)


def block_on_cpu(env: Family, config: Any, capacity: Capacity) -> int:
    """Seeds that a core computes fastest, as measured; a power of two."""
    if trains_network(config):
        return NETWORK_BLOCK
    if not env.is_tabular:
        return TABLE_BLOCK
    table = 4 * capacity.horizon * env.num_states * env.num_actions
    fitting = max(1, TABLE_BYTES // table)
    return max(NETWORK_BLOCK, min(TABLE_BLOCK, 1 << (fitting.bit_length() - 1)))


def trains_network(config: Any) -> bool:
    """Whether the learner of a config is a network."""
    return any(field.name == "hidden" for field in dataclasses.fields(config))


def memory_per_device(mesh: Mesh) -> int:
    """Bytes that one call may need on each device of a mesh."""
    device = mesh.devices.flat[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(_DEVICE_SHARE * stats["bytes_limit"])
    return int(_HOST_SHARE * host_memory() / mesh.size)


def host_memory() -> int:
    """Bytes of physical memory, or of the control group's limit where that is lower."""
    try:
        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        physical = 8 * 2**30  # not a POSIX system
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            return min(physical, int(file.read()))
    except (OSError, ValueError):
        return physical


def find_chunk_size(plan: Plan) -> tuple[int, list[Trial]]:
    """The chunk size of a sweep for which none is given, and what was tried to find it.

    Chunks are doubled as long as that pays, once for each algorithm and kind of its config, and
    the largest size that paid is taken. Nothing is tried where a cell has few chunks of the
    default size, or where the blocks of a network decide the speed.
    """
    size, trials = default_chunk_size(), []
    kinds = {}
    for group in plan.groups:
        algorithm = group.tasks[0].algorithm
        if group.most_seeds > SEARCH_FROM * size and not trains_network(algorithm.config):
            kinds.setdefault((algorithm.factory, type(algorithm.config)), group)
    mesh = seed_mesh(plan.sweep.devices or len(jax.local_devices()))
    for group in kinds.values():
        found = _try_sizes(plan.sweep, group, mesh, default_chunk_size())
        size = max(size, _knee(found))
        trials += found
    return size, trials


def _try_sizes(sweep: Sweep, group: Group, mesh: Mesh, size: int) -> list[Trial]:
    """Time chunks of doubling size until that no longer pays or takes too long."""
    task = min(group.tasks, key=lambda task: min(task.cells))
    seeds = sum(len(own) for task in group.tasks for own in task.cells.values())
    started, trials = time.perf_counter(), []
    while True:
        program = build(dataclasses.replace(sweep, chunk_size=size), group, mesh)
        trials.append(
            Trial(group.env.spec, task.algorithm.spec, size, _seconds(program, task, size))
        )
        spent = time.perf_counter() - started
        expected = seeds * min(one.seconds / one.chunk_size for one in trials)
        share = math.ceil(size / mesh.size)
        whole = 2 * program.block > min(first_block(group) or share, share)
        size *= 2
        larger = size <= min(LARGEST_CHUNK, group.most_seeds)
        if not whole or not larger or not _paid(trials) or 2 * spent > SEARCH_SHARE * expected:
            return trials


def _seconds(program: Program, task: Task, size: int) -> float:
    """Seconds of a chunk in the smallest cell, after one that warms up."""
    cell = min(task.cells)

    def once():
        started = time.perf_counter()
        jax.block_until_ready(program(0, size, *cell, task.algorithm.config))
        return time.perf_counter() - started

    once()
    return once()


def _paid(trials: list[Trial]) -> bool:
    """Whether the last doubling brought enough."""
    if len(trials) < 2:
        return True
    before, last = (one.chunk_size / one.seconds for one in trials[-2:])
    return last >= WORTH * before


def _knee(trials: list[Trial]) -> int:
    """The largest size up to which each doubling paid."""
    paid = len(trials) if _paid(trials) else len(trials) - 1
    return trials[paid - 1].chunk_size
