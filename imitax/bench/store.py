"""A directory of results: one Parquet file per finished chunk, and a manifest of what really ran.

    DIR/results/*.parquet    read by `pandas.read_parquet("DIR/results")`, complete or not
    DIR/curves/*.parquet     likewise, where learning curves were asked for
    DIR/manifest.json
    DIR/rewards.npz          where a learner recovered the reward of a grid

Every file is written under a hidden name, flushed to the disk and then renamed, so a process that
is killed leaves whole files only; a chunk whose files are all there is never computed again.
"""

import hashlib
import io
import json
import os
import re
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from imitax.bench import curves
from imitax.bench.manifest import StoreError, check_same, load_manifest, new_manifest, timestamp
from imitax.bench.plan import Chunk, Plan
from imitax.bench.sweep import Result, Stats

try:
    import fcntl
except ImportError:  # no such locks on Windows
    fcntl = None

SCHEMA = pa.schema(
    [
        pa.field("environment", pa.string(), nullable=False),
        pa.field("algorithm", pa.string(), nullable=False),
        pa.field("horizon", pa.int32(), nullable=False),
        pa.field("num_demos", pa.int32(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("regret", pa.float64(), nullable=False),
        pa.field("learner_return", pa.float64(), nullable=False),
        pa.field("expert_return", pa.float64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("expert_labels", pa.int64(), nullable=False),
        pa.field("environment_steps", pa.int64(), nullable=False),
        pa.field("knows_dynamics", pa.bool_(), nullable=False),
        pa.field("iterations", pa.int64(), nullable=False),
        pa.field("converged", pa.bool_()),
        pa.field("moment_gap", pa.float64()),
        pa.field("equilibrium_gap", pa.float64()),
        pa.field("expected_value_difference", pa.float64()),
        pa.field("epic_distance", pa.float64()),
    ]
)
"""Columns of the result files; null where a metric has no meaning."""


Maps = tuple[np.ndarray, np.ndarray]
"""True and recovered reward, [rows, columns] each."""


class Store:
    """The results of one plan in one directory. Making it checks; `begin` is the first to write.

    Args:
        directory: need not exist.
        plan: from `resolve`, with the manifest's chunk size where there is a manifest.

    Raises:
        StoreError: the directory belongs to something else.
    """

    def __init__(self, directory: Path, plan: Plan):
        self.directory = Path(directory)
        self.results = self.directory / "results"
        self.curves = self.directory / "curves" if plan.sweep.curve else None
        self.manifest = new_manifest(plan)
        self._lock: IO[str] | None = None
        previous = load_manifest(self.directory)
        if previous is not None:
            self._continue(previous)

    def _continue(self, previous: dict[str, Any]) -> None:
        now = json.loads(json.dumps(self.manifest))
        check_same(self.directory, previous, now)
        place = {key: now[key] for key in ("versions", "device", "commit", "dirty", "started")}
        resumed = [*previous.get("resumed", []), place]
        self.manifest = previous | {"resumed": resumed, "finished": None}

    def begin(self) -> None:
        """Create the directory, claim it for this process, and write the manifest.

        Raises:
            StoreError: the file system refuses, or another process is writing here.
        """
        try:
            self.results.mkdir(parents=True, exist_ok=True)
            if self.curves is not None:
                self.curves.mkdir(exist_ok=True)
            self._claim()
        except BlockingIOError:
            raise StoreError(
                f"{self.directory}: another process is writing here; wait for it"
            ) from None
        except OSError as error:
            raise StoreError(f"{self.directory}: cannot be written ({error.strerror})") from None
        self._write_manifest()

    def _claim(self) -> None:
        """Lock the directory until this process ends, in whatever way."""
        self._lock = (self.directory / ".lock").open("w")
        if fcntl is not None:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        """Let other processes write here."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

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
            _write_table(self.curves / name, to_table(result.curve, curves.SCHEMA))
        _write_table(self.results / name, to_table(result.columns))

    def add_program(self, stats: Stats) -> None:
        """Add what a program cost to the manifest, to earlier sessions' costs if there are any."""
        names = "; ".join(stats.algorithms)
        pair = {"environment": stats.environment, "algorithm": names}
        programs = self.manifest["programs"]
        same = [entry for entry in programs if pair.items() <= entry.items()]
        if not same:
            same = [pair | {"compile_seconds": 0.0, "run_seconds": 0.0, "num_compilations": 0}]
            programs += same
        for key in ("compile_seconds", "run_seconds", "num_compilations"):
            same[0][key] += getattr(stats, key)
        self._write_manifest()

    def end(self) -> None:
        """Note that everything is there."""
        self.manifest["finished"] = timestamp()
        self._write_manifest()

    def _write_manifest(self) -> None:
        text = json.dumps(self.manifest, indent=2) + "\n"
        replace(self.directory / "manifest.json", text.encode())

    def _write_rewards(self, pair: tuple[str, str], rewards: Maps) -> None:
        """Put a pair's maps into `rewards.npz`; smaller grids are padded with NaN."""
        path = self.directory / "rewards.npz"
        maps = _read_rewards(path) | {pair: rewards}
        stacked = [_stack(list(kind)) for kind in zip(*maps.values(), strict=True)]
        buffer = io.BytesIO()
        np.savez(
            buffer,
            environment=np.array([environment for environment, _ in maps]),
            algorithm=np.array([algorithm for _, algorithm in maps]),
            true=stacked[0],
            recovered=stacked[1],
        )
        replace(path, buffer.getvalue())


def _read_rewards(path: Path) -> dict[tuple[str, str], Maps]:
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            keys = zip(archive["environment"].tolist(), archive["algorithm"].tolist(), strict=True)
            pairs = zip(archive["true"], archive["recovered"], strict=True)
            return dict(zip(keys, pairs, strict=True))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        raise StoreError(f"{path}: cannot be read; choose another --out") from None


def _stack(maps: list[np.ndarray]) -> np.ndarray:
    shape = np.max([one.shape for one in maps], axis=0)
    pads = [[(0, size - own) for size, own in zip(shape, one.shape, strict=True)] for one in maps]
    filled = [
        np.pad(np.asarray(one, float), pad, constant_values=np.nan)
        for one, pad in zip(maps, pads, strict=True)
    ]
    return np.stack(filled)


def to_table(columns: dict[str, np.ndarray], schema: pa.Schema = SCHEMA) -> pa.Table:
    """The Arrow table of a chunk's columns, by default with the schema of the result files."""
    arrays = [
        pa.array(columns[field.name], type=field.type, from_pandas=field.nullable)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _write_table(path: Path, table: pa.Table) -> None:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    replace(path, buffer.getvalue())


def file_name(chunk: Chunk) -> str:
    """A readable file name, unique by the hash at its end."""
    digest = hashlib.sha256(json.dumps(chunk).encode()).hexdigest()[:12]
    parts = [re.sub(r"[^A-Za-z0-9.]+", "-", text)[:60] for text in chunk[:2]]
    cell = f"H{chunk.horizon}_N{chunk.num_demos}_{chunk.first_seed:07d}"
    return f"{parts[0]}_{parts[1]}_{cell}_{digest}.parquet"


def replace(path: Path, content: bytes) -> None:
    """Write a file so that it is either as before or complete, whatever happens.

    Raises:
        StoreError: the file system refuses.
    """
    hidden = path.parent / f".{path.name}.tmp"
    try:
        with hidden.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(hidden, path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror})") from None
