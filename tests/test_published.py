"""The published table: its numbers, verdicts, and the sections of the report about it."""

import numpy as np
import pandas as pd
import pytest
from classic import results, rows_of

from imitax.bench.analysis.scores import scored, summarise_scores
from imitax.bench.analysis.statistics import Interval
from imitax.bench.plans import suites
from imitax.bench.report.left_out import changes, left_out_table
from imitax.bench.report.published import (
    EXPERT,
    REWARD,
    SUBSAMPLE,
    Cell,
    cells,
    compare,
    has_other_sign,
    task_name,
    verdict,
)
from imitax.bench.report.scores import published_section
from imitax.core.spec import split

PUBLISHED = {
    ("CartPole-v1", "bc"): "72.02±35.82 169.18±59.81 188.60±29.61 177.19±52.83",
    ("CartPole-v1", "fem"): "200.00±0.00 200.00±0.00 200.00±0.00 199.75±3.50",
    ("CartPole-v1", "gtal"): "200.00±0.00 200.00±0.00 199.94±1.14 200.00±0.00",
    ("CartPole-v1", "gail"): "200.00±0.00 200.00±0.00 200.00±0.00 200.00±0.00",
    ("Acrobot-v1", "bc"): "-130.60±55.08 -93.20±32.58 -96.92±34.51 -95.09±33.33",
    ("Acrobot-v1", "fem"): "-133.14±60.80 -94.21±47.20 -95.08±46.67 -77.22±18.51",
    ("Acrobot-v1", "gtal"): "-81.35±22.40 -94.80±46.08 -95.75±46.57 -94.32±46.51",
    ("Acrobot-v1", "gail"): "-77.26±18.03 -83.12±23.31 -82.56±20.95 -78.91±15.76",
    ("MountainCar-v0", "bc"): "-136.76±34.44 -133.25±29.97 -127.34±29.15 -123.14±28.26",
    ("MountainCar-v0", "fem"): "-100.97±12.54 -99.29±8.33 -100.65±9.36 -100.48±8.14",
    ("MountainCar-v0", "gtal"): "-115.48±36.35 -143.58±50.08 -128.96±46.13 -120.05±36.66",
    ("MountainCar-v0", "gail"): "-101.55±10.32 -101.35±10.63 -99.90±7.97 -100.83±11.40",
}
"""Ho and Ermon 2016, Table 3, as the paper prints it: 1, 4, 7 and 10 trajectories."""


def test_the_table_is_the_papers():
    found = cells()
    assert len(found) == 48
    for (environment, algorithm), line in PUBLISHED.items():
        for demos, text in zip((1, 4, 7, 10), line.split(), strict=True):
            cell = found[environment, algorithm, demos]
            assert f"{cell.mean:.2f}±{cell.spread:.2f}" == text
            assert cell.runs.shape == (7,)
            # Runs had equally many episodes but for one or two; they are kept to one decimal.
            assert cell.runs.mean() == pytest.approx(cell.mean, abs=0.2)
            assert cell.runs.std() <= cell.spread + 0.2


def test_the_suite_runs_every_published_cell_and_no_other_sign():
    ours = set()
    for block in suites.load("gail-classic").blocks:
        for environment in block.environments:
            for algorithm in block.algorithms:
                task = task_name(environment)
                if task is None or has_other_sign(environment, algorithm):
                    continue
                if "constant" not in algorithm:
                    name = split(algorithm)[0]
                    ours |= {(task, name, demos) for horizon, demos in block.cells}
    controls = {
        (task, name, n) for task in EXPERT for name in ("expert", "random") for n in (1, 4, 7, 10)
    }
    assert ours == set(cells()) | controls


def test_the_suite_has_everything_the_paper_left_out():
    seen = {}
    for block in suites.load("gail-classic").blocks:
        assert {cell[0] for cell in block.cells} == {200}
        for environment in block.environments:
            for algorithm in block.algorithms:
                labels = changes(environment, algorithm)
                assert labels is not None
                if (200, 4) in block.cells:
                    place = seen.setdefault(split(environment)[0], {})
                    place.setdefault(", ".join(labels), set()).add(split(algorithm)[0])
    expected = {
        "as published",
        "no sub-sampling",
        "other reward form",
        "constant discriminator",
        "random-policy demonstrations",
        "shuffled actions",
        "fixed horizon",
        "constant discriminator, fixed horizon",
        "random-policy demonstrations, fixed horizon",
        "shuffled actions, fixed horizon",
    }
    assert set(seen) == set(SUBSAMPLE)
    for place in seen.values():
        assert set(place) == expected
        assert all("gail" in names for names in place.values())
        assert {"bc", "fem", "gtal", "expert", "random"} <= place["fixed horizon"]


def ours(mean, half, count=16):
    return Interval(mean, mean - half, mean + half, count)


@pytest.mark.parametrize(
    ("mean", "runs_sd", "interval", "spread", "word"),
    [
        (100.0, 0.0, ours(104.0, 5.0), 0.1, "agrees"),  # inside the interval
        (100.0, 0.0, ours(100.9, 0.1), 0.1, "agrees"),  # less than one step
        (100.0, 0.0, ours(101.1, 0.1), 0.1, "ours better"),
        (100.0, 0.0, ours(98.0, 0.1), 0.1, "ours worse"),
        (100.0, 0.0, ours(109.0, 2.0), 5.0, "agrees; ours higher"),  # two deviations
        (100.0, 0.0, ours(91.0, 2.0), 5.0, "agrees; ours lower"),
        (100.0, 0.0, ours(110.1, 2.0), 5.0, "ours better"),
        (100.0, 26.4575, ours(119.0, 0.1), 0.0, "agrees; ours higher"),  # 26.4575 / sqrt(7) = 10
        (100.0, 26.4575, ours(121.0, 0.1), 0.0, "ours better"),
        (100.0, 0.0, Interval(100.0, np.nan, np.nan, 1), np.nan, "too few seeds"),
        (100.0, 0.0, Interval(np.nan, np.nan, np.nan, 0), np.nan, "too few seeds"),
    ],
)
def test_verdicts(mean, runs_sd, interval, spread, word):
    runs = mean + runs_sd * np.array([-1, -1, -1, 0, 1, 1, 1.0])  # standard deviation runs_sd
    assert runs.std(ddof=1) == pytest.approx(runs_sd)
    assert verdict(Cell(mean, 50.0, runs), interval, spread) == word


def test_only_the_papers_protocol_is_compared():
    found = compare(results())
    assert len(found) == 32
    assert {one.num_demos for one in found} == {1, 4, 7, 10}
    specs = {one.algorithm for one in found}
    assert specs == {"bc", "fem", "gtal", "gail:reward=softplus", "gail:reward=log"}
    for one in found:
        assert one.environment in ("CartPole-v1:subsample=10", "Acrobot-v1:subsample=5")
    (bc,) = [
        one for one in found if (one.environment[0], one.algorithm, one.num_demos) == ("C", "bc", 4)
    ]
    assert bc.published.mean == 169.18
    returns = 22 + 178 * (0.875 + 0.075 * np.linspace(-1, 1, 16))
    assert bc.mean.mean == pytest.approx(returns.mean())
    assert bc.spread == pytest.approx(returns.std(ddof=1))
    assert bc.middle.mean == pytest.approx(np.sort(returns)[4:12].mean())
    assert compare(results().assign(horizon=100)) == []


def test_diverged_seeds_enter_no_number():
    (one,) = [
        x
        for x in compare(results())
        if x.environment[0] == "A" and x.algorithm == "bc" and x.num_demos == 1
    ]
    assert (one.seeds, one.mean.count) == (16, 13)
    assert np.isfinite(one.spread)


def test_signs_are_the_authors():
    assert REWARD == {"CartPole-v1": "softplus", "Acrobot-v1": "log", "MountainCar-v0": "log"}
    assert has_other_sign("CartPole-v1:subsample=10", "gail:reward=log")
    assert not has_other_sign("MountainCar-v0", "gail:reward=log")
    assert has_other_sign("MountainCar-v0", "gail:reward=fairl")
    assert not has_other_sign("MountainCar-v0", "fem")
    assert not has_other_sign("MountainCar-v0", "gtal:sign=negative")
    assert has_other_sign("MountainCar-v0", "gtal:sign=positive")
    assert has_other_sign("CartPole-v1", "fem:sign=negative")
    assert not has_other_sign("CartPole-v1", "maxent-irl:reward=linear")
    assert not has_other_sign("Pendulum-v1", "gail:reward=log")


@pytest.mark.parametrize(
    ("environment", "algorithm", "labels"),
    [
        ("CartPole-v1:subsample=10", "bc", ("as published",)),
        ("CartPole-v1", "bc", ("no sub-sampling",)),
        (
            "CartPole-v1:fixed=true",
            "gail:discriminator=constant,reward=log",
            ("no sub-sampling", "other reward form", "constant discriminator", "fixed horizon"),
        ),
        ("Acrobot-v1:demos=shuffled,subsample=5", "gail:reward=log", ("shuffled actions",)),
        ("CartPole-v1:subsample=5", "bc", None),
        ("CartPole-v1:expert=1,subsample=10", "bc", None),
        ("CartPole-v1:demos=odd,subsample=10", "bc", None),
        ("lane", "bc", None),
    ],
)
def test_changes_are_read_off_the_specs(environment, algorithm, labels):
    assert changes(environment, algorithm) == labels


def table_of(text):
    """Cells of a Markdown table, by row."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines()]
    return [[cell.strip() for cell in line] for line in (lines[0], *lines[2:])]


def test_the_table_of_what_was_left_out():
    text = left_out_table(summarise_scores(scored(results())))
    header, *rows = table_of(text)
    assert header == ["task", "change", "`bc`", "`fem`", "`gtal`", "`gail`"]
    first = {tuple(row[:2]): row for row in rows}
    assert next(iter(first)) == ("`CartPole-v1`", "as published")
    assert len(rows) == 18
    assert first["`CartPole-v1`", "no sub-sampling"][2].startswith("0.99 [")
    line = next(x for x in text.splitlines() if "other reward form" in x)
    assert "0.20 [" in line
    assert "100% fail" in line
    every = summarise_scores(scored(results()))
    paper = every["environment"] == "CartPole-v1:subsample=10"
    as_published = ~every["algorithm"].str.contains("log|constant")
    for rows in (every[paper & as_published], every[~paper]):
        assert len(rows) > 4
        alone = rows[rows["environment"].str.startswith("CartPole")]
        assert left_out_table(alone) is None


def test_the_section_names_the_experts_and_counts_the_verdicts():
    rows = pd.concat(
        [
            rows_of("CartPole-v1:subsample=10", "gail:reward=softplus", 4, 1.0),
            rows_of("CartPole-v1:subsample=10", "gail:reward=softplus", 1, 0.5),
            rows_of("CartPole-v1:subsample=10", "expert", 4, 1.0, 0.01),
            rows_of("CartPole-v1:subsample=10", "expert", 1, 1.0, 0.01),
        ],
        ignore_index=True,
    )
    file = {"environment": "CartPole-v1", "file": "x.h5", "snapshot": "iter9", "sha256": "0"}
    text = "\n".join(published_section(rows, {"settings": {"expert_files": [file]}}))
    assert "`CartPole-v1` x.h5 iter9; this project's own elsewhere" in text
    assert "**1 of 2 cells agree**" in text
    assert "worse in 1" in text
    assert "200.00 ± 0.00, 16 episodes" in text
    once = rows_of("CartPole-v1:subsample=10", "expert", 1, 1.0, 0.01)["learner_return"]
    half = 2.131 * once.std() / 4  # Student's t with 15 degrees of freedom; each seed once
    assert f"[{200 - half:.1f}, {200 + half:.1f}]" in text
    assert published_section(rows.assign(environment="CartPole-v1"), {}) == []
    assert "own, not those of the paper" in "\n".join(published_section(rows, {}))
