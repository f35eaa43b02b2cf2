"""Whether a compilation was read from JAX's persistent cache, counted from JAX's own events."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import jax

HIT = "/jax/compilation_cache/cache_hits"
MISS = "/jax/compilation_cache/cache_misses"

_local = threading.local()
_lock = threading.Lock()
_listening = False


@dataclass
class Counts:
    """Compilations that the persistent cache had, and that it had not; none where it is off."""

    hits: int = 0
    misses: int = 0


@contextlib.contextmanager
def counting() -> Iterator[Counts]:
    """Count what this thread compiles within the block."""
    _listen()
    counts, before = Counts(), getattr(_local, "counts", None)
    _local.counts = counts
    try:
        yield counts
    finally:
        _local.counts = before


def _listen() -> None:
    global _listening
    with _lock:
        if not _listening:
            jax.monitoring.register_event_listener(_note)
            _listening = True


def _note(event: str, **_: object) -> None:
    # JAX tells of an event in the thread that compiles.
    counts = getattr(_local, "counts", None)
    if counts is not None:
        counts.hits += event == HIT
        counts.misses += event == MISS
