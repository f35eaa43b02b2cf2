"""The game behind inverse reinforcement learning and adversarial imitation, in a table.

    max over policies  min over rewards   J(policy, f) - J(expert, f)

MaxEnt IRL lets the policy player answer with a soft best response and moves the reward (dual);
GAIL moves both a step at a time (primal). This file has what both share: what is known of the
expert, reward classes, the two gradients, and the gap that says how far from equilibrium they are.
"""

import jax
import jax.numpy as jnp

from imitax.core.types import Demonstrations, Problem
from imitax.numerics import sums
from imitax.tabular import doubles
from imitax.tabular import mdp as exact
from imitax.tabular.mdp import TabularMDP


def expert_flows(demonstrations: Demonstrations, every: int = 1) -> jax.Array:
    """Empirical distribution over pairs at each step, [T, S, A]: counts over episodes.

    Args:
        demonstrations: with counts.
        every: k, where every k-th pair was shown, static. A step is shown with probability 1/k,
            so k times the counts are unbiased, though those of a step need not sum to 1.

    Raises:
        ValueError: the demonstrations hold no counts.
    """
    flows = demonstrations.require_counts() / jnp.maximum(demonstrations.num_episodes, 1)
    return flows if every == 1 else every * flows


@doubles.in_double
def total_flow(flow: jax.Array, horizon: jax.Array, discount: jax.Array | float) -> jax.Array:
    """Discounted number of visits of each pair: flow [T, S, A] -> sum_t discount^t flow_t, [S, A].

    Summed in the order of time, so that longer buffers do not change the rounding.
    """
    discount = doubles.widened(discount, flow.dtype)

    def body(time, carry):
        weight, total = carry
        return weight * discount, total + sums.rounded(weight * flow[time].astype(jnp.float64))

    start = (jnp.ones(()), jnp.zeros(flow.shape[1:]))
    return exact.over_time(horizon, body, start)[1].astype(flow.dtype)


def expert_total(problem: Problem, discount: jax.Array | float) -> jax.Array:
    """The expert's discounted number of visits of each pair, [S, A].

    Where only every k-th pair was shown they are scaled to the total of whole episodes: with
    another total, a reward could gain by a constant alone.
    """
    horizon, every = problem.horizon, problem.subsample
    flows = expert_flows(problem.demonstrations, every)
    total = total_flow(flows, horizon, discount)
    if every == 1:
        return total
    ones = jnp.ones_like(flows[..., 0, 0])
    shown = sums.weighted(jnp.ones_like(total).ravel(), total.ravel())
    return total * (total_flow(ones, horizon, discount) / shown)


@doubles.in_double
def visits(
    mdp: TabularMDP, log_policy: jax.Array, horizon: jax.Array, discount: jax.Array | float
) -> jax.Array:
    """Discounted number of visits of each pair under a policy, [T, S, A] -> [S, A].

    Without a discount they sum to the horizon.
    """
    dynamics, discount = doubles.dynamics(mdp), doubles.widened(discount, mdp.transition.dtype)

    def forward(time, carry):
        distribution, weight, total = carry
        flow = exact.flow_of(distribution, jnp.exp(log_policy[time]), time)
        total = total + sums.rounded(weight * flow)
        return doubles.push(dynamics, flow), weight * discount, total

    start = (dynamics.mdp.initial, jnp.ones(()), jnp.zeros(log_policy.shape[1:]))
    return exact.over_time(horizon, forward, start)[2].astype(mdp.transition.dtype)


def moments(features: jax.Array | None, total: jax.Array) -> jax.Array:
    """Feature counts of visits [S, A]: [F], or the visits themselves without features."""
    if features is None:
        return total
    columns = features.reshape(-1, features.shape[-1]).T
    return sums.weighted(columns, total.ravel())


def linear_reward(features: jax.Array | None, weights: jax.Array) -> jax.Array:
    """The reward [S, A] of weights [F], or of weights [S, A] without features."""
    if features is None:
        return weights
    return sums.weighted(features, weights)


def pairing(flow: jax.Array, reward: jax.Array, horizon: jax.Array) -> jax.Array:
    """Sum over t < horizon, s, a of flow times reward; flow [T, S, A], reward [T, S, A]."""

    def body(time, total):
        return total + sums.weighted(flow[time].ravel(), reward[time].ravel())

    return jax.lax.fori_loop(0, horizon, body, jnp.zeros((), flow.dtype))


def best_return(mdp: TabularMDP, reward: jax.Array, horizon: jax.Array) -> jax.Array:
    """Largest return any policy gets from a reward [T, S, A]."""
    plan = exact.optimal_plan(mdp, horizon, reward.shape[0], reward=reward)
    return sums.weighted(mdp.initial, plan.value[0])
