"""What a report reads: the files of a directory of results, each checked."""

import json
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from imitax.bench.errors import ReportError
from imitax.bench.results.manifest import add_programs, difference
from imitax.bench.schema import CURVES, KEYS, REQUIRED, absent

REWARD_KEYS = ("environment", "algorithm", "true", "recovered")


class RewardMaps(NamedTuple):
    """What a learner recovered on a grid, [rows, columns] each."""

    environment: str
    algorithm: str
    true: np.ndarray
    recovered: np.ndarray


def read_results(directory: Path) -> pd.DataFrame:
    """All result rows of a directory, sorted, with `regret` NaN where a seed diverged.

    Environments and algorithms keep the order of their first row in the files' order.

    Raises:
        ReportError: no results, a file that cannot be read, or columns or rows that are wrong.
    """
    folder = directory / "results"
    if not _parquet_files(folder):
        raise ReportError(f"{directory}: no results/*.parquet; run a sweep with --out {directory}")
    rows = _read_parquet(folder, REQUIRED, KEYS)
    for name, nothing in absent().items():
        if name not in rows:
            rows[name] = nothing
    rows["regret"] = rows["regret"].where((rows["status"] == "ok") & np.isfinite(rows["regret"]))
    return rows.sort_values(KEYS, kind="stable", ignore_index=True)


def read_curves(directory: Path) -> pd.DataFrame | None:
    """All points of learning curves, sorted; None where a directory holds none.

    Raises:
        ReportError: a file that cannot be read, or columns or rows that are wrong.
    """
    folder = directory / "curves"
    if not _parquet_files(folder):
        return None
    keys = [*KEYS, "checkpoint"]
    points = _read_parquet(folder, CURVES.names, keys)
    return points.sort_values(keys, kind="stable", ignore_index=True)


def _parquet_files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.parquet") if not path.name.startswith(".")]


def _read_parquet(folder: Path, required: list[str], keys: list[str]) -> pd.DataFrame:
    try:
        rows = pd.read_parquet(folder)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ReportError(
            f"{folder}: cannot be read as Parquet ({_line(error)}); delete the damaged file and "
            "run the same command again"
        ) from None
    missing = [name for name in required if name not in rows]
    if missing:
        raise ReportError(f"{folder}: column {missing[0]} is missing; is this an imitax result?")
    if rows.empty:
        raise ReportError(f"{folder}: holds no rows; run the same command again")
    if rows.duplicated(keys).any():
        raise ReportError(f"{folder}: a seed of a cell is there twice; remove the extra files")
    return rows


def read_manifest(directory: Path) -> dict[str, Any]:
    """The contents of `manifest.json`, with what programs cost in every share of the sweep.

    Raises:
        ReportError: it is missing, or no JSON object, or a share ran something else.
    """
    manifest = _read_record(directory / "manifest.json")
    for path in sorted((directory / "shards").glob("[!.]*.json")):
        share = _read_record(path)
        found = difference(manifest, share)
        if found:
            words = found.replace("here", "in it")
            raise ReportError(
                f"{path}: no part of the sweep of manifest.json ({words}); remove what came with it"
            )
        add_programs(manifest.setdefault("programs", []), share.get("programs", []))
    return manifest


def _read_record(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ReportError(f"{path}: cannot be read; run the same command again") from None
    except ValueError as error:
        raise ReportError(
            f"{path}: no valid JSON ({_line(error)}); restore it, or run into a new directory"
        ) from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("settings", {}), dict):
        raise ReportError(
            f"{path}: not a manifest of a sweep; restore it, or run into a new directory"
        )
    return manifest


def incomplete(directory: Path, manifest: dict[str, Any]) -> str:
    """What is missing of a sweep, in a few words; empty where nothing is, or nobody knows."""
    total, there = manifest.get("chunks"), len(_parquet_files(directory / "results"))
    if not isinstance(total, int) or there >= total:
        return ""
    return f"incomplete: {there:,} of {total:,} chunks are there"


def read_rewards(directory: Path) -> list[RewardMaps]:
    """The recovered rewards of `rewards/*.npz`, sorted by name.

    Raises:
        ReportError: a file that is damaged.
    """
    paths = (directory / "rewards").glob("*.npz")
    return [_read_maps(path) for path in sorted(paths) if not path.name.startswith(".")]


def _read_maps(path: Path) -> RewardMaps:
    remedy = "delete it and run the same command again"
    try:
        with np.load(path, allow_pickle=False) as archive:
            environment, algorithm, true, recovered = (archive[key] for key in REWARD_KEYS)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ReportError(f"{path}: cannot be read ({_line(error)}); {remedy}") from None
    if true.ndim != 2 or true.shape != recovered.shape:
        raise ReportError(f"{path}: shapes {true.shape}, {recovered.shape} do not fit; {remedy}")
    return RewardMaps(str(environment), str(algorithm), true, recovered)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
