"""Check that a quickstart directory holds what the README promises; exit 1 with the reason if not.

python benchmarks/check_quickstart.py runs/quickstart --seeds 1024
"""

import argparse
import json
import sys
from pathlib import Path

import pandas as pd

ALGORITHMS = {"bc", "dagger", "maxent-irl", "gail"}
TABULAR = {"reset-cliff", "recoverable-cliff", "standard-imitation", "gridworld"}
KEYS = ["environment", "algorithm", "horizon", "num_demos", "seed"]
COLUMNS = [*KEYS, "regret", "learner_return", "expert_return", "status", "expert_labels"]
COLUMNS += ["environment_steps", "knows_dynamics", "moment_gap", "equilibrium_gap"]
COLUMNS += ["gradient_updates", "training_loss", "held_out_loss", "fit_converged", "reward_form"]
SUMMARY = ["environment", "algorithm", "axis", "fixed_value", "exponent", "low", "high"]
SUMMARY += ["predicted", "verdict", "statistic", "rms_regret", "rms_low", "rms_high"]
SUMMARY += ["unconverged"]


def family(spec: str) -> str:
    return spec.split(":")[0]


def problems(directory: Path, seeds: int):
    """Yield what is missing or wrong, a line each."""
    rows = pd.read_parquet(directory / "results")
    missing = [name for name in COLUMNS if name not in rows]
    if missing:
        yield f"columns missing: {missing}"
        return
    if rows.duplicated(KEYS).any():
        yield "the same row stands twice"
    if rows.status.ne("ok").any():
        yield f"{rows.status.ne('ok').sum()} seeds diverged"
    tabular = rows[rows.environment.map(family).isin(TABULAR)]
    for env, part in tabular.groupby("environment"):
        absent = ALGORITHMS - set(part.algorithm.map(family))
        if absent:
            yield f"{env} lacks {sorted(absent)}"
        cells = part.groupby(["algorithm", "horizon", "num_demos"]).seed
        if not (cells.nunique() == seeds).all() or part.seed.max() != seeds - 1:
            yield f"{env} does not have seeds 0..{seeds - 1} in every cell"
        per_axis = part.groupby(["algorithm", "num_demos"]).horizon.nunique().max()
        if per_axis < 5:
            yield f"{env} has {per_axis} horizons at one number of demonstrations, not 5"
    if set(tabular.environment.map(family)) != TABULAR:
        yield f"environments are {sorted(set(tabular.environment))}"
    driven = rows[rows.environment.map(family) == "linear"]
    if not {"bc", "dagger"} <= set(driven.algorithm.map(family)) or driven.seed.nunique() < seeds:
        yield f"linear lacks bc, dagger or {seeds} seeds"
    expert = rows[rows.algorithm == "expert"]
    if expert.empty or expert.regret.ne(0).any():
        yield "the expert's regret is not exactly zero"
    summary = pd.read_csv(directory / "summary.csv")
    if list(summary.columns) != SUMMARY or summary.empty:
        yield f"summary.csv has columns {list(summary.columns)}"
    yield from missing_files(directory)


def missing_files(directory: Path):
    """Yield files of the report that are absent or all but empty."""
    names = ["report.md", "figures/overview.png", "figures/overview.svg", "manifest.json"]
    for name in names:
        if not (directory / name).is_file() or (directory / name).stat().st_size < 1000:
            yield f"{name} is missing or empty"
    if not list((directory / "figures").glob("reward-gridworld*.png")):
        yield "the recovered reward of the grid was not drawn"
    manifest = json.loads((directory / "manifest.json").read_text())
    if sum(p["num_compilations"] for p in manifest["programs"]) >= len(manifest["programs"]):
        yield "no program served two environments"
    many = [p for p in manifest["programs"] if p["num_compilations"] > 1]
    if many:
        yield f"programs compiled more than once: {many}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seeds", type=int, required=True)
    args = parser.parse_args()
    found = list(problems(args.directory, args.seeds))
    for line in found:
        print(f"{args.directory}: {line}", file=sys.stderr)
    if not found:
        print(f"{args.directory}: as promised")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
