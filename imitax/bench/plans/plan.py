"""A grid of experiments as data, and what it resolves to: checked, and grouped into programs."""

import dataclasses
import itertools
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from imitax import catalogue
from imitax.algorithms import ALGORITHMS
from imitax.bench.plans.expert_files import ExpertFile, load_experts
from imitax.core import errors, spec
from imitax.core.errors import SpecError
from imitax.core.family import Family
from imitax.core.types import Capacity
from imitax.tasks.demonstrations import check_shortest
from imitax.tasks.evaluate import NUM_EPISODES

CHUNK_SIZE = 1024
"""Seeds of a chunk, at most."""
LARGEST = 2**31 - 1
"""Largest number that an int32 seed, horizon or count of labels may reach."""

LONGEST_CURVE = 1000
"""Checkpoints of a learning curve, at most."""

Cell = tuple[int, int]
"""Horizon and number of demonstrations."""


@dataclasses.dataclass(frozen=True)
class Block:
    """Every one of some environments with every one of some algorithms in some cells."""

    environments: tuple[str, ...]
    """Specs."""
    algorithms: tuple[str, ...]
    """Specs."""
    cells: tuple[Cell, ...]
    """(horizon, num_demos) of each cell."""
    seeds: int
    """Number of seeds."""
    first_seed: int = 0
    """They are `first_seed` to `first_seed + seeds - 1`."""


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Blocks, and how to run them. Plain data: nothing is checked before `resolve`."""

    blocks: tuple[Block, ...]
    name: str | None = None
    """Of the suite."""
    chunk_size: int = CHUNK_SIZE
    """Seeds computed and stored together, at most."""
    block: int | None = None
    """Seeds of a chunk that a device computes at once; None leaves it to `layout`."""
    devices: int | None = None
    """How many devices share the seeds; None for all of them."""
    evaluation_episodes: int = NUM_EPISODES
    """Evaluation episodes per seed where regret is not exact."""
    curve: int = 0
    """Checkpoints of the learning curves; 0 for no curves."""
    expert_files: tuple[ExpertFile, ...] = ()
    """Experts to read from files."""

    @classmethod
    def grid(
        cls,
        environments: Iterable[str],
        algorithms: Iterable[str],
        horizons: Iterable[int],
        num_demos: Iterable[int],
        seeds: int,
        first_seed: int = 0,
        **options: Any,
    ) -> "Sweep":
        """The full product of the given values, as one block.

        Args:
            environments: specs.
            algorithms: specs.
            horizons: actions per episode.
            num_demos: expert-labelled episodes.
            seeds: number of seeds.
            first_seed: the first of them.
            **options: other fields of `Sweep`.
        """
        cells = tuple(itertools.product(horizons, num_demos))
        block = Block(tuple(environments), tuple(algorithms), cells, seeds, first_seed)
        return cls((block,), **options)


class Task(NamedTuple):
    """One algorithm on one environment, with the seeds of each of its cells."""

    algorithm: catalogue.Chosen
    cells: dict[Cell, range]


class Group(NamedTuple):
    """The tasks that share a program: same environment, configs that differ in floats only."""

    env: Family
    tasks: list[Task]

    @property
    def capacity(self) -> Capacity:
        """The largest horizon and number of demonstrations of any cell."""
        cells = [cell for task in self.tasks for cell in task.cells]
        return Capacity(max(cell[0] for cell in cells), max(cell[1] for cell in cells))

    @property
    def names(self) -> tuple[str, ...]:
        """Specs of the algorithms."""
        return tuple(task.algorithm.spec for task in self.tasks)

    @property
    def most_seeds(self) -> int:
        """Of any cell."""
        return max(len(seeds) for task in self.tasks for seeds in task.cells.values())


class Plan(NamedTuple):
    """A sweep that has been checked."""

    sweep: Sweep
    """With normalised specs, and without duplicates."""
    groups: tuple[Group, ...]
    not_applicable: tuple[dict[str, str], ...]
    """`environment`, `algorithm` and `reason` of pairs without rows."""
    expert_files: tuple[dict[str, str], ...] = ()
    """`environment`, `file`, `snapshot` and `sha256` of each expert that was read from a file."""


class Chunk(NamedTuple):
    """The seeds `first_seed`, ..., `first_seed + num_seeds - 1` of one cell of one pair."""

    environment: str
    algorithm: str
    horizon: int
    num_demos: int
    first_seed: int
    num_seeds: int


def resolve(sweep: Sweep) -> Plan:
    """Check a sweep completely, before anything is compiled or written.

    Raises:
        SpecError: anything that has no meaning, in one line.
        DataError: an expert file that cannot be used.
    """
    if not sweep.blocks:
        raise SpecError("nothing to run: the sweep has no blocks")
    _check_number("chunk size", sweep.chunk_size, LARGEST)
    _check_number("evaluation episodes", sweep.evaluation_episodes, LARGEST)
    for name, value in (("block", sweep.block), ("devices", sweep.devices)):
        if value is not None:
            _check_number(name, value, LARGEST)
    if sweep.curve != 0:
        _check_number("curve", sweep.curve, LONGEST_CURVE)
    names = {spec.split(text)[0] for block in sweep.blocks for text in block.environments}
    experts = load_experts(sweep.expert_files, names)
    given = {"experts": experts.policies} if experts.policies else {}
    envs: dict[str, Any] = {}
    groups: dict[Any, Group] = {}
    missing: dict[tuple[str, str], str] = {}
    blocks = tuple(_resolve_block(block, given, envs, groups, missing) for block in sweep.blocks)
    if not groups:
        raise SpecError(f"nothing to run: {next(iter(missing.values()))}")
    reasons = tuple(
        {"environment": pair[0], "algorithm": pair[1], "reason": reason}
        for pair, reason in missing.items()
    )
    checked = dataclasses.replace(sweep, blocks=blocks)
    # An environment after the other: its figures can be drawn as soon as it is complete.
    order = list(envs)
    own = sorted(groups.values(), key=lambda group: order.index(group.env.spec))
    return Plan(checked, tuple(own), reasons, experts.records)


def _resolve_block(block: Block, given: dict, envs: dict, groups: dict, missing: dict) -> Block:
    for words, kind in ((block.environments, "environments"), (block.algorithms, "algorithms")):
        if not words:
            raise SpecError(f"nothing to run: no {kind} are given")
    cells = _check_cells(block)
    horizons, num_demos = (tuple(dict.fromkeys(axis)) for axis in zip(*cells, strict=True))
    specs = []
    for text in block.environments:
        env = catalogue.environment(text, **given)
        env = envs.setdefault(env.spec, env)
        env.check_grid(horizons, num_demos)
        specs.append(env.spec)
    names: dict[str, None] = {}
    seeds = range(block.first_seed, block.first_seed + block.seeds)
    for text, place in itertools.product(block.algorithms, dict.fromkeys(specs)):
        try:
            chosen = catalogue.algorithm(text, envs[place])
        except errors.NotApplicable as reason:
            name = _normalised(text)
            missing[place, name] = str(reason)
        else:
            name = chosen.spec
            check_shortest(name, chosen.build(envs[place]).demand, min(horizons))
            _add(groups, envs[place], chosen, dict.fromkeys(cells, seeds))
        names[name] = None
    return dataclasses.replace(
        block, environments=tuple(dict.fromkeys(specs)), algorithms=tuple(names), cells=cells
    )


def _normalised(text: str) -> str:
    """The normalised spec of an algorithm that is not applicable where it was asked for."""
    name, raw = spec.split(text)
    entry = ALGORITHMS[name]
    cls: Any = entry.tabular or entry.general
    return spec.write(name, spec.build(cls, name, raw))


def _check_cells(block: Block) -> tuple[Cell, ...]:
    _check_number("seeds", block.seeds, LARGEST)
    _check_number("first seed", block.first_seed, LARGEST - block.seeds + 1, least=0)
    if not block.cells:
        raise SpecError("nothing to run: no horizons or no num-demos are given")
    for horizon, num_demos in block.cells:
        _check_number("horizon", horizon, LARGEST)
        _check_number("num-demos", num_demos, LARGEST)
        if horizon * num_demos > LARGEST:
            raise SpecError(
                f"horizon {horizon} times num-demos {num_demos} is more labels than {LARGEST}; "
                "lower one of them"
            )
    return tuple(dict.fromkeys((int(horizon), int(demos)) for horizon, demos in block.cells))


def _check_number(name: str, value: Any, largest: int, least: int = 1) -> None:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not least <= value <= largest:
        raise SpecError(f"{name} must be a whole number from {least} to {largest}, got {value}")


def _add(groups: dict, env: Family, chosen: catalogue.Chosen, cells: dict[Cell, range]) -> None:
    """Put a pair into its group, where its cells join those it already has."""
    key = (env.spec, chosen.factory, jax.tree.structure(chosen.config))
    group = groups.setdefault(key, Group(env, []))
    for task in group.tasks:
        if task.algorithm.spec == chosen.spec:
            joint = {
                cell: _joined(task.cells.get(cell, seeds), seeds) for cell, seeds in cells.items()
            }
            task.cells.update(joint)
            return
    group.tasks.append(Task(chosen, cells))


def _joined(one: range, other: range) -> range:
    """The seeds of a cell that stands in two blocks."""
    if max(one.start, other.start) > min(one.stop, other.stop):
        raise SpecError(
            f"a cell has seeds {one.start} to {one.stop - 1} in one block and {other.start} to "
            f"{other.stop - 1} in another, with a gap between; run them as two sweeps"
        )
    return range(min(one.start, other.start), max(one.stop, other.stop))


def chunks_of(group: Group, chunk_size: int) -> list[tuple[Task, Chunk]]:
    """The chunks of a program, in the order they run; independent of the number of devices."""
    width = chunk_width(group, chunk_size)
    return [
        (task, Chunk(group.env.spec, task.algorithm.spec, *cell, own[0], len(own)))
        for task in group.tasks
        for cell, seeds in task.cells.items()
        for own in (seeds[at : at + width] for at in range(0, len(seeds), width))
    ]


def all_chunks(plan: Plan) -> list[Chunk]:
    """Every chunk of a plan."""
    size = plan.sweep.chunk_size
    return [chunk for group in plan.groups for _, chunk in chunks_of(group, size)]


class Share(NamedTuple):
    """A process's part of a sweep: the chunks `index`, `index + count`, ... of the whole list."""

    index: int  # pyright: ignore[reportIncompatibleMethodOverride]
    """From 0."""
    count: int  # pyright: ignore[reportIncompatibleMethodOverride]
    """Of processes."""

    def of(self, plan: Plan) -> list[Chunk]:
        """The chunks of this process; the same for every process that has the same sweep."""
        return all_chunks(plan)[self.index :: self.count]


ALONE = Share(0, 1)
"""The whole sweep."""


def parse_share(text: str) -> Share:
    """The share of an option `i/n`.

    Raises:
        SpecError: not two whole numbers with 0 <= i < n.
    """
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise SpecError(f"--shard must be i/n with 0 <= i < n, such as 0/4, got {text!r}")
    return Share(int(index), int(count))


def chunk_width(group: Group, chunk_size: int) -> int:
    """Seeds in equal chunks of at most `chunk_size`: 600 of 512 become two of 300."""
    seeds = group.most_seeds
    return math.ceil(seeds / math.ceil(seeds / chunk_size))


def largest_cell(task: Task) -> Cell:
    """The cell with the most labels; the longer horizon where there are several."""
    return max(task.cells, key=lambda cell: (cell[0] * cell[1], cell[0]))
