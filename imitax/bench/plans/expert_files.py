"""`--expert-file`: the original expert networks of a sweep, in the place of our own.

FILE                    the environment is read off the name: CartPole-v0.h5 is CartPole-v1's
ENV=FILE                it is said
FILE@SNAPSHOT           any snapshot of the file, by name or index; by default the last
"""

import hashlib
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from imitax import catalogue
from imitax.core.errors import SpecError
from imitax.core.family import Family
from imitax.core.policies import Policy
from imitax.experts import original

_SAME_TASK = {"CartPole-v0": "CartPole-v1", "Acrobot-v0": "Acrobot-v1"}
"""Ids of the old gym, and gymnax's of the same task; they differ in the time limit alone."""


class ExpertFile(NamedTuple):
    """One `--expert-file`, nothing of it checked."""

    environment: str
    """gymnax id."""
    path: Path
    snapshot: str
    """A name or an index."""


class Experts(NamedTuple):
    """The policies of a sweep's expert files, and what the manifest says of them."""

    policies: dict[str, Policy]
    """By gymnax id."""
    records: tuple[dict[str, str], ...]
    """`environment`, `file`, `snapshot` and `sha256` of each."""


def parse(text: str) -> ExpertFile:
    """Read `[ENV=]FILE[@SNAPSHOT]`.

    Raises:
        SpecError: no file is named.
    """
    match = re.fullmatch(r"(?:([\w-]+)=)?(.+?)(?:@([\w-]+))?", text)
    if match is None:
        raise SpecError(f"--expert-file '{text}' is not of the form [ENV=]FILE[@SNAPSHOT]")
    environment, name, snapshot = match.groups()
    stem = Path(name).stem
    return ExpertFile(environment or _SAME_TASK.get(stem, stem), Path(name), snapshot or "-1")


def load_experts(files: Iterable[ExpertFile], environments: Iterable[str]) -> Experts:
    """Read the policies of all files.

    Args:
        files: from `parse`.
        environments: names of the environments that the sweep has.

    Raises:
        SpecError: a file for an environment that the sweep does not have, two for the same, or a
            snapshot that is not in the file.
        DataError: a file that is missing, damaged or of another environment.
    """
    allowed = sorted(set(environments))
    policies, records = {}, []
    for file in files:
        if file.environment not in allowed:
            raise SpecError(
                f"--expert-file {file.path}: the sweep has no environment {file.environment}; "
                f"write ENV={file.path} with one of {', '.join(allowed)}, or leave it out"
            )
        if file.environment in policies:
            raise SpecError(f"--expert-file {file.path}: {file.environment} has a file already")
        policies[file.environment], snapshot = _read(file)
        digest = hashlib.sha256(file.path.read_bytes()).hexdigest()
        record = {"environment": file.environment, "file": file.path.name}
        records.append(record | {"snapshot": snapshot, "sha256": digest})
    return Experts(policies, tuple(sorted(records, key=lambda record: record["environment"])))


def _read(file: ExpertFile) -> tuple[Policy, str]:
    """The policy, and the name of its snapshot."""
    env: Family = catalogue.environment(file.environment)
    space = env.observation_space(env.default_params)
    policy = original.policy(
        file.path,
        file.snapshot,
        num_observations=math.prod(space.shape),
        num_actions=env.num_actions,
    )
    if not file.snapshot.lstrip("-").isdigit():
        return policy, file.snapshot
    return policy, original.snapshots(file.path)[int(file.snapshot)]
