"""The entry point of the command `imitax`: prepares the devices, then runs `imitax.bench.commands`.

On a CPU every core becomes a device of its own, which is the fast way to use the cores. That must
be settled before JAX starts, and importing gymnax starts it: hence the late import.
"""

import argparse
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import jax

INTERRUPTED = 128 + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        argv: without the program's name; by default those of the process.

    Returns:
        The exit status: 0, 2 where the input is wrong (said in one line on standard error, and
        nothing is written), 130 after an interrupt (finished chunks stay).
    """
    try:
        set_up_devices(argv)
        from imitax.bench import commands

        return commands.main(argv)
    except KeyboardInterrupt:
        return INTERRUPTED


def set_up_devices(argv: Sequence[str] | None) -> None:
    """Give JAX one CPU device per core, or as many as `--devices` or the manifest say.

    Does nothing where the user has set `JAX_NUM_CPU_DEVICES` or the flag of XLA, and nothing once
    JAX has started. Accelerators are not affected.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "JAX_NUM_CPU_DEVICES" in os.environ or "host_platform_device_count" in flags:
        return
    parser = _Quiet(add_help=False, allow_abbrev=False)
    parser.add_argument("--devices", type=int)
    parser.add_argument("--out", type=Path)
    try:
        known, _ = parser.parse_known_args(argv)
    except ValueError:
        return  # the real parser says what is wrong
    count = known.devices or _recorded_devices(known.out) or num_cores()
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except (RuntimeError, ValueError):
        return


class _Quiet(argparse.ArgumentParser):
    def error(self, message: str):
        raise ValueError(message)


def _recorded_devices(directory: Path | None) -> int | None:
    """The number of devices that a directory's manifest records, if it records one."""
    if directory is None:
        return None
    try:
        count = json.loads((directory / "manifest.json").read_text("utf-8"))["num_devices"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return count if type(count) is int and count > 0 else None


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
