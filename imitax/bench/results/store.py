"""A directory of results: one Parquet file per finished chunk, and a manifest of what really ran.

    DIR/results/*.parquet    read by `pandas.read_parquet("DIR/results")`, complete or not
    DIR/curves/*.parquet     likewise, where learning curves were asked for
    DIR/rewards/*.npz        one of each pair where a learner recovered the reward of a grid
    DIR/manifest.json
    DIR/shards/i-of-n.json   what the process with share i/n did, in place of the manifest

Every file is written under a hidden name, flushed to the disk and then renamed, so a process that
is killed leaves whole files only; a chunk whose files are all there is never computed again. No two
processes write the same file, except for a first manifest that says the same: so shares of a sweep
may be computed in one directory or in several, and directories merge by copying.
"""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from imitax.bench.errors import StoreError
from imitax.bench.files import create, replace, slug
from imitax.bench.plans.plan import ALONE, Chunk, Group, Plan, Share, all_chunks
from imitax.bench.provenance import timestamp
from imitax.bench.results.manifest import (
    add_programs,
    check_same,
    load_manifest,
    load_record,
    new_manifest,
    share_path,
)
from imitax.bench.runs.local import Result, Stats
from imitax.bench.schema import CURVES, to_table

try:
    import fcntl
except ImportError:  # no such locks on Windows
    fcntl = None

Maps = tuple[np.ndarray, np.ndarray]
"""True and recovered reward, [rows, columns] each."""


class Store:
    """The results of one plan in one directory. Making it checks; `begin` is the first to write.

    Args:
        directory: need not exist.
        plan: from `resolve`, with the manifest's chunk size where there is a manifest.
        share: this process's part; other parts may be written here at the same time.
        notes: what else the manifest is to say.

    Raises:
        StoreError: the directory belongs to something else.
    """

    def __init__(
        self,
        directory: Path,
        plan: Plan,
        share: Share = ALONE,
        notes: Mapping[str, Any] = MappingProxyType({}),
    ):
        self.directory = Path(directory)
        self.results = self.directory / "results"
        self.curves = self.directory / "curves" if plan.sweep.curve else None
        self.plan, self.share = plan, share
        self.manifest = new_manifest(plan) | dict(notes)
        """Of this process: the directory's, or the record of its share."""
        self._locks: list[IO[str]] = []
        previous = load_manifest(self.directory)
        if share != ALONE:
            if previous is not None:
                check_same(self.directory, previous, self._as_json())
            previous = load_record(share_path(self.directory, share))
            self.manifest["share"] = f"{share.index}/{share.count}"
        if previous is not None:
            self._continue(previous)

    def _as_json(self) -> dict[str, Any]:
        return json.loads(json.dumps(self.manifest))

    def _continue(self, previous: dict[str, Any]) -> None:
        now = self._as_json()
        check_same(self.directory, previous, now)
        place = {key: now[key] for key in ("versions", "device", "commit", "dirty", "started")}
        resumed = [*previous.get("resumed", []), place]
        again = {"chunks": now["chunks"], "resumed": resumed, "finished": None}
        self.manifest = previous | again

    def begin(self) -> None:
        """Create the directory, claim it for this process, and write the manifest.

        Raises:
            StoreError: the file system refuses, or another process is writing here.
        """
        own = self.results, self.curves, self._record.parent
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._claim()
            # The manifest comes first: without one a directory is not taken for results.
            self._found()
            for folder in own:
                if folder is not None:
                    folder.mkdir(exist_ok=True)
        except BlockingIOError:
            raise StoreError(
                f"{self.directory}: another process is writing here; wait for it"
            ) from None
        except OSError as error:
            raise StoreError(f"{self.directory}: cannot be written ({error.strerror})") from None
        self._write_manifest()

    @property
    def _record(self) -> Path:
        """Where this process says what it did."""
        if self.share == ALONE:
            return self.directory / "manifest.json"
        return share_path(self.directory, self.share)

    def _found(self) -> None:
        """Write the manifest of a directory that has none; the first of several processes wins."""
        path = self.directory / "manifest.json"
        if not path.exists():
            create(path, _json(new_manifest(self.plan)))
        check_same(self.directory, load_record(path) or {}, self._as_json())

    def _claim(self) -> None:
        """Lock the directory, or a share of it, until this process ends, in whatever way."""
        if self.share == ALONE:
            self._lock(".lock", alone=True)
            return
        self._lock(".lock", alone=False)
        self._lock(f".lock-{self.share.index}-of-{self.share.count}", alone=True)

    def _lock(self, name: str, *, alone: bool) -> None:
        file = (self.directory / name).open("a")
        self._locks.append(file)
        if fcntl is not None:
            fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)

    def close(self) -> None:
        """Let other processes write here."""
        while self._locks:
            self._locks.pop().close()

    def wanted(self) -> list[Chunk]:
        """The chunks of this process that are not there yet."""
        return [chunk for chunk in self.share.of(self.plan) if not self.has(chunk)]

    def missing(self) -> list[Chunk]:
        """The chunks of the whole sweep that are not there yet, whoever computes them."""
        return [chunk for chunk in all_chunks(self.plan) if not self.has(chunk)]

    def block_of(self, group: Group) -> int | None:
        """The block that a program ran with in this directory; None where it has not run."""
        pair = (group.env.spec, "; ".join(group.names))
        for entry in self.manifest["programs"]:
            if (entry["environment"], entry["algorithm"]) == pair:
                return entry.get("block")
        return None

    def has(self, chunk: Chunk) -> bool:
        """Whether a chunk is finished: its rows are there, and its curves if it has any."""
        folders = (self.results, self.curves)
        return all((place / file_name(chunk)).exists() for place in folders if place is not None)

    def write(self, result: Result) -> None:
        """Store a finished chunk; its rows last, so that a chunk with rows has everything."""
        if result.rewards is not None:
            self._write_rewards((result.chunk.environment, result.chunk.algorithm), result.rewards)
        name = file_name(result.chunk)
        if self.curves is not None and result.curve is not None:
            _write_table(self.curves / name, to_table(result.curve, CURVES))
        _write_table(self.results / name, to_table(result.columns))

    def add_program(self, stats: Stats) -> None:
        """Add what a program cost to the manifest, to earlier sessions' costs if there are any."""
        entry = stats._asdict() | {"algorithm": "; ".join(stats.algorithms)}
        del entry["algorithms"]
        add_programs(self.manifest["programs"], [entry])
        self._write_manifest()

    def end(self) -> None:
        """Note that everything is there."""
        self.manifest["finished"] = timestamp()
        self._write_manifest()

    def _write_manifest(self) -> None:
        replace(self._record, _json(self.manifest))

    def _write_rewards(self, pair: tuple[str, str], rewards: Maps) -> None:
        folder = self.directory / "rewards"
        folder.mkdir(exist_ok=True)
        buffer = io.BytesIO()
        true, recovered = (np.asarray(kind, float) for kind in rewards)
        np.savez(buffer, environment=pair[0], algorithm=pair[1], true=true, recovered=recovered)
        replace(folder / f"{_name(pair)}.npz", buffer.getvalue())


def _json(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, indent=2) + "\n").encode()


def _write_table(path: Path, table: pa.Table) -> None:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    replace(path, buffer.getvalue())


def file_name(chunk: Chunk) -> str:
    """A readable file name, unique by the hash at its end."""
    cell = f"H{chunk.horizon}_N{chunk.num_demos}_{chunk.first_seed:07d}"
    return f"{_name(chunk, cell)}.parquet"


def _name(key: Sequence[Any], *more: str) -> str:
    """A name for a file, from what begins with an environment and an algorithm."""
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:12]
    parts = [slug(text, 60) for text in key[:2]]
    return "_".join([*parts, *more, digest])
