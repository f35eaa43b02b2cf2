"""Seeds that do not begin at 0: settings are chosen on some seeds and reported on others."""

import json

import numpy as np
import pandas as pd
import pytest
from test_store import KEYS, SWEEP, table

from imitax.bench.errors import StoreError
from imitax.bench.plans import suites
from imitax.bench.plans.plan import LARGEST, Block, Share, Sweep, all_chunks, resolve
from imitax.bench.report.markdown import provenance
from imitax.bench.results.manifest import settings_of
from imitax.bench.results.reading import read_manifest
from imitax.bench.results.store import Store
from imitax.bench.runs.local import collect, run
from imitax.cli import main
from imitax.core.errors import SpecError

GRID = (["reset-cliff:num_states=4"], ["bc"], [3, 4], [2])


def frame(*grid, **options):
    return pd.DataFrame(collect(Sweep.grid(*grid, **options))).sort_values(KEYS, ignore_index=True)


@pytest.fixture(scope="module")
def whole():
    """Seeds 0 to 8."""
    return frame(*GRID, seeds=9)


@pytest.mark.parametrize("chunk_size", [2, 100])
def test_rows_are_those_of_the_same_seeds_from_zero(whole, chunk_size):
    found = frame(*GRID, seeds=5, first_seed=4, chunk_size=chunk_size)
    expected = whole[whole["seed"] >= 4].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_chunks_begin_at_the_first_seed_and_are_equal():
    plan = resolve(Sweep.grid(["reset-cliff"], ["bc"], [4], [3], 7, first_seed=10, chunk_size=3))
    chunks = [(chunk.first_seed, chunk.num_seeds) for chunk in all_chunks(plan)]
    assert chunks == [(10, 3), (13, 3), (16, 1)]


def test_the_first_chunk_brings_the_reward_map():
    grid = ["gridworld:size=3x2,goal=2x1"], ["maxent-irl:num_steps=3"], [3, 4], [2]
    sweep = Sweep.grid(*grid, seeds=4, first_seed=6)
    results = list(run(resolve(sweep)))
    assert [(one.chunk.horizon, one.chunk.first_seed) for one in results if one.rewards] == [(4, 6)]


def stored(directory, sweep, share=Share(0, 1)):
    plan = resolve(sweep)
    store = Store(directory, plan, share)
    store.begin()
    wanted = set(store.wanted())
    for result in run(plan, skip=lambda chunk: chunk not in wanted):
        store.write(result)
    store.end()
    store.close()
    return store


def test_shares_make_the_same_table_and_nothing_runs_twice(whole, tmp_path):
    sweep = Sweep.grid(*GRID, seeds=5, first_seed=4, chunk_size=2)
    for index in range(3):
        store = stored(tmp_path, sweep, Share(index, 3))
    assert store.missing() == []
    expected = whole[whole["seed"] >= 4].reset_index(drop=True)
    found = table(tmp_path)
    for name in ("seed", "regret", "learner_return"):
        np.testing.assert_array_equal(found[name], expected[name])
    assert "| seeds | 5, from 4 |" in provenance(read_manifest(tmp_path))


def test_other_seeds_are_refused_and_settings_from_zero_are_as_before(tmp_path):
    grid = (["reset-cliff"], ["bc"], [4, 6], [3], 7)
    store = stored(tmp_path / "a", Sweep.grid(*grid, first_seed=7, chunk_size=4))
    assert store.manifest["settings"]["blocks"][0]["first_seed"] == 7
    with pytest.raises(StoreError, match="first_seed: 7 there, null here"):
        Store(tmp_path / "a", resolve(SWEEP))
    assert "first_seed" not in json.dumps(settings_of(resolve(SWEEP)))


def test_blocks_join_their_seeds_or_are_refused():
    block = Block(("reset-cliff",), ("bc",), ((4, 3),), 5, 10)
    for first, seeds, joined in ((12, 9, (10, 11)), (15, 2, (10, 7)), (3, 7, (3, 12))):
        plan = resolve(Sweep((block, Block(*GRID_ONE, seeds, first))))
        (chunk,) = all_chunks(plan)
        assert (chunk.first_seed, chunk.num_seeds) == joined
        assert plan.sweep.blocks[1].first_seed == first
    with pytest.raises(SpecError, match=r"10 to 14 in one block and 16 to 17 .* two sweeps"):
        resolve(Sweep((block, Block(*GRID_ONE, 2, 16))))


GRID_ONE = (("reset-cliff",), ("bc",), ((4, 3),))


@pytest.mark.parametrize(
    ("seeds", "first"), [(2, LARGEST), (1, -1), (LARGEST, 2), (3, 2.5), (1, True)]
)
def test_seeds_that_are_no_int32_are_refused(seeds, first):
    with pytest.raises(SpecError, match=f"first seed must be .* got {first}"):
        resolve(Sweep((Block(*GRID_ONE, seeds, first),)))


def test_the_last_seeds_are_seeds():
    rows = frame(["reset-cliff"], ["bc"], [4], [3], seeds=3, first_seed=LARGEST - 2)
    assert rows["seed"].tolist() == [LARGEST - 2, LARGEST - 1, LARGEST]
    assert np.isfinite(rows["regret"]).all()


SUITE = """
first_seed = 50
seeds = 4
[[block]]
environments = ["reset-cliff"]
algorithms = ["bc"]
horizons = [4]
num_demos = [3]
[[block]]
environments = ["reset-cliff"]
algorithms = ["expert"]
horizons = [4]
num_demos = [3]
first_seed = 8
seeds = 2
"""


def test_suites_say_where_seeds_begin():
    def first(text, **options):
        return [block.first_seed for block in suites.parse(text, "x", "x", **options).blocks]

    assert first(SUITE) == [50, 8]
    assert first(SUITE, first_seed=7) == [7, 8]
    assert first(SUITE, first_seed=0) == [0, 8]
    assert first(SUITE.replace("first_seed = 50", "")) == [0, 8]
    with pytest.raises(SpecError, match="first_seed must be a whole number"):
        first(SUITE.replace("50", "0.5"))


def test_the_commands_take_a_first_seed(tmp_path, capsys):
    line = ["sweep", "--env", "reset-cliff", "--algorithm", "bc", "--horizons", "4"]
    line += ["--num-demos", "3", "--seeds", "4", "--first-seed", "50", "--out", str(tmp_path / "a")]
    assert main.main(line) == 0
    (tmp_path / "suite.toml").write_text(SUITE.replace("50", "1"))
    line = ["run", str(tmp_path / "suite.toml"), "--first-seed", "50", "--out", str(tmp_path / "b")]
    assert main.main(line) == 0
    one, other = table(tmp_path / "a"), table(tmp_path / "b")
    assert one["seed"].tolist() == [50, 51, 52, 53]
    cloned = other[other["algorithm"] == "bc"].reset_index(drop=True)
    # With a control beside it a column may hold nothing, and is of objects.
    pd.testing.assert_frame_equal(one.astype(object), cloned.astype(object), check_exact=True)
    assert other["seed"][other["algorithm"] == "expert"].tolist() == [8, 9]
    assert main.main([*line[:-4], "--first-seed", "-1", "--out", str(tmp_path / "c")]) == 2
    assert "first seed" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
