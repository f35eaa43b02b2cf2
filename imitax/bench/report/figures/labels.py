"""Figures against expert labels: what a method reached with how many, whatever N means for it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from imitax.bench.analysis.exponents import groups
from imitax.bench.analysis.statistics import Interval, interquartile_mean, mean_interval
from imitax.bench.report.fairness import CONTROLS, TOLERANCE
from imitax.bench.report.figures.panels import Style, wrap
from imitax.bench.report.figures.returns import finish, legend

BAND = "band: 95% interval; a marker per number of demonstrations"

REGRET = "mean regret"

_RC: Any = {"font.size": 9.0}


class Line(NamedTuple):
    """One algorithm at one horizon, a point per number of demonstrations, [P] each."""

    algorithm: str
    labels: np.ndarray
    """Mean over seeds, increasing."""
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def lines(rows: pd.DataFrame, column: str) -> list[Line]:
    """The lines that are drawn of an environment at one horizon.

    Args:
        rows: of one environment and horizon.
        column: `regret`, of which the mean is drawn, or `score`, of which it is the interquartile
            mean, as in the figure of scores.
    """
    found = []
    for algorithm, own in groups(rows, "algorithm"):
        if algorithm.split(":")[0] in CONTROLS:
            continue
        points = sorted(_point(part, column) for _, part in groups(own, "num_demos"))
        points = [point for point in points if point[0] > 0 and np.isfinite(point[1])]
        if points:
            found.append(Line(algorithm, *np.array(points).T))
    return found


def _point(rows: pd.DataFrame, column: str) -> tuple[float, float, float, float]:
    values = rows[column].to_numpy(float)
    summary: Interval = (interquartile_mean if column == "score" else mean_interval)(values)
    mean, low, high = summary[:3] if np.isfinite(summary.low) else (summary.mean,) * 3
    return float(rows["expert_labels"].to_numpy(float).mean()), mean, low, high


def horizon_of(rows: pd.DataFrame) -> int | None:
    """The horizon that is drawn: the longest at which methods' labels differ; None without any.

    They differ where two methods have numbers of labels for the same number of demonstrations that
    are more than a tenth apart.

    Args:
        rows: of one environment.
    """
    learners = rows.loc[[name.split(":")[0] not in CONTROLS for name in rows["algorithm"]], :]
    table: Any = learners.groupby(["horizon", "num_demos", "algorithm"])["expert_labels"].mean()
    table = table[table > 0].groupby(["horizon", "num_demos"])
    apart = table.max() > (1 + TOLERANCE) * table.min()
    return max((int(horizon) for horizon, _ in apart[apart].index), default=None)


def labels_figure(rows: pd.DataFrame, scores: pd.DataFrame, style: Style) -> Figure | None:
    """Mean regret, and the score where there is one, versus expert labels.

    Args:
        rows: results of one environment.
        scores: from `imitax.bench.analysis.scores.scored`, of the same one; may be empty.
        style: from `imitax.bench.report.figures.panels.styles`.

    Returns:
        None where all methods have the same labels, or nothing is finite.
    """
    horizon = horizon_of(rows)
    if horizon is None:
        return None
    kinds = [(REGRET, lines(_at(rows, horizon), "regret"))]
    kinds.append(("normalised score", lines(_at(scores, horizon), "score")))
    kinds = [(name, drawn) for name, drawn in kinds if drawn]
    if not kinds:
        return None
    with matplotlib.rc_context(_RC):
        size = (5.0 * len(kinds) + 0.6, 4.6)
        figure = Figure(figsize=size, layout="constrained")
        title = wrap(f"{rows['environment'].iloc[0]}", 44 * len(kinds))
        figure.suptitle("\n".join(title), fontsize=10, fontweight="bold")
        axes = figure.subplots(1, len(kinds), squeeze=False)[0]
        for panel, (name, drawn) in zip(axes, kinds, strict=True):
            positive = all(np.all(one.value > 0) for one in drawn)
            _draw(panel, drawn, style, log=positive and name == REGRET)
            panel.set_title(f"$H$ = {horizon} steps", fontsize=9, loc="left")
            panel.set_ylabel(name)
            if name != REGRET:
                low, high = panel.get_ylim()
                panel.set_ylim(max(low, -1.0), min(high, 1.6))
        specs = list(dict.fromkeys(one.algorithm for _, drawn in kinds for one in drawn))
        legend(figure, specs, style, [], BAND, len(kinds))
    return figure


def _at(rows: pd.DataFrame, horizon: int) -> pd.DataFrame:
    return rows.loc[rows["horizon"] == horizon, :]


def _draw(panel: Axes, drawn: Sequence[Line], style: Style, *, log: bool) -> None:
    panel.set_xscale("log")
    if log:
        panel.set_yscale("log")
    floor = 0.4 * min(one.value.min() for one in drawn) if log else -np.inf
    for one in drawn:
        colour, marker, line = style[one.algorithm]
        look: Any = {"color": colour, "linestyle": line, "linewidth": 1.8, "marker": marker}
        panel.plot(one.labels, one.value, markersize=5, zorder=3, **look)
        low = np.maximum(one.low, floor)
        panel.fill_between(one.labels, low, one.high, color=colour, alpha=0.2, linewidth=0)
    panel.set_xlabel("expert labels (mean over seeds)")
    panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    panel.xaxis.set_minor_formatter(NullFormatter())
    finish(panel)
