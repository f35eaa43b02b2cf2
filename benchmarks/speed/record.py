"""The record of a run: `throughput.json`, and the figures and the table made from it."""

import json
from pathlib import Path
from typing import Any

from imitax.core.files import replace

SCHEMA = 1
NAME = "throughput.json"
KEYS = ("schema", "machine", "settings", "points", "memory", "time_to_score")
COUNTED = (
    "flops and gradient_samples: gradient steps alone, from the shapes of the networks "
    "(benchmarks/speed/arithmetic.py); bytes: parameters and moments read and written, minibatch "
    "read; environment_steps: the learner's own, all_environment_steps: with demonstrations and "
    "evaluation; seconds exclude compilation, and include dispatch"
)


class RecordError(ValueError):
    """A directory or a file that cannot be used; one line with the path and the remedy."""


def new(machine: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """A record without results."""
    return {
        "schema": SCHEMA,
        "counted": COUNTED,
        "machine": machine,
        "settings": settings,
        "points": [],
        "memory": [],
        "time_to_score": [],
    }


def check_free(directory: Path) -> None:
    """Refuse a place that cannot take a record; an earlier record is replaced.

    Raises:
        RecordError: it is no directory, or holds other files and no record.
    """
    if not directory.exists():
        return
    if not directory.is_dir():
        raise RecordError(f"{directory}: not a directory; choose another --out")
    if any(directory.iterdir()) and not (directory / NAME).exists():
        raise RecordError(f"{directory}: holds files but no {NAME}; choose another --out")


def save(directory: Path, found: dict[str, Any]) -> None:
    """Write the record at once."""
    directory.mkdir(parents=True, exist_ok=True)
    replace(directory / NAME, f"{json.dumps(found, indent=1)}\n".encode())


def load(directory: Path) -> dict[str, Any]:
    """Read a record.

    Raises:
        RecordError: there is none, or another version.
    """
    path = directory / NAME
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror
        raise RecordError(f"{path}: cannot be read ({reason}); measure first") from None
    except ValueError:
        raise RecordError(f"{path}: no valid JSON; measure again") from None
    if not isinstance(found, dict) or any(key not in found for key in KEYS):
        raise RecordError(f"{path}: not a record of this program; measure again")
    if found["schema"] != SCHEMA:
        raise RecordError(f"{path}: schema {found['schema']}, this program reads {SCHEMA}")
    return found


def render(directory: Path, found: dict[str, Any]) -> None:
    """Write `throughput.md` and the figures of a record."""
    from benchmarks.speed import figures, tables

    names = figures.draw(directory, found)
    replace(directory / "throughput.md", tables.page(found, names).encode())
