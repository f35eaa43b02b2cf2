"""DAgger: behavioural cloning on the learner's own states, labelled by the expert.

Ross, Gordon and Bagnell 2011, algorithm 3.1, with true aggregation: every label ever asked for is
kept, and each round refits on all of them (`imitax.algorithms.interactive.rounds`). The episodes of
the rounds are the learner's own: in round i (from 1) of n the expert acts at each step with
probability beta_i:

    constant      beta               (0 by default: the learner acts alone)
    linear        max(beta_min, 1 - i/n), or 1 - i/rampdown where that is given
    exponential   beta_decay^i       (the paper's p^i)

We return the last policy; the paper returns the best on validation.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from imitax.algorithms.interactive.network_rounds import network_rounds
from imitax.algorithms.interactive.rounds import Acting, NetworkRounds, TabularRounds
from imitax.algorithms.interactive.tabular_rounds import tabular_rounds
from imitax.core.border import chosen_config
from imitax.core.config import among, config, setting
from imitax.core.distributions import Distribution, Mixture
from imitax.core.family import Family
from imitax.core.policies import Policy
from imitax.core.types import Algorithm, Problem
from imitax.numerics.sums import rounded


@config
class Mixing:
    """How much the expert acts in the learner's episodes."""

    ALIASES: ClassVar[dict] = {
        ("beta", "linear"): ("schedule", "linear"),
        ("beta", "exponential"): ("schedule", "exponential"),
    }
    schedule: str = setting(
        "constant",
        "of the expert's share; beta=linear is short for schedule=linear",
        choices=("constant", "linear", "exponential"),
    )
    beta: float = setting(
        0.0, "the expert's share", low=0.0, high=1.0, when=among("schedule", "constant")
    )
    beta_min: float = setting(
        0.0, "smallest share", low=0.0, high=1.0, when=among("schedule", "linear")
    )
    rampdown: int = setting(
        0,
        "round in which a linear share would be 0; 0 is the last one",
        low=0,
        when=among("schedule", "linear"),
    )
    beta_decay: float = setting(
        0.5, "share's factor in a round", low=0.0, high=1.0, when=among("schedule", "exponential")
    )


@config
class TabularDaggerConfig(Mixing, TabularRounds):
    """DAgger in a table."""


@config
class NetworkDaggerConfig(Mixing, NetworkRounds):
    """DAgger with a network."""


def expert_share(config: Mixing, round_index: jax.Array, num_rounds: jax.Array) -> jax.Array:
    """beta_i of round i in 1..n; see the head of the file."""
    if config.schedule == "linear":
        last = config.rampdown or jnp.maximum(num_rounds, 1)
        return jnp.maximum(config.beta_min, 1.0 - round_index / last)
    if config.schedule == "exponential":
        return jnp.asarray(config.beta_decay) ** round_index
    return jnp.asarray(config.beta, jnp.float32)


def dagger(
    env: Family, config: TabularDaggerConfig | NetworkDaggerConfig | None = None
) -> Algorithm:
    """DAgger on an environment.

    Args:
        env: an environment family, from `imitax.make`.
        config: which representation, and its settings; by default a table where the environment
            is tabular, a network elsewhere.

    Returns:
        An `Algorithm`; each of its steps is a round.

    Raises:
        SpecError: a setting out of range, or without meaning on this environment.
    """
    config = chosen_config("dagger", env, config, TabularDaggerConfig, NetworkDaggerConfig)
    if isinstance(config, TabularDaggerConfig):
        return tabular_rounds(env, config, MIXED, "dagger")
    return network_rounds(env, config, MIXED, "dagger")


def mixed(params: Any, obs: jax.Array, time: jax.Array) -> Distribution:
    """`apply` of the acting policy: the expert with probability `share` at each step."""
    expert, learner, share = params
    return Mixture(expert(obs, time), learner(obs, time), share)


def _share(config: Any, problem: Problem, index: jax.Array, rounds: jax.Array, error: None):
    del problem, error
    return expert_share(config, index, rounds)


def _row(share: jax.Array, expert: jax.Array, learner: jax.Array) -> jax.Array:
    return rounded(share * expert) + rounded((1.0 - share) * learner)


def _policy(share: jax.Array, expert: Policy, learner: Policy) -> Policy:
    return Policy((expert, learner, share), mixed)


MIXED = Acting(_share, _row, _policy)
"""Expert and learner act in turn, at random."""
