"""Files of results: `imitax.core.files` with the harness's own error, and specs in file names."""

import re
from collections.abc import Callable
from pathlib import Path

from imitax.bench.errors import StoreError
from imitax.core import files


def replace(path: Path, content: bytes) -> None:
    """`imitax.core.files.replace`; raises `StoreError` where the file system refuses."""
    _told(files.replace, path, content)


def create(path: Path, content: bytes) -> None:
    """`imitax.core.files.create`; raises `StoreError` where the file system refuses."""
    _told(files.create, path, content)


def slug(spec: str, longest: int = 100) -> str:
    """A spec as part of a file name: letters, digits and dots, with dashes between."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", spec)[:longest]


def _told(write: Callable[[Path, bytes], None], path: Path, content: bytes) -> None:
    try:
        write(path, content)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror})") from None
