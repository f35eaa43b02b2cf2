"""An expert on disk: `NAME.npz`, the weights of four snapshots, beside `NAME.json`, a manifest.

The archive holds float32 arrays named `SNAPSHOT/mean`, `/scale`, `/kernel_0`, `/bias_0`, ... and
nothing pickled. The manifest says how the weights came about, what they return, and the archive's
sha256; nothing is read from an archive that does not agree with its manifest.
"""

import hashlib
import io
import itertools
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from imitax.core.errors import DataError, SpecError
from imitax.core.files import replace
from imitax.core.policies import Policy
from imitax.core.spec import unknown
from imitax.experts.network import Actor, Weights

FORMAT = "imitax expert 1"
"""What a manifest says it is."""

SNAPSHOTS = ("1", "2", "3", "final")
"""From the weakest to the best."""

NUMBERS = ("mean", "low", "high", "length", "episodes", "horizon", "environment_steps")
"""What a manifest says of each snapshot: `imitax.rl.measure.Measured`, and its training."""

_VECTORS = ("mean", "scale", "log_scale")
_FETCH = "restore both files, or train it again: imitax experts train"
LFS_POINTER = b"version https://git-lfs"
"""How a file begins that git has not fetched."""


class Expert(NamedTuple):
    """What two files hold."""

    manifest: dict[str, Any]
    policies: dict[str, Policy]
    """By snapshot; the parameters are numpy arrays."""

    def policy(self, snapshot: str | int = "final") -> Policy:
        """The policy of a snapshot.

        Args:
            snapshot: `final`, or 1 (weakest), 2 or 3.

        Raises:
            SpecError: there is no such snapshot.
        """
        if str(snapshot) not in self.policies:
            raise unknown(f"snapshot of {self.manifest['name']}", str(snapshot), self.policies)
        return jax.tree.map(jnp.asarray, self.policies[str(snapshot)])


def write(folder: Path, manifest: Mapping[str, Any], policies: Mapping[str, Policy]) -> Path:
    """Write both files of an expert, each at once: complete, or not at all.

    Args:
        folder: is made where it does not exist.
        manifest: with `name` and the returns of `snapshots`; what describes the archive is added.
        policies: of each of `SNAPSHOTS`, of `Weights` and `Actor`, all of the same sizes.

    Returns:
        The manifest's path. It is written last: a pair that was interrupted is told by its sha256.

    Raises:
        SpecError: the folder cannot be written to.
    """
    archive = io.BytesIO()
    arrays: dict[str, Any] = {}
    for one in SNAPSHOTS:
        named = _named(policies[one].params)
        arrays |= {f"{one}/{part}": values for part, values in named.items()}
    np.savez_compressed(archive, **arrays)
    content = archive.getvalue()
    described = {
        "network": _network(policies),
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
    text = json.dumps({"format": FORMAT, **manifest, **described}, indent=2) + "\n"
    path = folder / f"{manifest['name']}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace(path.with_name(f"{manifest['name']}.npz"), content)
        replace(path, text.encode())
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
    arrays = _arrays(path, manifest["sha256"])
    network = manifest["network"]
    sizes = [network["inputs"], *network["hidden"], network["outputs"]]
    _check(path, arrays, sizes, len(network["low"]))
    policies = {
        one: Policy(
            _assembled(arrays, one, len(sizes) - 1),
            Actor(network["act"][one], tuple(network["low"]), tuple(network["high"])),
        )
        for one in SNAPSHOTS
    }
    return Expert(manifest, policies)


def _network(policies: Mapping[str, Policy]) -> dict[str, Any]:
    weights, actor = policies[SNAPSHOTS[-1]].params, cast(Actor, policies[SNAPSHOTS[-1]].apply)
    *hidden, outputs = (len(bias) for bias in weights.biases)
    return {
        "inputs": len(weights.mean),
        "hidden": hidden,
        "outputs": outputs,
        "act": {one: policies[one].apply.act for one in SNAPSHOTS},  # pyright: ignore
        "low": list(actor.low),
        "high": list(actor.high),
    }


def _named(weights: Weights) -> dict[str, np.ndarray]:
    layers = {"kernel": weights.kernels, "bias": weights.biases}
    parts = {key: getattr(weights, key) for key in _VECTORS} | {
        f"{part}_{index}": value
        for part, values in layers.items()
        for index, value in enumerate(values)
    }
    return {key: np.asarray(value, np.float32) for key, value in parts.items()}


def _assembled(arrays: Mapping[str, np.ndarray], snapshot: str, layers: int) -> Weights:
    kernels, biases = (
        tuple(arrays[f"{snapshot}/{part}_{index}"] for index in range(layers))
        for part in ("kernel", "bias")
    )
    mean, scale, log_scale = (arrays[f"{snapshot}/{part}"] for part in _VECTORS)
    return Weights(mean, scale, kernels, biases, log_scale)


def _manifest(path: Path, name: str) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _broken(path, f"cannot be read ({error.strerror})") from None
    except ValueError:
        raise _broken(path, "is no valid JSON") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise _broken(path, f"is not of the format '{FORMAT}'")
    if manifest.get("name") != name:
        raise _broken(path, f"is the manifest of {manifest.get('name')}")
    try:
        _check_manifest(manifest)
    except (KeyError, TypeError, ValueError) as error:
        raise _broken(path, f"lacks or garbles a value ({error})") from None
    return manifest


def _check_manifest(manifest: Mapping[str, Any]) -> None:
    """Raise `KeyError`, `TypeError` or `ValueError` where what is read later is not there."""
    network = manifest["network"]
    widths = [network["inputs"], *network["hidden"], network["outputs"]]
    if not all(type(width) is int and width > 0 for width in widths):
        raise ValueError("network")
    corners = [*network["low"], *network["high"]]
    if len(network["low"]) != len(network["high"]) or len(corners) not in (0, 2 * widths[-1]):
        raise ValueError("low, high")
    if not {network["act"][one] for one in SNAPSHOTS} <= {"mode", "sample"}:
        raise ValueError("act")
    numbers = [manifest["snapshots"][one][key] for one in SNAPSHOTS for key in NUMBERS]
    if not all(type(number) in (int, float) for number in (*numbers, *corners, manifest["bytes"])):
        raise ValueError("numbers")
    if type(manifest["sha256"]) is not str:
        raise ValueError("sha256")


def _arrays(path: Path, expected: str) -> dict[str, np.ndarray]:
    """The members of an archive with the expected sha256."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _broken(path, f"cannot be read ({error.strerror})") from None
    if content.startswith(LFS_POINTER):
        raise DataError(f"{path}: is a Git LFS pointer, not data; run `git lfs pull`")
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise _broken(path, f"has sha256 {found[:12]}, its manifest says {expected[:12]}")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {member: archive[member] for member in archive.files}
    except (AttributeError, OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _broken(path, f"is no npz archive of numbers ({type(error).__name__})") from None


def _check(path: Path, arrays: Mapping[str, np.ndarray], sizes: list[int], num_scales: int) -> None:
    """Refuse an archive that does not hold exactly the networks of its manifest."""
    layers = list(itertools.pairwise(sizes))
    shapes = dict(zip(_VECTORS, [(sizes[0],), (sizes[0],), (num_scales,)], strict=True))
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
