"""How close a recovered reward is to the true one: by the harness, never by a learner."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from imitax.core.family import Family
from imitax.tabular import mdp as exact
from imitax.tabular.mdp import TabularMDP
from imitax.tasks.pose import Instance


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

    def plan(reward=None):
        return exact.optimal_plan(mdp, horizon, max_horizon, reward=reward).policy

    if mdp.final_reward is None:
        best, planned = jax.vmap(plan)(jnp.stack([true_reward(mdp), recovered]))
    else:
        best, planned = plan(), plan(recovered)
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
    one, other = (_canonical(reward, discount) for reward in (left, right))
    apart = (jnp.mean((x - y) ** 2) for x, y in zip(one, other, strict=True))
    return jnp.minimum(0.5 * jnp.sqrt(sum(apart)), 1.0)


def _canonical(reward: jax.Array, discount: jax.Array | float) -> tuple[jax.Array, jax.Array]:
    """The canonical reward's parts in (s, a), [S, A], and in the successor, [S], of norm one.

    First entries are taken off before means are, so that of equal entries zeros are left exactly,
    whatever their mean rounds to; zeros have no direction, and 0/0 is NaN.
    """
    gain = reward - reward[:, :1]
    level = reward[:, 0] - reward[0, 0] + jnp.mean(gain, axis=1)
    parts = gain - jnp.mean(gain, axis=1, keepdims=True), discount * (level - jnp.mean(level))
    largest = jnp.maximum(*(jnp.max(jnp.abs(part)) for part in parts))
    parts = tuple(part / largest for part in parts)
    norm = jnp.sqrt(sum(jnp.mean(part**2) for part in parts))
    return parts[0] / norm, parts[1] / norm


def reward_metrics(env: Family, instance: Instance, recovered: jax.Array) -> RewardMetrics:
    """Both measures of a recovered reward [S, A] on a tabular instance."""
    del env
    mdp, problem = instance.params.mdp, instance.problem
    capacity = problem.capacity.horizon
    difference = expected_value_difference(mdp, recovered, problem.horizon, capacity)
    return RewardMetrics(difference, epic_distance(true_reward(mdp), recovered))
