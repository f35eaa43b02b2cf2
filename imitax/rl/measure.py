"""What a policy returns in a gymnax environment, over fresh episodes."""

import functools
import math
from typing import Any, NamedTuple

import gymnax
import jax
import jax.numpy as jnp
import numpy as np

from imitax.core.family import Family
from imitax.core.policies import Policy
from imitax.tasks.rollout import rollout

LEVEL = 1.959964
"""Normal quantile of a 95% interval."""


class Measured(NamedTuple):
    """Undiscounted return over independent episodes, with a normal 95% interval of its mean."""

    mean: float
    low: float
    high: float
    length: float
    """Mean number of steps until termination or the horizon."""
    episodes: int
    horizon: int


@functools.cache
def make(env_id: str) -> tuple[Any, Any]:
    """A gymnax environment and its parameters, the same objects at every call."""
    return gymnax.make(env_id)


def play(
    key: jax.Array, env: Family, params: Any, policy: Policy, horizon: int, num_episodes: int
) -> tuple[jax.Array, jax.Array]:
    """Returns, float32 [N], and lengths, int32 [N], of independent episodes."""

    def run(index):
        episode = rollout(
            jax.random.fold_in(key, index), env, params, policy, jnp.int32(horizon), horizon
        )
        return episode.total_reward, episode.length

    return jax.vmap(run)(jnp.arange(num_episodes))


@functools.partial(jax.jit, static_argnames=("env_id", "horizon", "num_episodes"))
def _play(key, env_id, policy, horizon, num_episodes):
    return play(key, *make(env_id), policy, horizon, num_episodes)


def measure(
    key: jax.Array, env_id: str, policy: Policy, horizon: int, num_episodes: int = 1000
) -> Measured:
    """The mean return of a policy.

    Args:
        key: of the episodes.
        env_id: a gymnax environment, with its own parameters.
        policy: to be judged.
        horizon: time limit in steps.
        num_episodes: at least 2.
    """
    make(env_id)
    returns, lengths = _play(key, env_id, policy, horizon, num_episodes)
    totals = np.asarray(returns, np.float64)
    mean = float(totals.mean())
    half = LEVEL * float(totals.std(ddof=1)) / math.sqrt(num_episodes)
    length = float(np.asarray(lengths, np.float64).mean())
    return Measured(mean, mean - half, mean + half, length, num_episodes, horizon)
