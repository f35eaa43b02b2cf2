"""What a measurement ran on. Run as a program, prints it as JSON."""

import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

import jax

from imitax.bench.programs.program import compiler_options
from imitax.bench.provenance import PACKAGES, checkout_of, timestamp
from imitax.kernels import api

FLAGS = (
    "XLA_FLAGS",
    "JAX_PLATFORMS",
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
    "OMP_NUM_THREADS",
    "IMITAX_FUSED",
)


def describe() -> dict[str, Any]:
    """Hardware, versions, flags, commit and date, as JSON holds them."""
    devices = jax.devices()
    commit, dirty = checkout_of(Path(__file__).parents[1])
    if "IMITAX_COMMIT" in os.environ:  # a copy of a checkout, whose own git knows less
        commit, dirty = os.environ["IMITAX_COMMIT"], None
    return {
        "platform": devices[0].platform,
        "device_kind": devices[0].device_kind,
        "num_devices": len(devices),
        "device_bytes": device_bytes(devices[0]),
        "processor": _processor(),
        "cores": _cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "flags": {name: os.environ[name] for name in FLAGS if name in os.environ},
        "compiler_options": compiler_options(),
        "fused_kernels": api.available(),
        "commit": commit,
        "dirty": dirty,
        "date": timestamp(),
        "load_average": os.getloadavg(),
    }


def device_bytes(device: Any) -> int:
    """Memory that programs may take on a device; on a CPU, what the machine has free now."""
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        return int(stats["bytes_limit"])
    try:
        lines = Path("/proc/meminfo").read_text("utf-8").splitlines()
        table = dict(line.split(":", 1) for line in lines)
        return 1024 * int(table["MemAvailable"].split()[0])
    except (OSError, KeyError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    print(json.dumps(describe()))
