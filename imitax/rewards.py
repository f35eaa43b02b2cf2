"""How close a recovered reward is to the true one: by the harness, never by a learner."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from imitax import mdp as exact
from imitax.mdp import TabularMDP
from imitax.pose import Instance


class RewardMetrics(NamedTuple):
    """Scalars."""

    expected_value_difference: jax.Array
    """In units of the true reward."""
    epic_distance: jax.Array
    """In [0, 1]; NaN where a reward is constant."""


def true_reward(mdp: TabularMDP) -> jax.Array:
    """Step and final reward together, [S, A]: what is earned at the last step."""
    if mdp.step_reward is None:
        raise ValueError("this MDP carries no reward: learners see reward-free parameters")
    return mdp.step_reward if mdp.final_reward is None else mdp.step_reward + mdp.final_reward


def expected_value_difference(
    mdp: TabularMDP, recovered: jax.Array, horizon: jax.Array, max_horizon: int
) -> jax.Array:
    """True value lost by planning for the recovered reward.

        V*(r) - V^{pi(rhat)}(r)

    with pi(rhat) the hard-optimal policy of the recovered reward (first action on ties); after
    Choi and Kim 2011. Undiscounted.

    Args:
        mdp: with the true reward.
        recovered: [S, A].
        horizon: number of actions.
        max_horizon: static bound on it.
    """
    best = exact.optimal_plan(mdp, horizon, max_horizon).policy
    planned = exact.optimal_plan(mdp, horizon, max_horizon, reward=recovered).policy
    return exact.regret(mdp, best, planned, horizon)


def epic_distance(
    left: jax.Array, right: jax.Array, *, discount: jax.Array | float = 1.0
) -> jax.Array:
    """Equivalent-policy invariant comparison of two rewards R(s, a), [S, A] each.

        C(R)(s,a,s') = R(s,a) + E[discount R(s',A) - R(s,A) - discount R(S,A)]
        distance = sqrt((1 - correlation of C(left) and C(right)) / 2)

    with S, A uniform and independent (Gleave et al. 2021). A reward of (s, a) makes the canonical
    form a sum of a part in (s, a) and an independent part in s', so no [S, A, S] array is needed.
    """

    def parts(reward):
        mean = jnp.mean(reward, axis=1)
        return (reward - mean[:, None]).ravel(), discount * (mean - jnp.mean(mean))

    def covariance(one, other):
        return sum(jnp.mean(x * y) for x, y in zip(one, other, strict=True))

    one, other = parts(left), parts(right)
    spread = jnp.sqrt(covariance(one, one) * covariance(other, other))
    correlation = jnp.clip(covariance(one, other) / spread, -1.0, 1.0)
    return jnp.sqrt(0.5 * (1.0 - correlation))


def reward_metrics(env: Any, instance: Instance, recovered: jax.Array) -> RewardMetrics:
    """Both measures of a recovered reward [S, A] on a tabular instance."""
    del env
    mdp, problem = instance.params.mdp, instance.problem
    capacity = problem.capacity.horizon
    difference = expected_value_difference(mdp, recovered, problem.horizon, capacity)
    return RewardMetrics(difference, epic_distance(true_reward(mdp), recovered))
