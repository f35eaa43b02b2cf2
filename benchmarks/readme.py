"""Write the README's figure and table from a finished quickstart directory.

python benchmarks/readme.py runs/quickstart

Copies the figure, the summary and the manifest to benchmarks/results/quickstart and fills the part
of README.md between its two marks. Nothing there is written by hand.
"""

import argparse
import json
import shutil
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "benchmarks" / "results" / "quickstart"
BEGIN, END = "<!-- quickstart:begin -->", "<!-- quickstart:end -->"


def exponent(row: pd.Series | None) -> str:
    if row is None or pd.isna(row.exponent) or pd.isna(row.low):
        return ""
    return f"{row.exponent:.2f} [{row.low:.2f}, {row.high:.2f}]"


def predicted(row: pd.Series | None) -> str:
    return "" if row is None or pd.isna(row.predicted) else f"{row.predicted:g}"


def table(directory: Path) -> str:
    """Mean regret in the largest cell, and both exponents beside their predictions."""
    rows = pd.read_parquet(directory / "results")
    rows = rows[(rows.status == "ok") & ~rows.algorithm.isin(["expert"])]
    summary = pd.read_csv(directory / "summary.csv")
    found = {(r.environment, r.algorithm, r.axis): r for _, r in summary.iterrows()}
    lines = [
        "| environment | algorithm | seeds | H, N | mean regret | exponent in H [95 %] | theory "
        "| exponent in N [95 %] | theory |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (env, algorithm), part in rows.groupby(["environment", "algorithm"]):
        horizon = part.horizon.max()
        demos = part[part.horizon == horizon].num_demos.max()
        cell = part[(part.horizon == horizon) & (part.num_demos == demos)].regret
        error = 1.96 * cell.std() / len(cell) ** 0.5
        by_axis = [found.get((env, algorithm, axis)) for axis in ("horizon", "num_demos")]
        fits = " | ".join(f"{exponent(row)} | {predicted(row)}" for row in by_axis)
        lines.append(
            f"| `{env}` | `{algorithm}` | {len(cell)} | {horizon}, {demos} "
            f"| {cell.mean():.4g} ± {error:.2g} | {fits} |"
        )
    return "\n".join(lines)


def section(directory: Path) -> str:
    manifest = json.loads((directory / "manifest.json").read_text())
    versions = manifest["versions"]
    return "\n".join(
        [
            BEGIN,
            "## The main job",
            "",
            "![Regret versus horizon and versus demonstrations]"
            "(benchmarks/results/quickstart/overview.png)",
            "",
            "Mean regret (thin lines: closed form or predicted slope; hollow points: saturated, "
            "not fitted).",
            "",
            table(directory),
            "",
            "An empty field: theory predicts nothing there, or nothing could be fitted. "
            "`maxent-irl` and exact `gail` know the dynamics, which on the cliffs gives the "
            "answer away. The whole "
            "[summary](benchmarks/results/quickstart/summary.csv) has a verdict for each fit. "
            f"Written by `benchmarks/readme.py` from a run on {manifest['device']}, "
            f"jax {versions['jax']}, commit {str(manifest['commit'])[:10]}.",
            END,
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory
    KEPT.mkdir(parents=True, exist_ok=True)
    for name in ("summary.csv", "manifest.json", "figures/overview.png"):
        shutil.copy(directory / name, KEPT / Path(name).name)
    readme = ROOT / "README.md"
    text = readme.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    readme.write_text(before + section(directory) + after)


if __name__ == "__main__":
    main()
