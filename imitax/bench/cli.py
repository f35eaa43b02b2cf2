"""The entry point of the command `imitax`: prepares the devices, then runs `imitax.bench.commands`.

On a CPU every core becomes a device of its own, which is the fast way to use the cores. That must
be settled before JAX starts.
"""

import argparse
import json
import os
import signal
import sys
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
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def set_up_devices(argv: Sequence[str] | None) -> None:
    """Give JAX one CPU device per core, or as many as `--devices` or the manifest say.

    Does nothing where the user has set `JAX_NUM_CPU_DEVICES` or the flag of XLA, or where there is
    an accelerator. Importing `imitax` imports gymnax, which starts JAX; a command line that runs
    a sweep is then started again with the variable set. Inside another program (`argv` given)
    JAX is left as it is.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "JAX_NUM_CPU_DEVICES" in os.environ or "host_platform_device_count" in flags:
        return
    count = _wanted_devices(sys.argv[1:] if argv is None else argv)
    if count in (None, 1):
        return
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError:
        if argv is None and os.name == "posix" and jax.default_backend() == "cpu":
            os.environ["JAX_NUM_CPU_DEVICES"] = str(count)
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _wanted_devices(argv: Sequence[str]) -> int | None:
    """Number of CPU devices for a command line that sweeps, else None."""
    if not argv or argv[0] not in ("sweep", "run"):
        return None
    parser = _Quiet(add_help=False, allow_abbrev=False)
    parser.add_argument("--devices", type=int)
    parser.add_argument("--out", type=Path)
    try:
        known, _ = parser.parse_known_args(argv)
    except ValueError:
        return None  # the real parser says what is wrong
    if known.devices is not None and known.devices < 1:
        return None
    return known.devices or _recorded_devices(known.out) or num_cores()


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


if __name__ == "__main__":
    sys.exit(main())
