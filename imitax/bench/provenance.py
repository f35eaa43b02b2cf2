"""Where numbers come from: versions, commit and time."""

import datetime
import importlib.metadata
import platform
import subprocess
from pathlib import Path

from imitax.core.version import __version__

PACKAGE = Path(__file__).parents[1]
"""The folder of the whole package."""

PACKAGES = ("imitax", "jax", "jaxlib", "flax", "optax", "gymnax", "chex", "numpy")


def versions() -> dict[str, str | None]:
    """Of Python and of `PACKAGES`; None where a package is not installed."""
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str | None:
    if package == "imitax":  # what an installation of sources says of itself may be out of date
        return __version__
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def checkout_of(folder: Path) -> tuple[str | None, bool | None]:
    """Commit of the git checkout that tracks a package, and whether files in it differ from that.

    Args:
        folder: of the package, with its subfolders; None twice where git does not know it.
    """

    def git(*arguments):
        command = ["git", "-C", str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--", "."))
    except (OSError, subprocess.SubprocessError):
        return None, None


def timestamp() -> str:
    """Now, in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
