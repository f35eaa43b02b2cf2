"""`imitax.bench.report.write`: from a directory of synthetic results to figures, tables and
verdicts.
"""

import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from imitax.bench.analysis.exponents import COLUMNS, curves, summarise
from imitax.bench.analysis.statistics import FEW_SEEDS
from imitax.bench.report.figures import panels
from imitax.bench.report.figures import regret as figures
from imitax.bench.report.markdown import baseline, markdown
from imitax.bench.report.write import ReportError, write_report
from imitax.bench.theory.closed_forms import closed_form

HORIZONS = (8, 16, 32, 64)
CROSS = [(horizon, 300) for horizon in HORIZONS] + [(32, demos) for demos in (30, 100, 1000)]
DYADIC = "reset-cliff:num_states=21"
SEEDS = 120


def rows_of(environment, algorithm, regret, cells=CROSS, num_seeds=SEEDS, spread=0.3):
    """Rows with mean regret(horizon, num_demos), a fixed relative spread, seeded."""
    generator = np.random.default_rng(len(environment) + 7 * len(algorithm))
    noise = 1 + spread * generator.standard_normal(num_seeds)
    frames = []
    for horizon, demos in cells:
        values = regret(horizon, demos) * noise
        frame = pd.DataFrame({"regret": values, "seed": np.arange(num_seeds)})
        frame["learner_return"] = horizon - values
        cell = {"environment": environment, "algorithm": algorithm, "status": "ok"}
        cell |= {"horizon": np.int32(horizon), "num_demos": np.int32(demos)}
        cell |= {"expert_return": float(horizon), "expert_labels": horizon * demos}
        cell |= {"environment_steps": 0, "knows_dynamics": algorithm.startswith("gail")}
        frames.append(frame.assign(**cell, moment_gap=np.nan))
    return pd.concat(frames, ignore_index=True)


def exact(environment, algorithm, factor=1.0):
    """Mean regret from the closed form of another algorithm, times a factor."""
    return lambda horizon, demos: factor * closed_form(environment, algorithm, horizon, demos)


def results():
    sticky = "recoverable-cliff:initial=rajaraman"
    return pd.concat(
        [
            rows_of(DYADIC, "bc", exact(DYADIC, "bc")),
            rows_of(DYADIC, "dagger", exact(DYADIC, "bc", 1.2)),
            rows_of(DYADIC, "expert", lambda horizon, demos: 0.0),
            rows_of(DYADIC, "random", lambda horizon, demos: 0.8 * horizon),
            rows_of(sticky, "bc:unseen=first", exact(sticky, "bc:unseen=first")),
            rows_of(sticky, "dagger:unseen=first", lambda h, n: 0.004 * h**1.5 * 300 / n),
            rows_of("gridworld", "gail", lambda h, n: 0.01 * h),
        ],
        ignore_index=True,
    )


MANIFEST = {
    "settings": {"suite": "quickstart", "seeds": SEEDS, "blocks": []},
    "versions": {"jax": "0.10.2", "imitax": "0.1.0"},
    "device": "cpu x 2",
    "commit": "0123abc",
    "xla_flags": "",
    "precision": "highest",
    "prng": "threefry2x32",
    "chunk_size": 64,
    "programs": [
        {
            "environment": DYADIC,
            "algorithm": "bc",
            "compile_seconds": 1.25,
            "run_seconds": 0.5,
            "num_compilations": 1,
        }
    ],
    "not_applicable": [{"environment": "lane", "algorithm": "gail", "reason": "a | bar"}],
}


def store(directory, rows, manifest=MANIFEST):
    (directory / "results").mkdir(parents=True)
    half = len(rows) // 2
    rows[:half].to_parquet(directory / "results" / "part-0.parquet")
    rows[half:].to_parquet(directory / "results" / "part-1.parquet")
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    rows = results()
    bad = rows.index[(rows["algorithm"] == "dagger") & (rows["horizon"] == 16)][:3]
    rows.loc[bad, "status"] = "diverged"
    rows.loc[bad, "regret"] = np.nan
    directory = store(tmp_path_factory.mktemp("sweep") / "run", rows)
    (directory / "results" / ".part-2.parquet").write_bytes(b"half a file")
    true = np.zeros((3, 4))
    true[2, 3] = 1.0
    (directory / "rewards").mkdir()
    np.savez(
        directory / "rewards" / "one.npz",
        environment="gridworld:size=3x4",
        algorithm="maxent-irl",
        true=true,
        recovered=2 * true - 1,
    )
    assert write_report(directory) == directory / "report.md"
    return directory


@pytest.fixture(scope="module")
def summary(reported):
    return (
        pd.read_csv(reported / "summary.csv")
        .set_index(["environment", "algorithm", "axis"])
        .sort_index()
    )


def verdict_of(environment, algorithm, regret, axis="horizon", **options):
    table = summarise(list(curves(rows_of(environment, algorithm, regret, **options))))
    return table[table["axis"] == axis].iloc[0]


def test_summary_has_the_columns_and_all_curves(reported, summary):
    header = (reported / "summary.csv").read_text().splitlines()[0]
    old = "environment,algorithm,axis,fixed_value,exponent,low,high,predicted,verdict"
    assert header == f"{old},statistic,rms_regret,rms_low,rms_high,unconverged"
    assert header == ",".join(COLUMNS)
    assert len(summary) == 7 * 2
    assert summary["fixed_value"].loc[DYADIC, "bc"].to_dict() == {"horizon": 300, "num_demos": 32}


def test_verdicts_of_the_report(summary):
    words = summary["verdict"].str.partition(";")[0]
    assert words[DYADIC, "bc", "horizon"] == "agrees"
    assert words[DYADIC, "dagger", "horizon"] == "agrees"
    assert words[DYADIC, "expert", "horizon"] == "zero regret"
    assert words[DYADIC, "random", "num_demos"] == "saturated"
    sticky = "recoverable-cliff:initial=rajaraman"
    assert words[sticky, "dagger:unseen=first", "horizon"] == "differs"
    assert words["gridworld", "gail", "horizon"] == "no prediction"
    assert np.isnan(summary["predicted"]["gridworld", "gail", "horizon"])
    assert summary["predicted"][DYADIC, "bc", "horizon"] == 2
    assert summary["exponent"][sticky, "dagger:unseen=first", "horizon"] == pytest.approx(1.5)
    assert "3 diverged rows" in summary["verdict"][DYADIC, "dagger", "horizon"]
    assert "closed form 1.9" in summary["verdict"][DYADIC, "bc", "horizon"]


def test_saturated_points_are_excluded_and_flagged(summary):
    row = summary.loc["recoverable-cliff:initial=rajaraman", "bc:unseen=first"].loc["horizon"]
    assert row["verdict"].startswith("agrees; closed form 1.842 on these points; 1 of 4 points sat")
    assert "over all 4 points 1.844" in row["verdict"]
    full = summary.loc[DYADIC, "random"].loc["horizon"]
    assert full["verdict"].startswith("saturated; 4 of 4 points saturated; over all 4 points 1.000")
    assert np.isnan(full["exponent"])
    bent = verdict_of("gridworld", "bc", lambda h, n: 0.01 * h if h < 64 else 0.5 * h)
    assert bent["exponent"] == pytest.approx(1.0)
    assert "1 of 4 points saturated" in bent["verdict"]


def test_nonpositive_means_are_excluded_and_flagged():
    row = verdict_of("gridworld", "bc", lambda h, n: 0.01 * h if h > 8 else -0.01)
    assert row["exponent"] == pytest.approx(1.0)
    assert "1 of 4 means not positive" in row["verdict"]


def test_a_power_law_that_theory_excludes_differs():
    row = verdict_of(DYADIC, "bc", lambda h, n: 0.001 * h)
    assert row["verdict"].startswith("differs; closed form 1.9")


def test_a_wide_interval_decides_nothing():
    row = verdict_of(DYADIC, "dagger", lambda h, n: 1e-4 * h**2, spread=0.0)
    assert row["verdict"].startswith("agrees")
    rows = rows_of(DYADIC, "dagger", lambda h, n: 1e-4 * h**2)
    rows["regret"] *= np.random.default_rng(0).gamma(0.05, 20, len(rows))
    row = summarise(list(curves(rows))).iloc[0]
    assert row["verdict"].startswith("inconclusive")


def test_following_the_closed_form_outside_the_window_is_not_agreement():
    cells = [(8, demos) for demos in (1, 2, 3)]
    place = "standard-imitation:initial=rajaraman,num_states=3"
    row = verdict_of(place, "bc", exact(place, "bc"), axis="num_demos", cells=cells, spread=0.01)
    assert row["predicted"] == -1
    assert row["verdict"].startswith(("outside window", "saturated"))
    cells = [(8, demos) for demos in (4, 5, 6)]
    place = "standard-imitation:num_actions=2,num_states=3"
    row = verdict_of(place, "bc", exact(place, "bc"), axis="num_demos", cells=cells, spread=0.01)
    assert row["verdict"].startswith("no prediction")


def test_too_few_points():
    row = verdict_of("gridworld", "bc", lambda h, n: 0.01 * h, cells=[(8, 10), (16, 10)])
    assert row["verdict"] == "too few points"
    single = rows_of("gridworld", "bc", lambda h, n: 0.01 * h, cells=[(8, 10)])
    assert list(curves(single)) == []


def test_report_text(reported):
    text = (reported / "report.md").read_text()
    assert text.startswith("# imitax report: quickstart")
    for word in ("cpu x 2", "0123abc", "threefry2x32", "jax 0.10.2", "a \\| bar", "3 of 120"):
        assert word in text
    sentence = re.search(r"On `reset-cliff:num_states=21` at H = 64, N = 300: .*", text).group()
    assert "Measured: DAgger is worse than BC, in agreement with theory" in sentence
    rows = pd.read_parquet(reported / "results")
    cell = rows[(rows["environment"] == DYADIC) & (rows["horizon"] == 64)]
    mean = cell[cell["algorithm"] == "dagger"]["regret"].mean()
    assert f"`dagger` loses {mean:.3g} [" in sentence
    assert "| yes |" in text  # gail knows the dynamics
    for path in re.findall(r"!\[[^]]*\]\(([^)]*)\)", text):
        assert (reported / path).is_file()


def test_figures_are_drawn(reported):
    names = {path.name for path in (reported / "figures").iterdir()}
    stems = {name.rsplit(".", 1)[0] for name in names}
    assert names == {f"{stem}.{ending}" for stem in stems for ending in ("png", "svg")}
    assert {"overview", "reward-gridworld-size-3x4-maxent-irl"} < stems
    for path in (reported / "figures").glob("*.png"):
        image = imread(path)[..., :3]
        assert image.std() > 0.02, path.name
    colour = tuple(int(panels.COLOURS["bc"][i : i + 2], 16) for i in (1, 3, 5))
    pixels = np.round(imread(reported / "figures" / "overview.png")[..., :3] * 255).astype(int)
    assert np.sum(np.all(pixels == colour, axis=-1)) > 100
    for path in (reported / "figures").glob("*.svg"):
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    assert not list(reported.rglob(".*.png"))
    assert not list(reported.glob(".*"))


def test_report_is_reproducible(reported):
    before = {path: path.read_bytes() for path in reported.rglob("*.[psc][nsv][gv]")}
    text = (reported / "report.md").read_bytes()
    assert len(before) > 8
    write_report(reported)
    assert text == (reported / "report.md").read_bytes()
    assert {path: path.read_bytes() for path in before} == before


def test_one_colour_per_algorithm_and_one_marker_per_setting():
    style = figures.styles(["bc", "bc:stationary=true", "dagger", "novel", "gail"])
    assert style["bc"][0] == style["bc:stationary=true"][0] == panels.COLOURS["bc"]
    assert style["bc"][1:] != style["bc:stationary=true"][1:]
    assert len({style[spec][0] for spec in ("bc", "dagger", "novel", "gail")}) == 4
    assert figures.styles(["gail", "bc"])["bc"] == style["bc"]


def drawn(rows):
    """The first panel of the overview, and its texts."""
    found = list(curves(rows))
    figure = figures.overview(found, figures.styles(rows["algorithm"].unique().tolist()))
    return figure, figure.axes[0], [text.get_text() for text in figure.axes[0].texts]


def test_excluded_points_are_hollow_and_zero_is_named():
    rows = pd.concat(
        [
            rows_of("gridworld", "bc", lambda h, n: 0.01 * h if h < 64 else 0.5 * h),
            rows_of("gridworld", "expert", lambda h, n: 0.0),
        ]
    )
    figure, panel, texts = drawn(rows)
    hollow = [line for line in panel.lines if line.get_markerfacecolor() == "white"]
    assert [x for line in hollow for x in line.get_xdata()] == [64]
    assert set(texts) == {
        "bc",
        "A goal that keeps paying, and moves that slip: the reward can be recovered.",
        "not drawn: expert: 0 everywhere",
    }
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "bc" in labels
    assert "expert" not in labels


def test_theory_line_is_the_closed_form_or_the_anchored_slope():
    _, panel, _ = drawn(rows_of(DYADIC, "bc", exact(DYADIC, "bc", 1.1)))
    line = next(line for line in panel.lines if line.get_linewidth() == 0.8)
    at = dict(zip(line.get_xdata(), line.get_ydata(), strict=True))
    assert at[16] == pytest.approx(closed_form(DYADIC, "bc", 16, 300))
    assert line.get_linestyle() == "-"
    _, panel, _ = drawn(rows_of(DYADIC, "dagger", lambda h, n: 1e-4 * h))
    line = next(line for line in panel.lines if line.get_linewidth() == 0.8)
    x, y = line.get_xdata(), line.get_ydata()
    assert line.get_linestyle() == "--"
    assert y[-1] / y[0] == pytest.approx((x[-1] / x[0]) ** 2)


def test_baseline_is_the_nearest_bc():
    specs = ["bc", "bc:unseen=first", "dagger", "dagger:unseen=first"]
    assert baseline("dagger:unseen=first", specs) == "bc:unseen=first"
    assert baseline("dagger", specs) == "bc"
    assert baseline("bc:unseen=first", specs) == "bc"
    assert baseline("gail", ["gail"]) is None


def test_markdown_escapes_bars():
    assert markdown(("a", "b"), [(1, "x|y")]).splitlines()[2] == "| 1 | x\\|y |"


def damage(directory, kind):
    results_path = directory / "results"
    if kind == "no results":
        for path in results_path.iterdir():
            path.unlink()
    elif kind == "garbage parquet":
        (results_path / "part-1.parquet").write_bytes(b"not parquet at all")
    elif kind == "truncated parquet":
        path = results_path / "part-1.parquet"
        path.write_bytes(path.read_bytes()[:-40])
    elif kind == "missing column":
        rows = pd.read_parquet(results_path / "part-0.parquet").drop(columns="regret")
        for part in (0, 1):
            rows.to_parquet(results_path / f"part-{part}.parquet")
    elif kind == "twice":
        rows = pd.read_parquet(results_path / "part-0.parquet")
        rows.to_parquet(results_path / "part-9.parquet")
    elif kind == "no rows":
        rows = pd.read_parquet(results_path / "part-0.parquet")[:0]
        for part in (0, 1):
            rows.to_parquet(results_path / f"part-{part}.parquet")
    elif kind == "no manifest":
        (directory / "manifest.json").unlink()
    elif kind == "garbage manifest":
        (directory / "manifest.json").write_text('{"settings": ')
    elif kind == "list manifest":
        (directory / "manifest.json").write_text("[]")
    else:
        path = directory / "rewards" / "one.npz"
        path.parent.mkdir()
        np.savez(path, environment="a")
        if kind == "garbage rewards":
            path.write_bytes(b"garbage")


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("no results", "run a sweep"),
        ("garbage parquet", "results"),
        ("truncated parquet", "results"),
        ("missing column", "column regret is missing"),
        ("twice", "twice"),
        ("no rows", "no rows"),
        ("no manifest", "manifest.json"),
        ("garbage manifest", "no valid JSON"),
        ("list manifest", "not a manifest"),
        ("garbage rewards", "one.npz"),
        ("partial rewards", "one.npz"),
    ],
)
def test_a_bad_directory_is_refused_in_one_line(tmp_path, kind, word):
    rows = rows_of("gridworld", "bc", lambda h, n: 0.01 * h, num_seeds=3)
    directory = store(tmp_path / "run", rows)
    damage(directory, kind)
    with pytest.raises(ReportError, match=re.escape(word)) as caught:
        write_report(directory)
    message = str(caught.value)
    assert "\n" not in message
    assert str(directory) in message
    assert not (directory / "report.md").exists()
    assert not (directory / "figures").exists()


def test_a_directory_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ReportError, match="no results"):
        write_report(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


def test_one_cell_still_makes_a_report(tmp_path):
    rows = rows_of("lane", "bc", lambda h, n: 0.01 * h, cells=[(32, 10)], num_seeds=4)
    directory = store(tmp_path / "run", rows, {})
    write_report(directory)
    assert (directory / "summary.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert "not recorded" in (directory / "report.md").read_text()


def test_one_seed_has_no_interval_anywhere(tmp_path):
    directory = store(tmp_path / "run", rows_of(DYADIC, "bc", exact(DYADIC, "bc"), num_seeds=1))
    text = write_report(directory).read_text()
    assert not re.search(r"\bnan\b", text)
    assert not re.search(r"\d \[[^]]*\d\]", text)  # a number, then its interval
    summary = pd.read_csv(directory / "summary.csv")
    assert summary[["low", "high", "rms_low", "rms_high"]].isna().all(axis=None)
    assert summary["exponent"].notna().any()
    assert summary["verdict"].str.contains("no interval: one seed").any()
    assert not summary["verdict"].str.contains("agrees|differs").any()


@pytest.mark.parametrize(("missing", "is_named"), [(1, True), (0, False)])
def test_few_seeds_are_named(missing, is_named):
    count = FEW_SEEDS["exponent"] - missing
    row = verdict_of(DYADIC, "dagger", lambda h, n: 1e-4 * h**2, num_seeds=count)
    assert (f"{count} seeds, too few for its interval" in row["verdict"]) == is_named


def test_cells_without_a_finite_seed(tmp_path):
    """Everything diverged in a cell, or everywhere: counted, and no number made of it."""
    rows = rows_of(DYADIC, "bc", exact(DYADIC, "bc"), num_seeds=4)
    rows.loc[rows["num_demos"] == 1000, ["regret", "status"]] = [np.inf, "diverged"]
    other = rows_of(DYADIC, "dagger", exact(DYADIC, "bc"), num_seeds=4)
    other[["regret", "status"]] = [np.nan, "diverged"]
    rows = pd.concat([rows, other], ignore_index=True)
    table = summarise(list(curves(rows))).set_index(["algorithm", "axis"])
    assert np.isnan(table["rms_regret"]["bc", "num_demos"])
    assert "4 diverged rows left out" in table["verdict"]["bc", "num_demos"]
    assert table["verdict"]["dagger", "horizon"].startswith("too few points")
    text = write_report(store(tmp_path / "run", rows)).read_text()
    assert "no finite seed" in text
    assert not re.search(r"\bnan\b", text)
    assert "4 of 4" in text
