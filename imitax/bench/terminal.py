"""What the commands show: a progress bar, tables, and the digest of a sweep."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from imitax.bench.plan import Chunk
from imitax.bench.reading import read_results
from imitax.bench.summary import groups

Rows = Sequence[Sequence[str]]


class _Rate(ProgressColumn):
    """Seeds per second."""

    def render(self, task: Any) -> Text:
        """The speed so far, or nothing before it is known."""
        return Text("" if task.speed is None else f"{task.speed:,.0f} seeds/s")


@contextlib.contextmanager
def progress(chunks: Sequence[Chunk]) -> Iterator[Callable[[Chunk], None]]:
    """A bar with cells, seeds per second and time left; nothing where there is no terminal.

    Args:
        chunks: what will be computed.

    Yields:
        A function to call with each finished chunk.
    """
    left: dict[tuple, int] = {}
    for chunk in chunks:
        left[chunk[:4]] = left.get(chunk[:4], 0) + chunk.num_seeds
    columns = [
        TextColumn("{task.fields[cells]} of {task.fields[all]} cells"),
        *(BarColumn(), _Rate(), TimeRemainingColumn()),
        TextColumn("{task.fields[now]}"),
    ]
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with bar:
        total = sum(chunk.num_seeds for chunk in chunks)
        task = bar.add_task("", total=total, cells=0, all=len(left), now="")

        def advance(chunk: Chunk) -> None:
            left[chunk[:4]] -= chunk.num_seeds
            done = sum(seeds == 0 for seeds in left.values())
            now = f"{chunk.environment}, {chunk.algorithm}"
            bar.update(task, advance=chunk.num_seeds, cells=done, now=now)

        yield advance


def print_table(header: Sequence[str], rows: Rows) -> None:
    """Print a table: ruled on a terminal, plain columns elsewhere."""
    if not sys.stdout.isatty():
        print("\n".join(plain(header, rows)))
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in header:
        table.add_column(name, overflow="fold", no_wrap=name in PAIR)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def plain(header: Sequence[str], rows: Rows) -> list[str]:
    """Lines of columns two spaces apart."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]


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
        mean = last["regret"].mean()  # NaN, which a diverged seed has, is left out
        exponents = [_exponent(fits.get((*pair, axis))) for axis in ("horizon", "num_demos")]
        diverged = int(np.sum(rows["status"].to_numpy() != "ok"))
        shown = "-" if np.isnan(mean) else f"{mean:.3g}"
        lines.append((*pair, f"{cell[0]},{cell[1]}", shown, *exponents, str(diverged)))
    shown = len(HEADER) if any(line[-1] != "0" for line in lines) else len(HEADER) - 1
    return HEADER[:shown], [line[:shown] for line in lines]


PAIR = ["environment", "algorithm"]
HEADER = (*PAIR, "H,N", "regret", "in H (th.)", "in N (th.)", "diverged")
"""Mean regret at the largest cell, the fitted exponents and, in brackets, what theory predicts."""


def _exponent(fits: Any) -> str:
    """The exponent at the largest value of the other axis, and the predicted one."""
    found = [] if fits is None else fits[fits["exponent"].notna()].to_dict("records")
    if not found:
        return "-"
    best = max(found, key=lambda row: row["fixed_value"])
    predicted = "" if np.isnan(best["predicted"]) else f" ({best['predicted']:g})"
    return f"{best['exponent']:.2f}{predicted}"
