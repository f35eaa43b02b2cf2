"""Experts that plan: exact dynamic programming with the true reward, hard or soft."""

import jax
import jax.numpy as jnp

from imitax.core.policies import until
from imitax.tabular import mdp as exact
from imitax.tabular import soft
from imitax.tabular.mdp import TabularMDP


def planned(
    mdp: TabularMDP, temperature: jax.Array | float | None, horizon: jax.Array, max_horizon: int
) -> jax.Array:
    """The table of an expert that plans with the true, undiscounted reward.

    Without a temperature it is the optimal plan, ties to the first action; otherwise the maximum
    causal entropy plan of the step reward. Such an expert is not optimal, so a learner may beat it
    and its regret may then be negative.

    Args:
        mdp: dynamics and step reward; without final reward where the temperature is positive.
        temperature: positive, in units of the reward; None for the optimal plan.
        horizon: number of actions, int32, at most `max_horizon`.
        max_horizon: number of rows T, static.

    Returns:
        Action probabilities [T, S, A]; rows at and after `horizon` are zero.

    Raises:
        ValueError: a soft plan of an MDP with a final reward, or without any reward.
    """
    if temperature is None:
        return exact.optimal_plan(mdp, horizon, max_horizon).policy
    if mdp.step_reward is None or mdp.final_reward is not None:
        raise ValueError("a soft expert plans with a step reward and nothing else")
    plan = soft.soft_plan(
        mdp, mdp.step_reward, horizon, max_horizon, discount=1.0, temperature=temperature
    )
    return until(jnp.exp(plan.log_policy), horizon)
