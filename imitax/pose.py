"""From a seed to a task: its instance, its expert and its demonstrations, inside the trace."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from imitax import keys, rollout
from imitax.envs.tabular import TabularFamily
from imitax.policies import Policy, tabulate
from imitax.types import Capacity, Demand, Demonstrations, Problem


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Instance:
    """One seed's task: what the learner sees, and the truth it is judged by."""

    params: Any
    """Environment parameters with reward."""
    expert: Policy
    problem: Problem
    learner_key: jax.Array
    evaluation_key: jax.Array


def pose(
    env: Any,
    seed: jax.Array,
    horizon: jax.Array,
    num_demos: jax.Array,
    capacity: Capacity,
    demand: Demand,
) -> Instance:
    """Draw the task of a seed.

    Every algorithm of a seed gets the same instance, and the demonstrations of a smaller number
    begin those of a larger one (`initial=rajaraman` apart, whose instance changes with N).

    Args:
        env: an environment family, from `imitax.make`.
        seed: int32 scalar.
        horizon: actions per episode, int32, at most `capacity.horizon`.
        num_demos: expert-labelled episodes, int32, at most `capacity.num_demos`.
        capacity: buffer sizes, static.
        demand: what the algorithm reads, static: `algorithm.demand`.

    Returns:
        An `Instance`.
    """
    own = keys.seed_keys(env.family, seed)
    horizon, num_demos = jnp.int32(horizon), jnp.int32(num_demos)
    params = env.sample_params(own.instance, horizon, num_demos, capacity.horizon)
    expert = env.expert(params)
    demonstrations = demonstrate(
        own.demonstrations, env, params, expert, horizon, num_demos, capacity, demand
    )
    problem = Problem(
        params=env.without_reward(params),
        horizon=horizon,
        num_demos=num_demos,
        demonstrations=demonstrations,
        expert=expert,
        capacity=capacity,
    )
    return Instance(params, expert, problem, own.learner, own.evaluation)


def demonstrate(
    key: jax.Array,
    env: Any,
    params: Any,
    expert: Policy,
    horizon: jax.Array,
    num_demos: jax.Array,
    capacity: Capacity,
    demand: Demand,
) -> Demonstrations:
    """Collect what `demand` asks for; see `pose` for the arguments."""
    limit = capacity.num_demos if demand.at_most is None else demand.at_most
    num_rows = min(limit, capacity.num_demos)
    num_episodes = jnp.minimum(num_demos, num_rows)
    if demand.form == "none":
        return Demonstrations(None, None, None, None, jnp.zeros_like(num_episodes))
    if isinstance(env, TabularFamily):
        return _tabular(key, env, params, expert, horizon, num_episodes, capacity, demand, num_rows)

    def run(index):
        episode_key = jax.random.fold_in(key, index)
        return rollout.rollout(episode_key, env, params, expert, horizon, capacity.horizon)

    episodes = jax.vmap(run)(jnp.arange(num_rows))
    length = jnp.where(jnp.arange(num_rows) < num_episodes, episodes.length, 0)
    return Demonstrations(episodes.obs, episodes.action, length, None, num_episodes)


def _tabular(key, env, params, expert, horizon, num_episodes, capacity, demand, num_rows):
    acting = tabulate(expert, env.num_states, capacity.horizon)
    walker = rollout.walkers(params.mdp)
    if demand.form == "counts":
        counts = rollout.count(key, walker, acting, horizon, num_episodes, capacity.horizon)
        return Demonstrations(None, None, None, counts, num_episodes)
    shape = (num_rows, capacity.horizon)
    states, actions = rollout.record(key, walker, acting, horizon, num_episodes, shape)
    length = jnp.where(jnp.arange(num_rows) < num_episodes, horizon, 0)
    return Demonstrations(states, actions, length, None, num_episodes)
