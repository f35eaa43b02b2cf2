"""Sweeps as TOML files: the named suites beside this file, and a user's own.

    name = "mine"                   # optional
    seeds = 1000                    # optional; of blocks that say nothing
    seeds_gpu = 4000                # optional; instead of `seeds` where JAX runs on a GPU
    first_seed = 0                  # optional; of blocks that say nothing
    curve = 20                      # optional; checkpoints of the learning curves, by default none

    [specs]                         # optional; names for specs that stand in several blocks
    mixed = "dagger:beta=0.1"

    [[block]]
    environments = ["reset-cliff"]
    algorithms = ["bc", "@mixed", "@mixed,unseen=first"]
    horizons = [8, 16, 32]          # times ...
    num_demos = [10, 100]           # ... these: a product
    seeds = 64                      # optional; at most so many, whatever --seeds says
    first_seed = 1000               # optional; whatever --first-seed says

With `at_num_demos` and `at_horizon` the block is a cross instead of a product: all `horizons` at
the one number of demonstrations, all `num_demos` at the one horizon.
"""

import itertools
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from imitax.bench.plans.plan import Block, Cell, Sweep
from imitax.core.errors import SpecError
from imitax.core.spec import nearest, unknown

FILE_KEYS = ("block", "curve", "first_seed", "name", "seeds", "seeds_gpu", "specs")
BLOCK_KEYS = (
    "algorithms",
    "at_horizon",
    "at_num_demos",
    "environments",
    "first_seed",
    "horizons",
    "num_demos",
    "seeds",
)
DEFAULT_SEEDS = 1000


def names() -> list[str]:
    """The named suites."""
    folder = resources.files("imitax.bench") / "suites"
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load(
    text: str, seeds: int | None = None, *, gpu: bool = False, first_seed: int | None = None
) -> Sweep:
    """The sweep of a named suite or of a TOML file.

    Args:
        text: a name, or a path (anything that ends in .toml or has a separator).
        seeds: replaces the file's `seeds`; a block with `seeds` of its own runs the smaller number.
        gpu: whether `seeds_gpu` counts; nothing else depends on the device.
        first_seed: replaces the file's `first_seed`; a block with one of its own keeps it.

    Raises:
        SpecError: no such suite or file, or something in it that has no meaning.
    """
    path = Path(text)
    if path.suffix == ".toml" or len(path.parts) > 1:
        return parse(_read(path), text, path.stem, seeds, gpu=gpu, first_seed=first_seed)
    if text not in names():
        raise SpecError(f"{unknown('suite', text, names())}, or a path that ends in .toml")
    content = (resources.files("imitax.bench") / "suites" / f"{text}.toml").read_text("utf-8")
    return parse(content, text, text, seeds, gpu=gpu, first_seed=first_seed)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise SpecError(
            f"{path}: cannot be read ({error.strerror}); give a TOML file, or one of "
            f"{', '.join(names())}"
        ) from None
    except UnicodeDecodeError:
        raise SpecError(f"{path}: no text in UTF-8; give a TOML file") from None


def parse(
    content: str,
    source: str,
    name: str,
    seeds: int | None = None,
    *,
    gpu: bool = False,
    first_seed: int | None = None,
) -> Sweep:
    """The sweep of a TOML text.

    Args:
        content: TOML.
        source: where it is from, for messages.
        name: of the suite, where the text gives none.
        seeds: as for `load`.
        gpu: as for `load`.
        first_seed: as for `load`.
    """
    try:
        data = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{source}: no valid TOML ({str(error).splitlines()[0]})") from None
    _check_keys(data, FILE_KEYS, source)
    blocks = data.get("block")
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise SpecError(f"{source}: has no [[block]]; a suite needs one or more")
    name = data.get("name", name)
    if not isinstance(name, str):
        raise SpecError(f"{source}: name must be a string, got {name}")
    own = _whole(data, "seeds", DEFAULT_SEEDS, source)
    on_gpu = _whole(data, "seeds_gpu", own, source)
    wanted = seeds if seeds is not None else on_gpu if gpu else own
    first = _whole(data, "first_seed", 0, source)
    first = first if first_seed is None else first_seed
    curve = _whole(data, "curve", 0, source)
    specs = _specs(data, source)
    whole = tuple(
        _block(block, f"{source}: block {number}", wanted, first, specs)
        for number, block in enumerate(blocks, start=1)
    )
    return Sweep(whole, name=name, curve=curve)


def _specs(data: dict[str, Any], source: str) -> dict[str, str]:
    specs = data.get("specs", {})
    if not isinstance(specs, dict) or not all(isinstance(text, str) for text in specs.values()):
        raise SpecError(f"{source}: [specs] must be a table of strings, got {specs}")
    return specs


def _block(
    block: dict[str, Any], where: str, seeds: int, first: int, specs: dict[str, str]
) -> Block:
    _check_keys(block, BLOCK_KEYS, where)
    environments, algorithms = (
        tuple(dict.fromkeys(_named(text, specs, where) for text in _list(block, key, str, where)))
        for key in ("environments", "algorithms")
    )
    return Block(
        environments=environments,
        algorithms=algorithms,
        cells=_cells(block, where),
        seeds=min(_whole(block, "seeds", seeds, where), seeds),
        first_seed=_whole(block, "first_seed", first, where),
    )


def _named(text: str, specs: dict[str, str], where: str) -> str:
    """A spec, with `@name` and `@name,key=value` replaced by what `[specs]` says."""
    if not text.startswith("@"):
        return text
    name, comma, rest = text[1:].partition(",")
    if name not in specs:
        raise SpecError(f"{where}: {unknown('name in [specs]', name, specs)}")
    joint = "," if ":" in specs[name] else ":"
    return specs[name] + (joint + rest if comma else "")


def _whole(data: dict[str, Any], key: str, default: int, where: str) -> int:
    value = data.get(key, default)
    if type(value) is not int:
        raise SpecError(f"{where}: {key} must be a whole number, got {value}")
    return value


def _cells(block: dict[str, Any], where: str) -> tuple[Cell, ...]:
    horizons = _list(block, "horizons", int, where)
    num_demos = _list(block, "num_demos", int, where)
    if "at_horizon" not in block and "at_num_demos" not in block:
        return tuple(itertools.product(horizons, num_demos))
    at_horizon, at_num_demos = (_fixed(block, key, where) for key in ("at_horizon", "at_num_demos"))
    cross = [(horizon, at_num_demos) for horizon in horizons]
    cross += [(at_horizon, demos) for demos in num_demos]
    return tuple(dict.fromkeys(cross))


def _fixed(block: dict[str, Any], key: str, where: str) -> int:
    value = block.get(key)
    if type(value) is not int:
        raise SpecError(
            f"{where}: {key} must be a whole number, got {value}; a cross needs at_horizon and "
            "at_num_demos, a product neither"
        )
    return value


def _list(block: dict[str, Any], key: str, kind: type, where: str) -> tuple:
    values = block.get(key)
    right = isinstance(values, list) and all(type(value) is kind for value in values)
    if not right or not values:
        what = "strings" if kind is str else "whole numbers"
        raise SpecError(f"{where}: {key} must be a list of {what}, got {values}")
    return tuple(dict.fromkeys(values))


def _check_keys(data: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in data:
        if key not in known:
            hint = nearest(key, known)
            raise SpecError(f"{where}: unknown key '{key}'{hint}; allowed: {', '.join(known)}")
