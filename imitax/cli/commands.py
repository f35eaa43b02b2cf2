"""The commands sweep, run, report and list; `fit` and `experts` stand in files of their own.

What only a report needs (pandas, scipy, matplotlib) is imported where a report is written, so that
a sweep computes without it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from imitax.bench.errors import ReportError, StoreError
from imitax.bench.plans.plan import Sweep
from imitax.bench.plans.suites import load
from imitax.cli import experts, fit, listing, terminal
from imitax.cli import sweep as execution
from imitax.core.errors import SpecError
from imitax.data import DataError

USER_ERRORS = (SpecError, StoreError, ReportError, DataError)


class _Parser(argparse.ArgumentParser):
    """Raises instead of printing its usage, and takes no abbreviated options."""

    def __init__(self, **options: Any):
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str):
        raise SpecError(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; see `imitax.cli.main.main`."""
    try:
        args = build_parser().parse_args(argv)
        return args.run(args)
    except USER_ERRORS as error:
        print(f"imitax: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets `run`, a function of the arguments."""
    parser = _Parser(prog="imitax", description="Imitation learning, swept over seeds.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    _add_sweep(commands)
    _add_run(commands)
    report = commands.add_parser("report", help="figures, tables and summary.csv of results")
    report.add_argument("directory", type=Path, metavar="DIR")
    report.set_defaults(run=_report)
    listed = commands.add_parser("list", help="what there is, with settings and allowed values")
    listed.add_argument("what", choices=sorted(listing.TABLES))
    listed.set_defaults(run=_list)
    fit.add_parser(commands)
    experts.add_parser(commands)
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
    execution.add_options(parser)
    parser.set_defaults(run=_sweep)


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
    execution.add_options(parser)
    parser.set_defaults(run=_run)


def _sweep(args: argparse.Namespace) -> int:
    grid = (args.env, args.algorithm, args.horizons, args.num_demos)
    sweep = Sweep.grid(*grid, seeds=args.seeds, first_seed=args.first_seed)
    return execution.execute(sweep, args)


def _run(args: argparse.Namespace) -> int:
    on_gpu = jax.default_backend() == "gpu"
    sweep = load(args.suite, args.seeds, gpu=on_gpu, first_seed=args.first_seed)
    return execution.execute(sweep, args)


def _report(args: argparse.Namespace) -> int:
    from imitax.bench.report.fairness import notice
    from imitax.bench.report.write import write_report
    from imitax.bench.results.reading import incomplete, read_manifest

    report = write_report(args.directory)
    missing = incomplete(args.directory, read_manifest(args.directory))
    if missing:
        print(f"imitax: {args.directory} is {missing}", file=sys.stderr)
    unmatched = notice(args.directory)
    if unmatched:
        print(f"imitax: {unmatched}", file=sys.stderr)
    print(f"Report: {report}")
    return 0


def _list(args: argparse.Namespace) -> int:
    terminal.print_table(*listing.TABLES[args.what]())
    return 0
