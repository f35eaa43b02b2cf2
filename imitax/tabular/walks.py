"""Episodes in a table, many at once: walks through an MDP, and what is counted along them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from imitax.core.distributions import inverse_cdf
from imitax.tabular.mdp import TabularMDP, at, put

BLOCK = 32
"""Episodes drawn together; a constant, since the meaning of a seed depends on it."""

COMPARED = 128
"""Largest number of pairs whose visits are counted by comparing each episode with each pair."""


class Walkers(NamedTuple):
    """Running sums that turn uniform numbers into states."""

    initial: jax.Array
    """[S]"""
    transition: jax.Array
    """[S A, K], a row for each pair: one index reads faster than two."""
    successor: jax.Array | None
    """[S A, K]"""
    num_actions: int
    """A, static."""


def walkers(mdp: TabularMDP) -> Walkers:
    """Prepare a tabular MDP for `walk`."""
    shape = (-1, mdp.transition.shape[-1])
    successor = None if mdp.successor is None else mdp.successor.reshape(shape)
    transition = jnp.cumsum(mdp.transition, axis=-1).reshape(shape)
    return Walkers(jnp.cumsum(mdp.initial), transition, successor, mdp.transition.shape[1])


def walk(
    key: jax.Array,
    walker: Walkers,
    horizon: jax.Array,
    block: int,
    visit: Callable[..., tuple[Any, jax.Array]],
    carry: Any,
    *,
    num_draws: int = 1,
) -> Any:
    """Let `block` episodes run side by side for `horizon` steps.

    Args:
        key: of this block of episodes; folded with 0 for the first states and t + 1 for step t.
        walker: from `walkers`.
        horizon: number of steps, int32, traced.
        block: number of episodes B, static.
        visit: `visit(carry, time, state [B], uniform [B, num_draws]) -> (carry, action [B])`,
            called at every step.
        carry: what `visit` accumulates.
        num_draws: uniform numbers that `visit` may spend per episode and step, static.

    Returns:
        The last carry.
    """

    def advance(time, loop):
        state, carry = loop
        step_key = jax.random.fold_in(key, time + 1)
        uniform = jax.random.uniform(step_key, (block, num_draws + 1))
        carry, action = visit(carry, time, state, uniform)
        pair = state * walker.num_actions + action
        column = inverse_cdf(walker.transition[pair], uniform[:, -1])
        if walker.successor is None:
            return column, carry
        return walker.successor[pair, column], carry

    first = jax.random.uniform(jax.random.fold_in(key, 0), (block,))
    state = inverse_cdf(jnp.broadcast_to(walker.initial, (block, *walker.initial.shape)), first)
    return jax.lax.fori_loop(0, horizon, advance, (state, carry))[1]


def tally(row: jax.Array, pair: jax.Array, weight: jax.Array) -> jax.Array:
    """Add weights [B] to the entries `pair` [B], int32, of a row [P]; exact for small integers."""
    if row.shape[0] > COMPARED:
        return row.at[pair].add(weight)
    hits = jnp.where(pair[:, None] == jnp.arange(row.shape[0]), weight[:, None], 0.0)
    return row + jnp.sum(hits, axis=0).astype(row.dtype)  # whole numbers: exact in any order


def count(
    key: jax.Array,
    walker: Walkers,
    acting: jax.Array,
    horizon: jax.Array,
    num_episodes: jax.Array,
    max_horizon: int,
    *,
    every: int = 1,
    first: jax.Array | None = None,
    labels: int = 0,
) -> jax.Array:
    """How often the episodes of a policy visit each step, state and action.

    Args:
        key: block b of episodes uses `fold_in(key, b)`.
        walker: from `walkers`.
        acting: probabilities [T, S, A] or [S, A] of the policy that acts.
        horizon: number of steps, int32.
        num_episodes: int32; costs as much as the next multiple of `BLOCK`.
        max_horizon: number of rows T, static.
        every: k, static; with `first`, only every k-th step of an episode counts.
        first: the first step that counts of each episode, below k, int32 [N], N a multiple of
            `BLOCK`.
        labels: steps that count in all, episode by episode, static; 0 for no limit.

    Returns:
        Counts [T, S, A].
    """
    cdf = jnp.cumsum(acting, axis=-1)
    num_states, num_actions = acting.shape[-2:]

    def run_block(b, counts):
        episode = b * BLOCK + jnp.arange(BLOCK)
        weight = (episode < num_episodes).astype(counts.dtype)

        def weight_at(time):
            if labels:
                return weight * (episode * horizon + time < labels)
            if first is None:
                return weight
            since = time - jax.lax.dynamic_slice(first, (b * BLOCK,), (BLOCK,))
            return weight * (since % every == 0)

        def visit(counts, time, state, uniform):
            action = inverse_cdf(at(cdf, time)[state], uniform[:, 0])
            pair = state * num_actions + action
            return put(counts, time, tally(counts[time], pair, weight_at(time))), action

        return walk(jax.random.fold_in(key, b), walker, horizon, BLOCK, visit, counts)

    counts = jnp.zeros((max_horizon, num_states * num_actions), acting.dtype)
    counts = jax.lax.fori_loop(0, num_blocks(num_episodes), run_block, counts)
    return counts.reshape(max_horizon, num_states, num_actions)


def record(
    key: jax.Array,
    walker: Walkers,
    acting: jax.Array,
    horizon: jax.Array,
    num_episodes: jax.Array,
    shape: tuple[int, int],
) -> tuple[jax.Array, jax.Array]:
    """The same episodes as those of `count`, as histories.

    Args:
        key: as in `count`.
        walker: from `walkers`.
        acting: as in `count`.
        horizon: number of steps, int32.
        num_episodes: int32, at most N.
        shape: N and T, static.

    Returns:
        States and actions, int32 [N, T]; zero where no step was taken.
    """
    cdf = jnp.cumsum(acting, axis=-1)
    padded = -(-shape[0] // BLOCK) * BLOCK

    def run_block(b, buffers):
        def visit(buffers, time, state, uniform):
            action = inverse_cdf(at(cdf, time)[state], uniform[:, 0])
            written = tuple(
                jax.lax.dynamic_update_slice(rows, column[:, None], (b * BLOCK, time))
                for rows, column in zip(buffers, (state, action), strict=True)
            )
            return written, action

        return walk(jax.random.fold_in(key, b), walker, horizon, BLOCK, visit, buffers)

    buffer = jnp.zeros((padded, shape[1]), jnp.int32)
    buffers = jax.lax.fori_loop(0, num_blocks(num_episodes), run_block, (buffer, buffer))
    shown = (jnp.arange(shape[0]) < num_episodes)[:, None]
    states, actions = (jnp.where(shown, rows[: shape[0]], 0) for rows in buffers)
    return states, actions


def num_blocks(num_episodes: jax.Array) -> jax.Array:
    """Blocks that hold so many episodes, int32."""
    return (num_episodes + BLOCK - 1) // BLOCK
