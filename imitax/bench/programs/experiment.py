"""One experiment of a sweep: what is static in it, what it reports, and how a seed is run."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from imitax.bench.programs import curves, instances
from imitax.core.family import Family
from imitax.core.types import Algorithm, Capacity, Metrics
from imitax.tasks.evaluate import Outcome, evaluate
from imitax.tasks.experiment import learn
from imitax.tasks.pose import Instance, pose
from imitax.tasks.reward_metrics import RewardMetrics, reward_metrics


class Row(NamedTuple):
    """What one experiment reports; its scalars are the numbers of a row of results."""

    outcome: Outcome
    metrics: Metrics
    reward: RewardMetrics
    """NaN where no reward is recovered."""
    iterations: jax.Array
    """Algorithm steps, int32."""
    converged: jax.Array
    """bool."""


class RewardMap(NamedTuple):
    """Rewards per state, mean over actions, [S]."""

    true: jax.Array
    recovered: jax.Array


class Setup(NamedTuple):
    """What is static in a program."""

    env: Family
    factory: Callable[[Any, Any], Algorithm]
    """`(env, config) -> Algorithm`."""
    capacity: Capacity
    evaluation_episodes: int
    checkpoints: int = 0
    """Points of a learning curve; 0 for none."""


class Output(NamedTuple):
    """What one experiment yields."""

    row: Row
    reward_metrics: RewardMap | None
    """Where the environment is a grid and the learner recovers its reward."""
    curve: curves.Point | None
    """[K] for K checkpoints, where there are any."""


def experiment(
    setup: Setup, seed: jax.Array, horizon: jax.Array, num_demos: jax.Array, config: Any
) -> Output:
    """One seed, start to finish: pose, train, evaluate.

    Args:
        setup: static.
        seed: int32 scalar.
        horizon: int32 scalar, at most the capacity's.
        num_demos: int32 scalar, at most the capacity's.
        config: of the algorithm; its floats may be traced.
    """
    algorithm = setup.factory(setup.env, config)
    instance = pose(setup.env, seed, horizon, num_demos, setup.capacity, algorithm.demand)
    return _finish(setup, algorithm, instance)


def experiment_on(
    setup: Setup,
    seed: instances.Seeds,
    shared: instances.Places | None,
    horizon: jax.Array,
    num_demos: jax.Array,
    config: Any,
) -> Output:
    """`experiment` where the instance was drawn; the setup's environment is a stand-in."""
    algorithm = setup.factory(setup.env, config)
    sizes = horizon, num_demos, setup.capacity
    instance = instances.instance_of(setup.env, seed, shared, *sizes, algorithm.demand)
    return _finish(setup, algorithm, instance)


def _finish(setup: Setup, algorithm: Algorithm, instance: Instance) -> Output:
    """Train, evaluate."""
    env = setup.env
    policy, trained = _learn(setup, instance, algorithm)
    outcome = evaluate(env, instance, policy, num_episodes=setup.evaluation_episodes)
    difference, distance, found = _judge_reward(env, instance, algorithm, trained.state)
    row = Row(
        outcome=outcome,
        metrics=trained.metrics,
        reward=RewardMetrics(difference, distance),
        iterations=trained.num_steps,
        converged=trained.state.converged,
    )
    return Output(row, found, trained.curve)


def _learn(setup: Setup, instance: Instance, algorithm: Algorithm):
    if setup.checkpoints == 0:
        return learn(algorithm, instance)
    num_episodes = min(curves.EPISODES, setup.evaluation_episodes)
    return learn(
        algorithm,
        instance,
        num_checkpoints=setup.checkpoints,
        observe=curves.observer(setup.env, instance, algorithm, num_episodes),
    )


def _judge_reward(env: Family, instance: Instance, algorithm: Algorithm, state: Any):
    """Expected value difference, EPIC distance and, on a grid, both rewards."""
    nothing = jnp.float32(jnp.nan)
    if algorithm.reward is None or not env.is_tabular:
        return nothing, nothing, None
    recovered = algorithm.reward(instance.problem, state)
    difference, distance = reward_metrics(env, instance, recovered)
    if env.grid_size is None:
        return difference, distance, None
    true = jnp.mean(instance.params.mdp.step_reward, axis=-1)
    return difference, distance, RewardMap(true, jnp.mean(recovered, axis=-1))
