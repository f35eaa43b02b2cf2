"""Dask clusters as executors: `dask:ADDRESS` for one that runs, `dask-local:N` for N processes."""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Any

from imitax.core.errors import SpecError

FORMS = "dask:ADDRESS, such as dask:tcp://10.0.0.5:8786, or dask-local:N, such as dask-local:4"


def check(text: str) -> None:
    """Refuse what is no executor, before anything starts.

    Raises:
        SpecError: another form, or Dask is not installed.
    """
    kind, _, rest = text.partition(":")
    is_local = kind == "dask-local" and rest.isdecimal() and int(rest) > 0
    if not is_local and not (kind == "dask" and rest):
        raise SpecError(f"--executor must be {FORMS}, got {text!r}")
    _distributed()


def _distributed() -> Any:
    try:
        import distributed  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise SpecError(
            "--executor needs Dask, which is not installed: pip install 'imitax[cluster]'"
        ) from None
    return distributed


@contextlib.contextmanager
def connect(text: str) -> Iterator[Executor]:
    """The executor of a checked text, as long as the block lasts.

    Raises:
        SpecError: there is no scheduler at the address.
    """
    distributed = _distributed()
    kind, _, rest = text.partition(":")
    with contextlib.ExitStack() as stack:
        where = stack.enter_context(local(int(rest))) if kind == "dask-local" else rest
        try:
            client = stack.enter_context(distributed.Client(where, set_as_default=False))
        except (OSError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise SpecError(f"--executor {text}: no scheduler answers ({reason})") from None
        yield client.get_executor()


def local(num_workers: int) -> Any:
    """A Dask cluster of worker processes on this machine, with the cores dealt out to them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    devices = max(1, (cores or 1) // num_workers)
    return _distributed().LocalCluster(
        n_workers=num_workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        memory_limit=0,
        env={"JAX_NUM_CPU_DEVICES": str(devices)},
    )
