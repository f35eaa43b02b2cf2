"""What the commands show: a progress bar and tables."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from imitax.bench.plans.plan import Chunk

Rows = Sequence[Sequence[str]]

PAIR = ["environment", "algorithm"]
"""Columns that are not wrapped."""


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
        print("\n".join(aligned([header, *rows])))
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in header:
        table.add_column(name, overflow="fold", no_wrap=name in PAIR)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def aligned(rows: Rows, *, right: bool = False) -> list[str]:
    """Lines of columns two spaces apart; with `right` all but the first end in a line."""
    columns = []
    for index, column in enumerate(zip(*rows, strict=True)):
        side = str.rjust if right and index else str.ljust
        columns.append([side(cell, max(map(len, column))) for cell in column])
    return ["  ".join(line).rstrip() for line in zip(*columns, strict=True)]
