"""How far a policy falls short of its expert: exactly in a table, by rollouts elsewhere."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from imitax.core.border import check_family, check_instance, check_whole
from imitax.core.config import is_concrete
from imitax.core.family import Family
from imitax.core.policies import Policy, check_table, lookup, tabulate
from imitax.tabular import mdp as exact
from imitax.tasks.pose import Instance
from imitax.tasks.rollout import total_reward

NUM_EPISODES = 128
"""Evaluation episodes where there is no exact answer; of both the learner and the expert."""


class Outcome(NamedTuple):
    """Scalars in units of the true reward, undiscounted, over exactly `horizon` steps.

    All are NaN and `finite` is False where a traced seed, horizon or number of demonstrations was
    out of range; see `imitax.pose`.
    """

    regret: jax.Array
    learner_return: jax.Array
    expert_return: jax.Array
    finite: jax.Array
    """False where the policy or its return holds a NaN or an infinity, or the task is not valid."""


def evaluate(
    env: Family, instance: Instance, policy: Policy, *, num_episodes: int = NUM_EPISODES
) -> Outcome:
    """Regret of a policy on one instance.

    Tabular: `imitax.tabular.mdp.regret`. Elsewhere: the mean over `num_episodes` episodes of the
    expert's return minus the policy's, with the same initial states and the same noise for every
    policy of a seed; nothing is earned after termination.

    Args:
        env: the environment family.
        instance: from `pose`.
        policy: to be judged.
        num_episodes: static; not used in a table.

    Raises:
        SpecError: no family, instance or policy, or a number of episodes below 1.
        DataError: a table of action probabilities of another size, or, where it is concrete, one
            whose rows are no distributions. Rows that are not finite pass and make `finite` False.
    """
    _check(env, instance, policy, num_episodes)
    judge = _exact if env.is_tabular else _rolled_out
    found = judge(env, instance, policy, num_episodes)
    regret, learner, expert = (jnp.where(instance.valid, x, jnp.nan) for x in found)
    leaves = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(policy.params)]
    finite = jnp.isfinite(regret) & jnp.isfinite(learner)
    for leaf in leaves:
        finite = finite & leaf
    return Outcome(regret, learner, expert, finite)


def judge(
    env: Family, instance: Instance, *, num_episodes: int = NUM_EPISODES
) -> Callable[[Policy], tuple[jax.Array, jax.Array]]:
    """A judge of many policies of one instance: `policy -> (regret, return)`, as `evaluate` has it.

    The expert is rolled out once, here, and not again for every policy. Both are NaN where the
    policy holds a NaN or an infinity, or the instance is not valid.

    Args:
        env: as for `evaluate`.
        instance: as for `evaluate`.
        num_episodes: as for `evaluate`; fewer are the first of more.
    """
    check_family("judge", env)
    expert = None
    if not env.is_tabular:
        expert = _returns(env, instance, instance.expert, num_episodes)

    def judged(policy: Policy) -> tuple[jax.Array, jax.Array]:
        if expert is None:
            lost, earned, _ = _exact(env, instance, policy, num_episodes)
        else:
            totals = _returns(env, instance, policy, num_episodes)
            lost, earned = jnp.mean(expert - totals), jnp.mean(totals)
        finite = jnp.asarray(instance.valid)
        for leaf in jax.tree.leaves(policy.params):
            finite = finite & jnp.all(jnp.isfinite(leaf))
        return jnp.where(finite, lost, jnp.nan), jnp.where(finite, earned, jnp.nan)

    return judged


def regret(env: Family, instance: Instance, policy: Policy) -> jax.Array:
    """The regret alone; see `evaluate`."""
    return evaluate(env, instance, policy).regret


def _check(env, instance, policy, num_episodes) -> None:
    check_family("evaluate", env)
    check_instance("evaluate", "instance", instance, Instance, "imitax.pose returns one")
    remedy = "algorithm.policy(problem, state) returns one, imitax.core.policies.tabular(table) too"
    check_instance("evaluate", "policy", policy, Policy, remedy)
    check_whole("evaluate", "num_episodes", num_episodes)
    if env.is_tabular and policy.apply is lookup:
        problem = instance.problem
        steps = int(problem.horizon) if is_concrete(problem.horizon) else problem.capacity.horizon
        check_table("evaluate", policy.params, env.num_states, env.num_actions, steps)


def _exact(env, instance, policy, num_episodes):
    del num_episodes
    capacity, horizon = instance.problem.capacity, instance.problem.horizon
    mdp = instance.params.mdp
    expert, learner = (
        tabulate(one, env.num_states, capacity.horizon) for one in (instance.expert, policy)
    )
    lost, *returns = exact.judged(mdp, expert, learner, horizon, max_horizon=capacity.horizon)
    return lost, *returns


def _rolled_out(env, instance, policy, num_episodes):
    learner, expert = (
        _returns(env, instance, one, num_episodes) for one in (policy, instance.expert)
    )
    return jnp.mean(expert - learner), jnp.mean(learner), jnp.mean(expert)


def _returns(env, instance, policy, num_episodes):
    def run(index):
        key = jax.random.fold_in(instance.evaluation_key, index)
        return total_reward(key, env, instance.params, policy, instance.problem.horizon)

    return jax.vmap(run)(jnp.arange(num_episodes))
