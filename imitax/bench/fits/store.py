"""Policies fitted to recorded episodes, on disk.

A directory holds `manifest.json`, `policies.npz` (one array [num_demos, seeds, ...] per parameter,
nothing pickled) and `results/fit.parquet` (one row per number of demonstrations and seed).
"""

import hashlib
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from imitax import catalogue
from imitax.bench import schema
from imitax.bench.analysis.statistics import mean_interval
from imitax.bench.fits.fit import Array, Fitted, Task, orders, template
from imitax.bench.plans import numerics
from imitax.bench.provenance import PACKAGE, checkout_of, versions
from imitax.core.errors import SpecError
from imitax.core.policies import Policy
from imitax.core.version import __version__
from imitax.data import DataError
from imitax.tasks.evaluate import NUM_EPISODES

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "imitax fit 1"
"""What the manifest of a saved directory says it is."""


def table(task: Task, fitted: Fitted) -> "pd.DataFrame":
    """One row per number of demonstrations and seed, with the columns of a sweep's results."""
    import pandas as pd

    shape = fitted.learner_return.shape
    demos, seeds = np.broadcast_arrays(
        np.array(task.num_demos)[:, None], np.arange(task.num_seeds)[None]
    )
    order = orders(task)
    recorded = [
        [task.recorded.episode_return[chosen[:number]].mean() for chosen in order]
        for number in task.num_demos
    ]
    keys = schema.key_columns(task.env.spec, task.chosen.spec, task.horizon, demos, seeds)
    columns = {
        **keys,
        "regret": fitted.regret,
        "learner_return": fitted.learner_return,
        "expert_return": fitted.expert_return,
        "recorded_return": np.array(recorded),
        "status": np.where(fitted.diverged, "diverged", "ok").astype(object),
        "knows_dynamics": np.zeros(shape, bool),
        "reward_form": np.full(shape, "", object),
        **schema.number_columns(fitted.metrics._asdict()),
    }
    return pd.DataFrame({name: values.ravel() for name, values in columns.items()})


def check_free(directory: Path) -> None:
    """Refuse a directory that could not be written to, or holds something.

    Raises:
        SpecError: with what to do.
    """
    if directory.is_dir() and any(directory.iterdir()):
        raise SpecError(f"{directory} is not empty; choose another --out, or empty it")
    if directory.exists() and not directory.is_dir():
        raise SpecError(f"{directory} is a file; --out needs a new or empty directory")
    parent = next(folder for folder in directory.absolute().parents if folder.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise SpecError(f"{directory} cannot be made: {parent} is no writable directory")


def save(directory: Path, task: Task, fitted: Fitted) -> None:
    """Write a directory at once: it appears complete, or not at all.

    Raises:
        SpecError: the directory is not free, or writing failed.
    """
    check_free(directory)
    draft = directory.parent / f".{directory.name}.{os.getpid()}"
    try:
        (draft / "results").mkdir(parents=True)
        arrays: dict[str, Any] = {
            name: np.asarray(leaf) for name, leaf in _named(fitted.policy.params).items()
        }
        np.savez_compressed(draft / "policies.npz", **arrays)
        table(task, fitted).to_parquet(draft / "results" / "fit.parquet", index=False)
        text = json.dumps(_manifest(task, fitted, arrays), indent=2)
        (draft / "manifest.json").write_text(text + "\n")
        os.rename(draft, directory)
    except OSError as error:
        raise SpecError(f"{directory} cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def load_policy(directory: str | os.PathLike[str], num_demos: int, seed: int) -> Policy:
    """One of the policies saved by `save`.

    Args:
        directory: what `imitax fit --out` wrote.
        num_demos: one of the fitted numbers of demonstrations.
        seed: one of the fitted seeds.

    Raises:
        DataError: there is no such policy, or the seed diverged.
    """
    manifest, arrays = _read(Path(directory))
    saved, num_seeds = manifest["num_demos"], manifest["seeds"]
    if num_demos not in saved:
        raise DataError(f"{directory}: no policy for num_demos {num_demos}; saved: {saved}")
    if not 0 <= seed < num_seeds:
        raise DataError(f"{directory}: no policy for seed {seed}; saved: 0 to {num_seeds - 1}")
    at = saved.index(num_demos), seed
    env = catalogue.environment(manifest["environment"])
    blank = template(env, catalogue.algorithm(manifest["algorithm"], env))
    grid = len(saved), num_seeds
    expected = {name: (*grid, *leaf.shape) for name, leaf in _named(blank.params).items()}
    if expected != {name: values.shape for name, values in arrays.items()}:
        old = numerics.version_of(manifest)
        raise DataError(
            f"{directory}: policies.npz does not hold {manifest['algorithm']} of imitax "
            f"{__version__}; load it with the version that saved it, {old or 'unknown'}"
        )
    values = [jnp.asarray(arrays[name][at]) for name in expected]
    if not all(np.isfinite(value).all() for value in values):
        raise DataError(f"{directory}: seed {seed} diverged with num_demos {num_demos}")
    return jax.tree.unflatten(jax.tree.structure(blank), values)


def _read(directory: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        manifest = json.loads((directory / "manifest.json").read_text())
        with np.load(directory / "policies.npz", allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        text = f"{directory}: not a directory of imitax fit --out ({type(error).__name__})"
        raise DataError(text) from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DataError(f"{directory}: manifest.json is not of the format '{FORMAT}'")
    return manifest, arrays


def _named(params: Any) -> dict[str, Any]:
    """The leaves of a policy's parameters by their path, in the order of the tree."""
    paths = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in paths}


def _manifest(task: Task, fitted: Fitted, arrays: dict[str, Any]) -> dict[str, Any]:
    recorded = task.recorded
    file = Path(recorded.path)
    return {
        "format": FORMAT,
        "environment": task.env.spec,
        "algorithm": task.chosen.spec,
        "horizon": task.horizon,
        "horizon_from": task.horizon_from,
        "num_demos": list(task.num_demos),
        "seeds": task.num_seeds,
        "evaluation_episodes": NUM_EPISODES,
        "demonstrations": {
            "file": file.name,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "layout": recorded.layout,
            "episodes": len(recorded.length),
            "steps": int(recorded.length.sum()),
            "mean_return": _mean(recorded.episode_return),
        },
        "returns": _returns(task, fitted),
        "parameters": {name: list(values.shape) for name, values in arrays.items()},
        "commit": checkout_of(PACKAGE)[0],
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "numerics": numerics.of_pairs([(task.env, task.chosen)]),
        "versions": versions(),
    }


def _returns(task: Task, fitted: Fitted) -> list[dict[str, Any]]:
    """Means over the seeds that did not diverge."""
    return [
        {
            "num_demos": number,
            "learner": _mean(fitted.learner_return[index]),
            "expert": _mean(fitted.expert_return[index]),
            "diverged": int(fitted.diverged[index].sum()),
            "unconverged": int(np.sum(np.asarray(fitted.metrics.fit_converged)[index] == 0)),
        }
        for index, number in enumerate(task.num_demos)
    ]


def _mean(values: Array) -> float | None:
    """The mean of the finite values, for JSON: None where there is none."""
    mean = mean_interval(values).mean
    return mean if np.isfinite(mean) else None
