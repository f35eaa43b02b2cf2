"""Rounds of labelling: somebody acts, the expert labels what is visited, and all labels are fitted.

What DAgger and DART share. `Acting` says who acts in a round, and whether the learner's error on a
round's labels, before they are learned from, is measured for it. Every label ever asked for is
kept. `num_demos` counts expert-labelled episodes: the first `first_episodes` are the seed's
demonstrations, the others come from the rounds, `episodes_per_round` in each. `labels` ends the
asking: the episode that would pass it is labelled in part, and none follows.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from imitax.core.config import among, config, labels_setting, setting
from imitax.core.family import Family
from imitax.core.policies import Policy
from imitax.core.types import Problem
from imitax.networks.settings import NetworkSettings
from imitax.tasks.demonstrations import num_whole


@config
class Rounds:
    """How many episodes a round has."""

    episodes_per_round: int = setting(1, "episodes that are labelled in a round", low=1)
    first_episodes: int = setting(1, "demonstrations before the first round", low=1)


@config
class TabularRounds(Rounds):
    """Rounds of a learner with a table."""

    policy: str = setting("auto", "representation", choices=("auto", "tabular"))
    stationary: bool = setting(False, "one table for all steps instead of one per step")
    unseen: str = setting("uniform", "action where nothing was seen", choices=("uniform", "first"))
    labels: int = labels_setting()


@config
class NetworkRounds(Rounds, NetworkSettings):
    """Rounds of a learner with a network."""

    refit: str = setting(
        "continue",
        "each round goes on from the last one's parameters, or retrains fresh ones",
        choices=("continue", "restart"),
    )
    updates_per_round: int = setting(
        0,
        "gradient steps of a round; 0: the last trains until the fit is done",
        low=0,
        when=among("refit", "continue"),
    )
    first_updates: int = setting(
        0,
        "gradient steps from fresh parameters: at first, with refit=restart always; 0: until the "
        "fit is done, but with refit=continue few at first",
        low=0,
    )


class Acting(NamedTuple):
    """Who acts in a round; pure functions, static."""

    rule: Callable[[Any, Problem, jax.Array, jax.Array, Any], Any]
    """`rule(config, problem, index, num_rounds, error) -> amount`, of round `index` from 1."""
    row: Callable[[Any, jax.Array, jax.Array], jax.Array]
    """`row(amount, expert, learner)`, all [B, A]: probabilities of acting in a table."""
    policy: Callable[[Any, Policy, Policy], Policy]
    """`policy(amount, expert, learner)`, which acts elsewhere."""
    first_error: Callable[[Any, Family], Any] | None = None
    """`first_error(config, env)`, before any round; None where no error is measured."""
    error: Callable[[Any, jax.Array, jax.Array, jax.Array], Any] | None = None
    """`error(before, played, labels, valid [n])`: of the learner's actions in a round's states."""


def num_rounds(config: Rounds, problem: Problem) -> jax.Array:
    """Rounds, int32: what the demonstrations leave, rounded up."""
    most = most_episodes(config, problem)
    own = most - jnp.minimum(config.first_episodes, most)
    return (own + config.episodes_per_round - 1) // config.episodes_per_round


def most_episodes(config: Any, problem: Problem) -> jax.Array:
    """Labelled episodes at most: of a table, whose episodes are whole, as `labels` allows."""
    if not (isinstance(config, TabularRounds) and config.labels):
        return problem.num_demos
    return jnp.minimum(problem.num_demos, num_whole(config.labels, problem.horizon))
