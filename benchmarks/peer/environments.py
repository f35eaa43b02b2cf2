"""A peer's own pinned packages in a virtual environment of its own, built once."""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIMIT = 1800.0
"""Seconds that an installation may take."""


class BuildError(RuntimeError):
    """A peer's environment that cannot be built; one line."""


def pins(peer: str) -> Path:
    """The file of exact versions of a peer."""
    return HERE / f"{peer}.txt"


def python_of(directory: Path, peer: str) -> Path:
    """The interpreter of a peer's environment, which is built where it is missing or outdated.

    Args:
        directory: where environments are kept.
        peer: has a file of pins beside this one.

    Raises:
        BuildError: with the last line that the installer said.
    """
    place = directory / peer
    python = place / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    mark = place / "built"
    wanted = hashlib.sha256(pins(peer).read_bytes()).hexdigest()
    if python.exists() and mark.exists() and mark.read_text() == wanted:
        return python
    try:
        directory.mkdir(parents=True, exist_ok=True)
        venv.create(place, with_pip=True, clear=True)
        _install(python, peer)
        mark.write_text(wanted)
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(f"{peer}: {place} cannot be built ({error})") from None
    return python


def _install(python: Path, peer: str) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "-r", str(pins(peer))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    if done.returncode == 0:
        return
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    said = (lines or done.stderr.strip().splitlines() or ["nothing was said"])[-1]
    raise BuildError(f"{peer}: pip could not install {pins(peer).name}: {said[:300]}")
