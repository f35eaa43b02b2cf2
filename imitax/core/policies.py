"""Policies: parameters and a module-level function that turns them into a distribution."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

from imitax.core.config import is_concrete
from imitax.core.distributions import Categorical, Distribution, Point, Uniform, certain
from imitax.core.errors import DataError

SLACK = 1e-5
"""How far from one a sum of float32 probabilities may be."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Policy:
    """A policy as data.

    `apply` is static: use a module-level function or something that compares by value. A bound
    method, `partial` or closure is a new function each time it is made, and so a new compilation.
    """

    params: Any
    """Leaves of the policy."""
    apply: Callable[[Any, jax.Array, jax.Array], Distribution] = dataclasses.field(
        metadata={"static": True}
    )
    """`apply(params, observation, time) -> distribution`, for one observation."""

    def __call__(self, obs: jax.Array, time: jax.Array) -> Distribution:
        """The distribution over actions at one observation and time step."""
        return self.apply(self.params, obs, time)


def lookup(table: jax.Array, state: jax.Array, time: jax.Array) -> Categorical:
    """A row of a table of action probabilities, [T, S, A] or (every step alike) [S, A]."""
    return Categorical(table[state] if table.ndim == 2 else table[time, state])


def tabular(table: jax.Array) -> Policy:
    """The policy of a table of action probabilities, [T, S, A] or [S, A].

    Raises:
        DataError: another number of axes, or, where the table is concrete, a row that is neither a
            distribution nor all zero, as rows after the horizon are. Rows that are not finite pass:
            they are a learner's that diverged.
    """
    table = jnp.asarray(table)
    if table.ndim not in (2, 3):
        raise DataError(
            f"tabular: a policy table is [T, S, A] or [S, A], got {table.dtype}{list(table.shape)}"
        )
    if is_concrete(table):
        rows = np.asarray(table)
        _check_rows("tabular", rows, np.all(rows == 0, axis=-1))
    return Policy(table, lookup)


def check_table(
    owner: str, table: jax.Array, num_states: int, num_actions: int, horizon: int
) -> None:
    """Refuse a policy table that does not fit an environment.

    Args:
        owner: who asks, for the message.
        table: [T, S, A] or [S, A]; where it is traced its shape alone is checked.
        num_states: S.
        num_actions: A.
        horizon: smallest allowed T.

    Raises:
        DataError: another size, or a concrete row before the horizon that is no distribution.
    """
    wanted = (num_states, num_actions)
    is_short = table.ndim == 3 and table.shape[0] < horizon
    if table.ndim not in (2, 3) or table.shape[-2:] != wanted or is_short:
        raise DataError(
            f"{owner}: the policy's table is {list(table.shape)}; give action probabilities "
            f"[{num_states}, {num_actions}], or [T, {num_states}, {num_actions}] with T of "
            f"{horizon} or more"
        )
    if is_concrete(table):
        rows = np.asarray(table if table.ndim == 2 else table[:horizon])
        _check_rows(owner, rows, np.zeros(rows.shape[:-1], bool))


def _check_rows(owner: str, rows: np.ndarray, is_padding: np.ndarray) -> None:
    """Refuse finite rows that are neither distributions nor padding."""
    exempt = is_padding | ~np.isfinite(np.sum(rows, axis=-1, dtype=np.float64))
    check_distributions(
        rows,
        exempt,
        lambda place: f"{owner}: row {place} of the policy's table is no distribution over actions",
    )


def check_distributions(
    rows: np.ndarray, exempt: np.ndarray, said: Callable[[list[int]], str]
) -> None:
    """Refuse rows that are no distributions, up to float32 rounding.

    Args:
        rows: concrete, [..., K].
        exempt: bool [...], rows that need not be one.
        said: the beginning of the message, from the place of a row.

    Raises:
        DataError: of the first such row, with its sum and smallest entry.
    """
    rows = rows.astype(np.float64)
    mass = np.sum(rows, axis=-1)
    # Not `>`: a NaN is refused too.
    bad = ~(exempt | ((np.abs(mass - 1.0) <= SLACK) & np.all(rows >= 0, axis=-1)))
    if np.any(bad):
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        raise DataError(
            f"{said(list(place))}: it sums to {mass[place]:.6g}, and its smallest entry is "
            f"{np.min(rows[place]):.6g}; divide non-negative rows by their sum"
        )


def until(table: jax.Array, horizon: jax.Array) -> jax.Array:
    """A table [T, S, A] whose rows at and after `horizon` are zero, which is padding."""
    return jnp.where((jnp.arange(len(table)) < horizon)[:, None, None], table, 0.0)


def tabulate(policy: Policy, num_states: int, max_horizon: int) -> jax.Array:
    """Action probabilities of any policy over a finite state space.

    Args:
        policy: its observation is the int32 state, its action discrete.
        num_states: number of states S.
        max_horizon: number of time steps T, static.

    Returns:
        [T, S, A]; [S, A] for a tabular policy that is the same at every step.
    """
    if policy.apply is lookup:
        return policy.params
    states = jnp.arange(num_states, dtype=jnp.int32)
    over_states = jax.vmap(lambda time, state: _probs(policy(state, time)), in_axes=(None, 0))
    return jax.vmap(over_states, in_axes=(0, None))(jnp.arange(max_horizon), states)


def _probs(distribution: Distribution) -> jax.Array:
    if not isinstance(distribution, Categorical):
        raise TypeError(f"a finite action space needs Categorical, got {type(distribution)}")
    return distribution.probs


def mode_of(params: Policy, obs: jax.Array, time: jax.Array) -> Distribution:
    """`apply` of a policy that plays the most probable action of another policy."""
    distribution = params(obs, time)
    action = distribution.mode()
    if isinstance(distribution, Categorical):
        num_actions = distribution.probs.shape[-1]
        return certain(action, num_actions, distribution.probs.dtype)
    return Point(action)


def uniform_actions(params: Any, obs: jax.Array, time: jax.Array) -> Categorical:
    """`apply` of the uniform policy over finitely many actions; params: probabilities [A]."""
    del obs, time
    return Categorical(params)


def uniform_box(params: Any, obs: jax.Array, time: jax.Array) -> Uniform:
    """`apply` of the uniform policy over a box; params: its two corners."""
    del obs, time
    return Uniform(*params)


def uniform(space: Any, name: str) -> Policy:
    """The policy that is uniform over an action space.

    Raises:
        ValueError: the action space is neither discrete nor a bounded box.
    """
    if isinstance(space, spaces.Discrete):
        return Policy(jnp.full(space.n, 1.0 / space.n), uniform_actions)
    low, high = (np.broadcast_to(np.asarray(x), space.shape) for x in (space.low, space.high))
    if not np.all(np.isfinite(low) & np.isfinite(high)):
        raise ValueError(f"random: the action space of {name} is not bounded: {space}")
    corners = (jnp.asarray(low, jnp.float32), jnp.asarray(high, jnp.float32))
    return Policy(corners, uniform_box)
