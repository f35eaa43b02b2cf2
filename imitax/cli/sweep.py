"""How a sweep is run: on which devices, in which chunks, which part of it, and where."""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from imitax.bench.errors import ReportError, StoreError
from imitax.bench.plans import expert_files
from imitax.bench.plans.plan import (
    ALONE,
    Chunk,
    Plan,
    Share,
    Sweep,
    all_chunks,
    parse_share,
    resolve,
)
from imitax.bench.programs import seed_blocks
from imitax.bench.results.manifest import load_manifest, load_record, share_path
from imitax.bench.results.store import Store
from imitax.bench.runs import dask_cluster, remote
from imitax.bench.runs.local import Result, run
from imitax.cli import terminal
from imitax.core.errors import SpecError

_POLL = 0.5


def execute(sweep: Sweep, args: argparse.Namespace) -> int:
    """Run what is missing of a sweep in a directory, then report on all of it."""
    share = _share(args)
    previous = load_manifest(args.out)
    own = load_record(share_path(args.out, share)) if share != ALONE else previous
    sweep = dataclasses.replace(
        sweep,
        chunk_size=_asked_size(args, previous),
        block=args.block,
        curve=sweep.curve if args.curve is None else args.curve,
        expert_files=tuple(map(expert_files.parse, args.expert_file)),
    )
    plan = resolve(sweep)
    devices = None if args.executor else _devices(args, own)
    plan = _with(plan, devices=devices)
    notes: dict[str, Any] = {"chunk_choice": "given" if args.chunk_size else "default"}
    if args.executor:
        notes |= {"executor": args.executor, "device": args.executor, "num_devices": None}
    elif _may_search(args, previous, share):
        size, trials = seed_blocks.find_chunk_size(plan)
        plan = _with(plan, chunk_size=size)
        if trials:
            notes["chunk_choice"] = [trial._asdict() for trial in trials]
    store = Store(args.out, plan, share, notes)
    try:
        store.begin()
        compute(plan, store, args.executor)
        store.end()
        return _finish(store, args)
    finally:
        store.close()


def _with(plan: Plan, **changes: Any) -> Plan:
    return plan._replace(sweep=dataclasses.replace(plan.sweep, **changes))


def _share(args: argparse.Namespace) -> Share:
    """The part of the chunks that is ours; refuses options that have no meaning together."""
    ways = [name for name in ("shard", "executor", "distributed") if getattr(args, name)]
    if len(ways) > 1:
        raise SpecError(f"--{ways[0]} and --{ways[1]} exclude each other; leave one out")
    if args.executor:
        dask_cluster.check(args.executor)
        if args.devices is not None:
            raise SpecError("--devices has no meaning with --executor: workers use all they have")
    meeting = (args.coordinator, args.num_processes, args.process_id)
    if not args.distributed and any(value is not None for value in meeting):
        raise SpecError("--coordinator, --num-processes and --process-id need --distributed")
    if not args.wait >= 0:
        raise SpecError(f"--wait must be at least 0 seconds, got {args.wait}")
    if args.shard:
        return parse_share(args.shard)
    if not args.distributed:
        return ALONE
    if not jax.distributed.is_initialized():
        raise SpecError("--distributed must begin before JAX does: use the command imitax")
    share = Share(jax.process_index(), jax.process_count())
    # Nothing is left to say: from here on, the death of a process ends no other.
    jax.distributed.shutdown()
    return share


def _asked_size(args: argparse.Namespace, previous: dict[str, Any] | None) -> int:
    if args.chunk_size is not None:
        return args.chunk_size
    return previous["chunk_size"] if previous else seed_blocks.default_chunk_size()


def _may_search(args: argparse.Namespace, previous: Any, share: Share) -> bool:
    """Whether the chunk size is open; processes that share a sweep must agree unheard."""
    return args.chunk_size is None and previous is None and share == ALONE


def _devices(args: argparse.Namespace, previous: dict[str, Any] | None) -> int:
    """Devices to use: those asked for, those of the manifest, or all."""
    available = len(jax.local_devices())
    recorded = previous.get("num_devices") if previous else None
    asked = _asked_devices(args.devices, available)
    if recorded and asked not in (None, recorded):
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
    return min(asked or recorded or available, available)


def _asked_devices(text: str | None, available: int) -> int | None:
    if text is None or text == "all":
        return None if text is None else available
    if not text.isdecimal() or int(text) == 0:
        raise SpecError(f"--devices must be all or a whole number from 1, got {text!r}")
    if int(text) > available:
        raise SpecError(f"--devices {text} asks for more than the {available} there are")
    return int(text)


def compute(plan: Plan, store: Store, executor: str | None = None) -> None:
    """Run and store the chunks of this process that are missing, with a progress bar."""
    missing = store.wanted()
    wanted = set(missing)
    with terminal.progress(missing) as advance, _early_pictures(plan, store) as drawn:
        for result in _results(plan, store, lambda chunk: chunk not in wanted, executor):
            store.write(result)
            drawn(result.chunk)
            advance(result.chunk)


@contextlib.contextmanager
def _early_pictures(plan: Plan, store: Store) -> Iterator[Callable[[Chunk], None]]:
    """A function to call with each stored chunk: `figures/overview` grows by every environment
    that is complete, beside the computation; the whole report draws the last.

    Nothing is drawn where other processes write too.
    """
    left: dict[str, set[Chunk]] = {}
    for chunk in all_chunks(plan):
        left.setdefault(chunk.environment, set()).update([] if store.has(chunk) else [chunk])
    pool = concurrent.futures.ThreadPoolExecutor(1)

    def drawn(chunk: Chunk) -> None:
        own = left[chunk.environment]
        own.discard(chunk)
        complete = [environment for environment, chunks in left.items() if not chunks]
        if not own and store.share == ALONE and len(complete) < len(left):
            pool.submit(_draw_early, store.directory, complete, len(left))

    try:
        yield drawn
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _draw_early(directory: Path, complete: list[str], total: int) -> None:
    from imitax.bench.report.write import write_overview

    try:
        path = write_overview(directory, complete)
    except (ReportError, StoreError, OSError):  # the report at the end says what is wrong
        return
    if path is not None:
        print(f"{len(complete)} of {total} environments: {path}", file=sys.stderr)


def _results(plan: Plan, store: Store, skip: Callable, executor: str | None) -> Iterator[Result]:
    if executor is None:
        # Compiling is mostly LLVM, outside Python's lock.
        threads = min(os.cpu_count() or 1, 8)
        yield from run(
            plan,
            skip=skip,
            on_program=store.add_program,
            compilers=threads,
            block_of=store.block_of,
        )
        return
    with dask_cluster.connect(executor) as workers:
        yield from remote.run(plan, workers, skip=skip, on_program=store.add_program)


def _finish(store: Store, args: argparse.Namespace) -> int:
    """Report, if everything is there and nobody else does it."""
    share, total = store.share, store.manifest["chunks"]
    if args.distributed:
        _wait(store, args.wait)
    if share != ALONE and not (args.distributed and share.index == 0):
        there = total - len(store.missing())
        print(f"Share {share.index}/{share.count} is done; {there} of {total} chunks are there.")
        if there == total and not args.distributed:
            print(f"Now: imitax report {args.out}")
        return 0
    from imitax.bench.report.fairness import notice
    from imitax.bench.report.write import write_report
    from imitax.cli.digest import digest

    report = write_report(args.out)
    terminal.print_table(*digest(args.out))
    print(f"\nReport:  {report}\nResults: {store.results}")
    unmatched = notice(args.out)
    if unmatched:
        print(f"imitax: {unmatched}", file=sys.stderr)
    return 0


def _wait(store: Store, patience: float) -> None:
    """Wait until the other processes have computed their chunks, or seem to be dead.

    Raises:
        StoreError: no new chunk for so many seconds.
    """
    missing, since = store.missing(), time.monotonic()
    while missing and time.monotonic() - since < patience:
        time.sleep(_POLL)
        left = [chunk for chunk in missing if not store.has(chunk)]
        if len(left) < len(missing):
            missing, since = left, time.monotonic()
    if missing:
        raise StoreError(
            f"{store.directory}: {len(missing)} chunks of others are missing, and none came for "
            f"{patience:g} s; run the same command again, finished chunks are kept"
        )
