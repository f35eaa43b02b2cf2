"""What a row's numbers depend on beyond its spec: this package's version, and settings in full.

A spec says only what differs from the defaults, so that the same spec may mean another learner in
another version. A manifest therefore holds the version and every setting, defaults written out,
and a directory is continued only where both are the same.
"""

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

import jax

from imitax import catalogue
from imitax.bench.plans.plan import Plan
from imitax.core.version import __version__

Pair = tuple[Any, catalogue.Chosen]
"""An environment, and an algorithm resolved for it."""


def of_plan(plan: Plan) -> dict[str, Any]:
    """`of_pairs` of all that a plan runs."""
    return of_pairs((group.env, task.algorithm) for group in plan.groups for task in group.tasks)


def of_pairs(pairs: Iterable[Pair]) -> dict[str, Any]:
    """Version, precision and resolved settings, as JSON holds them.

    Returns:
        `imitax` and `x64`; `environments`, spec -> settings; `algorithms`, a list of `algorithm`,
        `config` and the `environments` where the spec means just this config.
    """
    environments: dict[str, Any] = {}
    entries: dict[tuple[str, str], dict[str, Any]] = {}
    for env, chosen in pairs:
        environments[env.spec] = _resolved(env.settings)
        config = _resolved(chosen.config)
        key = chosen.spec, json.dumps(config)
        blank = {"algorithm": chosen.spec, "environments": [], "config": config}
        entries.setdefault(key, blank)["environments"].append(env.spec)
    return {
        "imitax": __version__,
        "x64": bool(jax.config.read("jax_enable_x64")),
        "environments": environments,
        "algorithms": list(entries.values()),
    }


def _resolved(settings: Any) -> dict[str, Any]:
    """Every field of a config, through JSON, so that tuples are lists here as in a file."""
    return json.loads(json.dumps(dataclasses.asdict(settings)))


def version_of(manifest: dict[str, Any]) -> str | None:
    """The version that a manifest was written by; None where it does not say."""
    numerics = manifest.get("numerics") or {}
    return numerics.get("imitax") or manifest.get("versions", {}).get("imitax")


def difference(previous: dict[str, Any], now: dict[str, Any]) -> str:
    """The first difference between the numerics of two manifests, in a few words; empty if none.

    Manifests from before there were numerics, of which nothing is known but the version, are equal
    to each other and differ from all others.
    """
    there, here = previous.get("numerics"), now.get("numerics")
    if there == here:
        return ""
    old, new = version_of(previous), version_of(now)
    if old != new or there is None or here is None:
        return f"numerics: {_named(old, there)} there, {_named(new, here)} here"
    flat, other = _flat(there), _flat(here)
    for key in [*other, *(key for key in flat if key not in other)]:
        if flat.get(key) != other.get(key):
            values = (json.dumps(side.get(key)) for side in (flat, other))
            return "numerics: {}: {} there, {} here".format(key, *values)
    return ""


def _named(version: str | None, numerics: dict[str, Any] | None) -> str:
    name = f"imitax {version}" if version else "an unknown version"
    return name if numerics or version != __version__ else f"{name} without its settings"


def _flat(numerics: dict[str, Any]) -> dict[str, Any]:
    """`what: setting` -> value, so that the order of pairs does not count."""
    found = {"x64": numerics.get("x64")}
    owners = dict(numerics.get("environments", {}))
    for entry in numerics.get("algorithms", []):
        owners |= {
            f"{entry['algorithm']} on {env}": entry["config"] for env in entry["environments"]
        }
    for owner, settings in owners.items():
        found |= {f"{owner}: {name}": value for name, value in settings.items()}
    return found
