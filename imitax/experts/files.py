"""An expert on disk: `NAME.npz`, the weights of four snapshots, beside `NAME.json`, a manifest.

The archive holds float32 arrays named `SNAPSHOT/mean`, `/scale`, `/kernel_0`, `/bias_0`, ... and
nothing pickled. The manifest says how the weights came about, what they return, and the archive's
sha256; nothing is read from an archive that does not agree with its manifest.
"""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from imitax.config import SpecError
from imitax.data.recorded import DataError
from imitax.experts.network import Actor, Weights
from imitax.policies import Policy
from imitax.spec import unknown

FORMAT = "imitax expert 1"
"""What a manifest says it is."""

SNAPSHOTS = ("1", "2", "3", "final")
"""From the weakest to the best."""

_KEYS = ("name", "network", "snapshots", "sha256")
_FETCH = "restore both files, or train it again: imitax experts train"
_LFS_POINTER = b"version https://git-lfs"


class Expert(NamedTuple):
    """What two files hold."""

    manifest: dict[str, Any]
    weights: dict[str, Weights]
    """Weights of each snapshot."""

    def policy(self, snapshot: str | int = "final") -> Policy:
        """The policy of a snapshot.

        Args:
            snapshot: `final`, or 1 (weakest), 2 or 3.

        Raises:
            SpecError: there is no such snapshot.
        """
        if str(snapshot) not in self.weights:
            raise unknown(f"snapshot of {self.manifest['name']}", str(snapshot), self.weights)
        network = self.manifest["network"]
        actor = Actor(network["act"], tuple(network["low"]), tuple(network["high"]))
        weights = self.weights[str(snapshot)]
        kernels, biases = (tuple(map(jnp.asarray, part)) for part in weights[2:])
        return Policy(
            Weights(jnp.asarray(weights.mean), jnp.asarray(weights.scale), kernels, biases), actor
        )


def write(folder: Path, manifest: Mapping[str, Any], weights: Mapping[str, Weights]) -> Path:
    """Write both files of an expert, each at once: complete, or not at all.

    Args:
        folder: is made where it does not exist.
        manifest: without `format`, `sha256` and `bytes`, which are added.
        weights: of each of `SNAPSHOTS`.

    Returns:
        The manifest's path. It is written last: a pair that was interrupted is told by its sha256.

    Raises:
        SpecError: the folder cannot be written to.
    """
    archive = io.BytesIO()
    arrays: dict[str, Any] = {}
    for snapshot in SNAPSHOTS:
        arrays |= {f"{snapshot}/{key}": value for key, value in _named(weights[snapshot]).items()}
    np.savez_compressed(archive, **arrays)
    content = archive.getvalue()
    sums = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    text = json.dumps({"format": FORMAT, **manifest, **sums}, indent=2) + "\n"
    path = folder / f"{manifest['name']}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(path.with_name(f"{manifest['name']}.npz"), content)
        _replace(path, text.encode())
    except OSError as error:
        raise SpecError(
            f"{folder} cannot be written to ({error.strerror or error}); choose another --out"
        ) from None
    return path


def read(folder: Path, name: str) -> Expert:
    """Read both files of an expert and check one against the other.

    Raises:
        DataError: a file is missing, damaged, of another training, or holds what it should not.
    """
    manifest = _manifest(folder / f"{name}.json", name)
    path = folder / f"{name}.npz"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _broken(path, f"cannot be read ({error.strerror})") from None
    if content.startswith(_LFS_POINTER):
        raise DataError(f"{path}: is a Git LFS pointer, not data; run `git lfs pull`")
    found = hashlib.sha256(content).hexdigest()
    if found != manifest["sha256"]:
        words = f"has sha256 {found[:12]}, its manifest says {str(manifest['sha256'])[:12]}"
        raise _broken(path, words)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {member: archive[member] for member in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _broken(path, f"is no npz archive ({type(error).__name__})") from None
    sizes = _sizes(path, manifest)
    _check(path, arrays, sizes)
    layers = range(len(sizes) - 1)
    return Expert(manifest, {one: _assembled(arrays, one, layers) for one in SNAPSHOTS})


def _named(weights: Weights) -> dict[str, np.ndarray]:
    layers = {"kernel": weights.kernels, "bias": weights.biases}
    parts = {"mean": weights.mean, "scale": weights.scale} | {
        f"{part}_{index}": value
        for part, values in layers.items()
        for index, value in enumerate(values)
    }
    return {key: np.asarray(value, np.float32) for key, value in parts.items()}


def _assembled(arrays: Mapping[str, np.ndarray], snapshot: str, layers: range) -> Weights:
    kernels, biases = (
        tuple(arrays[f"{snapshot}/{part}_{index}"] for index in layers)
        for part in ("kernel", "bias")
    )
    return Weights(arrays[f"{snapshot}/mean"], arrays[f"{snapshot}/scale"], kernels, biases)


def _manifest(path: Path, name: str) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _broken(path, f"cannot be read ({error.strerror})") from None
    except ValueError:
        raise _broken(path, "is no valid JSON") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise _broken(path, f"is not of the format '{FORMAT}'")
    missing = [key for key in _KEYS if key not in manifest]
    if missing:
        raise _broken(path, f"lacks {', '.join(missing)}")
    if manifest["name"] != name:
        raise _broken(path, f"is the manifest of {manifest['name']}")
    return manifest


def _sizes(path: Path, manifest: Mapping[str, Any]) -> list[int]:
    """Widths of the layers, inputs and outputs included, as the manifest states them."""
    try:
        network = manifest["network"]
        sizes = [int(network["inputs"]), *map(int, network["hidden"]), int(network["outputs"])]
        complete = network["act"] in ("mode", "sample", "mean")
        corners = len(network["low"]), len(network["high"])
    except (KeyError, TypeError, ValueError):
        raise _broken(path, "has a manifest that describes no network") from None
    expected = sizes[-1] if complete and network["act"] == "mean" else 0
    if not complete or corners != (expected, expected):
        raise _broken(path, "has a manifest that describes no network")
    return sizes


def _check(path: Path, arrays: Mapping[str, np.ndarray], sizes: list[int]) -> None:
    """Refuse an archive that does not hold exactly the networks of its manifest."""
    layers = list(zip(sizes[:-1], sizes[1:], strict=True))
    shapes = {"mean": (sizes[0],), "scale": (sizes[0],)}
    shapes |= {f"kernel_{index}": layer for index, layer in enumerate(layers)}
    shapes |= {f"bias_{index}": layer[1:] for index, layer in enumerate(layers)}
    expected = {f"{one}/{part}": shape for one in SNAPSHOTS for part, shape in shapes.items()}
    for member in sorted(expected.keys() | arrays.keys()):
        if member not in arrays or member not in expected:
            raise _broken(path, f"{'lacks' if member in expected else 'has a surplus'} {member}")
        found = arrays[member]
        if found.shape != expected[member] or found.dtype != np.float32:
            raise _broken(
                path,
                f"{member} is {found.dtype} {list(found.shape)}, not float32 "
                f"{list(expected[member])}",
            )
        if not np.isfinite(found).all() or (member.endswith("/scale") and found.min() <= 0):
            raise _broken(path, f"{member} holds values that no network has")


def _broken(path: Path, words: str) -> DataError:
    return DataError(f"{path}: {words}; {_FETCH} {path.stem}")


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
