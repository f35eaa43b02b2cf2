"""The expert networks that Ho & Ermon (2016) published, read from their HDF5 files.

A file holds snapshots of one TRPO run (`iter0000000`, `iter0000020`, ...), each a tanh network
with normalised input and a softmax over actions, which are sampled. Their layout is that of
github.com/openai/imitation, `expert_policies/classic`.
"""

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from imitax.core.errors import DataError, SpecError
from imitax.core.policies import Policy
from imitax.core.spec import unknown
from imitax.experts.files import LFS_POINTER
from imitax.experts.network import Actor, Weights

_LAYERS = ("hidden/FeedforwardNet/layer_0", "hidden/FeedforwardNet/layer_2", "out")
_NORM = "obsnorm/Standardizer"
_ACROBOT = 6, 4
_HDF5 = b"\x89HDF\r\n\x1a\n"
_SAME = "use the file of this environment's expert"


def snapshots(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Names of a file's snapshots, from the first to the last of the training run.

    Raises:
        DataError: the file is missing, or holds none.
        SpecError: h5py is not installed.
    """
    with _open(Path(path)) as file:
        return _snapshots(Path(path), file)


def policy(
    path: str | os.PathLike[str],
    snapshot: str | int = -1,
    *,
    num_observations: int,
    num_actions: int,
) -> Policy:
    """One of the policies in a file.

    The input is (obs - mean) / (std + 1e-6) with std = sqrt(max(mean square - mean^2, 0)). Where
    the network takes 4 numbers and the environment shows 6, it is Acrobot's: the network was
    trained on two angles and two velocities, the environment shows cosines and sines.

    Args:
        path: an HDF5 file.
        snapshot: a name (`iter0000100`) or an index, negative ones counted from the last.
        num_observations: numbers in one observation of the environment.
        num_actions: number of the environment's actions.

    Returns:
        A policy whose actions are sampled.

    Raises:
        DataError: the file is missing, damaged, or of another environment.
        SpecError: there is no such snapshot, or h5py is not installed.
    """
    path = Path(path)
    with _open(path) as file:
        name = _chosen(path, _snapshots(path, file), snapshot)
        weights = _weights(path, file, f"snapshots/{name}/GibbsPolicy")
    inputs, outputs = len(weights.mean), len(weights.biases[-1])
    angles = (num_observations, inputs) == _ACROBOT
    if inputs != num_observations and not angles:
        raise DataError(
            f"{path}: the network takes {inputs} numbers, the environment shows "
            f"{num_observations}; {_SAME}"
        )
    if outputs != num_actions:
        raise DataError(
            f"{path}: the network has {outputs} actions, the environment {num_actions}; {_SAME}"
        )
    return Policy(weights, Actor("sample", angles=angles))


def _open(path: Path) -> Any:
    try:
        import h5py
    except ImportError:
        raise SpecError(f"{path}: reading it takes h5py; pip install 'imitax[data]'") from None
    try:
        with path.open("rb") as file:
            head = file.read(len(LFS_POINTER))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the name") from None
    if head == LFS_POINTER:
        raise DataError(f"{path}: is a Git LFS pointer, not data; run `git lfs pull`")
    if not head.startswith(_HDF5):
        raise DataError(f"{path}: is no HDF5 file; fetch it again from its source")
    try:
        return h5py.File(path, "r")
    except OSError:
        raise DataError(f"{path}: is a damaged HDF5 file; fetch it again") from None


def _snapshots(path: Path, file: Any) -> tuple[str, ...]:
    group = file.get("snapshots")
    names = tuple(sorted(group)) if hasattr(group, "keys") else ()
    if not names:
        raise DataError(f"{path}: holds no snapshots; use an expert file of openai/imitation")
    return names


def _chosen(path: Path, names: tuple[str, ...], snapshot: str | int) -> str:
    if isinstance(snapshot, str) and snapshot.lstrip("-").isdigit():
        snapshot = int(snapshot)
    if isinstance(snapshot, str):
        if snapshot not in names:
            raise unknown(f"snapshot of {path}", snapshot, names)
        return snapshot
    if not -len(names) <= snapshot < len(names):
        raise SpecError(
            f"{path}: has no snapshot {snapshot}; allowed: {-len(names)} to {len(names) - 1}, "
            f"or {', '.join(names)}"
        )
    return names[snapshot]


def _weights(path: Path, file: Any, root: str) -> Weights:
    kernels = [_array(path, file, f"{root}/{layer}/AffineLayer/W") for layer in _LAYERS]
    biases = [_array(path, file, f"{root}/{layer}/AffineLayer/b").ravel() for layer in _LAYERS]
    mean = _array(path, file, f"{root}/{_NORM}/mean_1_D").ravel()
    square = _array(path, file, f"{root}/{_NORM}/meansq_1_D").ravel()
    ends = [len(mean), *(len(bias) for bias in biases)]
    shapes = [(ends[layer], ends[layer + 1]) for layer in range(len(_LAYERS))]
    if [kernel.shape for kernel in kernels] != shapes or mean.shape != square.shape:
        raise DataError(f"{path}: the layers of {root} do not fit together; fetch it again")
    scale = np.sqrt(np.maximum(square - mean**2, 0.0)) + 1e-6
    weights = Weights(mean, scale, tuple(kernels), tuple(biases), np.zeros(0))
    return jax.tree.map(lambda part: jnp.asarray(part, jnp.float32), weights)


def _array(path: Path, file: Any, member: str) -> np.ndarray:
    dataset = file.get(member)
    if not hasattr(dataset, "shape"):
        raise DataError(f"{path}: lacks {member}; only networks with discrete actions are read")
    try:
        values = np.asarray(dataset[()], np.float64)
    except (OSError, TypeError, ValueError):
        raise DataError(f"{path}: {member} is damaged; fetch the file again") from None
    if not np.isfinite(values).all():
        raise DataError(f"{path}: {member} is not finite; fetch the file again")
    return values
