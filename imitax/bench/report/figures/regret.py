"""Figures of the report: regret against horizon and demonstrations, and rewards as heat maps.

`Figure` objects alone: no pyplot, no global state, no display. One colour per algorithm name in
every figure (Okabe and Ito's palette, told apart by colour-blind readers); settings of the same
algorithm differ by marker and line style. The same data gives the same bytes.
"""

import io
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from imitax.bench.analysis.exponents import Curve
from imitax.bench.files import replace
from imitax.bench.report.figures.panels import Panel, Style, draw, handles, styles, wrap
from imitax.bench.spec_facts import says
from imitax.bench.theory.predictions import AXES

__all__ = ["environment_figure", "num_rows", "overview", "reward_heatmaps", "save", "styles"]

MAX_ROWS = 3
"""Rows of panels in the figure of one environment; the table has the rest."""

_RC: Any = {"svg.hashsalt": "imitax", "font.size": 9.0}


def overview(curves: Sequence[Curve], style: Style) -> Figure:
    """One row of two panels per environment, each with the fixed value that has most points.

    Environments in which every mean regret is zero have no row, unless there is no other.
    """
    everywhere = dict.fromkeys(curve.environment for curve in curves)
    drawn = dict.fromkeys(curve.environment for curve in curves if curve.positive.any())
    environments = list(drawn or everywhere)
    rows = []
    for environment in environments:
        own = [curve for curve in curves if curve.environment == environment]
        panels = [_panels(own, axis) for axis in AXES]
        rows.append((environment, [panel[0] if panel else [] for panel in panels]))
    return _grid(rows, style)


def environment_figure(curves: Sequence[Curve], style: Style) -> Figure:
    """Panels of one environment: a row per fixed value, horizons left, demonstrations right.

    At most `MAX_ROWS` fixed values of each axis, those with most usable points.
    """
    columns = [_panels(curves, axis)[:MAX_ROWS] or [[]] for axis in AXES]
    rows = []
    for index, panels in enumerate(itertools.zip_longest(*columns)):
        rows.append((curves[0].environment if index == 0 else "", panels))
    return _grid(rows, style)


def num_rows(curves: Sequence[Curve]) -> int:
    """Rows of panels that `environment_figure` draws."""
    return max(len(_panels(curves, axis)[:MAX_ROWS]) for axis in AXES)


def reward_heatmaps(
    true: np.ndarray, recovered: np.ndarray, path_stem: Path, title: str
) -> list[Path]:
    """Draw the true and the recovered reward of a grid side by side, and save both formats.

    Each map has its own scale: a recovered reward is defined up to a constant and a factor at
    best, so only its shape is comparable.

    Args:
        true: [rows, columns], reward per step.
        recovered: [rows, columns], mean over seeds.
        path_stem: file name without ending.
        title: over both maps.

    Returns:
        The files written.
    """
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    figure.suptitle("\n".join(wrap(title, 80)), fontsize=10)
    axes = figure.subplots(1, 2)
    for panel, name, reward in zip(axes, ("true", "recovered"), (true, recovered), strict=True):
        _heatmap(figure, panel, np.asarray(reward, float), name)
    return save(figure, path_stem)


def save(figure: Figure, path_stem: Path) -> list[Path]:
    """Write PNG and SVG, each at once.

    Args:
        figure: what to write.
        path_stem: file name without ending; its folder exists.

    Returns:
        The files written.
    """
    written = []
    FigureCanvasAgg(figure)
    with matplotlib.rc_context(_RC):
        for ending, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            path = path_stem.parent / f"{path_stem.name}.{ending}"
            drawn = io.BytesIO()
            figure.savefig(drawn, format=ending, dpi=150, metadata=metadata)
            replace(path, drawn.getvalue())
            figure.set_layout_engine("none")  # the second format keeps the first one's layout
            written.append(path)
    return written


def _panels(curves: Sequence[Curve], axis: str) -> list[list[Curve]]:
    """Curves grouped by their fixed value, the group with most usable points first."""
    groups: dict[int, list[Curve]] = {}
    for curve in curves:
        if curve.axis == axis:
            groups.setdefault(curve.fixed, []).append(curve)
    usable = {fixed: sum(int(c.usable.sum()) for c in group) for fixed, group in groups.items()}
    return [groups[fixed] for fixed in sorted(groups, key=lambda fixed: (-usable[fixed], fixed))]


def _grid(rows: Sequence[tuple[str, Sequence[Panel | None]]], style: Style) -> Figure:
    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=(9.6, 0.9 + 3.3 * len(rows)), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.09, w_pad=0.09)  # pyright: ignore
        axes = figure.subplots(len(rows), 2, squeeze=False)
        for (title, panels), pair in zip(rows, axes, strict=True):
            told = says(title) if title else ""
            name = "\n".join(wrap(title, 58))
            pair[0].set_title(name, loc="left", fontweight="bold", pad=18 if told else 6)
            pair[0].text(0, 1.03, told, transform=pair[0].transAxes, fontsize=8.5)
            for axis, curves, panel in zip(AXES, panels, pair, strict=True):
                draw(panel, axis, curves, style)
        drawn = [curve for _, panels in rows for panel in panels for curve in panel or ()]
        figure.legend(
            handles=handles(drawn, style),
            loc="outside lower center",
            ncols=3,
            frameon=False,
            handlelength=3.2,
        )
    return figure


def _heatmap(figure: Figure, panel: Axes, reward: np.ndarray, name: str) -> None:
    image = panel.imshow(reward, cmap="viridis")
    peak = np.unravel_index(int(np.nanargmax(reward)), reward.shape)
    panel.plot(peak[1], peak[0], marker="*", color="white", markeredgecolor="black", markersize=11)
    panel.set_title(f"{name} reward (star: maximum)", fontsize=9)
    panel.set_xlabel("column")
    panel.set_ylabel("row")
    panel.set_xticks(range(reward.shape[1]))
    panel.set_yticks(range(reward.shape[0]))
    figure.colorbar(image, ax=panel, shrink=0.85)
