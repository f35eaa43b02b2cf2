"""Compiled programs that a later start finds without tracing anything.

JAX's persistent cache spares a later start the compilation, but to ask for it a program must be
traced and lowered, which takes longer than anything else that start does. So the executable is
also kept in a folder of that cache, under a name that says everything it depends on: the code of
`imitax` and the versions of what it uses, environment, algorithm and structure of its config by
value, sizes, devices, and JAX's and XLA's settings. Whatever cannot be named so completely is not
kept: parts that cannot be pickled, parts from modules of which no version is known, several
processes. What cannot be read is compiled again.

An executable is a pickle, as JAX writes it: a cache folder is as trustworthy as who can write to
it.
"""

import functools
import hashlib
import io
import os
import pickle
import platform
import sys
import zlib
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from imitax.bench.provenance import PACKAGES, versions
from imitax.core import files

FOLDER = "programs"
"""In JAX's cache folder."""
VARIABLES = ("JAX_", "XLA_", "IMITAX_FUSED", "LIBTPU_", "TPU_", "CUDA_", "NVIDIA_")
"""Beginnings of environment variables that compilation may depend on."""


class Unnameable(Exception):
    """A program that depends on what cannot be named."""


def place_of(mesh: Mesh, *parts: Any) -> Path | None:
    """The file of a program, whether it is there or not.

    Args:
        mesh: where it runs.
        parts: everything that the program is made from.

    Returns:
        None where programs are not kept, or this one cannot be.
    """
    folder = getattr(jax.config, "jax_compilation_cache_dir", None)
    is_on = getattr(jax.config, "jax_enable_compilation_cache", False)
    if not is_on or not folder or "://" in folder or jax.process_count() > 1:
        return None
    try:
        named = [_content(parts), _code(), _settings(), _machine(mesh)]
    except Unnameable:
        return None
    return Path(folder) / FOLDER / f"{hashlib.sha256(b''.join(named)).hexdigest()}.bin"


def load(place: Path, arguments: tuple[Any, ...]) -> jax.stages.Compiled | None:
    """The program of a file; None where there is none that can be used.

    Args:
        place: from `place_of`.
        arguments: of the shape of a call's.
    """
    from jax.experimental import serialize_executable

    try:
        payload, tree = pickle.loads(zlib.decompress(place.read_bytes()))
        shape = jax.tree.structure((arguments, {}))
        return serialize_executable.deserialize_and_load(payload, shape, tree)
    except Exception:  # no such file, a damaged one, or a runtime that refuses it
        return None


def save(place: Path, compiled: jax.stages.Compiled) -> None:
    """Keep a program; one that its runtime cannot write, or a folder that is full, is let be."""
    from jax.experimental import serialize_executable

    try:
        payload, _, tree = serialize_executable.serialize(compiled)
        content = zlib.compress(pickle.dumps((payload, tree)), 1)
        place.parent.mkdir(parents=True, exist_ok=True)
        files.replace(place, content)
    except (OSError, pickle.PicklingError, ValueError, TypeError, RuntimeError):
        return


class _Named(pickle.Pickler):
    """Refuses what is pickled by name from a module that no version or digest stands for."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type) or callable(obj):
            root = (getattr(obj, "__module__", None) or "").partition(".")[0]
            if root not in _known_roots():
                raise Unnameable(f"{obj!r} is from {root!r}")
        return NotImplemented


@functools.cache
def _known_roots() -> frozenset[str]:
    return frozenset((*PACKAGES, *sys.stdlib_module_names))


def _content(parts: Any) -> bytes:
    buffer = io.BytesIO()
    try:
        _Named(buffer, protocol=5).dump(parts)
    except Unnameable:
        raise
    except Exception as error:  # whatever an object's own reduction raises
        raise Unnameable(str(error)) from error
    return hashlib.sha256(buffer.getvalue()).digest()


@functools.cache
def _code() -> bytes:
    """The package's own sources and data, and the versions of others."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[2]
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    digest.update(repr((versions(), sys.version)).encode())
    return digest.digest()


def _settings() -> bytes:
    values = sorted(jax.config.values.items())
    # The attribute is also right within a context such as `jax.enable_x64`.
    found = [(name, getattr(jax.config, name, value)) for name, value in values]
    variables = {k: v for k, v in sorted(os.environ.items()) if k.startswith(VARIABLES)}
    return hashlib.sha256(repr((found, variables)).encode()).digest()


def _machine(mesh: Mesh) -> bytes:
    devices = [(device.id, device.platform, device.device_kind) for device in mesh.devices.flat]
    client = mesh.devices.flat[0].client
    sort = (client.platform_version, len(client.devices()), platform.machine(), _features())
    return hashlib.sha256(repr((devices, mesh.axis_names, sort)).encode()).digest()


def _features() -> str:
    """What this processor can do, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
