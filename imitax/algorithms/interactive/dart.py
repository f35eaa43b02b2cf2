"""DART: cloning an expert that demonstrates under noise which is like the learner's error.

Laskey, Lee, Fox, Dragan and Goldberg 2017, "DART: noise injection for robust imitation learning"
(arXiv 1703.09327), algorithm 1. The expert acts in every episode, under noise; its labels are what
it meant to do, so it shows how to recover, and the learner never acts. After each round the noise
is fitted by maximum likelihood to the learner's error on the round's labels, before it has learned
from them:

    continuous   a = expert + z,  z ~ N(0, Sigma);   Sigma = mean of e e',  e = learner - expert
    discrete     with probability eps another action, uniformly;   eps = P(learner != expert)

(the paper has the first; the second is its likelihood for a disturbance of discrete actions). With
`alpha` the noise has the size of the error that is expected of the final policy over an episode
of H steps, and the learner's error gives its directions only (equation 5):

    Sigma_alpha = alpha / (H tr Sigma) Sigma,     eps_alpha = min(alpha / H, 1)

Where we depart: the first `first_episodes` demonstrations are the seed's, without noise, so that
all methods share them; the first round has the noise of the setting `noise`, and `alpha` acts from
the second on; errors are of labels
that were not yet learned from. As the expert acts throughout, `environment_steps` counts the steps
of disturbed episodes.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

from imitax.algorithms.interactive.network_rounds import network_rounds
from imitax.algorithms.interactive.rounds import Acting, NetworkRounds, TabularRounds
from imitax.algorithms.interactive.tabular_rounds import tabular_rounds
from imitax.core.border import chosen_config
from imitax.core.config import config, setting
from imitax.core.distributions import Categorical, Distribution
from imitax.core.family import Family
from imitax.core.policies import Policy
from imitax.core.types import Algorithm, Problem
from imitax.numerics.sums import rounded


@config
class Disturbance:
    """The noise of the expert's episodes."""

    noise: float = setting(
        0.1,
        "of the first round: probability of another action, or deviation in half-widths of the box",
        low=0.0,
        high=1.0,
    )
    alpha: float = setting(
        0.0,
        "error of an episode expected of the last policy, squared distance or actions that differ, "
        "from the second round on; 0: the noise is as large as the error that is measured",
        low=0.0,
    )


@config
class TabularDartConfig(Disturbance, TabularRounds):
    """DART in a table."""


@config
class NetworkDartConfig(Disturbance, NetworkRounds):
    """DART with a network."""


class Disturbed(NamedTuple):
    """An action and noise on top of it."""

    meant: Any
    """A distribution."""
    noise: jax.Array
    """Probability of another action, or a factor of the noise's covariance, [D, D]."""

    def sample(self, key: jax.Array) -> jax.Array:
        """One draw."""
        meant_key, noise_key, choice_key = jax.random.split(key, 3)
        action = self.meant.sample(meant_key)
        if not isinstance(self.meant, Categorical):
            return action + self.noise @ jax.random.normal(noise_key, action.shape)
        count = self.meant.probs.shape[-1]
        other = (action + 1 + jax.random.randint(noise_key, (), 0, max(count - 1, 1))) % count
        return jnp.where(jax.random.uniform(choice_key) < self.noise, other, action)

    def mode(self) -> jax.Array:
        """Of what is meant."""
        return self.meant.mode()


def dart(env: Family, config: TabularDartConfig | NetworkDartConfig | None = None) -> Algorithm:
    """DART on an environment.

    Args:
        env: an environment family, from `imitax.make`.
        config: which representation, and its settings; by default a table where the environment
            is tabular, a network elsewhere.

    Returns:
        An `Algorithm`; each of its steps is a round.

    Raises:
        SpecError: a setting out of range, or without meaning on this environment.
    """
    config = chosen_config("dart", env, config, TabularDartConfig, NetworkDartConfig)
    if isinstance(config, TabularDartConfig):
        return tabular_rounds(env, config, DISTURBED, "dart")
    return network_rounds(env, config, DISTURBED, "dart")


def first_error(config: Any, env: Family) -> jax.Array:
    """The error before any round: a rate, or a covariance [D, D]."""
    with jax.ensure_compile_time_eval():
        space = env.action_space(env.default_params)
    if isinstance(space, spaces.Discrete):
        return jnp.asarray(config.noise, float)
    width = np.broadcast_to(0.5 * (np.asarray(space.high, float) - space.low), space.shape).ravel()
    width = np.where(width < float(np.finfo(np.float32).max) / 2, width, 1.0)
    return jnp.diag(jnp.square(config.noise * jnp.asarray(width, jnp.float32)))


def measured(before: jax.Array, played: jax.Array, labels: jax.Array, valid: jax.Array):
    """The error of a learner on labels; as before where none is valid.

    Args:
        before: a rate, or a covariance [D, D].
        played: the learner's actions, [n] or [n, D]; of a table their probabilities, [n, A].
        labels: [n] or [n, D].
        valid: bool [n].
    """
    count = jnp.sum(valid)
    share = valid / jnp.maximum(count, 1)
    if before.ndim == 2:
        error = jnp.where(valid[:, None], (played - labels).reshape(len(valid), -1), 0.0)
        found = jnp.einsum("n,ni,nj->ij", share, error, error, precision="highest")
    elif played.ndim == 2:
        agree = jnp.take_along_axis(played, labels[:, None], axis=-1)[:, 0]
        found = jnp.sum(share * (1.0 - agree))
    else:
        found = jnp.sum(share * (played != labels))
    return jnp.where(count > 0, found.astype(before.dtype), before)


def scaled(alpha: jax.Array | float, error: jax.Array, horizon: jax.Array) -> jax.Array:
    """The noise for an error: itself, or with `alpha` of the size that equation 5 says."""
    steps = horizon.astype(error.dtype)
    if error.ndim == 0:
        return jnp.minimum(jnp.where(alpha > 0, alpha / steps, error), 1.0)
    trace = jnp.trace(error)
    sized = jnp.where(trace > 0, alpha / (steps * jnp.where(trace > 0, trace, 1.0)), 0.0) * error
    return jnp.where(alpha > 0, sized, error)


def cholesky(covariance: jax.Array) -> jax.Array:
    """The lower factor of a small positive semidefinite matrix [D, D]; zeros below a zero pivot.

    Written out, since LAPACK's cannot be called from every device of a mesh at once.
    """
    size = len(covariance)
    factor = jnp.zeros_like(covariance)
    for j in range(size):
        rest = covariance[:, j] - factor @ factor[j]
        pivot = jnp.sqrt(jnp.maximum(rest[j], 0.0))
        column = jnp.where(pivot > 0, rest / jnp.where(pivot > 0, pivot, 1.0), 0.0)
        factor = factor.at[:, j].set(jnp.where(jnp.arange(size) >= j, column, 0.0))
    return factor


def _noise(config: Any, problem: Problem, index: jax.Array, rounds: jax.Array, error: jax.Array):
    del rounds
    return jnp.where(index > 1, scaled(config.alpha, error, problem.horizon), error)


def _row(noise: jax.Array, expert: jax.Array, learner: jax.Array) -> jax.Array:
    del learner
    count = expert.shape[-1]
    if count == 1:
        return expert
    others = rounded((noise * (1.0 / (count - 1))) * (1.0 - expert))
    return rounded((1.0 - noise) * expert) + others


def _policy(noise: jax.Array, expert: Policy, learner: Policy) -> Policy:
    del learner
    factor = cholesky(noise) if noise.ndim == 2 else noise
    return Policy((expert, factor), disturbed)


def disturbed(params: Any, obs: jax.Array, time: jax.Array) -> Distribution:
    """`apply` of the acting policy: the expert and noise on top of what it means."""
    expert, noise = params
    return Disturbed(expert(obs, time), noise)  # pyright: ignore[reportReturnType]


DISTURBED = Acting(_noise, _row, _policy, first_error, measured)
"""The expert acts, under noise."""
