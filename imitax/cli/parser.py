"""The command line: commands, options and their help; nothing but the standard library is loaded.

Help and mistakes are answered before JAX is, and what a command line asks of JAX is known before it
starts (`imitax.cli.start`).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imitax.core.errors import SpecError

WAIT = 3600
"""Seconds without a new chunk after which a process stops waiting for the others."""

EXPERTS_OUT = Path("runs/experts")

LISTS = ("algorithms", "environments", "suites")
"""What `imitax list` lists."""


class _Parser(argparse.ArgumentParser):
    """Raises instead of printing its usage, and takes no abbreviated options."""

    def __init__(self, **options: Any):
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str):
        raise SpecError(f"{message}; see {self.prog} --help")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read a command line; `command` of the result says which one.

    Args:
        argv: without the program's name; by default those of the process.

    Raises:
        SpecError: it is none of ours.
        SystemExit: it asked for help, which has been printed.
    """
    return build_parser().parse_args(argv)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = _Parser(prog="imitax", description="Imitation learning, swept over seeds.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    _add_sweep(commands)
    _add_run(commands)
    report = commands.add_parser("report", help="figures, tables and summary.csv of results")
    report.add_argument("directory", type=Path, metavar="DIR")
    report.set_defaults(command="report")
    listed = commands.add_parser("list", help="what there is, with settings and allowed values")
    listed.add_argument("what", choices=LISTS)
    listed.set_defaults(command="list")
    _add_fit(commands)
    _add_experts(commands)
    return parser


def _add_sweep(commands: Any) -> None:
    parser = commands.add_parser("sweep", help="every environment with every algorithm")
    options = [
        ("--env", "SPEC", str, "environments, such as reset-cliff:num_states=21"),
        ("--algorithm", "SPEC", str, "algorithms, such as bc:unseen=first"),
        ("--horizons", "H", int, "actions per episode"),
        ("--num-demos", "N", int, "expert-labelled episodes"),
    ]
    for flag, metavar, kind, text in options:
        parser.add_argument(
            flag, action="extend", nargs="+", required=True, metavar=metavar, type=kind, help=text
        )
    parser.add_argument("--seeds", type=int, required=True, metavar="K", help="number of seeds")
    parser.add_argument(
        "--first-seed", type=int, default=0, metavar="F", help="seeds F to F + K - 1; default 0"
    )
    _add_execution(parser)
    parser.set_defaults(command="sweep")


def _add_run(commands: Any) -> None:
    parser = commands.add_parser("run", help="a named suite, or a TOML file")
    parser.add_argument("suite", metavar="SUITE|FILE.toml", help="see: imitax list suites")
    parser.add_argument(
        "--seeds",
        type=int,
        metavar="K",
        help="instead of the suite's; blocks with fewer seeds of their own keep them",
    )
    parser.add_argument(
        "--first-seed",
        type=int,
        metavar="F",
        help="seeds F to F + K - 1, so that settings are chosen on some seeds and reported on "
        "others; instead of the suite's, blocks with one of their own keep it",
    )
    _add_execution(parser)
    parser.set_defaults(command="run")


def _add_execution(parser: argparse.ArgumentParser) -> None:
    """How a sweep is run; see `imitax.cli.sweep.execute`."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the results")
    numbers = [
        ("--chunk-size", "C", "seeds computed and stored together, at most; default found"),
        ("--block", "B", "seeds that a device computes at once, at most; default found"),
        ("--curve", "K", "checkpoints of the learning curves; default the suite's, else none"),
    ]
    for flag, metavar, text in numbers:
        parser.add_argument(flag, type=int, metavar=metavar, help=text)
    parser.add_argument(
        "--devices", metavar="all|D", help="devices to use; default all (CPU: one per core)"
    )
    parser.add_argument(
        "--expert-file",
        action="append",
        default=[],
        metavar="[ENV=]FILE[@SNAPSHOT]",
        help="original expert network (HDF5) of a gymnax environment, instead of ours; repeatable",
    )
    parser.add_argument(
        "--no-cache", action="store_true", help="do not keep compiled programs for the next time"
    )
    places = parser.add_argument_group("several machines")
    places.add_argument(
        "--shard", metavar="i/n", help="only every n-th chunk, from the i-th, i < n"
    )
    places.add_argument(
        "--executor", metavar="dask:ADDRESS|dask-local:N", help="chunks mapped over a Dask cluster"
    )
    places.add_argument(
        "--distributed", action="store_true", help="one of several processes that JAX lets meet"
    )
    places.add_argument("--coordinator", metavar="HOST:PORT", help="where, if JAX cannot tell")
    places.add_argument("--num-processes", type=int, metavar="N", help="likewise")
    places.add_argument("--process-id", type=int, metavar="I", help="likewise")
    places.add_argument(
        "--wait",
        type=float,
        default=WAIT,
        metavar="S",
        help="seconds to wait for the next chunk of another process; default %(default)s",
    )


def _add_fit(commands: Any) -> None:
    parser = commands.add_parser("fit", help="learn from demonstrations recorded by others")
    parser.add_argument(
        "--algorithm", required=True, metavar="SPEC", help="such as bc, gail:rounds=50, maxent-irl"
    )
    parser.add_argument("--env", required=True, metavar="SPEC", help="such as CartPole-v1")
    parser.add_argument("--demos", required=True, metavar="FILE", help="npz file of episodes")
    parser.add_argument("--seeds", type=int, default=64, metavar="K", help="default 64")
    parser.add_argument(
        "--num-demos",
        type=int,
        nargs="+",
        metavar="N",
        help="episodes that a seed learns from; default 1 4 7 10, as far as the file holds them",
    )
    parser.add_argument(
        "--horizon",
        type=int,
        metavar="H",
        help="steps of an evaluation episode; default: the file's time limit, else the "
        "environment's, else the longest recorded episode",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="save the policies here")
    parser.set_defaults(command="fit")


def _add_experts(commands: Any) -> None:
    parser = commands.add_parser("experts", help="the trained experts: list them, train one")
    actions = parser.add_subparsers(required=True, metavar="ACTION", parser_class=_Parser)
    listed = actions.add_parser("list", help="returns over fresh episodes, sizes, sha256")
    listed.add_argument("--markdown", type=Path, metavar="FILE", help="write the table here too")
    listed.set_defaults(command="experts list")
    trained = actions.add_parser("train", help="train an expert by its recipe")
    trained.add_argument("name", metavar="NAME", help="see: imitax experts list")
    trained.add_argument("--seed", type=int, default=0, metavar="S", help="default 0")
    trained.add_argument(
        "--out", type=Path, default=EXPERTS_OUT, metavar="DIR", help="default %(default)s"
    )
    trained.set_defaults(command="experts train")
