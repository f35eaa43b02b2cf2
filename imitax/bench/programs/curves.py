"""Learning curves: what a learner's policy returns at checkpoints of its training.

Measured inside the compiled program, on the first of the evaluation episodes that judge the final
policy, so that the points of a curve differ by what was learned and not by luck.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from imitax.bench import schema
from imitax.bench.plans.plan import Chunk
from imitax.core.family import Family
from imitax.core.types import Algorithm, Metrics
from imitax.tasks.evaluate import judge
from imitax.tasks.pose import Instance

EPISODES = 16
"""Evaluation episodes of a checkpoint, at most; in a table regret is exact without any."""


class Point(NamedTuple):
    """One checkpoint; scalars inside `experiment`, [C, K] for a chunk of C seeds."""

    iterations: jax.Array
    """Algorithm steps so far, int32."""
    environment_steps: jax.Array
    """int32; as the learner's metrics count them."""
    expert_labels: jax.Array
    """int32."""
    learner_return: jax.Array
    regret: jax.Array


def observer(
    env: Family, instance: Instance, algorithm: Algorithm, num_episodes: int
) -> Callable[[Any, Metrics, jax.Array], Point]:
    """An `observe` for `imitax.algorithm.train` that evaluates the policy.

    Args:
        env: the environment family.
        instance: from `pose`.
        algorithm: whose policy to judge.
        num_episodes: static.
    """
    judged = judge(env, instance, num_episodes=num_episodes)

    def observe(state: Any, metrics: Metrics, num_steps: jax.Array) -> Point:
        regret, learner_return = judged(algorithm.policy(instance.problem, state))
        return Point(
            iterations=jnp.int32(num_steps),
            environment_steps=jnp.asarray(metrics.environment_steps),
            expert_labels=jnp.asarray(metrics.expert_labels),
            learner_return=learner_return,
            regret=regret,
        )

    return observe


def to_columns(points: Point, chunk: Chunk) -> dict[str, np.ndarray]:
    """The columns of a chunk's curves, one row per seed and checkpoint, seeds outermost.

    Args:
        points: [C, K].
        chunk: of C seeds.
    """
    num_checkpoints = points.regret.shape[1]
    seeds = np.repeat(chunk.first_seed + np.arange(chunk.num_seeds), num_checkpoints)
    checkpoint = np.tile(np.arange(num_checkpoints, dtype=np.int32), chunk.num_seeds)
    keys = schema.key_columns(*chunk[:4], seeds) | {"checkpoint": checkpoint}
    values = schema.number_columns(points._asdict())
    return keys | {name: leaf.ravel() for name, leaf in values.items()}
