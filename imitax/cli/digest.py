"""The digest of a sweep: what the command prints at its end."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imitax.bench.analysis.exponents import groups, interval_of, statistic_of
from imitax.bench.results.reading import read_results
from imitax.cli.terminal import PAIR

HEADER = (*PAIR, "H,N", "regret", "in H (th.)", "in N (th.)", "diverged")
"""Mean regret (rms where the expert is soft) at the largest cell, the fitted exponents and, in
brackets, what theory predicts."""


def digest(directory: Path) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of a sweep in short: one row per environment and algorithm.

    Args:
        directory: of results with a `summary.csv`.
    """
    summary = pd.read_csv(directory / "summary.csv")
    fits = dict(groups(summary, [*PAIR, "axis"]))
    lines = []
    for pair, rows in groups(read_results(directory), PAIR):
        cell, last = max(groups(rows, ["horizon", "num_demos"]), key=lambda item: item[0])
        statistic = statistic_of(pair[0])
        value = interval_of(statistic, last["regret"].to_numpy(float)).mean
        exponents = [_exponent(fits.get((*pair, axis))) for axis in ("horizon", "num_demos")]
        diverged = int(np.sum(rows["status"].to_numpy() != "ok"))
        shown = "-" if np.isnan(value) else f"{value:.3g}" + " rms" * (statistic == "rms")
        lines.append((*pair, f"{cell[0]},{cell[1]}", shown, *exponents, str(diverged)))
    shown = len(HEADER) if any(line[-1] != "0" for line in lines) else len(HEADER) - 1
    return HEADER[:shown], [line[:shown] for line in lines]


def _exponent(fits: Any) -> str:
    """The exponent at the largest value of the other axis, and the predicted one."""
    found = [] if fits is None else fits[fits["exponent"].notna()].to_dict("records")
    if not found:
        return "-"
    best = max(found, key=lambda row: row["fixed_value"])
    predicted = "" if np.isnan(best["predicted"]) else f" ({best['predicted']:g})"
    return f"{best['exponent']:.2f}{predicted}"
