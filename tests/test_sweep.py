"""Sweeps: grids as data, programs that compile once, rows that mean one thing."""

import os
import subprocess
import sys

import jax
import numpy as np
import pandas as pd
import pytest

from imitax.algorithms.interactive.dagger import TabularDaggerConfig
from imitax.bench.plans.plan import Block, Sweep, all_chunks, chunks_of, largest_cell, resolve
from imitax.bench.programs.program import as_arguments
from imitax.bench.runs.local import collect, concatenate, run
from imitax.bench.schema import RESULTS
from imitax.core.errors import SpecError

KEYS = ["environment", "algorithm", "horizon", "num_demos", "seed"]


def frame(sweep):
    return pd.DataFrame(collect(sweep)).sort_values(KEYS, ignore_index=True)


@pytest.fixture(scope="module")
def ran():
    """A sweep of two structures, three specs, with what each program cost."""
    algorithms = ["bc", "dagger:beta=0.1", "dagger:beta=0.2"]
    sweep = Sweep.grid(["reset-cliff"], algorithms, [4, 8], [3, 9], seeds=7, chunk_size=3)
    stats = []
    results = list(run(resolve(sweep), on_program=stats.append))
    return sweep, results, stats


def test_columns_are_those_of_the_files(ran):
    columns = concatenate(result.columns for result in ran[1])
    assert set(columns) == set(RESULTS.names)
    assert {len(column) for column in columns.values()} == {3 * 4 * 7}
    assert columns["seed"].dtype == np.int64
    assert columns["regret"].dtype == np.float64
    assert set(columns["status"]) == {"ok"}
    assert not columns["knows_dynamics"].any()


def test_every_cell_has_every_seed_once(ran):
    rows = pd.DataFrame(concatenate(result.columns for result in ran[1]))
    cells = rows.groupby(KEYS[:4])["seed"].apply(lambda seeds: sorted(seeds.tolist()))
    assert len(cells) == 12
    assert all(seeds == list(range(7)) for seeds in cells)


def test_float_settings_share_one_program(ran):
    assert [stats.algorithms for stats in ran[2]] == [
        ("bc",),
        ("dagger:beta=0.1", "dagger:beta=0.2"),
    ]
    assert [stats.num_compilations for stats in ran[2]] == [1, 1]
    assert all(stats.compile_seconds > 0 for stats in ran[2])


def test_a_shared_program_still_reads_the_setting(ran):
    rows = pd.DataFrame(concatenate(result.columns for result in ran[1]))
    share = {name: own["regret"].to_numpy() for name, own in rows.groupby("algorithm")}
    assert np.any(share["dagger:beta=0.1"] != share["dagger:beta=0.2"])
    alone = frame(Sweep.grid(["reset-cliff"], ["dagger:beta=0.2"], [4, 8], [3, 9], seeds=7))
    both = rows[rows["algorithm"] == "dagger:beta=0.2"].sort_values(KEYS, ignore_index=True)
    pd.testing.assert_frame_equal(alone, both)


def test_chunks_are_equal_and_padding_is_dropped(ran):
    group = resolve(ran[0]).groups[0]
    first = [chunk for _, chunk in chunks_of(group, 3) if (chunk[2], chunk[3]) == (4, 3)]
    assert [(chunk.first_seed, chunk.num_seeds) for chunk in first] == [(0, 3), (3, 3), (6, 1)]
    assert all(len(result.columns["seed"]) == result.chunk.num_seeds for result in ran[1])


def test_rows_do_not_depend_on_the_other_cells_or_the_chunk():
    specs = (["recoverable-cliff"], ["dagger:unseen=first", "bc"])
    small = frame(Sweep.grid(*specs, [6], [4], seeds=9))
    large = frame(Sweep.grid(*specs, [3, 6, 17], [2, 4, 11], seeds=12, chunk_size=5))
    here = (large["horizon"] == 6) & (large["num_demos"] == 4) & (large["seed"] < 9)
    pd.testing.assert_frame_equal(small, large[here].reset_index(drop=True))


def test_chunk_partition_is_even():
    sweep = Sweep.grid(["reset-cliff"], ["bc"], [4], [3], seeds=600, chunk_size=512)
    assert [chunk.num_seeds for chunk in all_chunks(resolve(sweep))] == [300, 300]


def test_skipped_chunks_are_not_run_and_nothing_is_compiled_for_none(ran):
    plan, stats = resolve(ran[0]), []
    done = {result.chunk for result in ran[1] if result.chunk.algorithm != "bc"}
    left = [result.chunk for result in run(plan, skip=done.__contains__, on_program=stats.append)]
    assert {chunk.algorithm for chunk in left} == {"bc"}
    assert [one.algorithms for one in stats] == [("bc",)]


def test_compiling_ahead_changes_nothing(ran):
    results = list(run(resolve(ran[0]), compilers=2))
    assert [result.chunk for result in results] == [result.chunk for result in ran[1]]
    ahead, due = (concatenate(result.columns for result in part) for part in (results, ran[1]))
    pd.testing.assert_frame_equal(pd.DataFrame(ahead), pd.DataFrame(due), check_exact=True)


def test_controls_and_not_applicable():
    sweep = Sweep.grid(
        ["standard-imitation", "lane"], ["expert", "noisy-expert:epsilon=0.50"], [3], [2], 4
    )
    plan = resolve(sweep)
    assert [(entry["environment"], entry["algorithm"]) for entry in plan.not_applicable] == [
        ("lane", "noisy-expert:epsilon=0.5")
    ]
    assert "tabular" in plan.not_applicable[0]["reason"]
    rows = frame(Sweep.grid(["standard-imitation"], ["expert"], [3], [2], 4))
    assert rows["regret"].tolist() == [0.0] * 4
    assert rows["converged"].isna().all()


def test_equal_specs_are_one():
    twice = ("recoverable-cliff", "recoverable-cliff:labels=state")
    names = ("bc", "bc:unseen=uniform")
    cells = ((4, 3), (4, 3))
    plan = resolve(Sweep((Block(twice, names, cells, 2), Block(twice[:1], names, cells[:1], 5))))
    assert plan.sweep.blocks[0] == Block(twice[:1], names[:1], cells[:1], 2)
    assert [(chunk.num_seeds, chunk.horizon) for chunk in all_chunks(plan)] == [(5, 4)]


def test_a_diverged_seed_is_kept_and_named():
    rows = frame(Sweep.grid(["lane"], ["bc:hidden=8,learning_rate=3e38"], [4], [2], seeds=3))
    assert rows["status"].tolist() == ["diverged"] * 3
    assert rows["seed"].tolist() == [0, 1, 2]


def test_the_reward_of_a_grid_comes_with_its_largest_cell():
    sweep = Sweep.grid(
        ["gridworld:size=3x4,goal=2x3"], ["maxent-irl"], [4, 8], [5], 6, chunk_size=3
    )
    results = list(run(resolve(sweep)))
    mapped = [result for result in results if result.rewards is not None]
    assert [(result.chunk.horizon, result.chunk.first_seed) for result in mapped] == [(8, 0)]
    true, recovered = mapped[0].rewards
    assert true.shape == recovered.shape == (3, 4)
    assert np.argmax(true) == 11
    assert recovered.min() == 0.0
    assert recovered.max() > 0.0
    columns = results[-1].columns
    assert np.isfinite(columns["expected_value_difference"]).all()
    assert columns["knows_dynamics"].all()
    assert set(columns["converged"]) <= {True, False}


def test_largest_cell_prefers_the_longer_horizon():
    sweep = Sweep.grid(["reset-cliff"], ["bc"], [8, 16], [8, 16], seeds=1)
    task = resolve(sweep).groups[0].tasks[0]
    assert largest_cell(task) == (16, 16)
    assert largest_cell(task._replace(cells={(8, 16): 1, (16, 8): 1})) == (16, 8)


def test_floats_become_arrays_of_the_working_precision():
    given = as_arguments(TabularDaggerConfig(beta=0.1))
    assert {leaf.dtype for leaf in jax.tree.leaves(given)} == {np.dtype("float32")}
    assert given.schedule == "constant"


BAD = [
    ({"environments": ["reset-clif"]}, "unknown environment 'reset-clif'", "'reset-cliff'"),
    ({"environments": ["reset-cliff:num_state=3"]}, "num_state", "did you mean 'num_states'"),
    ({"environments": ["reset-cliff:num_states=1"]}, "num_states=1", ">= 2"),
    ({"environments": ["gridworld:goal=9x9"]}, "goal=9x9", "goal=4x4"),
    ({"environments": ["reset-cliff:initial=rajaraman"], "num_demos": [3]}, "rajaraman", ">= 7"),
    ({"environments": []}, "no environments", "nothing to run"),
    ({"algorithms": ["dager"]}, "unknown algorithm 'dager'", "did you mean 'dagger'"),
    ({"algorithms": ["bc:unseen=firs"]}, "unseen=firs", "did you mean 'first'"),
    ({"algorithms": ["dagger:beta=1.5"]}, "beta=1.5", "<= 1.0"),
    ({"algorithms": ["dagger:schedule=linear,beta=0.5"]}, "beta=0.5", "schedule=linear"),
    ({"algorithms": ["bc:loss=mse"]}, "loss=mse", "other representation"),
    ({"environments": ["lane"], "algorithms": ["bc:unseen=first"]}, "unseen=first", "lane"),
    ({"environments": ["lane"], "algorithms": ["noisy-expert"]}, "nothing to run", "tabular"),
    ({"environments": ["lane"], "algorithms": ["gail:learning_rate=0"]}, "learning_rate=0", "> 0"),
    ({"horizons": [8, 0]}, "horizon must be", "got 0"),
    ({"horizons": []}, "no horizons", "nothing to run"),
    ({"num_demos": [-1]}, "num-demos must be", "got -1"),
    ({"horizons": [2**20], "num_demos": [2**12]}, "more labels", "lower one"),
    ({"seeds": 0}, "seeds must be", "got 0"),
    ({"seeds": 2**31}, "seeds must be", str(2**31 - 1)),
    ({"chunk_size": 0}, "chunk size must be", "got 0"),
    ({"devices": 0}, "devices must be", "got 0"),
]


@pytest.mark.parametrize(("changes", "value", "hint"), BAD, ids=lambda part: str(part)[:40])
def test_what_has_no_meaning_is_refused_in_one_line(changes, value, hint):
    grid = {
        "environments": ["reset-cliff"],
        "algorithms": ["bc"],
        "horizons": [8],
        "num_demos": [9],
    }
    with pytest.raises(SpecError) as refused:
        resolve(Sweep.grid(**({"seeds": 2} | grid | changes)))
    message = str(refused.value)
    assert value in message
    assert hint in message
    assert "\n" not in message


DEVICES = """
import sys, jax, numpy as np
from imitax.bench.runs.local import Sweep, collect
columns = collect(Sweep.grid(["reset-cliff"], ["bc", "dagger"], [5], [4], seeds=5, chunk_size=3))
print(len(jax.devices()))
np.savez(sys.argv[1], **{name: columns[name] for name in ("seed", "regret", "learner_return")})
"""


def test_tabular_rows_do_not_depend_on_the_number_of_devices(tmp_path):
    stored = []
    for count in ("1", "2"):
        path = tmp_path / f"{count}.npz"
        done = subprocess.run(
            [sys.executable, "-c", DEVICES, str(path)],
            env=os.environ | {"JAX_NUM_CPU_DEVICES": count, "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.stdout.strip() == count, done.stderr
        stored.append(np.load(path))
    for name in stored[0].files:
        np.testing.assert_array_equal(stored[0][name], stored[1][name])
