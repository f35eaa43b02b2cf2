"""What becomes of the expert's episodes before a learner sees them: sub-sampling and shuffling.

Sub-sampling is the protocol of Ho and Ermon 2016, "Generative adversarial imitation learning":
of each episode every k-th pair is kept, from an offset that is uniform on 0, ..., k - 1. It is
the expert's episodes that are sub-sampled: DAgger's own ones are labelled at every step.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

from imitax.core.config import is_concrete
from imitax.core.errors import DataError, SpecError
from imitax.core.family import Family
from imitax.core.types import Demand, Demonstrations, Problem
from imitax.numerics.draws import below

OFFSETS, SHUFFLES = 2**32 - 1, 2**32 - 2
"""Folds of the demonstrations' key; those of episodes and of blocks are below 2^31."""


def check_shortest(name: str, demand: Demand, steps: int) -> None:
    """Refuse demonstrations whose longest episode is too short; raises `SpecError`.

    Args:
        name: who reads them, or where they are from.
        demand: of the algorithm.
        steps: of the longest episode.
    """
    if steps < demand.shortest:
        raise SpecError(
            f"{name}: episodes of {steps} step hold none of the successors that the algorithm "
            f"compares; give episodes of {demand.shortest} steps or more"
        )


def check_shown(name: str, env: Family, shown: Demonstrations) -> None:
    """Refuse episodes that are not of an environment.

    Dtypes and sizes are checked always; values of the steps shown where they are concrete. Numbers
    of a box may lie outside it, since environments clip them.

    Args:
        name: who reads them, for the message.
        env: where they should be from.
        shown: with episodes.

    Raises:
        DataError: an action or a state that is no whole number of the space, vectors of another
            length, no floats, or floats that are not finite.
    """
    obs, action, length = shown.require_episodes()
    _check_space(name, "obs", obs, env.observation_space(), length)
    space = env.action_space()
    _check_space(name, "action", action, space, length)
    if math.prod(action.shape[2:]) != math.prod(space.shape):
        raise DataError(
            f"{name}: demonstrations.action is {list(action.shape)}; give "
            f"{['N', 'T', *space.shape]} on {env.spec}".replace("'", "")
        )


def _check_space(name, part, values, space, length) -> None:
    is_discrete = isinstance(space, spaces.Discrete)
    wanted = f"whole numbers from 0 to {space.n - 1}" if is_discrete else "finite floats"
    is_whole = jnp.issubdtype(values.dtype, jnp.integer)
    is_right = is_whole if is_discrete else part == "obs" or not is_whole
    found = str(values.dtype)
    if is_right and is_concrete((values, length)):
        table = np.asarray(values)
        rows = table[np.arange(table.shape[1]) < np.asarray(length)[:, None]]
        bad = (rows < 0) | (rows >= space.n) if is_discrete else ~np.isfinite(rows)
        is_right, found = not np.any(bad), f"{rows[bad][:1]} among them"
    if not is_right:
        raise DataError(f"{name}: demonstrations.{part} must be {wanted}, got {found}")


def offsets(key: jax.Array, length: jax.Array, every: int) -> jax.Array:
    """The first pair kept of each episode, uniform on 0, ..., min(every, length) - 1.

    The paper's offset may lie behind the end of a short episode; ours does not, so that at least
    one pair of each episode is kept.

    Args:
        key: of the demonstrations of a seed; episode i uses fold i of fold `OFFSETS`.
        length: steps of each episode, int32 [N].
        every: static.

    Returns:
        int32 [N]; zero for episodes without steps.
    """
    key = jax.random.fold_in(key, OFFSETS)
    uniform = jax.vmap(lambda index: jax.random.uniform(jax.random.fold_in(key, index)))
    return below(uniform(jnp.arange(length.shape[0])), jnp.minimum(length, every))


def subsampled(key: jax.Array, shown: Demonstrations, every: int) -> Demonstrations:
    """Every k-th pair of each episode, laid end to end.

    Args:
        key: see `offsets`.
        shown: with episodes, [N, T, ...].
        every: k, static; with 1 the demonstrations are returned as they are.

    Returns:
        Demonstrations of ceil(T / k) rows; `length` is the number of rows kept.
    """
    if every == 1:
        return shown
    obs, action, length = shown.require_episodes()
    first = offsets(key, length, every)
    rows = first[:, None] + every * jnp.arange(-(-obs.shape[1] // every))
    obs, action = (jax.vmap(lambda x, index: x[index])(x, rows) for x in (obs, action))
    kept = (length - first + every - 1) // every
    return shown._replace(obs=obs, action=action, length=kept)


def shuffled(key: jax.Array, shown: Demonstrations) -> Demonstrations:
    """The same states with actions that have nothing to do with them: a control.

    Each action is that of a uniformly random step of the same episode, drawn independently, with
    replacement. What is left of the expert's actions is their relative frequency.

    Args:
        key: of the demonstrations of a seed; step t of episode i uses fold t of fold i of fold
            `SHUFFLES`.
        shown: with episodes, [N, T, ...].
    """
    _, action, length = shown.require_episodes()
    key = jax.random.fold_in(key, SHUFFLES)

    def shuffle(index, action, length):
        episode_key = jax.random.fold_in(key, index)
        draw = jax.vmap(lambda time: jax.random.uniform(jax.random.fold_in(episode_key, time)))
        return action[below(draw(jnp.arange(action.shape[0])), length)]

    indices = jnp.arange(action.shape[0])
    return shown._replace(action=jax.vmap(shuffle)(indices, action, length))


def num_whole(labels: int, horizon: jax.Array) -> jax.Array:
    """Episodes of `horizon` labels that hold `labels` of them, the last one perhaps in part."""
    return jax.lax.div(jnp.int32(labels) - 1, horizon) + 1


def limited(shown: Demonstrations, labels: int) -> Demonstrations:
    """The first `labels` pairs: whole episodes as far as they go, then the beginning of one.

    Args:
        shown: with episodes, [N, T, ...].
        labels: static; 0 returns the demonstrations as they are.

    Returns:
        Demonstrations whose `length` adds up to at most `labels`, and the number of episodes with
        a pair among them.
    """
    if labels == 0:
        return shown
    _, _, length = shown.require_episodes()
    before = jnp.cumsum(length) - length
    length = jnp.clip(labels - before, 0, length)
    return shown._replace(length=length, num_episodes=jnp.sum((length > 0).astype(jnp.int32)))


def check_labels(labels: int, env: Family, name: str) -> None:
    """Refuse to count labels in a table of sub-sampled episodes; raises `SpecError`."""
    every = env.subsample
    if labels and every > 1:
        raise SpecError(
            f"{name}: labels={labels} has no meaning in a table with subsample={every}; leave one "
            "of them out, or use policy=mlp"
        )


def num_labels(problem: Problem, labels: int = 0) -> jax.Array:
    """Number of pairs shown to a learner that reads counts, int32; at most `labels` if not 0."""
    shown = problem.demonstrations
    if problem.subsample == 1:
        whole = shown.num_episodes * problem.horizon
        return jnp.minimum(whole, labels) if labels else whole
    counts = shown.require_counts()
    within = (jnp.arange(counts.shape[0]) < problem.horizon)[:, None, None]
    return jnp.sum(jnp.where(within, counts, 0.0)).astype(jnp.int32)
