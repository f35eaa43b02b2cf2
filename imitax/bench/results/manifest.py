"""The manifest of a directory of results: what was asked for, and what really ran."""

import json
import os
from pathlib import Path
from typing import Any

import jax

from imitax.bench.errors import StoreError
from imitax.bench.plans import numerics
from imitax.bench.plans.plan import Plan, Share, all_chunks
from imitax.bench.provenance import PACKAGE, checkout_of, timestamp, versions
from imitax.core.keys import ROOT
from imitax.core.version import __version__
from imitax.kernels import api

FIXED = ("settings", "chunk_size", "x64")
"""What may not differ when a directory is continued, beside `imitax.bench.plans.numerics`."""

COSTS = ("compile_seconds", "run_seconds", "num_compilations", "cache_hits", "cache_misses")
"""What is added up over sessions and processes."""


def load_manifest(directory: Path) -> dict[str, Any] | None:
    """The manifest of a directory, or None where nothing is stored yet; writes nothing.

    Raises:
        StoreError: the directory holds something else, or a manifest that cannot be read.
    """
    path = directory / "manifest.json"
    found = load_record(path)
    if found is None and not _is_empty(directory):
        return load_record(path)  # another process has begun here meanwhile
    return found


def share_path(directory: Path, share: Share) -> Path:
    """The record of one process among several that share a sweep."""
    return directory / "shards" / f"{share.index}-of-{share.count}.json"


def load_record(path: Path) -> dict[str, Any] | None:
    """What a manifest or the record of a share says; None where there is no such file.

    Raises:
        StoreError: it cannot be read.
    """
    directory = path.parent
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise StoreError(f"{directory}: not a directory; choose another --out") from None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        reason = str(error).splitlines()[0][:120]
        raise StoreError(
            f"{path}: no valid JSON ({reason}); restore it, or choose another --out"
        ) from None
    if not isinstance(manifest, dict) or any(key not in manifest for key in FIXED):
        raise StoreError(f"{path}: not a manifest of a sweep; choose another --out")
    return manifest


def _is_empty(directory: Path) -> bool:
    if not directory.exists():
        return True
    if not directory.is_dir():
        raise StoreError(f"{directory}: not a directory; choose another --out")
    found = sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))
    if found and "manifest.json" not in found:
        raise StoreError(
            f"{directory}: holds {found[0]} but no manifest.json, so it holds no results; "
            "choose another --out"
        )
    return not found


def settings_of(plan: Plan) -> dict[str, Any]:
    """The resolved configuration, as JSON holds it."""
    sweep = plan.sweep
    blocks = [
        {
            "environments": list(block.environments),
            "algorithms": list(block.algorithms),
            "cells": [list(cell) for cell in block.cells],
            "seeds": block.seeds,
        }
        | ({"first_seed": block.first_seed} if block.first_seed else {})
        for block in sweep.blocks
    ]
    settings = {
        "suite": sweep.name,
        "seeds": max(block.seeds for block in sweep.blocks),
        "evaluation_episodes": sweep.evaluation_episodes,
        "blocks": blocks,
    }
    # Only where they are asked for, so that directories from before them can be continued.
    asked = {"curve": sweep.curve, "expert_files": list(plan.expert_files)}
    return settings | {key: value for key, value in asked.items() if value}


def new_manifest(plan: Plan) -> dict[str, Any]:
    """What is known before the first chunk."""
    devices = jax.local_devices()[: plan.sweep.devices]
    commit, dirty = checkout_of(PACKAGE)
    x64 = bool(jax.config.read("jax_enable_x64"))
    number = "float64" if x64 else "float32"
    kernels = "; in fused kernels of 11 bits (TF32, float16)" if api.available() else ""
    return {
        "settings": settings_of(plan),
        "numerics": numerics.of_plan(plan),
        "versions": versions(),
        "device": f"{devices[0].platform} ({devices[0].device_kind}) x {len(devices)}",
        "num_devices": len(devices),
        "commit": commit,
        "dirty": dirty,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "precision": f"{number}, matrix products at highest precision{kernels}",
        "prng": f"threefry2x32, root {ROOT}",
        "x64": x64,
        "chunk_size": plan.sweep.chunk_size,
        "chunks": len(all_chunks(plan)),
        "programs": [],
        "not_applicable": list(plan.not_applicable),
        "started": timestamp(),
        "finished": None,
        "resumed": [],
    }


def check_same(directory: Path, previous: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to continue a directory with another configuration.

    Raises:
        StoreError: names the first difference.
    """
    found = difference(previous, now)
    if not found:
        return
    remedy, old = "choose another --out", numerics.version_of(previous)
    if old not in (None, __version__) and found.startswith("numerics"):
        remedy += f", or continue with imitax {old}"
    raise StoreError(f"{directory}: holds another configuration ({found}); {remedy}")


def difference(previous: dict[str, Any], now: dict[str, Any]) -> str:
    """The first thing that may not differ and does, in a few words; empty if there is none."""
    for key in FIXED:
        if previous.get(key) != now.get(key):
            return _difference(key, previous.get(key), now.get(key))
    return numerics.difference(previous, now)


def add_programs(programs: list[dict[str, Any]], more: list[dict[str, Any]]) -> None:
    """Add costs of programs to those of the same environment and algorithms, in place.

    Numbers that `COSTS` names are added up; of all else the later one stays.
    """
    for entry in more:
        pair = {key: entry.get(key) for key in ("environment", "algorithm")}
        same = next((one for one in programs if pair.items() <= one.items()), None)
        if same is None:
            same = dict(pair)
            programs.append(same)
        sums = {key: same.get(key, 0) + entry[key] for key in COSTS if key in entry}
        same.update(entry | sums)


def _difference(key: str, there: Any, here: Any) -> str:
    """The first difference between two JSON values, in a few words."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in [*here, *there]:
            if there.get(name) != here.get(name):
                return _difference(name, there.get(name), here.get(name))
    if isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for one, other in zip(there, here, strict=True):
            if one != other:
                return _difference(key, one, other)
    return f"{key}: {_short(there)} there, {_short(here)} here"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
