"""Rollouts: episodes of a policy in any gymnax environment.

Draws are made per time step and along a leading axis of episodes of fixed length, so that more
demonstrations or a longer horizon extend what was drawn and never change it.

An environment with `label_noise` records actions with noise on them: what a learner is told, in
demonstrations and where it asks, is not exactly what the expert does. Nobody acts on the noise.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from imitax.core.family import Family
from imitax.core.policies import Policy
from imitax.tabular.mdp import put

LABELS = 2**32 - 1
"""Fold of the policy's key for the noise of labels; those of time steps are below 2^31."""


class Episode(NamedTuple):
    """One episode of any environment, padded."""

    obs: jax.Array
    """[T, ...]"""
    action: jax.Array
    """[T, ...]"""
    label: jax.Array
    """What the labelling policy would have done, as it is recorded: with the environment's
    `label_noise`, [T, ...]."""
    length: jax.Array
    """Steps until termination or the horizon, int32."""
    total_reward: jax.Array
    """Sum of rewards until termination or the horizon."""


def rollout(
    key: jax.Array,
    env: Family,
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
        labeller: labels each visited observation; None labels it with the action.

    Returns:
        An `Episode`.
    """
    start = _begin(key, env, params, policy_key)
    noise_key = jax.random.fold_in(start.policy_key, LABELS)
    action_like = jax.eval_shape(lambda: policy(start.obs, jnp.int32(0)).mode())

    def buffer(like):
        return jnp.zeros((max_horizon, *like.shape), like.dtype)

    def advance(time, loop):
        obs, state, alive, episode = loop
        moved = _move(start, env, params, policy, obs, state, time)
        action, label = moved.action, moved.action
        if labeller is not None:
            label = labeller(obs, time).sample(moved.label_key)
        label = noisy(noise_key, env, label, time)
        episode = Episode(
            obs=put(episode.obs, time, obs),
            action=put(episode.action, time, action.astype(episode.action.dtype)),
            label=put(episode.label, time, label.astype(episode.label.dtype)),
            length=episode.length + alive,
            total_reward=episode.total_reward + jnp.where(alive, moved.reward, 0.0),
        )
        return moved.obs, moved.state, alive & ~moved.terminated, episode

    empty = Episode(
        buffer(start.obs), buffer(action_like), buffer(action_like), jnp.int32(0), jnp.float32(0)
    )
    begun = (start.obs, start.state, jnp.bool_(True), empty)
    return jax.lax.fori_loop(0, horizon, advance, begun)[3]


def noisy(key: jax.Array, env: Family, label: jax.Array, time: jax.Array) -> jax.Array:
    """A label as it is recorded: label + label_noise z, z standard normal, not clipped.

    Args:
        key: of the labels of an episode; step t uses fold t.
        env: its `label_noise` is in units of the action; without one the label stays as it is, and
            nothing is drawn.
        label: an action, [...].
        time: int32.
    """
    deviation = getattr(env, "label_noise", 0.0)  # gymnax's own environments have none
    if not deviation:
        return label
    noise = jax.random.normal(jax.random.fold_in(key, time), label.shape, label.dtype)
    return label + deviation * noise


def total_reward(
    key: jax.Array,
    env: Family,
    params: Any,
    policy: Policy,
    horizon: jax.Array,
    *,
    policy_key: jax.Array | None = None,
) -> jax.Array:
    """`rollout(...).total_reward`, from the same draws, without keeping the episode.

    Args:
        key: see `rollout`, as for the others.
        env: a gymnax environment.
        params: its parameters.
        policy: acts.
        horizon: number of steps, int32, traced.
        policy_key: by default a fold of `key`.

    Returns:
        float32 scalar.
    """
    start = _begin(key, env, params, policy_key)

    def advance(time, loop):
        obs, state, alive, total = loop
        moved = _move(start, env, params, policy, obs, state, time)
        total = total + jnp.where(alive, moved.reward, 0.0)
        return moved.obs, moved.state, alive & ~moved.terminated, total

    begun = (start.obs, start.state, jnp.bool_(True), jnp.float32(0))
    return jax.lax.fori_loop(0, horizon, advance, begun)[3]


class _Start(NamedTuple):
    """The beginning of an episode, and the keys of what follows."""

    env_key: jax.Array
    policy_key: jax.Array
    obs: jax.Array
    state: Any


class _Move(NamedTuple):
    """One step of an episode."""

    obs: jax.Array
    """After the step."""
    state: Any
    action: jax.Array
    reward: jax.Array
    terminated: jax.Array
    label_key: jax.Array


def _begin(key, env, params, policy_key) -> _Start:
    env_key = jax.random.fold_in(key, 0)
    policy_key = jax.random.fold_in(key, 1) if policy_key is None else policy_key
    obs, state = env.reset_env(jax.random.fold_in(env_key, 0), params)
    return _Start(env_key, policy_key, obs, state)


def _move(start: _Start, env, params, policy: Policy, obs, state, time) -> _Move:
    step_key, label_key = jax.random.split(jax.random.fold_in(start.policy_key, time))
    action = policy(obs, time).sample(step_key)
    next_obs, state, reward, terminated, _ = env.step_env(
        jax.random.fold_in(start.env_key, time + 1), state, action, params
    )
    return _Move(next_obs, state, action, reward, terminated, label_key)
