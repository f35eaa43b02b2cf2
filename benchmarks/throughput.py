"""How fast imitax is on this machine, beside what the machine can do.

    python -m benchmarks.throughput --out runs/throughput
    python -m benchmarks.throughput --out benchmarks/results/throughput-gpu     # on a GPU
    python -m benchmarks.throughput --render runs/throughput                    # figures again

Each series (a workload on some devices, for growing numbers of seeds) runs in a process of its own,
because the number of CPU devices is settled when JAX starts. `throughput.json` is written after
every series; figures and a table are made from it at the end. A point that cannot be run says why.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.speed import MARK, record
from benchmarks.speed.record import RecordError
from benchmarks.speed.workloads import FULL, OF_ALGORITHM

ROOT = Path(__file__).resolve().parent.parent
SEEDS = (1, 8, 64, 256, 1024, 4096, 16384)
DEVICES = (1, 2, 4, 8)
TARGETS = {"bc": 475.0, "dagger": 475.0, "gail": 475.0}
"""Mean returns on CartPole-v1, of at most 500."""
GPU_SEEDS = {"bc-training": 1000, "gail": 2048, "plain-ppo": 2048}
"""Also measured where there is an accelerator."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, or render; returns the exit status, 2 where the input is wrong."""
    args = _parser().parse_args(argv)
    try:
        if args.render is not None:
            record.render(args.render, record.load(args.render))
            return 0
        _check(args)
        record.render(args.out, measure(args))
    except RecordError as error:
        print(f"throughput: {error}", file=sys.stderr)
        return 2
    print(args.out / "throughput.md")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    names = list(OF_ALGORITHM)
    known = list(dict.fromkeys([*names, *(workload.name for workload in FULL)]))
    parser.add_argument(
        "--algorithms",
        nargs="+",
        choices=known,
        default=names,
        metavar="NAME",
        help=f"all workloads of {', '.join(names)}; or one: {', '.join(known[len(names) :])}",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), metavar="K")
    parser.add_argument("--devices", nargs="+", type=int, default=list(DEVICES), metavar="D")
    parser.add_argument(
        "--device-seeds",
        type=int,
        default=64,
        metavar="K",
        help="seeds at which other numbers of devices are measured; all --seeds run on the largest "
        "number of --devices that the machine has cores or accelerators for",
    )
    parser.add_argument("--repeats", type=int, default=5, metavar="R")
    parser.add_argument(
        "--budget", type=float, default=120.0, metavar="S", help="seconds a point may take"
    )
    parser.add_argument("--chunk", type=int, default=0, help="seeds of a call; 0: chosen")
    parser.add_argument("--block", type=int, default=0, help="seeds a device computes at once")
    parser.add_argument("--out", type=Path, default=Path("runs/throughput"), metavar="DIR")
    parser.add_argument("--quick", action="store_true", help="tiny workloads: does it work?")
    parser.add_argument("--no-memory", action="store_true", help="leave bytes per seed out")
    parser.add_argument("--no-score", action="store_true", help="leave time to a score out")
    parser.add_argument(
        "--prepare",
        action="store_true",
        help="compile all programs beforehand, side by side, where a machine's time is dear",
    )
    parser.add_argument("--render", type=Path, metavar="DIR", help="only figures and table")
    return parser


def _check(args: argparse.Namespace) -> None:
    numbers = {"--seeds": args.seeds, "--devices": args.devices, "--repeats": [args.repeats]}
    numbers["--device-seeds"] = [args.device_seeds]
    for name, values in numbers.items():
        for value in values:
            if value < 1:
                raise RecordError(f"{name} {value} is out of range; allowed: >= 1")
    for name, value in (("--chunk", args.chunk), ("--block", args.block)):
        if value < 0:
            raise RecordError(f"{name} {value} is out of range; allowed: >= 0, 0 chooses")
    if not args.budget > 0:
        raise RecordError(f"--budget {args.budget:g} is out of range; allowed: > 0")
    record.check_free(args.out)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run every series and write the record after each."""
    machine = _machine()
    found = record.new(machine, _settings(args))
    names = [name for wanted in args.algorithms for name in OF_ALGORITHM.get(wanted, (wanted,))]
    names = list(dict.fromkeys(names))
    with tempfile.TemporaryDirectory() as folder:
        caching = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
        if args.prepare:
            caching = _cache(folder)
            started = time.perf_counter()
            _prepare(args, machine, names, caching)
            found["prepare_seconds"] = time.perf_counter() - started
        for name in names:
            for devices, seeds in series_of(args, machine, name):
                print(f"{name}: {devices} devices, {' '.join(map(str, seeds))} seeds", flush=True)
                found["points"] += _points(args, machine, name, devices, seeds, caching)
                record.save(args.out, found)
            if not args.no_memory:
                found["memory"].append(_memory(args, name))
            if name in TARGETS and not args.no_score:
                found["time_to_score"] += _time_to_score(args, machine, name)
            record.save(args.out, found)
    return found


def _prepare(args, machine, names: list[str], caching: dict[str, str]) -> None:
    """Compile every program into a cache, all processes at once; what fails, fails again later."""
    todo = [(name, *one) for name in names for one in series_of(args, machine, name)]

    def compile_one(name: str, devices: int, seeds: list[int]) -> None:
        request = _request(args, name, devices, seeds) | {"prepare": True}
        # Several processes share an accelerator's memory.
        environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} | caching
        _child("points", request, environment | _devices(machine, devices))

    with ThreadPoolExecutor(len(todo)) as threads:
        list(threads.map(lambda one: compile_one(*one), todo))


def _cache(folder: str) -> dict[str, str]:
    """What makes JAX keep every compiled program in a folder."""
    return {
        "JAX_ENABLE_COMPILATION_CACHE": "true",
        "JAX_COMPILATION_CACHE_DIR": folder,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def series_of(args, machine: dict[str, Any], name: str) -> list[tuple[int, list[int]]]:
    """Pairs of a number of devices and the numbers of seeds measured on them."""
    there = machine["cores"] if machine["platform"] == "cpu" else machine["num_devices"]
    fitting = [count for count in args.devices if count <= there] or [min(args.devices)]
    seeds = set(args.seeds)
    if machine["platform"] != "cpu" and name in GPU_SEEDS and not args.quick:
        seeds.add(GPU_SEEDS[name])
    whole = max(fitting)
    found = [(whole, sorted(seeds))]
    others = [count for count in sorted(set(args.devices)) if count != whole]
    if args.device_seeds not in seeds:
        found[0][1].append(args.device_seeds)
        found[0][1].sort()
    return found + [(count, [args.device_seeds]) for count in others]


def _request(args, name: str, devices: int, seeds: list[int]) -> dict[str, Any]:
    return {
        "workload": name,
        "seeds": seeds,
        "devices": devices,
        "repeats": args.repeats,
        "budget": args.budget,
        "chunk": args.chunk,
        "block": args.block,
        "quick": args.quick,
    }


def _points(args, machine, name: str, devices: int, seeds: list[int], caching: dict[str, str]):
    environment = caching | _devices(machine, devices)
    points, status = _child("points", _request(args, name, devices, seeds), environment)
    for point in points:
        if machine["platform"] == "cpu" and devices > machine["cores"]:
            point["note"] = f"{devices} devices share {machine['cores']} cores"
    missing = [number for number in seeds if number not in {p["seeds"] for p in points}]
    blank = {"workload": name, "devices": devices, "status": f"not run: {status}"}
    return points + [blank | {"seeds": number} for number in missing]


def _memory(args: argparse.Namespace, name: str) -> dict[str, Any]:
    request = {"workload": name, "quick": args.quick}
    found, status = _child("memory", request, {"JAX_NUM_CPU_DEVICES": "1"})
    return found[0] if found else {"workload": name, "status": f"not run: {status}"}


def _time_to_score(args, machine: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Twice: with an empty compilation cache, then with what that left there."""
    request = {"workload": name, "quick": args.quick, "seeds": 2 if args.quick else 16}
    request["target"] = TARGETS[name]
    count = machine["cores"] if machine["platform"] == "cpu" else machine["num_devices"]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        environment = _devices(machine, count) | _cache(folder)
        for state in ("cold", "warm"):
            started = {"started": time.time()}
            result, status = _child("score", request | started, environment)
            blank = {"workload": name, "status": f"not run: {status}"}
            found.append({"cache": state} | (result[0] if result else blank))
    return found


def _devices(machine: dict[str, Any], count: int) -> dict[str, str]:
    """What gives a process so many devices; accelerators are as many as there are."""
    return {"JAX_NUM_CPU_DEVICES": str(count)} if machine["platform"] == "cpu" else {}


def _machine() -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.speed.machine"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise RecordError(f"JAX does not start here: {_last_line(done.stderr)}")
    return json.loads(done.stdout.splitlines()[-1])


def _child(module: str, request: dict[str, Any], environment: dict[str, str]):
    """Run a module of `benchmarks.speed`; what it printed as results, and how it ended."""
    command = [sys.executable, "-m", f"benchmarks.speed.{module}", json.dumps(request)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=os.environ | environment
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    ended = f"its process ended with status {done.returncode}: {_last_line(done.stderr)}"
    return [json.loads(line.removeprefix(MARK)) for line in lines], ended


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:200] if lines else "nothing said"


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    names = ("algorithms", "seeds", "devices", "device_seeds", "repeats", "budget", "chunk")
    return {name: getattr(args, name) for name in (*names, "block", "quick", "prepare")}


if __name__ == "__main__":
    sys.exit(main())
