"""The report on returns: scores, the published table and learning curves, from synthetic rows."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from classic import RETURNS, SEEDS, curve_points, results, rows_of
from matplotlib.image import imread

from imitax.bench.analysis.scores import COLUMNS, scored, summarise_scores
from imitax.bench.analysis.statistics import mean_interval
from imitax.bench.report.figures.panels import styles
from imitax.bench.report.figures.returns import learning_figure, score_figure, tracks
from imitax.bench.report.write import write_report
from imitax.bench.results.reading import ReportError

CARTPOLE = "CartPole-v1:subsample=10"


def store(directory, rows, points=None):
    (directory / "results").mkdir(parents=True)
    rows.to_parquet(directory / "results" / "all.parquet")
    if points is not None:
        (directory / "curves").mkdir()
        points.to_parquet(directory / "curves" / "all.parquet")
    manifest = {"settings": {"suite": "gail-classic", "seeds": SEEDS, "blocks": []}}
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    rows = results()
    directory = store(tmp_path_factory.mktemp("classic") / "run", rows, curve_points(rows))
    write_report(directory)
    return directory


def test_sections_stand_in_order_and_figures_are_there(reported):
    text = (reported / "report.md").read_text()
    titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert titles[:5] == [
        "Published table",
        "What the paper left out",
        "Normalised scores",
        "Learning curves",
        "Exponents",
    ]
    assert "### `CartPole-v1:subsample=10` (variable horizon)" in text
    assert "### `CartPole-v1:fixed=true,subsample=10`\n" in text
    assert "| `CartPole-v1:fixed=true,subsample=10` | fixed |" in text
    assert "This environment shows nothing about imitation there" in text
    paths = re.findall(r"!\[[^]]*\]\(([^)]*)\)", text)
    assert "figures/scores.png" in paths
    assert "figures/learning-CartPole-v1-subsample-10.png" in paths
    for path in paths:
        assert imread(reported / path)[..., :3].std() > 0.02, path


def test_scores_are_a_table_too(reported):
    table = pd.read_csv(reported / "scores.csv")
    assert table.columns.tolist() == list(COLUMNS)
    row = table[(table["algorithm"] == "fem") & (table["num_demos"] == 7)].iloc[0]
    assert row["interquartile_mean"] == pytest.approx(0.98)


def test_the_report_is_reproducible(reported):
    files = [path for path in reported.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    write_report(reported)
    assert {path: path.read_bytes() for path in files} == before


def test_rows_without_controls_have_none_of_it(tmp_path):
    write_report(store(tmp_path / "run", rows_of("CartPole-v1", "bc", 4, 0.5)))
    text = (tmp_path / "run" / "report.md").read_text()
    for word in ("Published table", "left out", "Normalised", "Learning curves"):
        assert word not in text
    assert not (tmp_path / "run" / "scores.csv").exists()


def test_tracks_are_means_over_seeds_at_the_ends():
    rows = results()
    points = curve_points(rows[rows["environment"] == CARTPOLE])
    found = {(track.algorithm, track.num_demos): track for track in tracks(points)}
    names = {"bc", "fem", "gtal", "gail:reward=softplus"}
    assert set(found) == {(name, demos) for name in names for demos in (1, 10)}
    bc, gail = found["bc", 1], found["gail:reward=softplus", 10]
    assert (bc.axis, gail.axis) == ("iterations", "environment_steps")
    np.testing.assert_array_equal(gail.x, [60_000, 120_000, 180_000, 240_000, 300_000])
    random, expert = RETURNS["CartPole-v1"]
    scores = 0.5 + 0.3 * np.linspace(-1, 1, SEEDS)
    for index, share in enumerate((0.2, 0.4, 0.6, 0.8, 1.0)):
        interval = mean_interval(random + share * scores * (expert - random))
        got = (bc.mean[index], bc.low[index], bc.high[index])
        assert got == pytest.approx(interval[:3])


def test_a_learner_of_a_single_step_has_no_curve():
    points = curve_points(rows_of("CartPole-v1", "bc", 4, 0.5)).assign(iterations=1)
    assert tracks(points) == []


def test_the_learning_figure_has_a_row_per_number_and_both_references():
    rows = results()
    own = rows[rows["environment"] == CARTPOLE]
    drawn = tracks(curve_points(own))
    figure = learning_figure(CARTPOLE, drawn, own, styles(rows["algorithm"].unique().tolist()))
    panels = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_xlabel() for axes in panels] == ["environment steps", "algorithm steps"] * 2
    levels = sorted(line.get_ydata()[0] for line in panels[0].lines if len(line.get_xdata()) == 2)
    assert levels == pytest.approx(RETURNS["CartPole-v1"])
    ends = [line.get_ydata()[-1] for line in panels[0].lines if len(line.get_xdata()) == 5]
    assert sorted(ends) == pytest.approx([22 + 178 * score for score in (0.9, 0.98, 1.0)])


def test_the_score_figure_shows_lines_and_no_single_points():
    summary = summarise_scores(scored(results()))
    figure = score_figure(summary, styles(summary["algorithm"].unique().tolist()))
    titles = [axes.get_title("left").splitlines()[0] for axes in figure.axes]
    assert titles == [CARTPOLE, "Acrobot-v1:subsample=5"]
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 4]
    assert len(lines) == 4
    ends = {round(float(line.get_ydata()[0]), 3) for line in lines}
    assert ends == {0.5, 0.98, 0.9, 1.0}
    single = summary[summary["num_demos"] == 4]
    assert score_figure(single, styles(["bc"])) is None


@pytest.mark.parametrize("kind", ["garbage", "missing column", "twice"])
def test_damaged_curves_are_refused_in_one_line(tmp_path, kind):
    rows = rows_of("CartPole-v1", "bc", 4, 0.5)
    directory = store(tmp_path / "run", rows, curve_points(rows))
    path = directory / "curves" / "all.parquet"
    if kind == "garbage":
        path.write_bytes(b"not parquet at all")
    elif kind == "missing column":
        curve_points(rows).drop(columns="checkpoint").to_parquet(path)
    else:
        curve_points(rows).to_parquet(directory / "curves" / "again.parquet")
    with pytest.raises(ReportError, match=r"run.curves") as refused:
        write_report(directory)
    assert "\n" not in str(refused.value)
    assert not (directory / "report.md").exists()
