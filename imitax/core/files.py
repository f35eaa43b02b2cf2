"""Files that are written whole or not at all, whatever happens, by several processes at once."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any


def replace(path: Path, content: bytes) -> None:
    """Write a file so that it is either as before or complete.

    It is written under a hidden name, flushed to the disk and then renamed.

    Raises:
        OSError: the file system refuses.
    """
    _write(path, content, os.replace)


def create(path: Path, content: bytes) -> None:
    """Write a file unless there is one; it is never there in part.

    Raises:
        OSError: the file system refuses.
    """

    def unless_there(hidden: Path, path: Path) -> None:
        try:
            os.link(hidden, path)
        except FileExistsError:
            return
        except OSError:  # a file system without hard links
            os.replace(hidden, path)

    _write(path, content, unless_there)


def _write(path: Path, content: bytes, place: Callable[[Path, Path], Any]) -> None:
    # Several processes may write files of the same name at once.
    hidden = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        with hidden.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        place(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)
