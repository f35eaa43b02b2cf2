"""Fresh processes in turn: the peer, ours, the peer, ours, ..."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 3600.0
"""Seconds after which a process is ended."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

Runner = Callable[[int], dict[str, Any]]
"""`runner(repeat) -> what a side's processes said`."""


class RunError(RuntimeError):
    """A process that did not end well; one line."""


def alternate(peer: Runner, ours: Runner, repeats: int) -> list[tuple[dict, dict]]:
    """Rounds of (peer, ours), each side once in a round, the peer first."""
    return [(peer(repeat), ours(repeat)) for repeat in range(repeats)]


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_peer(python: Path, module: str, name: str, seeds: int, repeat: int) -> dict[str, Any]:
    """The peer's best mode: a process of one thread per core, seeds one after another in each.

    All processes start their clocks together, after their imports.

    Args:
        python: of the peer's environment.
        module: its runner.
        name: of the workload.
        seeds: of each process.
        repeat: further repeats have further seeds.

    Returns:
        `seconds`, a list for each process; `cpu_seconds` and `scores` of all; `precision`.

    Raises:
        RunError: a process failed, or ran too long.
    """
    first = repeat * num_cores() * seeds
    groups = [range(first + i * seeds, first + (i + 1) * seeds) for i in range(num_cores())]
    commands = [[str(python), "-m", module, name, "--seeds", *map(str, group)] for group in groups]
    started = [Started(command, ONE_THREAD) for command in commands]
    try:
        for one in started:
            one.await_ready(name)
        for one in started:
            one.go()
        found = [one.result(name) for one in started]
    finally:
        for one in started:
            one.end()
    return {
        "seconds": [one["seconds"] for one in found],
        "cpu_seconds": sum(one["cpu_seconds"] for one in found),
        "scores": [score for one in found for score in one["scores"]],
        "precision": found[0]["precision"],
    }


def run_ours(name: str, seeds: int, module: str = "benchmarks.peer.ours") -> dict[str, Any]:
    """Our side in a fresh process with a device per core and no cached compilation.

    Returns:
        What the runner said, and `process_seconds`, from start to end, imports included.

    Raises:
        RunError: the process failed, or ran too long.
    """
    settings = {
        "JAX_NUM_CPU_DEVICES": str(num_cores()),
        "JAX_ENABLE_COMPILATION_CACHE": "false",
        "JAX_PLATFORMS": "cpu",
    }
    begun = time.perf_counter()
    started = Started([sys.executable, "-m", module, name, "--seeds", str(seeds)], settings)
    try:
        return started.result(name) | {"process_seconds": time.perf_counter() - begun}
    finally:
        started.end()


class Started:
    """A process of one side. What it says of errors goes to a file, which never fills up."""

    def __init__(self, command: Sequence[str], settings: dict[str, str]):
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def await_ready(self, name: str) -> None:
        """Wait until it says `ready`; raises `RunError` where it ends before, or takes too long."""
        assert self.process.stdout is not None
        alarm = threading.Timer(LIMIT, self.process.kill)
        alarm.start()
        try:
            is_ready = any(line.strip() == "ready" for line in self.process.stdout)
        finally:
            alarm.cancel()
        if not is_ready:
            raise RunError(f"{name}: a process ended before it was ready: {self._last()}")

    def go(self) -> None:
        """Let it start its clock."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def result(self, name: str) -> dict[str, Any]:
        """Its line of JSON; raises `RunError` where there is none."""
        try:
            said, _ = self.process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            raise RunError(f"{name}: a process ran longer than {LIMIT:g} seconds") from None
        if self.process.returncode != 0:
            raise RunError(f"{name}: exit status {self.process.returncode}: {self._last()}")
        try:
            return json.loads(said.strip().splitlines()[-1])
        except (ValueError, IndexError):
            raise RunError(f"{name}: a process ended without a line of JSON") from None

    def end(self) -> None:
        """End it if it still runs."""
        self.process.kill()
        self.process.wait()
        self.errors.close()

    def _last(self) -> str:
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return lines[-1][:300] if lines else "nothing was said"
