"""`imitax list`: what there is, with settings, defaults and allowed values."""

import dataclasses
from collections.abc import Callable
from typing import Any

from imitax.algorithms import ALGORITHMS
from imitax.bench.plans import suites
from imitax.core.config import allowed, conditions_of, show
from imitax.envs import ENVIRONMENTS
from imitax.envs.gymnax_family import GymnaxSettings
from imitax.experts import shipped

Listing = tuple[tuple[str, ...], list[tuple[str, ...]]]
"""Header and rows."""


def environments() -> Listing:
    """Our families and gymnax's with their settings, then the gymnax ids that have an expert."""
    rows = []
    for name, (_, settings) in ENVIRONMENTS.items():
        rows += _settings(name, settings)
    rows += _settings("gymnax ids", GymnaxSettings)
    for name in shipped.names():
        rows.append((name, "", "", "", "of gymnax, with its own reward; settings of gymnax ids"))
    return ("environment", "setting", "default", "allowed", "meaning"), rows


def algorithms() -> Listing:
    """The public algorithms with the settings of each of their representations."""
    rows = []
    for name, entry in ALGORITHMS.items():
        for kind, settings in (("table", entry.tabular), ("network", entry.general)):
            if settings is None:
                continue
            both = entry.tabular is not None and entry.general is not None
            where = kind if both else "tables only" if entry.general is None else "any"
            rows += [(row[0], where, *row[1:]) for row in _settings(name, settings)]
    return ("algorithm", "for", "setting", "default", "allowed", "meaning"), rows


def named_suites() -> Listing:
    """The named suites with their sizes."""
    rows = []
    for name in suites.names():
        sweep = suites.load(name)
        pairs = sum(len(block.environments) * len(block.algorithms) for block in sweep.blocks)
        cells = sum(
            len(block.environments) * len(block.algorithms) * len(block.cells)
            for block in sweep.blocks
        )
        seeds = max(block.seeds for block in sweep.blocks)
        rows.append((name, str(len(sweep.blocks)), f"{pairs}", f"{cells}", f"{seeds}"))
    return ("suite", "blocks", "pairs", "cells", "seeds"), rows


TABLES: dict[str, Callable[[], Listing]] = {
    "environments": environments,
    "algorithms": algorithms,
    "suites": named_suites,
}
"""What can be listed."""


def _settings(name: str, settings: type) -> list[tuple[str, ...]]:
    fields: Any = [field for field in dataclasses.fields(settings) if field.metadata]
    if not fields:
        return [(name, "", "", "", "no settings")]
    return [
        (name, field.name, show(field.default), allowed(field), _meaning(settings, field))
        for field in fields
    ]


def _meaning(settings: type, field: dataclasses.Field) -> str:
    conditions = " and ".join(condition.text for condition in conditions_of(settings, field))
    return field.metadata["text"] + (f"; read with {conditions}" if conditions else "")
