"""The command `imitax`: prepares JAX before anything imports it, then runs `imitax.cli.main`.

Importing `imitax` imports gymnax, which starts JAX; so what must be settled before JAX starts (one
CPU device for each core, which is the fast way to use the cores, the persistent compilation cache,
and the other processes of a run) is settled here, by a module that imports the standard library
only. Everything is left as it is where the user's environment variables say something else.
gymnax also brings the libraries that it draws with, which no command needs before its report: they
are imported when something is first drawn.
"""

import argparse
import gc
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imitax.cli import commands, parser
from imitax.cli.deferred import deferred
from imitax.core.errors import SpecError

INTERRUPTED = 130
"""Exit status: 128 and the number of SIGINT."""

NEEDED = {
    "sweep": ("imitax.bench.plans.plan", "imitax.cli.sweep"),
    "run": ("imitax.bench.plans.suites", "imitax.cli.sweep"),
}
"""The commands that use every device, and what each of them imports."""

DRAWING = ("matplotlib.pyplot", "seaborn")
"""Modules that gymnax imports and uses in its `render` only."""


def main() -> int:
    """Run the command line of this process; see `imitax.cli.main.main` for the exit status."""
    try:
        args = parser.parse()
        if args.command in NEEDED:
            prepare(args)
        import_all(NEEDED.get(args.command, ()))
        from imitax.cli import main as cli

        status = cli.run(args)
    except SpecError as error:
        status = commands.refuse(error)
    except KeyboardInterrupt:
        status = INTERRUPTED
    if status == INTERRUPTED:
        # The end of Python would wait for the threads that compile what nobody wants any more.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def prepare(args: argparse.Namespace) -> None:
    """Settle what a command line asks of JAX; nothing may have imported JAX yet.

    Args:
        args: of the commands `sweep` or `run`.
    """
    os.environ.update(variables(args, os.environ))
    if args.distributed and not (args.shard or args.executor):
        _join(args)


def import_all(modules: Sequence[str]) -> None:
    """Import gymnax, and with it JAX, without what gymnax draws with; then some modules.

    They stay, so the garbage collector need not look at them, neither now nor later.
    """
    gc.disable()
    try:
        with deferred(DRAWING):
            importlib.import_module("gymnax")
        for module in modules:
            importlib.import_module(module)
    finally:
        gc.freeze()
        gc.enable()


def variables(known: Any, environ: Any) -> dict[str, str]:
    """Environment variables to set: JAX's CPU devices and its compilation cache.

    Args:
        known: `devices`, `out`, `no_cache`, `distributed` and `shard` of a command line.
        environ: what is set already, which wins.
    """
    wanted = {}
    count = _num_devices(known)
    forced = "host_platform_device_count" in environ.get("XLA_FLAGS", "")
    if count is not None and not forced:
        wanted["JAX_NUM_CPU_DEVICES"] = str(count)
    if known.no_cache:
        return _missing(wanted, environ) | {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    wanted["JAX_COMPILATION_CACHE_DIR"] = str(cache_folder(environ))
    # Our programs are small and many: by default JAX would keep none of them.
    wanted["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    wanted["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    return _missing(wanted, environ)


def _missing(wanted: dict[str, str], environ: Any) -> dict[str, str]:
    return {name: value for name, value in wanted.items() if name not in environ}


def cache_folder(environ: Any) -> Path:
    """Where compiled programs are kept."""
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "imitax" / "xla"


def _num_devices(known: Any) -> int | None:
    """CPU devices: those asked for, those of the manifest, or one for each core."""
    if known.devices not in (None, "all"):
        given = str(known.devices)
        return int(given) if given.isdecimal() and int(given) > 0 else None
    recorded = None
    if known.devices is None and not (known.distributed or known.shard):
        recorded = _recorded_devices(known.out)
    return recorded or num_cores()


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


def _join(known: Any) -> None:
    """Meet the other processes of a run; where they are, JAX detects or the command line says.

    Ends the process where they cannot be met.
    """
    import jax

    try:
        jax.distributed.initialize(known.coordinator, known.num_processes, known.process_id)
    except (RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        print(
            f"imitax: --distributed cannot start ({reason}); outside SLURM, Open MPI, Kubernetes "
            "and TPU pods give --coordinator HOST:PORT, --num-processes and --process-id",
            file=sys.stderr,
        )
        raise SystemExit(2) from None


if __name__ == "__main__":
    sys.exit(main())
