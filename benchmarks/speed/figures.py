"""The figures of a record: seeds per second, share of the roofline, efficiency over devices."""

import io
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from imitax.core.files import replace

COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#CC79A7", "#D55E00", "#000000")
"""Of Okabe and Ito's palette, one per workload in the order of the record."""
MARKERS = "osD^vPX"


def draw(directory: Path, found: dict[str, Any]) -> list[str]:
    """Draw what the record has points for.

    Returns:
        The names of the files, in `directory`.
    """
    done = [point for point in found["points"] if point["status"] == "ok"]
    names = list(dict.fromkeys(point["workload"] for point in found["points"]))
    style = {name: (COLOURS[i % 7], MARKERS[i % 7]) for i, name in enumerate(names)}
    written = []
    for name, make in (("seeds", _rates), ("roofline", _roofline), ("devices", _devices)):
        figure = make(done, style)
        if figure is not None:
            written.append(_save(figure, directory / f"{name}.png"))
    return written


def _of_most(points: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The series of each workload: its points on the devices that have most numbers of seeds."""
    series: dict[str, list[dict[str, Any]]] = {}
    for name in dict.fromkeys(point["workload"] for point in points):
        own = [point for point in points if point["workload"] == name]
        counts = [point["devices"] for point in own]
        most = max(counts, key=counts.count)
        kept = [point for point in own if point["devices"] == most]
        series[name] = sorted(kept, key=lambda point: point["seeds"])
    return series


def _rates(points: list[dict[str, Any]], style: dict) -> Figure | None:
    if not points:
        return None
    figure, (axes,) = _figure(1)
    for name, own in _of_most(points).items():
        seeds = [point["seeds"] for point in own]
        rate = [point["rates"]["seeds"] for point in own]
        low, high = ([p["seeds"] / p["quartiles"][side] for p in own] for side in (1, 0))
        axes.fill_between(seeds, low, high, color=style[name][0], alpha=0.15, linewidth=0)
        _line(axes, seeds, rate, name, style)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    _name(axes, "seeds", "seeds per second (median, quartiles)")
    return figure


def _roofline(points: list[dict[str, Any]], style: dict) -> Figure | None:
    kinds = {
        "of_product_highest": "gradient FLOP/s, % of a large product",
        "of_copy": "bytes/s, % of a large copy",
    }
    if not any(point["fractions"] for point in points):
        return None
    figure, panels = _figure(2)
    for axes, (kind, label) in zip(panels, kinds.items(), strict=True):
        for name, own in _of_most(points).items():
            kept = [point for point in own if kind in point["fractions"]]
            if kept:
                values = [100 * point["fractions"][kind] for point in kept]
                _line(axes, [point["seeds"] for point in kept], values, name, style)
        axes.set_xscale("log", base=2)
        axes.set_ylim(bottom=0)
        _name(axes, "seeds", label)
    return figure


def _devices(points: list[dict[str, Any]], style: dict) -> Figure | None:
    """Seeds per second on D devices over D times those on one, at the same number of seeds."""
    series = {}
    for name in dict.fromkeys(point["workload"] for point in points):
        own = [point for point in points if point["workload"] == name]
        alone = {point["seeds"]: point for point in own if point["devices"] == 1}
        shared = [p["seeds"] for p in own if p["devices"] > 1 and p["seeds"] in alone]
        if shared:
            seeds = max(shared, key=shared.count)
            one = alone[seeds]["rates"]["seeds"]
            kept = sorted((p["devices"], p) for p in own if p["seeds"] == seeds)
            series[name] = [(count, p["rates"]["seeds"] / one) for count, p in kept]
    if not series:
        return None
    figure, (axes,) = _figure(1)
    for name, pairs in series.items():
        _line(axes, [pair[0] for pair in pairs], [pair[1] for pair in pairs], name, style)
    counts = sorted({count for pairs in series.values() for count, _ in pairs})
    axes.plot(counts, counts, color="0.6", linestyle=":", label="as many times")
    axes.set_xticks(counts)
    axes.legend(frameon=False)
    _name(axes, "devices", "seeds per second, times those of one device", legend=True)
    return figure


def _figure(columns: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(5.6 * columns, 3.9), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(1, columns, index + 1) for index in range(columns)]


def _line(axes: Axes, x: list, y: list, name: str, style: dict) -> None:
    colour, marker = style[name]
    axes.plot(x, y, color=colour, marker=marker, markersize=5, linewidth=1.4, label=name)


def _name(axes: Axes, x: str, y: str, *, legend: bool = True) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if legend and axes.lines:
        axes.legend(frameon=False, fontsize=8)


def _save(figure: Figure, path: Path) -> str:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=130, metadata={"Software": None})
    replace(path, drawn.getvalue())
    return path.name
