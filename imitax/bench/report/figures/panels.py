"""One panel of a figure: measured curves, theory beside them, and a note on what is not drawn."""

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib.colors
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from imitax.bench.analysis.exponents import SATURATION, Curve
from imitax.bench.theory.closed_forms import is_cheap
from imitax.core.spec import split

COLOURS = {
    "bc": "#D55E00",
    "dagger": "#0072B2",
    "maxent-irl": "#009E73",
    "gail": "#CC79A7",
    "noisy-expert": "#56B4E9",
    "random": "#7F7F7F",
    "expert": "#000000",
    "fem": "#5B4EA3",
    "gtal": "#8C6D31",
    "wail": "#E69F00",
    "airl": "#1F3552",
}
"""Colour of each algorithm name; the first seven are Okabe and Ito's (2008)."""

OTHER_COLOURS = ("#66A61E", "#A6761D", "#B22234", "#2F8F8B")
"""For names that are not in `COLOURS`, in alphabetical order."""

MARKERS = "osD^vPX*"
LINES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (3, 1.5)), (0, (1, 1.2)))
LABELS = {"horizon": "horizon $H$", "num_demos": "demonstrations $N$"}
FIXED = {"horizon": "$N$ = {} demonstrations", "num_demos": "$H$ = {} steps"}
NAME_GAP = 0.06
"""Least distance between the names of curves, in heights of a panel."""
SLOPES: Any = {"color": "#333333", "linewidth": 0.9}

Panel = Sequence[Curve]
"""Curves drawn together: same environment, axis and fixed value."""

Style = dict[str, tuple[str, str, Any]]
"""Colour, marker and line style of each algorithm spec."""


def styles(algorithms: Sequence[str]) -> Style:
    """One colour per algorithm name, one marker and line per setting of it.

    Args:
        algorithms: all specs of the report, so that every figure agrees.
    """
    names = sorted({split(spec)[0] for spec in algorithms} - set(COLOURS))
    colours = COLOURS | {
        name: OTHER_COLOURS[index % len(OTHER_COLOURS)] for index, name in enumerate(names)
    }
    order = [*COLOURS, *names]
    chosen: Style = {}
    seen: dict[str, int] = {}
    for spec in sorted(set(algorithms)):
        name = split(spec)[0]
        variant = seen.get(name, 0)
        seen[name] = variant + 1
        marker = MARKERS[(order.index(name) + 3 * variant) % len(MARKERS)]
        line = LINES[(variant + variant // len(MARKERS)) % len(LINES)]
        chosen[spec] = (colours[name], marker, line)
    return chosen


def draw(panel: Axes, axis: str, curves: Panel | None, style: Style) -> None:
    """Draw curves on one pair of logarithmic axes.

    Args:
        panel: where to draw.
        axis: `horizon` or `num_demos`.
        curves: what to draw; empty where the axis has one value only, None to leave it blank.
        style: from `styles`.
    """
    if not curves:
        panel.set_axis_off()
        text = "" if curves is None else f"{LABELS[axis]}: one value only, see the table"
        panel.text(0.5, 0.5, text, ha="center", va="center", color="#777777")
        return
    panel.set_xscale("log")
    panel.set_yscale("log")
    bottom = _bottom(curves)
    for curve in curves:
        _theory(panel, curve, style[curve.algorithm][0])
        _measured(panel, curve, style[curve.algorithm], bottom)
    ticks = np.unique(np.concatenate([curve.x for curve in curves]))
    panel.xaxis.set_major_locator(FixedLocator(ticks.tolist()))
    panel.xaxis.set_major_formatter("{x:.0f}")
    panel.xaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_minor_formatter(NullFormatter())
    panel.set_ylabel("mean regret" if curves[0].statistic == "mean" else "root mean square regret")
    panel.set_xlabel(f"{LABELS[axis]}   ({FIXED[axis].format(curves[0].fixed)})")
    panel.grid(True, color="#E3E3E3", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    _limits(panel, ticks, bottom)
    _name(panel, curves, style)
    _note(panel, curves)


def _limits(panel: Axes, ticks: np.ndarray, bottom: float) -> None:
    panel.set_xlim(ticks[0] / 1.15, ticks[-1] * 1.15)
    low, high = panel.get_ylim()
    low, high = max(low, bottom), max(high, bottom * 10)
    if high < 10 * low:
        low, high = low / 2, high * 2
    panel.set_ylim(low, high)


def _name(panel: Axes, curves: Sequence[Curve], style: Style) -> None:
    """The name of each curve where it ends, moved apart where ends meet."""
    low, high = np.log(panel.get_ylim())
    ends = [
        (float((np.log(curve.mean[curve.positive][-1]) - low) / (high - low)), curve.algorithm)
        for curve in curves
        if curve.positive.any()
    ]
    ends.sort()
    heights = spread(np.array([height for height, _ in ends]), NAME_GAP)
    names = [split(spec)[0] for _, spec in ends]
    for height, (_, spec), name in zip(heights, ends, names, strict=True):
        text = name if names.count(name) == 1 else "\n".join(wrap(spec, 22))
        panel.text(
            *(1.02, height, text),
            transform=panel.transAxes,
            va="center",
            fontsize=8,
            color=style[spec][0],
        )


def spread(heights: np.ndarray, gap: float) -> np.ndarray:
    """Increasing heights at least `gap` apart, as near to the given ones as their order allows.

    Least squares by pooling neighbours that would overlap (isotonic regression of what is left
    once the gaps are taken off).
    """
    pools: list[list[float]] = []
    for index, height in enumerate(heights):
        pools.append([height - gap * index, 1.0])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (one, count), (other, more) = pools[-2:]
            pools[-2:] = [[(one * count + other * more) / (count + more), count + more]]
    level = np.repeat([pool[0] for pool in pools], [int(pool[1]) for pool in pools])
    return level + gap * np.arange(len(heights))


def _bottom(curves: Sequence[Curve]) -> float:
    """Lower end of the axis: a little below the smallest mean that can be drawn."""
    positive = [value for curve in curves for value in curve.mean[curve.positive]]
    return 0.4 * min(positive) if positive else 0.1


def _measured(panel: Axes, curve: Curve, style: tuple[str, str, Any], bottom: float) -> None:
    colour, marker, line = style
    shown = curve.positive
    x, mean = curve.x[shown], curve.mean[shown]
    panel.plot(x, mean, color=colour, linestyle=line, linewidth=2.0, alpha=0.8, zorder=3)
    low = np.maximum(np.where(np.isfinite(curve.low), curve.low, curve.mean), bottom)[shown]
    high = np.where(np.isfinite(curve.high), curve.high, curve.mean)[shown]
    panel.fill_between(x, low, high, color=colour, alpha=0.22, linewidth=0, zorder=2)
    for used, fill in ((curve.usable, colour), (shown & curve.saturated, "white")):
        panel.plot(
            curve.x[used],
            curve.mean[used],
            linestyle="none",
            marker=marker,
            markersize=5.5,
            markeredgecolor=colour,
            markerfacecolor=fill,
            zorder=4,
        )


def _theory(panel: Axes, curve: Curve, colour: str) -> None:
    """The closed form as a thin line, or else the predicted slope from the first used point."""
    x, values = _theory_line(curve)
    if values is not None:
        exact = curve.exact(curve.x) is not None
        line = "-" if exact else (0, (5, 3))
        panel.plot(x, values, color=_dark(colour), linestyle=line, linewidth=0.8, zorder=5)


def _theory_line(curve: Curve) -> tuple[np.ndarray, np.ndarray | None]:
    count = 25 if is_cheap(curve.algorithm) else 3
    between = np.geomspace(curve.x[0], curve.x[-1], count).round().astype(int)
    x = np.unique(np.concatenate([curve.x, between]))
    exact = curve.exact(x)
    if exact is not None:
        return x, exact if np.all(exact > 0) else None
    prediction = curve.prediction()
    if prediction is None or not curve.usable.any():
        return x, None
    first = int(np.flatnonzero(curve.usable)[0])
    span = x[(x >= curve.x[first]) & (x <= curve.x[curve.positive].max())]
    return span, curve.mean[first] * (span / curve.x[first]) ** prediction.exponent


def _note(panel: Axes, curves: Sequence[Curve]) -> None:
    """Name, under the panel, what a logarithmic axis cannot show."""
    parts = []
    for curve in curves:
        hidden = curve.x[~curve.positive]
        if len(hidden) == 0:
            continue
        zero = np.nan_to_num(curve.mean, nan=1.0)[~curve.positive] == 0
        word = "0" if np.all(zero) else "not above 0"
        where = "everywhere" if len(hidden) == len(curve.x) else f"at {_join(hidden)}"
        parts.append(f"{curve.algorithm}: {word} {where}")
    if parts:
        text = "\n".join(wrap("not drawn: " + "; ".join(parts), 72))
        panel.annotate(
            text,
            xy=(0.5, 0.0),
            xycoords=panel.xaxis.label,
            xytext=(0, -4),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=7.5,
            color="#666666",
        )


def handles(curves: Sequence[Curve], style: Style) -> list[Artist]:
    """Legend entries for everything that the panels of these curves show."""
    specs = dict.fromkeys(curve.algorithm for curve in curves if curve.positive.any())
    entries: list[Artist] = []
    for spec in specs:
        colour, marker, line = style[spec]
        label = "\n".join(wrap(spec, 44))
        entries.append(
            Line2D([], [], color=colour, marker=marker, linestyle=line, markersize=5.5, label=label)
        )
    lines = [(curve.exact(curve.x) is not None, _theory_line(curve)[1]) for curve in curves]
    band: Any = {"facecolor": "#999999", "alpha": 0.35, "linewidth": 0}
    entries.append(Patch(label="band: 95% interval of the mean over seeds", **band))
    if any(exact and values is not None for exact, values in lines):
        entries.append(Line2D([], [], label="thin line: exact expectation", **SLOPES))
    if any(not exact and values is not None for exact, values in lines):
        entries.append(
            Line2D([], [], linestyle=(0, (5, 3)), label="thin dashes: predicted slope", **SLOPES)
        )
    if any((curve.saturated & curve.positive).any() for curve in curves):
        label = f"hollow: regret/H > {SATURATION}, not in the fit"
        hollow: Any = {"marker": "o", "linestyle": "none", "markerfacecolor": "white"}
        entries.append(Line2D([], [], markeredgecolor="#333333", label=label, **hollow))
    return entries


def _dark(colour: str) -> tuple[float, ...]:
    return tuple(0.45 * part for part in matplotlib.colors.to_rgb(colour))


def _join(values: np.ndarray) -> str:
    return ", ".join(str(value) for value in values)


def wrap(text: str, width: int) -> list[str]:
    """Break a spec after its commas, a sentence at its spaces."""
    spaced = text.replace(",", ",\u200b ") if " " not in text else text
    lines = textwrap.wrap(spaced, width, break_long_words=False, break_on_hyphens=False)
    return [line.replace(",\u200b ", ",").replace("\u200b", "") for line in lines]
