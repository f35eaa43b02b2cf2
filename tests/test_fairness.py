"""The report on comparisons that are not matched, from synthetic rows with known factors."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from classic import rows_of
from matplotlib.image import imread

from imitax.bench.analysis.scores import scored, summarise_scores
from imitax.bench.report import fairness
from imitax.bench.report.figures.labels import horizon_of, labels_figure, lines
from imitax.bench.report.figures.panels import styles
from imitax.bench.report.write import write_report
from imitax.cli import main

PLACE = "CartPole-v1"


def fitted(algorithm, demos, score=0.9, *, labels=None, updates=1000, poor=0, place=PLACE):
    """Sixteen seeds; `poor` of them have a fit that is not done; None where nothing is fitted."""
    rows = rows_of(place, algorithm, demos, score, 0.05)
    done = np.full(len(rows), None) if poor is None else np.arange(len(rows)) >= poor
    return rows.assign(
        expert_labels=20 * demos if labels is None else labels,
        gradient_updates=updates,
        training_loss=np.nan,
        held_out_loss=np.nan,
        fit_converged=pd.Series(done, dtype=object),
    )


def control(name, demos, score):
    return fitted(name, demos, score, updates=0, poor=None)


def joined(*parts):
    return pd.concat(parts, ignore_index=True)


def found(*parts):
    return fairness.unmatched(joined(*parts))


def stored(directory, rows):
    (directory / "results").mkdir(parents=True)
    rows.to_parquet(directory / "results" / "all.parquet")
    manifest = {"settings": {"suite": "mine", "seeds": 16, "blocks": []}}
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


# --- what is not matched


@pytest.mark.parametrize(
    ("updates", "poor", "matched"),
    [(2800, 1, False), (2800, 0, True), (1100, 16, True), (1101, 1, False), (0, 1, False)],
)
def test_updates_count_while_a_fit_is_not_done(updates, poor, matched):
    """Whichever of the two has the fit that is not done."""
    for one, other in ((poor, 0), (0, poor)):
        pairs = found(fitted("bc", 4, poor=one), fitted("dagger", 4, updates=updates, poor=other))
        assert (pairs == []) == matched


@pytest.mark.parametrize(
    ("labels", "poor", "matched"), [(88, None, True), (89, None, False), (70, 0, False)]
)
def test_labels_count_where_one_of_them_fits_a_policy(labels, poor, matched):
    other = fitted("gail", 4, labels=labels, updates=1000, poor=poor)
    assert (found(fitted("bc", 4), other) == []) == matched


def test_labels_of_methods_without_a_fit_or_without_labels_are_no_matter():
    gail = fitted("gail", 4, poor=None)
    assert found(gail, fitted("fem", 4, labels=900, poor=None)) == []
    assert found(fitted("bc", 4), fitted("maxent-irl", 4, labels=0, poor=None)) == []


def test_only_what_the_report_compares_is_compared():
    """The same environment and cell, and no control."""
    bc, dagger = fitted("bc", 4, poor=1), fitted("dagger", 4, updates=9000, labels=900)
    assert len(found(bc, dagger)) == 1
    assert found(bc, dagger.assign(num_demos=5)) == []
    assert found(bc, dagger.assign(horizon=100)) == []
    assert found(bc, dagger.assign(environment="Acrobot-v1")) == []
    for name in ("expert", "random", "noisy-expert:epsilon=0.5"):
        assert found(bc, dagger.assign(algorithm=name)) == []


def test_old_rows_tell_of_labels_only():
    """From before fits were recorded: the names say who fits a policy."""
    old = [
        part.drop(columns=["fit_converged"]).assign(gradient_updates=np.nan)
        for part in (fitted("bc", 4, poor=9), fitted("dagger", 4, labels=160, updates=9000))
    ]
    (pair,) = found(*old)
    assert pair.labels == {(200, 4): (80.0, 160.0)}
    assert pair.updates == {}


def test_a_line_names_range_and_factor():
    rows = [
        *(fitted("bc", demos, poor=2) for demos in (1, 4, 10)),
        *(fitted("dagger", demos, updates=2800) for demos in (1, 4)),
        fitted("dagger", 10, updates=1000, labels=300),
        fitted("dagger", 7, updates=9000),
    ]
    (pair,) = found(*rows)
    assert (pair.num_cells, pair.factor) == (3, 2.8)
    assert fairness.line(pair) == (
        "`CartPole-v1`, H = 200, N = 1 to 10 (3 of 3 cells): `dagger` beside `bc` has 1.5 times "
        "the expert labels; 2.8 times the gradient updates; fits not done: 4 of 32 of `bc`."
    )


def test_the_one_that_was_given_more_is_named_first():
    (pair,) = found(fitted("bc", 4, updates=3000, poor=1), fitted("dagger", 4, updates=1000))
    assert "`bc` beside `dagger` has 3 times the gradient updates" in fairness.line(pair)
    (pair,) = found(
        *(fitted("bc", demos, poor=1) for demos in (1, 4)),
        *(fitted("dagger", demos, updates=1000 * demos // 2) for demos in (1, 4)),
    )
    assert "N = 1 to 4 (2 of 2 cells): `dagger` beside `bc` has 0.5 to 2 times" in fairness.line(
        pair
    )


def test_a_fit_without_updates_has_no_factor():
    (pair,) = found(fitted("bc", 4, poor=3), fitted("bc:hidden=none", 4, updates=0))
    assert pair.factor == np.inf
    assert "`bc` beside `bc:hidden=none` has up to 1,000 gradient updates against none" in (
        fairness.line(pair)
    )


def test_a_long_list_keeps_the_largest_factors():
    parts = [fitted("bc", 4)]
    parts += [fitted(f"dagger:beta=0.{k:02d}", 4, labels=80 + 10 * k) for k in range(1, 12)]
    every = found(*parts)
    text = "\n".join(fairness.section(every))
    assert len(every) > fairness.MOST
    assert text.count("\n- `") == fairness.MOST
    assert f"- And {len(every) - fairness.MOST} pairs with smaller factors." in text
    kept = [pair.factor for pair in every if f"{fairness.line(pair)}" in text]
    assert min(kept) >= sorted(pair.factor for pair in every)[-fairness.MOST] - 1e-9
    assert fairness.section([]) == []


# --- in the report


def everything():
    """Cloning that stopped early beside DAgger with more labels; both controls."""
    parts = []
    for demos in (1, 4, 10):
        parts += [control("expert", demos, 1.0), control("random", demos, 0.0)]
        parts += [
            fitted("bc", demos, 1 - 0.6 / demos, poor=5),
            fitted("dagger", demos, 1 - 0.2 / demos, labels=35 * demos, updates=2800),
            fitted("gail", demos, 0.95, updates=0, poor=None),
        ]
    return joined(*parts)


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    directory = stored(tmp_path_factory.mktemp("fair") / "run", everything())
    write_report(directory)
    return directory


def test_the_section_stands_near_the_head(reported):
    text = (reported / "report.md").read_text()
    titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert titles[0] == "Not matched"
    body = text.partition("## Not matched")[2].partition("\n![")[0]
    lines = [line for line in body.splitlines() if line.startswith("- ")]
    assert len(lines) == 3  # bc and dagger, bc and gail by updates, dagger and gail by labels
    assert "`dagger` beside `bc` has 1.75 times the expert labels; 2.8 times" in lines[0]
    assert "`bc` beside `gail` has up to 1,000 gradient updates against none" in lines[1]
    assert "fits not done: 15 of 48 of `bc`" in lines[0]


def test_a_matched_sweep_has_no_such_section(tmp_path):
    rows = joined(fitted("bc", 4), fitted("dagger", 4, updates=3000))
    text = write_report(stored(tmp_path / "run", rows)).read_text()
    assert "Not matched" not in text
    assert "Against expert labels" not in text
    assert fairness.notice(tmp_path / "run") == ""


def test_unconverged_fits_are_counted_beside_the_mean(reported):
    text = (reported / "report.md").read_text()
    regrets = text.partition("## Mean regret")[2].partition("Compared with BC")[0]
    assert regrets.count(", 5 of 16 unconverged") == 3
    summary = pd.read_csv(reported / "summary.csv").set_index("algorithm")
    assert summary["unconverged"].to_dict() == {
        **{"bc": 15, "dagger": 0, "gail": 0},
        **{"expert": 0, "random": 0},
    }
    assert "15 of 48 fits unconverged" in summary["verdict"]["bc"]
    assert "unconverged" not in summary["verdict"]["dagger"]
    scores = pd.read_csv(reported / "scores.csv").set_index(["algorithm", "num_demos"])
    assert scores["unconverged"].loc["bc"].tolist() == [5, 5, 5]
    assert scores["unconverged"].loc["gail"].tolist() == [0, 0, 0]
    header = next(line for line in text.splitlines() if line.startswith("| environment | horizon"))
    assert header.endswith("| fail | unconverged |")


def test_what_each_method_was_given(reported):
    text = (reported / "report.md").read_text().partition("## What each method was given")[2]
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `CartPole-v1`")]
    told = {row[1]: row[3:] for row in rows}
    assert told["`bc`"] == ["20 to 200", "1,000", "68%", "0 |"]  # 33 of 48, rounded down
    assert told["`dagger`"] == ["35 to 350", "2,800", "100%", "300,000 |"]
    assert told["`gail`"][1:3] == ["0", "no fit"]


def test_an_old_directory_says_what_it_does_not_know(tmp_path):
    new = ["gradient_updates", "training_loss", "held_out_loss", "fit_converged"]
    directory = stored(tmp_path / "run", everything().drop(columns=new))
    text = write_report(directory).read_text()
    assert "| 20 to 200 | not recorded | not recorded | 0 |" in text
    assert ", 5 of 16 unconverged" not in text
    assert "`dagger` beside `bc` has 1.75 times the expert labels." in text
    assert pd.read_csv(directory / "summary.csv")["unconverged"].isna().all()
    assert pd.read_csv(directory / "scores.csv")["unconverged"].isna().all()


def test_the_command_says_how_many(reported, capsys):
    assert main.main(["report", str(reported)]) == 0
    printed = capsys.readouterr()
    told = [line for line in printed.err.splitlines() if "not matched" in line]
    assert told == [
        "imitax: 3 comparisons are not matched in labels or updates; see 'Not matched' in "
        f"{reported}/report.md"
    ]


# --- against labels


def test_lines_have_the_labels_and_the_means():
    rows = everything()
    drawn = {line.algorithm: line for line in lines(rows, "regret")}
    assert set(drawn) == {"bc", "dagger", "gail"}
    np.testing.assert_array_equal(drawn["dagger"].labels, [35, 140, 350])
    expected = [178 * 0.2 / demos for demos in (1, 4, 10)]
    np.testing.assert_allclose(drawn["dagger"].value, expected)
    assert np.all(drawn["dagger"].low < drawn["dagger"].value)
    scores = {line.algorithm: line for line in lines(scored(rows), "score")}
    summary = summarise_scores(scored(rows)).set_index(["algorithm", "num_demos"])
    np.testing.assert_allclose(scores["bc"].value, summary["interquartile_mean"].loc["bc"])


def test_the_longest_horizon_with_other_labels_is_drawn():
    same = joined(fitted("bc", 4), fitted("gail", 4, poor=None))
    assert horizon_of(same) is None
    other = joined(fitted("bc", 4), fitted("dagger", 4, labels=140))
    rows = joined(other.assign(horizon=20), other.assign(horizon=50), same.assign(horizon=90))
    assert horizon_of(rows) == 50
    assert horizon_of(joined(same, control("expert", 4, 1.0).assign(expert_labels=999))) is None


def test_the_figure_has_both_panels_and_is_linked(reported):
    rows = everything()
    style = styles(rows["algorithm"].unique().tolist())
    figure = labels_figure(rows, scored(rows), style)
    assert [panel.get_ylabel() for panel in figure.axes] == ["mean regret", "normalised score"]
    assert [panel.get_yscale() for panel in figure.axes] == ["log", "linear"]
    xs = {tuple(line.get_xdata()) for line in figure.axes[0].lines}
    assert xs == {(20, 80, 200), (35, 140, 350)}
    alone = labels_figure(rows, scored(rows).head(0), style)
    assert [panel.get_ylabel() for panel in alone.axes] == ["mean regret"]
    text = (reported / "report.md").read_text()
    path = "figures/labels-CartPole-v1.png"
    assert f"({path})" in text.partition("## Against expert labels")[2]
    assert imread(reported / path)[..., :3].std() > 0.02
