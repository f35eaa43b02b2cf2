"""What each command runs, and what is said where its input is wrong.

What only a report needs (pandas, scipy, matplotlib) is imported where a report is written, so that
a sweep computes without it; and what only one command needs, with that command.
"""

import argparse
import sys
from collections.abc import Sequence

from imitax.bench.errors import ReportError, StoreError
from imitax.cli import parser
from imitax.core.errors import DataError, SpecError

USER_ERRORS = (SpecError, StoreError, ReportError, DataError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; see `imitax.cli.main.main`."""
    try:
        return run(parser.parse(argv))
    except SpecError as error:
        return refuse(error)


def run(args: argparse.Namespace) -> int:
    """Run a command that has been read; the exit status."""
    try:
        return _COMMANDS[args.command](args)
    except USER_ERRORS as error:
        return refuse(error)


def refuse(error: Exception) -> int:
    """Say what is wrong in one line; the exit status."""
    print(f"imitax: {' '.join(str(error).split())}", file=sys.stderr)
    return 2


def _sweep(args: argparse.Namespace) -> int:
    from imitax.bench.plans.plan import Sweep
    from imitax.cli import sweep

    grid = (args.env, args.algorithm, args.horizons, args.num_demos)
    return sweep.execute(Sweep.grid(*grid, seeds=args.seeds, first_seed=args.first_seed), args)


def _run(args: argparse.Namespace) -> int:
    import jax

    from imitax.bench.plans.suites import load
    from imitax.cli import sweep

    on_gpu = jax.default_backend() == "gpu"
    suite = load(args.suite, args.seeds, gpu=on_gpu, first_seed=args.first_seed)
    return sweep.execute(suite, args)


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
    from imitax.cli import listing, terminal

    terminal.print_table(*listing.TABLES[args.what]())
    return 0


def _fit(args: argparse.Namespace) -> int:
    from imitax.cli import fit

    return fit.run(args)


def _list_experts(args: argparse.Namespace) -> int:
    from imitax.cli import experts

    return experts.list_experts(args)


def _train_expert(args: argparse.Namespace) -> int:
    from imitax.cli import experts

    return experts.train_expert(args)


_COMMANDS = {
    "sweep": _sweep,
    "run": _run,
    "report": _report,
    "list": _list,
    "fit": _fit,
    "experts list": _list_experts,
    "experts train": _train_expert,
}
