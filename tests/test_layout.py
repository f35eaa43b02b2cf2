"""`imitax.bench.programs.seed_blocks`: chunks that are stored, blocks that are computed, memory
that suffices.
"""

import numpy as np
import pytest

from imitax import catalogue
from imitax.bench.plans.plan import CHUNK_SIZE, Sweep, resolve
from imitax.bench.programs import seed_blocks
from imitax.bench.programs.program import seed_mesh
from imitax.bench.runs.local import Stats, run
from imitax.core.types import Capacity

LANE = "bc:num_steps=2,hidden=8,batch_size=8"


def planned(environment="reset-cliff:num_states=4", algorithm="bc", seeds=20, **options):
    return resolve(Sweep.grid([environment], [algorithm], [3], [2], seeds, **options))


@pytest.mark.parametrize(
    ("seeds", "asked", "block", "width"),
    [(20, None, 20, 20), (20, 16, 10, 20), (21, 16, 11, 22), (5, 16, 5, 5), (7, 3, 3, 9)],
)
def test_blocks_are_equal_and_cover_the_chunk(seeds, asked, block, width):
    plan = planned(seeds=seeds, block=asked)
    program = seed_blocks.build(plan.sweep, plan.groups[0], seed_mesh(1))
    assert (program.block, program.width) == (block, width)


def test_networks_come_in_small_blocks_on_a_cpu_and_tables_in_larger_ones():
    small = planned("lane", LANE, seeds=64).groups[0]
    assert seed_blocks.first_block(small) == seed_blocks.NETWORK_BLOCK
    assert seed_blocks.first_block(planned().groups[0]) == seed_blocks.TABLE_BLOCK
    assert seed_blocks.first_block(planned(algorithm="expert").groups[0]) == seed_blocks.TABLE_BLOCK
    assert (
        seed_blocks.first_block(planned(algorithm="bc:policy=mlp").groups[0])
        == seed_blocks.NETWORK_BLOCK
    )


def test_large_tables_come_in_smaller_blocks():
    """A block's tables over times, states and actions are at most so many bytes of float32."""
    config, sizes = planned().groups[0].tasks[0].algorithm.config, []
    for states, horizon in ((10, 64), (100, 64), (100, 400), (100, 100_000)):
        env = catalogue.environment(f"reset-cliff:num_states={states},num_actions=5")
        block = seed_blocks.block_on_cpu(env, config, Capacity(horizon, 1))
        sizes.append(block)
        table = 4 * horizon * states * 5
        assert block * table <= seed_blocks.TABLE_BYTES or block == seed_blocks.NETWORK_BLOCK
        assert 2 * block * table > seed_blocks.TABLE_BYTES or block == seed_blocks.TABLE_BLOCK
    assert sizes == [128, 32, 8, 8]


def test_a_block_shrinks_until_it_fits_the_memory(monkeypatch):
    plan = planned(seeds=64)
    whole = seed_blocks.build(plan.sweep, plan.groups[0], seed_mesh(1))
    assert whole.block == 64
    monkeypatch.setattr(seed_blocks, "memory_per_device", lambda mesh: whole.bytes_per_device // 3)
    fitting = seed_blocks.build(plan.sweep, plan.groups[0], seed_mesh(1))
    assert fitting.bytes_per_device <= whole.bytes_per_device // 3
    assert 1 < fitting.block < 64
    monkeypatch.setattr(seed_blocks, "memory_per_device", lambda mesh: 0)
    assert seed_blocks.build(plan.sweep, plan.groups[0], seed_mesh(1)).block == 1


def test_what_a_program_needs_is_told():
    stats = []
    list(run(planned(seeds=8, block=4), on_program=stats.append))
    assert isinstance(stats[0], Stats)
    assert (stats[0].block, stats[0].bytes_per_seed > 0) == (4, True)


def test_memory_at_hand_is_a_share_of_the_machine():
    one, host = seed_blocks.memory_per_device(seed_mesh(1)), seed_blocks.host_memory()
    assert 2**28 < one < host


def seconds_of(rates):
    """Programs whose chunks take a known time, in place of compiled ones."""

    class Timed:
        def __init__(self, size):
            self.block, self.width = size, size

    def build(sweep, group, mesh):
        return Timed(sweep.chunk_size)

    return build, lambda program, task, size: size / rates[size]


SEARCHES = {
    "saturated": ([1e5, 1.05e5], 1, 2),
    "knee": ([1e5, 1.9e5, 3e5, 3.1e5], 4, 4),
    "every chunk pays": (
        [1e5, 2e5, 4e5, 8e5, 16e5, 32e5],
        seed_blocks.LARGEST_CHUNK // CHUNK_SIZE,
        5,
    ),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_chunks_are_doubled_as_long_as_that_pays(name, monkeypatch):
    rates, factor, tried = SEARCHES[name]
    rates = {CHUNK_SIZE * 2**k: rate for k, rate in enumerate(rates)}
    build, seconds = seconds_of(rates)
    monkeypatch.setattr(seed_blocks, "build", build)
    monkeypatch.setattr(seed_blocks, "_seconds", seconds)
    monkeypatch.setattr(seed_blocks, "SEARCH_SHARE", np.inf)
    found, trials = seed_blocks.find_chunk_size(planned(seeds=10**6))
    assert found == factor * CHUNK_SIZE
    assert [trial.chunk_size for trial in trials] == [CHUNK_SIZE * 2**k for k in range(tried)]


def test_nothing_is_tried_where_it_cannot_pay(monkeypatch):
    monkeypatch.setattr(seed_blocks, "build", None)
    assert seed_blocks.find_chunk_size(planned(seeds=8 * CHUNK_SIZE)) == (CHUNK_SIZE, [])
    assert seed_blocks.find_chunk_size(planned("lane", LANE, seeds=16384)) == (CHUNK_SIZE, [])


def test_a_search_takes_a_small_part_of_the_run(monkeypatch):
    build, seconds = seconds_of({CHUNK_SIZE * 2**k: 1e9 * 2**k for k in range(8)})
    monkeypatch.setattr(seed_blocks, "build", build)
    monkeypatch.setattr(seed_blocks, "_seconds", seconds)
    assert len(seed_blocks.find_chunk_size(planned(seeds=8 * CHUNK_SIZE + 1))[1]) == 1
