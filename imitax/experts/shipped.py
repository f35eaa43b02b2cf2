"""The trained experts that come with the package; see `imitax experts list`."""

import functools
from pathlib import Path

from imitax.core import spec
from imitax.core.errors import SpecError
from imitax.core.policies import Policy
from imitax.experts import files

WEIGHTS = Path(__file__).parent / "weights"
"""Where their files are."""


def names() -> tuple[str, ...]:
    """Environments with a trained expert, in alphabetical order."""
    return tuple(sorted(path.stem for path in WEIGHTS.glob("*.json")))


def policy(env_id: str, snapshot: str | int = "final") -> Policy:
    """The expert of an environment, or a weaker snapshot of it.

    Args:
        env_id: one of `names()`.
        snapshot: `final`, or 1 (weakest), 2 or 3.

    Raises:
        SpecError: there is no such expert or snapshot.
        DataError: its files are damaged.
    """
    return expert(env_id).policy(snapshot)


@functools.cache
def expert(env_id: str) -> files.Expert:
    """Manifest and weights of an expert; raises as `policy` does."""
    if env_id not in names():
        hint = spec.nearest(env_id, names())
        raise SpecError(
            f"{env_id}: no expert exists for it yet{hint}; gymnax environments with one: "
            f"{', '.join(names())}"
        )
    return files.read(WEIGHTS, env_id)
