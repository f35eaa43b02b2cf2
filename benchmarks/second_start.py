"""How long the command takes until it computes: its first start, and one that finds its programs.

    python -m benchmarks.second_start --out runs/second-start
    python -m benchmarks.second_start --repeats 5 --out runs/second-start -- \
        sweep --env lane --algorithm bc --horizons 64 --num-demos 10 --seeds 64

Starts a command line of `imitax` twice in a row with an empty folder of compiled programs, several
times, in fresh processes. Each is ended when it has dispatched its first chunk, and says how many
seconds the process was old and how much processor time it had used. Writes `second-start.json`.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
STARTED = "IMITAX_STARTED"
"""Environment variable of a child: when it was started, in seconds since the epoch."""
MARK = "DISPATCHED "
LINES = (
    "sweep --env reset-cliff --algorithm bc --horizons 32 --num-demos 100 --seeds 64",
    "sweep --env CartPole-v1 --algorithm bc --horizons 200 --num-demos 10 --seeds 16",
    "sweep --env CartPole-v1 --algorithm gail --horizons 200 --num-demos 10 --seeds 16",
)


def main() -> int:
    options = parse()
    lines = [options.line] if options.line else [line.split() for line in LINES]
    report: dict[str, Any] = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
        "lines": [],
    }
    for line in lines:
        report["lines"].append(measure(line, options.repeats))
        print(described(report["lines"][-1]), flush=True)
        options.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(report, indent=1) + "\n"
        (options.out / "second-start.json").write_text(text, encoding="utf-8")
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.second_start", description="seconds until a sweep computes"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/second-start"))
    parser.add_argument("line", nargs="*", help="after --: a sweep or run, without --out")
    return parser.parse_args()


def measure(line: list[str], repeats: int) -> dict[str, Any]:
    """Starts of a command line in pairs, each pair with a folder of programs of its own."""
    pairs = [_pair(line) for _ in range(repeats)]
    found: dict[str, Any] = {"line": " ".join(line)}
    for index, name in enumerate(("first", "second")):
        for key in ("seconds", "cpu_seconds"):
            values = sorted(pair[index][key] for pair in pairs)
            middle = statistics.median(values)
            found[f"{name}_{key}"] = {"median": middle, "min": values[0], "max": values[-1]}
    return found


def _pair(line: list[str]) -> list[dict[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        return [start(line, Path(folder), name) for name in ("first", "second")]


def start(line: list[str], folder: Path, name: str) -> dict[str, float]:
    """One start, until its first chunk is dispatched.

    Args:
        line: of the command, without `--out`.
        folder: of compiled programs and of results.
        name: of the results.

    Returns:
        `seconds` since the process was started, and its `cpu_seconds`.
    """
    settings = {"JAX_COMPILATION_CACHE_DIR": str(folder / "xla"), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "benchmarks.second_start", "--child", *line]
    done = subprocess.run(
        [*command, "--out", str(folder / name)],
        cwd=ROOT,
        env=os.environ | settings | {STARTED: str(time.time())},
        capture_output=True,
        text=True,
    )
    said = [text for text in done.stdout.splitlines() if text.startswith(MARK)]
    if not said:
        raise SystemExit(f"{' '.join(line)}: no chunk was dispatched: {done.stderr[-300:]}")
    return json.loads(said[0].removeprefix(MARK))


def described(found: dict[str, Any]) -> str:
    """The numbers of a command line, in a few lines."""
    lines = [found["line"]]
    for name in ("first", "second"):
        wall, processor = found[f"{name}_seconds"], found[f"{name}_cpu_seconds"]
        lines.append(
            f"  {name} start: {wall['median']:.2f} s [{wall['min']:.2f}, {wall['max']:.2f}], "
            f"processor {processor['median']:.2f} s [{processor['min']:.2f}, "
            f"{processor['max']:.2f}]"
        )
    return "\n".join(lines)


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def child() -> int:
    """Run the command line, and end when its first chunk has been dispatched."""
    from imitax.cli import parser, start

    args = parser.parse()
    start.prepare(args)
    start.import_all(start.NEEDED[args.command])
    from imitax.bench.programs.program import Program

    dispatch = Program.__call__

    def dispatch_and_end(self: Program, *args: Any) -> NoReturn:
        dispatch(self, *args)
        used = {"seconds": time.time() - float(os.environ[STARTED])}
        print(MARK + json.dumps(used | {"cpu_seconds": time.process_time()}), flush=True)
        os._exit(0)

    Program.__call__ = dispatch_and_end
    return start.main()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        del sys.argv[1]
        sys.exit(child())
    sys.exit(main())
