"""The same workloads with imitax and with other libraries, side by side on this machine.

    python -m benchmarks.peers --out runs/peers
    python -m benchmarks.peers --workloads bc gail --repeats 5 --out runs/peers
    python -m benchmarks.peers --render runs/peers

Each peer is installed into a virtual environment of its own (`--peers-dir`) from the exact versions
in `benchmarks/peer/*.txt`. The two sides run in alternation, in fresh processes. A ratio is printed
only where both reached the same score. Writes `peers.json` and, from it, `peers.md`.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.peer import alternate, rates, table
from benchmarks.peer.environments import BuildError, pins, python_of
from imitax.core.files import replace

ROOT = Path(__file__).resolve().parent.parent


class Workload(NamedTuple):
    """How a workload is measured."""

    peer: str
    """Whose environment."""
    module: str
    """The peer's runner."""
    peer_seeds: int
    """Of each process and repeat."""
    our_seeds: int
    """Of ours, in one program, where `--seeds` says nothing."""
    wanted: float | None
    """Ratio that is wanted, warm."""


IMITATION = "benchmarks.peer.imitation_runner"
WORKLOADS = {
    "bc": Workload("imitation", IMITATION, 4, 256, 40.0),
    "bc-prebatched": Workload("imitation", IMITATION, 4, 256, 25.0),
    "dagger": Workload("imitation", IMITATION, 2, 256, 60.0),
    "gail": Workload("imitation", IMITATION, 1, 64, 30.0),
    "mce-irl-20": Workload("imitation", IMITATION, 6, 256, None),
    "mce-irl-50": Workload("imitation", IMITATION, 4, 256, None),
    "mce-irl-100": Workload("imitation", IMITATION, 3, 256, 27.0),
    "ppo": Workload("rejax", "benchmarks.peer.rejax_runner", 16, 64, None),
}
GROUPS = {"mce-irl": [name for name in WORKLOADS if name.startswith("mce-irl")]}
NAMED = ("imitation", "stable-baselines3", "gymnasium", "torch", "rejax", "gymnax", "jax")
"""Packages of the peers that the table names; the JSON has all."""
FORMAT = "imitax peers 1"
QUICK = 16
"""Most seeds of ours with `--quick`."""


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    if options.render is not None:
        return render(options.render)
    report = about(options)
    names = [one for name in options.workloads for one in GROUPS.get(name, [name])]
    for name in dict.fromkeys(names):
        try:
            row = measure(name, options)
        except (BuildError, alternate.RunError) as error:
            report["not_run"].append(f"not run: {error}")
            print(report["not_run"][-1], flush=True)
        else:
            report["rows"].append(row)
            print(row.get("refused") or _line(row), flush=True)
        save(options.out, report)
    print(table.markdown(report))
    return 0 if report["rows"] else 1


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description="imitax and other libraries side by side"
    )
    names = [*WORKLOADS, *GROUPS]
    default = ["bc", "bc-prebatched", "dagger", "gail", "mce-irl", "ppo"]
    parser.add_argument("--workloads", nargs="+", choices=names, default=default)
    parser.add_argument(
        "--seeds", type=int, help="of ours, in one program: 64 for gail and ppo, else 256"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/peers"))
    parser.add_argument("--peers-dir", type=Path, default=Path("runs/peers-environments"))
    parser.add_argument("--quick", action="store_true", help="one repeat of few seeds")
    parser.add_argument("--render", type=Path, metavar="DIR", help="write peers.md anew")
    options = parser.parse_args(argv)
    for name in ("seeds", "repeats"):
        count = getattr(options, name)
        if count is not None and count < 1:
            parser.error(f"--{name} {count}: give at least 1")
    return options


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """One workload, the two sides in alternation."""
    chosen = WORKLOADS[name]
    python = python_of(options.peers_dir.resolve(), chosen.peer)
    peer_seeds, our_seeds = chosen.peer_seeds, options.seeds or chosen.our_seeds
    repeats = options.repeats
    if options.quick:
        peer_seeds, our_seeds, repeats = 1, min(QUICK, our_seeds), 1

    def peer(repeat: int) -> dict[str, Any]:
        return alternate.run_peer(python, chosen.module, name, peer_seeds, repeat)

    def ours(repeat: int) -> dict[str, Any]:
        return alternate.run_ours(name, our_seeds)

    rounds = alternate.alternate(peer, ours, repeats)
    row = rates.compare(name, rounds)
    return row | {"wanted": chosen.wanted, "differences": rounds[0][1]["differences"]}


def about(options: argparse.Namespace) -> dict[str, Any]:
    """The report before its rows: machine, versions, date, commit."""
    packages = ("imitax", "jax", "jaxlib", "gymnax", "flax", "optax", "numpy")
    files = [pins(peer).read_text().splitlines() for peer in ("imitation", "rejax")]
    pinned = [line for lines in files for line in lines if not line.startswith("#")]
    return {
        "format": FORMAT,
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "processor": processor(),
        "cores": alternate.num_cores(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "peers": [line for line in pinned if line.split("==")[0] in NAMED],
        "pins": pinned,
        "study": rates.STUDY,
        "quick": options.quick,
        "rows": [],
        "not_run": [],
    }


def commit() -> str:
    """The checkout's commit, with a `+` where files differ from it."""

    def git(*command: str) -> str:
        done = subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip()

    return (git("rev-parse", "--short=10", "HEAD") or "unknown") + "+" * bool(git("status", "-s"))


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def save(directory: Path, report: dict[str, Any]) -> None:
    """Write the report and its table, each at once."""
    directory.mkdir(parents=True, exist_ok=True)
    texts = {"peers.json": json.dumps(report, indent=1) + "\n", "peers.md": table.markdown(report)}
    for name, text in texts.items():
        replace(directory / name, text.encode())


def render(directory: Path) -> int:
    """Write the table of a report anew."""
    try:
        report = json.loads((directory / "peers.json").read_text())
        if report["format"] != FORMAT:
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError):
        print(f"{directory}: holds no peers.json of format '{FORMAT}'", file=sys.stderr)
        return 2
    save(directory, report)
    return 0


def _line(row: dict[str, Any]) -> str:
    ratio = row["ratio"]
    return (
        f"{row['workload']}: {ratio['median']:.1f} times the peer's seeds per hour "
        f"[{ratio['min']:.1f}, {ratio['max']:.1f}], cold {row['ratio_cold']['median']:.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
