"""One experiment: a seed's task is posed, an algorithm trained on it, and its policy judged.

    outcome = imitax.experiment(env, algorithm, seed, horizon, num_demos, capacity)

is all that a sweep does for a seed. It is pure, so `jit`, `vmap` over seeds and sharding are put
around it from outside; seed, horizon, number of demonstrations and the floats of the algorithm's
config may be traced.
"""

from collections.abc import Callable
from typing import Any

import jax

from imitax.core.family import Family
from imitax.core.policies import Policy
from imitax.core.train import Trained, check_algorithm, train
from imitax.core.types import Algorithm, Capacity
from imitax.tasks.evaluate import NUM_EPISODES, Outcome, evaluate
from imitax.tasks.pose import Instance, pose


def experiment(
    env: Family,
    algorithm: Algorithm,
    seed: jax.Array | int,
    horizon: jax.Array | int,
    num_demos: jax.Array | int,
    capacity: Capacity,
    *,
    num_episodes: int = NUM_EPISODES,
) -> Outcome:
    """Pose, train, evaluate.

    Args:
        env: an environment family, from `imitax.make`.
        algorithm: from a factory such as `imitax.bc(env, config)`.
        seed: int32 scalar, at least 0.
        horizon: actions per episode, int32 scalar, from 1 to `capacity.horizon`.
        num_demos: expert-labelled episodes, int32 scalar, from 1 to `capacity.num_demos`.
        capacity: buffer sizes, static.
        num_episodes: evaluation episodes where there is no exact answer, static.

    Returns:
        Scalars: regret, the learner's and the expert's return, and whether all is finite. All are
        NaN where a traced number is out of range.

    Raises:
        SpecError: a concrete number out of range, an argument of another kind, or demonstrations
            that the algorithm cannot learn from, such as episodes of one step for a learner that
            compares successors.
    """
    check_algorithm("experiment", algorithm)
    instance = pose(env, seed, horizon, num_demos, capacity, algorithm.demand)
    policy, _ = learn(algorithm, instance)
    return evaluate(env, instance, policy, num_episodes=num_episodes)


def learn(
    algorithm: Algorithm,
    instance: Instance,
    *,
    num_checkpoints: int = 0,
    observe: Callable[[Any, Any, jax.Array], Any] | None = None,
) -> tuple[Policy, Trained]:
    """Train on a posed task: the policy, and the end of the training run.

    Args:
        algorithm: from a factory.
        instance: from `pose`.
        num_checkpoints: see `imitax.train`.
        observe: see `imitax.train`.
    """
    trained = train(
        instance.learner_key,
        algorithm,
        instance.problem,
        num_checkpoints=num_checkpoints,
        observe=observe,
    )
    return algorithm.policy(instance.problem, trained.state), trained
