"""Estimates from episodes in a table: action frequencies, and a policy's flow and advantages.

`likelihood_row` has the rule for a state that was never seen.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from imitax.core.distributions import inverse_cdf
from imitax.core.types import Problem
from imitax.tabular import walks
from imitax.tabular.mdp import put


class Sampled(NamedTuple):
    """Estimates from a number of episodes, [T, S, A] each."""

    flow: jax.Array
    """Visits of each pair at each step, per episode."""
    advantage: jax.Array
    """Mean return-to-go by (t, s, a) less that by (t, s); zero where never visited."""


def sample(
    key: jax.Array, problem: Problem, log_policy: jax.Array, reward: jax.Array, num_episodes: int
) -> Sampled:
    """Walk `num_episodes` episodes and average what they earned.

    Args:
        key: consumed.
        problem: dynamics to walk in, and the horizon.
        log_policy: [T, S, A].
        reward: [T, S, A].
        num_episodes: static.
    """
    horizon, size = problem.horizon, log_policy.shape[0]
    cdf = jnp.cumsum(jnp.exp(log_policy), axis=-1)

    def visit(seen, time, state, uniform):
        action = inverse_cdf(cdf[time, state], uniform[:, 0])
        return put(seen, time, jnp.stack([state, action])), action

    seen = jnp.zeros((size, 2, num_episodes), jnp.int32)
    walker = walks.walkers(problem.params.mdp)
    seen = walks.walk(key, walker, horizon, num_episodes, visit, seen)
    times = jnp.arange(size)[:, None]
    within = times < horizon
    index = (jnp.broadcast_to(times, within.shape), seen[:, 0], seen[:, 1])
    togo = returns_to_go(jnp.where(within, reward[index], 0.0), horizon)
    ones = jnp.broadcast_to(within, togo.shape).astype(reward.dtype)
    count = jnp.zeros_like(reward).at[index].add(ones)
    total = jnp.zeros_like(reward).at[index].add(ones * togo)
    visited = jnp.sum(count, axis=-1, keepdims=True)
    baseline = jnp.sum(total, axis=-1, keepdims=True) / jnp.maximum(visited, 1.0)
    advantage = jnp.where(count > 0, total / jnp.maximum(count, 1.0) - baseline, 0.0)
    return Sampled(count / num_episodes, advantage)


def returns_to_go(rewards: jax.Array, horizon: jax.Array) -> jax.Array:
    """Sums of rewards [T, B] from each step on; rows at and after `horizon` are zero."""

    def backward(i, carry):
        time = horizon - 1 - i
        later, rows = carry
        total = later + rewards[time]
        return total, put(rows, time, total)

    start = (jnp.zeros(rewards.shape[1], rewards.dtype), jnp.zeros_like(rewards))
    return jax.lax.fori_loop(0, horizon, backward, start)[1]


def likelihood_table(
    counts: jax.Array, horizon: jax.Array, *, stationary: bool, unseen: str
) -> jax.Array:
    """The maximum-likelihood policy of a table of counts.

    Args:
        counts: [T, S, A].
        horizon: number of rows that count, int32.
        stationary: whether to share one table among all steps.
        unseen: `uniform` or `first`, the rule where the counts are zero.

    Returns:
        [T, S, A], or [S, A] if stationary.
    """
    return likelihood_row(pooled(counts, horizon) if stationary else counts, unseen)


def pooled(counts: jax.Array, horizon: jax.Array) -> jax.Array:
    """Counts [T, S, A] added over the steps before the horizon, [S, A]; padding is not read."""
    within = (jnp.arange(counts.shape[0]) < horizon)[:, None, None]
    return jnp.sum(jnp.where(within, counts, 0.0), axis=0)


def likelihood_row(counts: jax.Array, unseen: str) -> jax.Array:
    """Relative frequencies over the last axis, and the rule for rows without a count."""
    total = jnp.sum(counts, axis=-1, keepdims=True)
    num_actions = counts.shape[-1]
    default = jnp.full(num_actions, 1.0 / num_actions, counts.dtype)
    if unseen == "first":
        default = jax.nn.one_hot(0, num_actions, dtype=counts.dtype)
    return jnp.where(total > 0, counts / jnp.maximum(total, 1.0), default)
