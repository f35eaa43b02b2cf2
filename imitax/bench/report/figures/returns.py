"""Figures of returns: learning curves, and normalised scores versus demonstrations."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, FixedLocator, MaxNLocator, NullLocator

from imitax.bench.analysis.exponents import groups
from imitax.bench.analysis.statistics import mean_interval
from imitax.bench.report.figures.panels import Style, wrap
from imitax.bench.spec_facts import is_variable_horizon

CONTROLS: dict[str, Any] = {
    "expert": {"color": "#000000", "linestyle": (0, (6, 2)), "linewidth": 1.0},
    "random": {"color": "#7F7F7F", "linestyle": (0, (1, 1.2)), "linewidth": 1.4},
}
"""Lines of the references."""

STEPS = {"environment_steps": "environment steps", "iterations": "algorithm steps"}

COLUMNS = 3
"""Panels in a row of the figure of scores."""

_RC: Any = {"font.size": 9.0}


class Track(NamedTuple):
    """The learning curve of one algorithm in one cell, [K] each."""

    algorithm: str
    num_demos: int
    axis: str
    """`environment_steps`, or `iterations` where the learner takes none."""
    x: np.ndarray
    """Mean over seeds."""
    mean: np.ndarray
    """Return."""
    low: np.ndarray
    high: np.ndarray


def tracks(points: pd.DataFrame) -> list[Track]:
    """The curves that are drawn of one environment.

    At its longest horizon, for the fewest and the most demonstrations: that is where curves
    differ most, and the files hold the others. The controls have none, nor has what takes a
    single step.

    Args:
        points: from `read_curves`, of one environment.
    """
    longest = points["horizon"] == points["horizon"].max()
    here = points.loc[longest & ~points["algorithm"].isin(list(CONTROLS)), :]
    ends = {here["num_demos"].min(), here["num_demos"].max()}
    found = []
    for (algorithm, demos), group in groups(here, ["algorithm", "num_demos"]):
        table = {
            name: group.pivot(index="checkpoint", columns="seed", values=name).to_numpy(float)
            for name in (*STEPS, "learner_return")
        }
        axis = "environment_steps" if table["environment_steps"].any() else "iterations"
        x = np.nanmean(table[axis], axis=1)
        if demos not in ends or len(np.unique(x)) < 2:
            continue
        intervals = [mean_interval(row) for row in table["learner_return"]]
        mean, low, high = np.array([interval[:3] for interval in intervals]).T
        found.append(Track(algorithm, int(demos), axis, x, mean, low, high))
    return found


def learning_figure(
    environment: str, drawn: Sequence[Track], rows: pd.DataFrame, style: Style
) -> Figure:
    """Return against steps: a row per number of demonstrations, a column per kind of step.

    Args:
        environment: spec, for the title.
        drawn: from `tracks`, at least one.
        rows: results of the environment, for the references.
        style: from `imitax.bench.report.figures.panels.styles`.
    """
    numbers = sorted({track.num_demos for track in drawn})
    kinds = [axis for axis in STEPS if any(track.axis == axis for track in drawn)]
    references = _references(rows)
    with matplotlib.rc_context(_RC):
        size = (5.2 * len(kinds) + 0.6, 1.0 + 3.0 * len(numbers))
        figure = Figure(figsize=size, layout="constrained")
        figure.suptitle("\n".join(wrap(environment, 70)), fontsize=10, fontweight="bold")
        axes = figure.subplots(len(numbers), len(kinds), squeeze=False)
        for panel, (demos, axis) in zip(
            axes.ravel(), itertools.product(numbers, kinds), strict=True
        ):
            own = [one for one in drawn if (one.num_demos, one.axis) == (demos, axis)]
            _learning(panel, own, references, style)
        specs = list(dict.fromkeys(track.algorithm for track in drawn))
        legend(figure, specs, style, [*references], "band: 95% interval of the mean", len(kinds))
    return figure


def _references(rows: pd.DataFrame) -> dict[str, float]:
    """Mean return of each control at the longest horizon."""
    longest = rows.loc[rows["horizon"] == rows["horizon"].max(), :]
    return {
        name: mean_interval(own["learner_return"].to_numpy(float)).mean
        for name, own in groups(longest, "algorithm")
        if name in CONTROLS
    }


def _learning(
    panel: Axes, own: Sequence[Track], references: dict[str, float], style: Style
) -> None:
    if not own:
        panel.set_axis_off()
        return
    panel.set_title(f"demonstrations $N$ = {own[0].num_demos}", fontsize=9, loc="left")
    panel.set_xlabel(STEPS[own[0].axis])
    panel.set_ylabel("mean return")
    for name, value in references.items():
        panel.axhline(value, zorder=1, **CONTROLS[name])
    for track in own:
        colour, marker, line = style[track.algorithm]
        look: Any = {"color": colour, "linestyle": line, "linewidth": 1.8, "marker": marker}
        panel.plot(track.x, track.mean, markersize=3.5, zorder=3, **look)
        panel.fill_between(track.x, track.low, track.high, color=colour, alpha=0.2, linewidth=0)
    panel.set_xlim(left=0)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    finish(panel)


def score_figure(summary: pd.DataFrame, style: Style) -> Figure | None:
    """Normalised score (interquartile mean) versus number of demonstrations, by environment.

    Each environment at the longest horizon at which an algorithm has several numbers of
    demonstrations, with the algorithms that have. None where there are none.

    Args:
        summary: from `imitax.bench.analysis.scores.summarise_scores`.
        style: from `imitax.bench.report.figures.panels.styles`.
    """
    keys = ["environment", "horizon", "algorithm"]
    several = [part for _, part in groups(summary, keys) if len(part) > 1]
    panels = []
    for environment, own in groups(pd.concat([summary.head(0), *several]), "environment"):
        horizon = own["horizon"].max()
        panels.append((environment, horizon, own.loc[own["horizon"] == horizon, :]))
    if not panels:
        return None
    columns = min(COLUMNS, len(panels))
    num_rows = math.ceil(len(panels) / columns)
    with matplotlib.rc_context(_RC):
        size = (4.0 * columns + 0.6, 1.2 + 3.0 * num_rows)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(num_rows, columns, squeeze=False).ravel()
        for panel in axes[len(panels) :]:
            panel.set_axis_off()
        for panel, (environment, horizon, own) in zip(axes, panels, strict=False):
            _scores(panel, own, style)
            kind = ", variable horizon" if is_variable_horizon(environment) else ""
            title = [*wrap(environment, 40), f"$H$ = {horizon} steps{kind}"]
            panel.set_title("\n".join(title), fontsize=9, loc="left")
        specs = list(dict.fromkeys(s for *_, own in panels for s in own["algorithm"]))
        legend(figure, specs, style, [*CONTROLS], "band: 95% interval", columns)
    return figure


def _scores(panel: Axes, own: pd.DataFrame, style: Style) -> None:
    panel.axhline(1.0, zorder=1, **CONTROLS["expert"])
    panel.axhline(0.0, zorder=1, **CONTROLS["random"])
    panel.set_xscale("log")
    for algorithm, part in groups(own, "algorithm"):
        part = part.sort_values("num_demos")
        colour, marker, line = style[algorithm]
        x, low, high = (part[name].to_numpy(float) for name in ("num_demos", "low", "high"))
        look: Any = {"color": colour, "linestyle": line, "linewidth": 1.8, "marker": marker}
        panel.plot(x, part["interquartile_mean"], markersize=5, zorder=3, **look)
        panel.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    ticks = np.unique(own["num_demos"].to_numpy())
    panel.xaxis.set_major_locator(FixedLocator(ticks.tolist()))
    panel.xaxis.set_major_formatter("{x:.0f}")
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xlabel("demonstrations $N$")
    panel.set_ylabel("normalised score")
    low, high = panel.get_ylim()
    panel.set_ylim(max(low, -1.0), min(high, 1.6))
    finish(panel)


def finish(panel: Axes) -> None:
    """The grid and the frame that all panels have."""
    panel.grid(True, color="#E3E3E3", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def legend(
    figure: Figure,
    specs: Sequence[str],
    style: Style,
    controls: Sequence[str],
    band: str,
    columns: int,
) -> None:
    """The legend under a figure: algorithms, controls by name, and what the band is."""
    entries: list[Any] = []
    for spec in specs:
        colour, marker, line = style[spec]
        look: Any = {"color": colour, "marker": marker, "linestyle": line, "markersize": 5}
        entries.append(Line2D([], [], label="\n".join(wrap(spec, 44)), **look))
    entries += [Line2D([], [], label=name, **CONTROLS[name]) for name in controls]
    entries.append(Patch(facecolor="#999999", alpha=0.35, linewidth=0, label=band))
    place: Any = {"loc": "outside lower center", "ncols": columns, "frameon": False}
    figure.legend(handles=entries, handlelength=3.2, **place)
