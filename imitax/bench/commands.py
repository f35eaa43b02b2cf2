"""The commands sweep, run, report and list; `fit` and `experts` stand in files of their own."""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from imitax.bench import expert_files, experts, fit, listing, terminal
from imitax.bench.cli import num_cores
from imitax.bench.manifest import StoreError, load_manifest
from imitax.bench.plan import CHUNK_SIZE, Plan, Sweep, all_chunks, resolve
from imitax.bench.reading import ReportError
from imitax.bench.report import write_report
from imitax.bench.store import Store
from imitax.bench.suites import load
from imitax.bench.sweep import run
from imitax.config import SpecError
from imitax.data import DataError

USER_ERRORS = (SpecError, StoreError, ReportError, DataError)


class _Parser(argparse.ArgumentParser):
    """Raises instead of printing its usage, and takes no abbreviated options."""

    def __init__(self, **options: Any):
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str):
        raise SpecError(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; see `imitax.bench.cli.main`."""
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
    parser.add_argument("--seeds", type=int, required=True, metavar="K", help="seeds 0 to K - 1")
    _add_common(parser)
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
    _add_common(parser)
    parser.set_defaults(run=_run)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the results")
    parser.add_argument(
        "--chunk-size",
        type=int,
        metavar="C",
        help=f"seeds computed and stored together, at most; default {CHUNK_SIZE}",
    )
    parser.add_argument(
        "--devices", type=int, metavar="D", help="devices to use; default all (CPU: one per core)"
    )
    parser.add_argument(
        "--curve",
        type=int,
        metavar="K",
        help="checkpoints of the learning curves; default the suite's, else none",
    )
    parser.add_argument(
        "--expert-file",
        action="append",
        default=[],
        metavar="[ENV=]FILE[@SNAPSHOT]",
        help="original expert network (HDF5) of a gymnax environment, instead of ours; repeatable",
    )


def _sweep(args: argparse.Namespace) -> int:
    grid = (args.env, args.algorithm, args.horizons, args.num_demos)
    return _execute(Sweep.grid(*grid, seeds=args.seeds), args)


def _run(args: argparse.Namespace) -> int:
    return _execute(load(args.suite, args.seeds, gpu=jax.default_backend() == "gpu"), args)


def _report(args: argparse.Namespace) -> int:
    print(f"Report: {write_report(args.directory)}")
    return 0


def _list(args: argparse.Namespace) -> int:
    terminal.print_table(*listing.TABLES[args.what]())
    return 0


def _execute(sweep: Sweep, args: argparse.Namespace) -> int:
    """Run what is missing of a sweep in a directory, then report on all of it."""
    previous = load_manifest(args.out)
    size = args.chunk_size
    if size is None:
        size = previous["chunk_size"] if previous else CHUNK_SIZE
    sweep = dataclasses.replace(
        sweep,
        chunk_size=size,
        devices=args.devices,
        curve=sweep.curve if args.curve is None else args.curve,
        expert_files=tuple(map(expert_files.parse, args.expert_file)),
    )
    plan = resolve(sweep)
    plan = plan._replace(sweep=dataclasses.replace(plan.sweep, devices=_devices(args, previous)))
    store = Store(args.out, plan)
    try:
        store.begin()
        compute(plan, store)
        store.end()
    finally:
        store.close()
    report = write_report(args.out)
    terminal.print_table(*terminal.digest(args.out))
    print(f"\nReport:  {report}\nResults: {store.results}")
    return 0


def _devices(args: argparse.Namespace, previous: dict[str, Any] | None) -> int:
    """Devices to use: those asked for, those of the manifest, or all."""
    available = len(jax.devices())
    recorded = previous.get("num_devices") if previous else None
    if args.devices is not None and args.devices > available:
        raise SpecError(f"--devices {args.devices} asks for more than the {available} there are")
    if recorded and args.devices not in (None, recorded):
        raise StoreError(
            f"{args.out}: begun on {recorded} devices, --devices says {args.devices}; "
            "leave --devices out, or choose another --out"
        )
    if recorded and recorded > available:
        print(
            f"imitax: {args.out} was begun on {recorded} devices and continues on {available}: "
            "tabular results are the same, those of networks agree to rounding",
            file=sys.stderr,
        )
    return min(args.devices or recorded or available, available)


def compute(plan: Plan, store: Store) -> None:
    """Run and store the chunks that are missing, with a progress bar."""
    missing = [chunk for chunk in all_chunks(plan) if not store.has(chunk)]
    with terminal.progress(missing) as advance:
        for result in run(
            plan, skip=store.has, on_program=store.add_program, compilers=num_cores()
        ):
            store.write(result)
            advance(result.chunk)
