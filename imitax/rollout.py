"""Episodes: walks through tabular MDPs in blocks, and rollouts of any gymnax environment.

Draws are made per time step and along a leading axis of episodes of fixed length, so that more
demonstrations or a longer horizon extend what was drawn and never change it.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from imitax.distributions import inverse_cdf
from imitax.mdp import HIGHEST, TabularMDP, at
from imitax.policies import Policy

BLOCK = 32
"""Episodes drawn together; a constant, since the meaning of a seed depends on it."""


class Walkers(NamedTuple):
    """Running sums that turn uniform numbers into states and actions."""

    initial: jax.Array
    """[S]"""
    transition: jax.Array
    """[S, A, K]"""
    successor: jax.Array | None
    acting: jax.Array
    """[T, S, A] or [S, A], of the policy that acts."""


def walkers(mdp: TabularMDP, acting: jax.Array) -> Walkers:
    """Prepare a tabular MDP and an acting policy for `walk`."""
    return Walkers(
        jnp.cumsum(mdp.initial),
        jnp.cumsum(mdp.transition, axis=-1),
        mdp.successor,
        jnp.cumsum(acting, axis=-1),
    )


def walk(
    key: jax.Array,
    prepared: Walkers,
    horizon: jax.Array,
    block: int,
    visit: Any,
    carry: Any,
    *,
    spare: int = 0,
):
    """Let `block` episodes run side by side for `horizon` steps.

    Args:
        key: of this block of episodes; folded with 0 for the first states and t + 1 for step t.
        prepared: from `walkers`.
        horizon: number of steps, int32, traced.
        block: number of episodes B, static.
        visit: `visit(carry, time, state [B], action [B], uniform [B]) -> carry`, called at every
            step.
        carry: what `visit` accumulates.
        spare: 1 to draw one more uniform number per step for `visit`, else 0; static.

    Returns:
        The last carry.
    """

    def advance(time, loop):
        state, carry = loop
        uniform = jax.random.uniform(jax.random.fold_in(key, time + 1), (block, 2 + spare))
        action = inverse_cdf(at(prepared.acting, time)[state], uniform[:, 0])
        carry = visit(carry, time, state, action, uniform[:, -1])
        column = inverse_cdf(prepared.transition[state, action], uniform[:, 1])
        if prepared.successor is None:
            return column, carry
        return prepared.successor[state, action, column], carry

    first = jax.random.uniform(jax.random.fold_in(key, 0), (block,))
    state = inverse_cdf(jnp.broadcast_to(prepared.initial, (block, *prepared.initial.shape)), first)
    return jax.lax.fori_loop(0, horizon, advance, (state, carry))[1]


def count(
    key: jax.Array,
    prepared: Walkers,
    horizon: jax.Array,
    num_episodes: jax.Array,
    counts: jax.Array,
    *,
    block: int = BLOCK,
    labels: jax.Array | None = None,
) -> jax.Array:
    """Add the visits of `num_episodes` episodes to a table of counts.

    Args:
        key: block b of episodes uses `fold_in(key, b)`.
        prepared: from `walkers`.
        horizon: number of steps, int32.
        num_episodes: int32; costs as much as the next multiple of `block`.
        counts: [T, S, A], added to.
        block: episodes drawn together, static.
        labels: running sums [T, S, A] or [S, A] of the policy that labels the visited states;
            None counts the actions taken.

    Returns:
        counts [T, S, A].
    """
    num_states, num_actions = counts.shape[1:]

    def run_block(b, counts):
        weight = (b * block + jnp.arange(block) < num_episodes).astype(counts.dtype)

        def visit(counts, time, state, action, uniform):
            if labels is not None:
                action = inverse_cdf(at(labels, time)[state], uniform)
            states = jax.nn.one_hot(state, num_states, dtype=counts.dtype) * weight[:, None]
            actions = jax.nn.one_hot(action, num_actions, dtype=counts.dtype)
            return counts.at[time].add(
                jnp.einsum("ns,na->sa", states, actions, precision=HIGHEST)
            )

        block_key = jax.random.fold_in(key, b)
        spare = int(labels is not None)
        return walk(block_key, prepared, horizon, block, visit, counts, spare=spare)

    num_blocks = (num_episodes + block - 1) // block
    return jax.lax.fori_loop(0, num_blocks, run_block, counts)


def record(
    key: jax.Array,
    prepared: Walkers,
    horizon: jax.Array,
    num_episodes: jax.Array,
    states: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The same episodes as `count` with default block, as histories.

    Args:
        key: as in `count`.
        prepared: from `walkers`.
        horizon: number of steps, int32.
        num_episodes: int32, at most N.
        states: int32 zeros [N, T], the buffer.

    Returns:
        States and actions, int32 [N, T]; zero where no step was taken.
    """
    num_rows = states.shape[0]
    padded = -(-num_rows // BLOCK) * BLOCK
    buffer = jnp.zeros((padded, states.shape[1]), jnp.int32)

    def run_block(b, buffers):
        def visit(buffers, time, state, action, _):
            return tuple(
                jax.lax.dynamic_update_slice(rows, column[:, None], (b * BLOCK, time))
                for rows, column in zip(buffers, (state, action), strict=True)
            )

        return walk(jax.random.fold_in(key, b), prepared, horizon, BLOCK, visit, buffers)

    num_blocks = (num_episodes + BLOCK - 1) // BLOCK
    buffers = jax.lax.fori_loop(0, num_blocks, run_block, (buffer, buffer))
    shown = (jnp.arange(num_rows) < num_episodes)[:, None]
    return tuple(jnp.where(shown, rows[:num_rows], 0) for rows in buffers)  # pyright: ignore


class Episode(NamedTuple):
    """One episode of any environment, padded."""

    obs: jax.Array
    """[T, ...]"""
    action: jax.Array
    """[T, ...]"""
    label: jax.Array
    """What the labelling policy would have done, [T, ...]."""
    length: jax.Array
    """Steps until termination or the horizon, int32."""
    total_reward: jax.Array
    """Sum of rewards until termination or the horizon."""


def rollout(
    key: jax.Array,
    env: Any,
    params: Any,
    policy: Policy,
    horizon: jax.Array,
    max_horizon: int,
    *,
    policy_key: jax.Array | None = None,
    labeller: Policy | None = None,
) -> Episode:
    """One episode of at most `horizon` steps; nothing resets, nothing is earned after an end.

    Args:
        key: fold 0 resets; fold t + 1 moves the environment at step t.
        env: a gymnax environment; `reset_env` and `step_env` are used.
        params: its parameters.
        policy: acts; draws from `policy_key`, so two policies can share an environment's noise.
        horizon: number of steps, int32, traced.
        max_horizon: buffer length T, static.
        policy_key: by default another fold of `key`.
        labeller: labels each visited observation; None records the action twice.

    Returns:
        An `Episode`.
    """
    env_key = jax.random.fold_in(key, 0)
    policy_key = jax.random.fold_in(key, 1) if policy_key is None else policy_key
    obs, state = env.reset_env(jax.random.fold_in(env_key, 0), params)
    action_like = jax.eval_shape(lambda: policy(obs, jnp.int32(0)).mode())

    def buffer(like):
        return jnp.zeros((max_horizon, *like.shape), like.dtype)

    def advance(time, loop):
        obs, state, alive, episode = loop
        step_key, label_key = jax.random.split(jax.random.fold_in(policy_key, time))
        action = policy(obs, time).sample(step_key)
        label = action if labeller is None else labeller(obs, time).sample(label_key)
        next_obs, state, reward, terminated, _ = env.step_env(
            jax.random.fold_in(env_key, time + 1), state, action, params
        )
        episode = Episode(
            obs=episode.obs.at[time].set(jnp.where(alive, obs, episode.obs[time])),
            action=episode.action.at[time].set(action.astype(episode.action.dtype)),
            label=episode.label.at[time].set(label.astype(episode.label.dtype)),
            length=episode.length + alive,
            total_reward=episode.total_reward + jnp.where(alive, reward, 0.0),
        )
        return next_obs, state, alive & ~terminated, episode

    empty = Episode(
        buffer(obs), buffer(action_like), buffer(action_like), jnp.int32(0), jnp.float32(0)
    )
    return jax.lax.fori_loop(0, horizon, advance, (obs, state, jnp.bool_(True), empty))[3]
