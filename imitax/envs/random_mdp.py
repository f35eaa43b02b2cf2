"""A different random MDP for every seed."""

import jax
import jax.numpy as jnp

from imitax.core.config import config, setting
from imitax.core.errors import SpecError
from imitax.core.family import subsampling
from imitax.envs.tabular import Planner, TabularFamily, working_precision
from imitax.numerics.draws import below
from imitax.tabular.mdp import TabularMDP

SPARSE_RATIO = 8
"""Successors are listed where dense rows would be at least so many times longer."""


@config
class RandomMDPSettings:
    """Settings of `random-mdp`."""

    num_states: int = setting(20, "states", low=2, high=4096)
    num_actions: int = setting(4, "actions", low=2, high=1024)
    branching: int = setting(3, "possible successors of each state and action", low=1, high=4096)
    temperature: float = setting(0.0, "expert's temperature, in reward; 0: optimal", low=0.0)
    subsample: int = subsampling()


def distinct(uniform: jax.Array, size: int) -> jax.Array:
    """Uniformly random subsets of {0, ..., size - 1}, by Floyd's algorithm.

    For j = size - count, ..., size - 1: take a uniform number of {0, ..., j}, or j itself where
    that number was taken before (Bentley and Floyd 1987, "A sample of brilliance").

    Args:
        uniform: independent, in [0, 1), [count, ...]; count is at most `size`.
        size: of the set, static.

    Returns:
        int32 [..., count], distinct along the last axis.
    """
    count = uniform.shape[0]

    def add(i, chosen):
        last = size - count + i
        number = below(uniform[i], last + 1)
        taken = jnp.any(chosen == number[..., None], axis=-1)
        return chosen.at[..., i].set(jnp.where(taken, last, number))

    none = jnp.full((*uniform.shape[1:], count), -1, jnp.int32)
    return jax.lax.fori_loop(0, count, add, none)


def simplex(uniform: jax.Array) -> jax.Array:
    """Dirichlet(1, ..., 1) probabilities, as exponentials over their sum.

    Args:
        uniform: independent, in [0, 1), [K, ...].

    Returns:
        [..., K], positive; one, never 0/0, where K is 1 and a draw is exactly zero.
    """
    mass = jnp.maximum(-jnp.log1p(-jnp.moveaxis(uniform, 0, -1)), 2.0**-24)
    return mass / jnp.sum(mass, axis=-1, keepdims=True)


class RandomMDP(TabularFamily):
    """Random successors, probabilities and rewards, with a planning expert.

    Each state and action has `branching` distinct successors, all subsets alike, with
    Dirichlet(1, ..., 1) probabilities, and a reward that is uniform in [0, 1]. All first states
    are alike. The features are the indicators of the pairs (s, a), since the reward belongs to
    pairs.
    """

    family = "random-mdp"

    def __init__(self, settings: RandomMDPSettings | None = None):
        settings = settings or RandomMDPSettings()
        super().__init__(settings, settings.num_states, settings.num_actions)
        if settings.branching > settings.num_states:
            raise SpecError(
                f"{self.family}: branching={settings.branching} distinct successors need as many "
                f"states, and num_states={settings.num_states}; lower branching or raise num_states"
            )

    def instance(self, key, horizon, num_demos, max_horizon):
        """Draw the MDP of a seed; its expert plans in it."""
        settings, branching = self.settings, self.settings.branching
        shape = (settings.num_states, settings.num_actions)
        # One draw for everything: each call of the generator costs most of a second to compile.
        # They are float32 numbers in either precision, so that a seed is the same MDP in both.
        uniform = jax.random.uniform(key, (2 * branching + 1, *shape), jnp.float32)
        successor = distinct(uniform[:branching], settings.num_states)
        dtype = working_precision()
        uniform = uniform.astype(dtype)
        sparse = branching * SPARSE_RATIO <= settings.num_states
        mdp = TabularMDP(
            transition=simplex(uniform[branching:-1]),
            step_reward=uniform[-1],
            final_reward=None,
            initial=jnp.full(settings.num_states, 1.0 / settings.num_states, dtype),
            successor=successor,
        )
        mdp = mdp if sparse else dense(mdp)
        return mdp, Planner(settings.temperature or None)


def dense(mdp: TabularMDP) -> TabularMDP:
    """The same MDP with rows over all states, [S, A, S]."""
    num_states, num_actions = mdp.transition.shape[:2]
    rows = jnp.zeros((num_states, num_actions, num_states), mdp.transition.dtype)
    states = jnp.arange(num_states)[:, None, None]
    actions = jnp.arange(num_actions)[:, None]
    rows = rows.at[states, actions, mdp.successor].add(mdp.transition)
    return mdp._replace(transition=rows, successor=None)
