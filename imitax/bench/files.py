"""Files that are written whole or not at all, whatever happens, by several processes at once."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imitax.bench.errors import StoreError


def replace(path: Path, content: bytes) -> None:
    """Write a file so that it is either as before or complete, whatever happens.

    Raises:
        StoreError: the file system refuses.
    """
    _put(path, content, os.replace)


def create(path: Path, content: bytes) -> None:
    """Write a file unless there is one; it is never there in part.

    Raises:
        StoreError: the file system refuses.
    """

    def unless_there(hidden: Path, path: Path) -> None:
        try:
            os.link(hidden, path)
        except FileExistsError:
            hidden.unlink()
        except OSError:  # a file system without hard links
            os.replace(hidden, path)
        else:
            hidden.unlink()

    _put(path, content, unless_there)


def _put(path: Path, content: bytes, place: Callable[[Path, Path], Any]) -> None:
    # Several processes may write files of the same name at once.
    hidden = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        with hidden.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        place(hidden, path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror})") from None
