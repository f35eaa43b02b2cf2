"""The picture that grows while a sweep is computed, and the names at the ends of its curves."""

import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from test_report import rows_of, store

from imitax.bench.plans.plan import ALONE, Share, Sweep, all_chunks, resolve
from imitax.bench.report.figures.panels import spread
from imitax.bench.report.write import ReportError, write_overview
from imitax.cli import sweep

PLACES = ["reset-cliff", "standard-imitation", "recoverable-cliff"]


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Runs the chunks of a small plan past `_early_pictures`; what was drawn then."""
    plan = resolve(Sweep.grid(PLACES, ["bc", "expert"], [3, 4], [5], 6, chunk_size=4))

    def run(share=ALONE, there=()):
        calls = []
        monkeypatch.setattr(sweep, "_draw_early", lambda *given: calls.append(given[1:]))
        directory = SimpleNamespace(has=lambda c: c in there, share=share, directory=tmp_path)
        with sweep._early_pictures(plan, directory) as note:
            for chunk in all_chunks(plan):
                if chunk not in there:
                    note(chunk)
                    time.sleep(0.02)  # what waits at the end is not drawn
        return calls

    return plan, run


def test_each_complete_environment_is_drawn_but_the_last(drawn):
    """The last one is in the report that follows."""
    assert drawn[1]() == [(PLACES[:1], 3), (PLACES[:2], 3)]


def test_a_run_that_continues_draws_what_was_there(drawn):
    plan, run = drawn
    there = [chunk for chunk in all_chunks(plan) if chunk.environment == PLACES[2]]
    assert run(there=there) == [([PLACES[0], PLACES[2]], 3)]


def test_one_process_of_several_draws_nothing(drawn):
    assert drawn[1](share=Share(0, 2)) == []


def test_a_picture_of_some_environments_has_no_row_of_the_others(tmp_path):
    parts = [rows_of(name, "bc", lambda h, n: 0.01 * h) for name in ("gridworld", "lane")]
    directory = store(tmp_path / "run", pd.concat(parts))
    heights = []
    for names in (["gridworld"], ["gridworld", "lane"]):
        path = write_overview(directory, names)
        assert path == directory / "figures" / "overview.png"
        heights.append(imread(path).shape[0])
    assert heights[1] > 1.5 * heights[0]
    assert write_overview(directory, ["lane:noise=0.1"]) is None


def test_a_picture_that_cannot_be_drawn_stops_nobody(tmp_path, capsys):
    with pytest.raises(ReportError):
        write_overview(tmp_path, ["gridworld"])
    sweep._draw_early(tmp_path, ["gridworld"], 2)
    assert capsys.readouterr().err == ""


def test_names_keep_their_order_and_distance():
    heights = np.array([0.1, 0.11, 0.12, 0.5, 0.52, 0.9])
    found = spread(heights, 0.06)
    assert np.all(np.diff(found) >= 0.06 - 1e-12)
    np.testing.assert_allclose(found[:3], 0.11 + np.array([-0.06, 0.0, 0.06]))
    np.testing.assert_allclose(found[3:5], 0.51 + np.array([-0.03, 0.03]))
    assert found[5] == pytest.approx(0.9)
    np.testing.assert_array_equal(spread(np.array([0.1, 0.4]), 0.06), [0.1, 0.4])


@pytest.mark.parametrize("seed", range(5))
def test_names_are_moved_as_little_as_possible(seed):
    """No heights nearby that keep the distance are nearer to where the curves end."""
    heights = np.sort(np.random.default_rng(seed).uniform(0, 0.4, 6))
    found, gap = spread(heights, 0.06), 0.06
    cost = np.sum((found - heights) ** 2)
    rng = np.random.default_rng(seed + 100)
    for _ in range(2000):
        other = found + 0.01 * rng.normal(size=6)
        if np.all(np.diff(other) >= gap):
            assert np.sum((other - heights) ** 2) >= cost - 1e-12
