"""Training on recorded episodes: one compiled program for all seeds of an environment."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

from imitax import catalogue
from imitax.core import keys
from imitax.core.errors import SpecError
from imitax.core.family import Family
from imitax.core.policies import Policy
from imitax.core.types import Capacity, Demonstrations, Metrics, Problem
from imitax.data import Recorded
from imitax.tasks.demonstrations import limited, subsampled
from imitax.tasks.evaluate import evaluate
from imitax.tasks.experiment import learn
from imitax.tasks.pose import Instance

Array = jax.Array | np.ndarray

_CHUNK = 64
"""Seeds per call of the program."""


class Task(NamedTuple):
    """What to fit, checked."""

    env: Family
    """The environment family; not tabular."""
    chosen: catalogue.Chosen
    recorded: Recorded
    num_seeds: int
    num_demos: tuple[int, ...]
    """Ascending; no more than the file's episodes."""
    horizon: int
    horizon_from: str = ""
    """Where the horizon is from, in a few words."""


class Fitted(NamedTuple):
    """Policies and how they did; P numbers of demonstrations, K seeds."""

    policy: Policy
    """Its leaves are arrays [P, K, ...]."""
    learner_return: Array
    """Mean return over the evaluation episodes, [P, K]; NaN where the seed diverged."""
    expert_return: Array
    """The same of our expert, on the same initial states, [P, K]; NaN where there is none."""
    regret: Array
    """Expert's minus learner's, [P, K]."""
    diverged: Array
    """Bool [P, K]."""
    metrics: Metrics
    """Of the learner, [P, K] each."""


class _Episodes(NamedTuple):
    """The file's E episodes as the program reads them."""

    obs: jax.Array
    """[E, T, ...]"""
    action: jax.Array
    """[E, T, ...]"""
    length: jax.Array
    """[E]"""


def subset(family: str, seed: jax.Array, num_episodes: int) -> jax.Array:
    """The order in which a seed takes the episodes of a file: its first n are its n-demo set.

    Args:
        family: name of the environment family.
        seed: int32 scalar.
        num_episodes: episodes in the file, static.

    Returns:
        A permutation, int32 [num_episodes].
    """
    key = keys.seed_keys(family, seed).subset
    return jnp.argsort(jax.random.uniform(key, (num_episodes,))).astype(jnp.int32)


def fit(task: Task) -> Fitted:
    """Train and judge every seed on each number of demonstrations.

    The longest recorded episode may exceed the horizon: all recorded steps are learned from.
    """
    recorded = task.recorded
    capacity = Capacity(max(task.horizon, recorded.obs.shape[1]), task.num_demos[-1])
    program = jax.jit(_program(task.env, task.chosen, capacity))
    episodes = _episodes(task.env, recorded)
    config = jax.tree.map(jnp.float32, task.chosen.config)
    parts = [
        [
            program(seeds, jnp.int32(number), jnp.int32(task.horizon), config, episodes)
            for seeds in _chunks(task.num_seeds)
        ]
        for number in task.num_demos
    ]
    rows = [_join(chunks, task.num_seeds) for chunks in parts]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *rows)


def orders(task: Task) -> np.ndarray:
    """The order of the file's E episodes for every seed, see `subset`: int32 [K, E]."""
    seeds = jnp.arange(task.num_seeds, dtype=jnp.int32)
    count = len(task.recorded.length)
    return np.asarray(jax.vmap(lambda seed: subset(task.env.family, seed, count))(seeds))


def _episodes(env: Family, recorded: Recorded) -> _Episodes:
    space = env.observation_space(env.default_params)
    dtype = jnp.int32 if isinstance(space, spaces.Discrete) else jnp.float32
    obs, action, length = recorded.obs, recorded.action, recorded.length
    return _Episodes(jnp.asarray(obs, dtype), jnp.asarray(action), jnp.asarray(length))


def _program(env: Family, chosen: catalogue.Chosen, capacity: Capacity):
    def one(seed, num_demos, horizon, config, episodes):
        algorithm = chosen.build(env, config)
        most = algorithm.demand.labels
        instance = _instance(env, seed, num_demos, horizon, capacity, episodes, most)
        policy, trained = learn(algorithm, instance)
        has_expert = env.has_expert
        judged = instance if has_expert else dataclasses.replace(instance, expert=policy)
        outcome = evaluate(env, judged, policy)
        unknown = jnp.where(outcome.finite & has_expert, 0.0, jnp.nan)
        return Fitted(
            policy=policy,
            learner_return=jnp.where(outcome.finite, outcome.learner_return, jnp.nan),
            expert_return=jnp.where(has_expert, outcome.expert_return, jnp.nan),
            regret=outcome.regret + unknown,
            diverged=~outcome.finite,
            metrics=trained.metrics,
        )

    return jax.vmap(one, in_axes=(0, None, None, None, None))


def _instance(
    env, seed, num_demos, horizon, capacity, episodes: _Episodes, labels: int = 0
) -> Instance:
    """As `imitax.pose.pose`, with the seed's own recorded episodes for demonstrations."""
    own = keys.seed_keys(env.family, seed)
    params = env.sample_params(own.instance, horizon, num_demos, capacity.horizon)
    expert = env.expert(params) if env.has_expert else Policy((), _nobody)
    order = subset(env.family, seed, episodes.length.shape[0])[: capacity.num_demos]
    shown = jnp.arange(capacity.num_demos) < num_demos
    demonstrations = Demonstrations(
        obs=episodes.obs[order],
        action=episodes.action[order],
        length=jnp.where(shown, episodes.length[order], 0),
        counts=None,
        num_episodes=num_demos,
    )
    every = env.subsample
    problem = Problem(
        params=env.without_reward(params),
        horizon=horizon,
        num_demos=num_demos,
        demonstrations=limited(subsampled(own.demonstrations, demonstrations, every), labels),
        expert=expert,
        source_params=env.without_reward(params),
        capacity=capacity,
        subsample=every,
    )
    return Instance(params, expert, problem, own.learner, own.evaluation)


def _nobody(params: Any, obs: jax.Array, time: jax.Array):
    raise SpecError("recorded demonstrations come without an expert to ask")


def _chunks(num_seeds: int) -> list[jax.Array]:
    """Seeds from 0 in equal chunks, the last one padded with further seeds."""
    size = min(num_seeds, _CHUNK)
    return [jnp.arange(first, first + size, dtype=jnp.int32) for first in range(0, num_seeds, size)]


def _join(chunks: list[Fitted], num_seeds: int) -> Fitted:
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:num_seeds], *chunks)


def template(env: Family, chosen: catalogue.Chosen) -> Policy:
    """The structure and shapes of a fitted policy, without numbers."""
    algorithm = chosen.build(env)
    params = env.default_params
    obs, action = (
        jnp.zeros((1, 1, *space.shape), space.dtype)
        for space in (env.observation_space(params), env.action_space(params))
    )

    def make() -> Policy:
        one = jnp.int32(1)
        episodes = _Episodes(obs, action, jnp.ones(1, jnp.int32))
        instance = _instance(env, jnp.int32(0), one, one, Capacity(1, 1), episodes)
        state = algorithm.init(instance.learner_key, instance.problem)
        return algorithm.policy(instance.problem, state)

    return jax.eval_shape(make)
