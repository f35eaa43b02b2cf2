"""What a newcomer's first picture costs, at two commits in turn.

    python -m benchmarks.first_picture --before 44e8ac9 --out benchmarks/results/first-picture

Clones each commit, installs it in an environment of its own, and runs command lines alternately,
each with nothing compiled before: the whole quickstart, and the four tabular environments with
their four algorithms at two seeds, which is hardly more than tracing and compiling their programs.
Processor seconds are user and system time of the process and its children; the first picture is
there when `figures/overview.png` is. Writes `first-picture.json` after every run.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.second_start import processor

ROOT = Path(__file__).resolve().parent.parent
PICTURE = Path("figures") / "overview.png"
POLL = 0.1
LINES = {
    "quickstart": "run quickstart --no-cache",
    "programs": (
        "sweep --env reset-cliff recoverable-cliff:labels=state standard-imitation gridworld "
        "--algorithm bc dagger maxent-irl gail:num_steps=50 expert "
        "--horizons 8 64 --num-demos 300 --seeds 2 --no-cache"
    ),
}


def main() -> int:
    options = parse()
    report: dict[str, Any] = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "lines": {name: LINES[name] for name in options.line},
        "runs": [],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        installed = [install(commit, Path(folder)) for commit in (options.before, options.after)]
        for repeat in range(options.repeats):
            for name in options.line:
                for commit, command in installed:
                    out = Path(folder) / f"{name}-{commit}-{repeat}"
                    found = {"line": name, "commit": commit, "load": os.getloadavg()[0]}
                    report["runs"].append(found | run(command, LINES[name], out))
                    print(report["runs"][-1], flush=True)
                    report["ratios"] = ratios(report["runs"], *(one for one, _ in installed))
                    text = json.dumps(report, indent=1) + "\n"
                    (options.out / "first-picture.json").write_text(text, encoding="utf-8")
    print(json.dumps(report["ratios"], indent=1))
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.first_picture", description="cost of the first picture"
    )
    parser.add_argument("--before", required=True, help="a commit")
    parser.add_argument("--after", default="HEAD", help="a commit")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--line", nargs="+", choices=tuple(LINES), default=list(LINES))
    parser.add_argument("--out", type=Path, default=Path("runs/first-picture"))
    return parser.parse_args()


def install(commit: str, folder: Path) -> tuple[str, Path]:
    """A clone of a commit with an environment: its short name, and its command `imitax`."""
    name = subprocess.check_output(
        ["git", "rev-parse", "--short", commit], cwd=ROOT, text=True
    ).strip()
    place = folder / name
    steps = (
        ["git", "clone", "-q", str(ROOT), str(place)],
        ["git", "-C", str(place), "checkout", "-q", name],
        [sys.executable, "-m", "venv", str(place / ".venv")],
        [str(place / ".venv/bin/pip"), "install", "-q", "-e", f"{place}[bench]"],
    )
    for step in steps:
        subprocess.run(step, check=True)
    return name, place / ".venv" / "bin" / "imitax"


def run(command: Path, line: str, out: Path) -> dict[str, float]:
    """One run of a line: its seconds, those of the processor, and those to the first picture."""
    started, picture = time.perf_counter(), None
    child = subprocess.Popen(
        [str(command), *shlex.split(line), "--out", str(out)],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while True:
        pid, status, used = os.wait4(child.pid, os.WNOHANG)
        if picture is None and (out / PICTURE).exists():
            picture = time.perf_counter() - started
        if pid:
            break
        time.sleep(POLL)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{line}: exit status {os.waitstatus_to_exitcode(status)}")
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "first_picture_seconds": float("nan") if picture is None else picture,
    }


def ratios(runs: list[dict[str, Any]], before: str, after: str) -> dict[str, dict[str, Any]]:
    """Medians at both commits, and the second over the first, by line and measure."""
    found: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(one["line"] for one in runs):
        for key in ("seconds", "cpu_seconds", "first_picture_seconds"):
            both = [
                [one[key] for one in runs if one["line"] == name and one["commit"] == commit]
                for commit in (before, after)
            ]
            if all(both):
                one, other = map(statistics.median, both)
                pair = {"before": one, "after": other, "ratio": other / one, "runs": len(both[0])}
                found.setdefault(name, {})[key] = pair
    return found


if __name__ == "__main__":
    sys.exit(main())
