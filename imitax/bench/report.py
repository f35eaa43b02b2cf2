"""`imitax report DIR`: figures, `report.md` and `summary.csv` from stored results.

Everything is computed from the files of one directory, so a report can be made again at any time
and on any machine; each file is written under a hidden name first and then renamed.
"""

import json
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from imitax.bench import figures, tables
from imitax.bench.statistics import MIN_POINTS
from imitax.bench.summary import (
    EXACT_TOLERANCE,
    LAW_TOLERANCE,
    SATURATION,
    WIDEST,
    WINDOW,
    Curve,
    curves,
    groups,
    summarise,
)

KEYS = ["environment", "algorithm", "horizon", "num_demos", "seed"]
REQUIRED = [
    *KEYS,
    *("regret", "status", "expert_labels", "environment_steps", "knows_dynamics"),
]

REWARD_KEYS = ("environment", "algorithm", "true", "recovered")

METHOD = f"""\
- Regret is the expert's return minus the learner's over exactly H steps, undiscounted; intervals
  are 95%, Student's t over seeds. Diverged seeds are counted above and enter no mean.
- Exponents: least squares of log(mean regret) on log of the axis; 95% percentile bootstrap over
  seeds, whole seeds drawn jointly for all points. Points with regret/H above {SATURATION} (the
  power law's window, hollow in the figures) or without a positive mean are excluded; with fewer
  than {MIN_POINTS} points left there is no exponent.
- Verdicts: where a closed form of the expected regret exists, `agrees` means that the interval,
  widened by {EXACT_TOLERANCE}, holds the closed form's exponent over the same points; else that
  the interval, widened by {LAW_TOLERANCE}, holds the predicted exponent (the pure power law is
  rejected at this precision: H(H+1)/2 itself fits 1.96 on 8..128). For GAIL the closed form is
  that of the exact optimum, and the wider margin applies. `outside window`: the measurement
  follows the closed form, which is itself more than {WINDOW} from the power law over these
  points. `inconclusive`: the interval is wider than {WIDEST}. An empty `predicted` means that
  theory predicts nothing there.
- Paired comparisons subtract the BC spec with the nearest settings, seed by seed (seeds share
  their demonstrations); P is the probability that a seed's regret is below BC's, ties one half.
"""


class ReportError(ValueError):
    """A results directory that cannot be reported on; one line with the path and the remedy."""


def write_report(directory: Path) -> Path:
    """Write `report.md`, `summary.csv` and `figures/` into a directory of results.

    Args:
        directory: holds `results/*.parquet` and `manifest.json`; `rewards.npz` is optional.

    Returns:
        The path of `report.md`.

    Raises:
        ReportError: nothing to read, or something that cannot be read; nothing is written.
    """
    directory = Path(directory)
    rows, manifest = read_results(directory), read_manifest(directory)
    rewards = read_rewards(directory)
    all_curves = list(curves(rows))
    summary = summarise(all_curves)
    (directory / "figures").mkdir(exist_ok=True)
    images = _draw(directory / "figures", rows, all_curves, rewards)
    _replace(directory / "summary.csv", summary.to_csv(index=False, lineterminator="\n"))
    text = compose(rows, manifest, summary, images)
    return _replace(directory / "report.md", text)


def read_results(directory: Path) -> pd.DataFrame:
    """All result rows of a directory, sorted, with `regret` NaN where a seed diverged.

    Environments and algorithms keep the order of their first row in the files' order.

    Raises:
        ReportError: no results, a file that cannot be read, or columns or rows that are wrong.
    """
    folder = directory / "results"
    files = [path for path in folder.glob("*.parquet") if not path.name.startswith(".")]
    if not files:
        raise ReportError(f"{directory}: no results/*.parquet; run a sweep with --out {directory}")
    try:
        rows = pd.read_parquet(folder)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ReportError(
            f"{folder}: cannot be read as Parquet ({_line(error)}); delete the damaged file and "
            "run the same command again"
        ) from None
    missing = [name for name in REQUIRED if name not in rows]
    if missing:
        raise ReportError(f"{folder}: column {missing[0]} is missing; is this an imitax result?")
    if rows.empty:
        raise ReportError(f"{folder}: holds no rows; run the same command again")
    if rows.duplicated(KEYS).any():
        raise ReportError(f"{folder}: a seed of a cell is there twice; remove the extra files")
    rows["regret"] = rows["regret"].where((rows["status"] == "ok") & np.isfinite(rows["regret"]))
    return rows.sort_values(KEYS, kind="stable", ignore_index=True)


def read_manifest(directory: Path) -> dict[str, Any]:
    """The contents of `manifest.json`.

    Raises:
        ReportError: it is missing, or no JSON object.
    """
    path = directory / "manifest.json"
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


def read_rewards(directory: Path) -> dict[str, np.ndarray] | None:
    """The recovered rewards of `rewards.npz`, or None where there is no such file.

    Raises:
        ReportError: the file is there but damaged.
    """
    path = directory / "rewards.npz"
    if not path.exists():
        return None
    remedy = "delete it and run the same command again"
    try:
        with np.load(path, allow_pickle=False) as archive:
            rewards = {key: archive[key] for key in REWARD_KEYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ReportError(f"{path}: cannot be read ({_line(error)}); {remedy}") from None
    true, recovered = rewards["true"], rewards["recovered"]
    pairs = {rewards[key].shape[:1] for key in REWARD_KEYS}
    if true.ndim != 3 or true.shape != recovered.shape or len(pairs) != 1:
        raise ReportError(f"{path}: shapes {true.shape}, {recovered.shape} do not fit; {remedy}")
    return rewards


def compose(
    rows: pd.DataFrame,
    manifest: Mapping[str, Any],
    summary: pd.DataFrame,
    images: list[tuple[str, str]],
) -> str:
    """The text of `report.md`.

    Args:
        rows: from `read_results`.
        manifest: from `read_manifest`.
        summary: from `imitax.bench.summary.summarise`.
        images: (title, path relative to the report) of each figure.
    """
    name = manifest.get("settings", {}).get("suite")
    cells = len(rows[KEYS[:4]].drop_duplicates())
    parts = [
        f"# imitax report{f': {name}' if name else ''}",
        f"{rows['environment'].nunique()} environments, {rows['algorithm'].nunique()} algorithms, "
        f"{cells:,} cells, {rows['seed'].nunique():,} seeds, {len(rows):,} rows.",
        *(f"![{title}]({path})" for title, path in images),
        "## Exponents",
        tables.exponent_table(summary),
        *(["## What theory expects", _bullets(tables.notes(rows))] if tables.notes(rows) else []),
        *_per_environment(rows),
        "## What each method was given",
        tables.given_table(rows),
        "## Diverged",
        tables.diverged_table(rows),
        "## Not applicable",
        tables.not_applicable_table(manifest),
        "## How the numbers are made",
        METHOD.rstrip(),
        "## Provenance",
        tables.provenance(manifest),
        tables.program_table(manifest),
        tables.settings_block(manifest),
    ]
    return "\n\n".join(parts) + "\n"


def _per_environment(rows: pd.DataFrame) -> list[str]:
    parts = ["## Mean regret"]
    for environment, own in groups(rows, "environment"):
        parts += [f"### `{environment}`", tables.regret_table(own)]
        paired = tables.paired_table(own)
        if paired:
            parts += ["Compared with BC, seed by seed (negative is better):", paired]
    return parts


def _draw(
    folder: Path,
    rows: pd.DataFrame,
    all_curves: list[Curve],
    rewards: Mapping[str, np.ndarray] | None,
) -> list[tuple[str, str]]:
    """Draw every figure; return the title and the relative path of each PNG."""
    images = []
    style = figures.styles(rows["algorithm"].unique().tolist())
    if all_curves:
        figures.save(figures.overview(all_curves, style), folder / "overview")
        images.append(("Regret, where any is above zero", "figures/overview.png"))
    for environment in dict.fromkeys(curve.environment for curve in all_curves):
        own = [curve for curve in all_curves if curve.environment == environment]
        stem = f"regret-{slug(environment)}"
        figures.save(figures.environment_figure(own, style), folder / stem)
        if figures.num_rows(own) > 1:
            images.append((f"Regret on {environment}", f"figures/{stem}.png"))
    return images + _draw_rewards(folder, rewards) if rewards else images


def _draw_rewards(folder: Path, rewards: Mapping[str, np.ndarray]) -> list[tuple[str, str]]:
    images = []
    for environment, algorithm, true, recovered in zip(
        *(rewards[key] for key in REWARD_KEYS), strict=True
    ):
        title = f"{environment}, {algorithm}"
        stem = f"reward-{slug(environment)}-{slug(algorithm)}"
        figures.reward_heatmaps(true, recovered, folder / stem, title)
        images.append((f"Reward of {title}", f"figures/{stem}.png"))
    return images


def slug(spec: str) -> str:
    """A spec as part of a file name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", spec)[:100]


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _replace(path: Path, text: str) -> Path:
    hidden = path.parent / f".{path.name}"
    hidden.write_text(text, encoding="utf-8")
    os.replace(hidden, path)
    return path


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
