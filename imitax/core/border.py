"""What public functions refuse: one line with what was given, what is wanted and what to do.

Values are checked where they are concrete. Inside a trace they are not known: types, shapes and
dtypes are checked there, and what is out of range makes a result NaN (`imitax.tasks.pose`).
"""

from types import FunctionType
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.environment import Environment

from imitax.core.config import check_settings, is_concrete
from imitax.core.errors import NotApplicable, SpecError
from imitax.core.family import Family

TABLE_ONLY = "defined here for tabular environments only"
"""Of an algorithm, elsewhere."""

OWN = "a gymnax environment of one's own needs what imitax.core.family.Family says"
"""The remedy for an environment that no spec names."""

LARGEST = 2**31 - 1
"""Largest number that an int32 seed, horizon or count may reach."""


def shown(value: Any) -> str:
    """A value in a message: numbers and words as they are, arrays by dtype and shape."""
    if isinstance(value, bool | int | float | str | np.generic) or value is None:
        return repr(value.item() if isinstance(value, np.generic) else value)
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        if value.shape == () and is_concrete(value) and np.issubdtype(value.dtype, np.number):
            return str(value)
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, type | FunctionType):
        return f"the {'class' if isinstance(value, type) else 'function'} {value.__name__}"
    return f"{type(value).__name__}(...)"


def check_whole(
    owner: str, name: str, value: Any, low: int = 1, high: int = LARGEST, remedy: str = ""
) -> None:
    """Refuse what is no whole number from `low` to `high`.

    Args:
        owner: who asks, for the message.
        name: of the number.
        value: a Python or numpy integer, or an integer array without axes; a traced one may have
            any value.
        low: smallest allowed.
        high: largest allowed.
        remedy: what to do, at the end of the message.

    Raises:
        SpecError: with the value and what is allowed.
    """
    is_array = isinstance(value, np.ndarray | np.generic | jax.Array)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if is_array:
        is_whole = value.shape == () and jnp.issubdtype(value.dtype, jnp.integer)
    if is_whole and (not is_concrete(value) or low <= int(value) <= high):
        return
    if is_array and value.shape != ():
        remedy = "one at a time: jax.vmap gives many"
    end = f"; {remedy}" if remedy else ""
    raise SpecError(
        f"{owner}: {name} must be a whole number from {low} to {high}, got {shown(value)}{end}"
    )


def check_instance(owner: str, name: str, value: Any, wanted: type, remedy: str) -> None:
    """Refuse an argument of another type; raises `SpecError` with what to give instead."""
    if not isinstance(value, wanted):
        raise SpecError(
            f"{owner}: {name} must be an imitax.{wanted.__name__}, got {shown(value)}; {remedy}"
        )


def is_family(env: object) -> bool:
    """Whether something has what `imitax.core.family.Family` asks for beyond gymnax."""
    return all(hasattr(env, name) for name in ("family", "is_tabular"))


def check_family(owner: str, env: object) -> None:
    """Refuse what is no environment family, such as a gymnax environment; raises `SpecError`."""
    if is_family(env):
        return
    if isinstance(env, str):
        remedy = f"make it with imitax.environment({env!r})"
    elif isinstance(env, tuple):
        remedy = "imitax.make returns a pair: env, params = imitax.make(spec)"
    elif isinstance(env, Environment):
        known = str(env.name) in gymnax.registered_envs
        remedy = f"use imitax.environment({str(env.name)!r})" if known else OWN
    else:
        remedy = "imitax.make('reset-cliff') makes one"
    raise SpecError(f"{owner}: env must be an environment family, got {shown(env)}; {remedy}")


def check_mesh(owner: str, seed: Any) -> None:
    """Refuse seeds that are spread over explicit mesh axes, where a loop cannot be batched.

    A loop whose carry begins as a constant, and a write into a buffer, are what JAX refuses there;
    both are tried, on such a mesh only.

    Raises:
        SpecError: with the mesh that works.
    """
    mesh = jax.typeof(seed).sharding.mesh if isinstance(seed, jax.Array) else None
    if mesh is None or jax.sharding.AxisType.Explicit not in mesh.axis_types:
        return
    try:
        jax.lax.dynamic_update_index_in_dim(jnp.zeros(1, seed.dtype), seed, 0, 0)
        jax.lax.fori_loop(0, 1, lambda _, carry: carry + seed, jnp.zeros((), seed.dtype))
    except Exception:
        auto = ", ".join(["jax.sharding.AxisType.Auto"] * len(mesh.axis_names))
        raise SpecError(
            f"{owner}: the seeds are on a mesh with explicit axes, across which JAX batches no "
            f"loop; use jax.make_mesh({mesh.axis_sizes}, {mesh.axis_names}, axis_types=({auto},))"
        ) from None


def chosen_config(
    owner: str, env: Family, given: Any, tabular: type | None, general: type | None
) -> Any:
    """The config that an algorithm runs with on an environment, checked.

    Args:
        owner: the algorithm's name.
        env: an environment family.
        given: a config, or None for the default: the table's where there are both.
        tabular: the config of the representation for tabular environments; None without one.
        general: the config of the representation for all environments; None without one.

    Returns:
        `given`, or a config with defaults.

    Raises:
        SpecError: another algorithm's config, a table's elsewhere than in a table, a setting out
            of range or without meaning beside another; or no environment family.
        NotApplicable: the algorithm is not defined for this environment.
    """
    check_family(owner, env)
    here = [cls for cls in (tabular if env.is_tabular else None, general) if cls is not None]
    if not here:
        raise NotApplicable(f"{owner} on {env.spec}: {TABLE_ONLY}")
    given = here[0]() if given is None else given
    if not isinstance(given, tuple(here)):
        kind = "a tabular environment" if env.is_tabular else "an environment without a table"
        raise SpecError(
            f"{owner}: config is {shown(given)}; on {env.spec}, {kind}, it takes "
            f"{' or '.join(cls.__name__ for cls in here)}, or None for the default"
        )
    check_settings(given, owner)
    return given
