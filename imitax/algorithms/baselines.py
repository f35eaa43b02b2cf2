"""Baselines, or controls: policies that learn nothing, against which learners are read.

`expert` has regret zero, `random` knows nothing, and `noisy-expert` is the lower-bound example of
the theory: a policy whose loss under the expert's states is set by hand, so that two policies with
the same behavioural-cloning loss can differ in regret by what they do off those states.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from imitax.core.border import chosen_config
from imitax.core.config import config, setting
from imitax.core.family import Family
from imitax.core.policies import Policy, tabular, tabulate, uniform
from imitax.core.types import Algorithm, Demand, Metrics, Problem
from imitax.numerics import sums
from imitax.tabular import mdp as exact
from imitax.tabular.mdp import TabularMDP


@config
class ControlConfig:
    """No settings."""


@config
class NoisyExpertConfig:
    """The imposed error of `noisy-expert`."""

    epsilon: float = setting(0.01, "slip per step on the expert's states", low=0.0, high=1.0)
    off_support: str = setting(
        "recover",
        "off the expert's states: its action, or the likeliest way to stay",
        choices=("recover", "stay"),
    )
    slip: str = setting(
        "every",
        "at every step, or all horizon * epsilon of it at the first",
        choices=("every", "first"),
    )


class ControlState(NamedTuple):
    """Nothing is learned."""

    converged: jax.Array


def _control(policy, knows_dynamics: bool) -> Algorithm:
    def init(key, problem):
        del key, problem
        return ControlState(jnp.bool_(False))

    def step(key, problem, state):
        del key, problem
        return state, Metrics()

    demand = Demand("none")
    return Algorithm(init, step, policy, lambda _: jnp.int32(1), demand, knows_dynamics)


def expert(env: Family, config: ControlConfig | None = None) -> Algorithm:
    """The expert itself; its regret is exactly zero."""
    chosen_config("expert", env, config, None, ControlConfig)
    return _control(lambda problem, _: problem.expert, knows_dynamics=False)


def random(env: Family, config: ControlConfig | None = None) -> Algorithm:
    """Uniform over the action space, at every step.

    Raises:
        ValueError: the action space is neither discrete nor a bounded box.
    """
    chosen_config("random", env, config, None, ControlConfig)
    policy = uniform(env.action_space(env.default_params), env.name)
    return _control(lambda problem, _: policy, False)


def slip_share(config: NoisyExpertConfig, horizon: jax.Array, time: jax.Array) -> jax.Array:
    """Probability of a slip at a time step: epsilon, or min(1, epsilon H) at the first only."""
    if config.slip == "every":
        return jnp.asarray(config.epsilon, jnp.result_type(float))
    first = jnp.minimum(1.0, config.epsilon * horizon)
    return jnp.where(time == 0, first, 0.0)


def staying(mdp: TabularMDP, expert_row: jax.Array) -> jax.Array:
    """The action likeliest to stay among those the expert does not play, one-hot [S, A]."""
    states = jnp.arange(mdp.initial.shape[0])
    if mdp.successor is None:
        stay = mdp.transition[states, :, states]
    else:
        here = mdp.successor == states[:, None, None]
        stay = jnp.sum(jnp.where(here, mdp.transition, 0.0), axis=-1)
    stay = jnp.where(expert_row > 0, -1.0, stay)
    return jax.nn.one_hot(jnp.argmax(stay, axis=-1), stay.shape[-1])


def noisy_expert(env: Family, config: NoisyExpertConfig | None = None) -> Algorithm:
    """The expert with imposed slips, in a tabular MDP.

    Where the expert's own occupancy is positive at a step, each of the other actions gets an equal
    part of the slip probability. Elsewhere the policy recovers (plays the expert's action) or
    stays. Ross and Bagnell 2010's learner, all of whose error falls in the first step, is
    `slip=first,off_support=stay`.

    Args:
        env: a tabular family.
        config: the slip probability and what happens off the expert's states.
    """
    chosen = chosen_config("noisy-expert", env, config, NoisyExpertConfig, None)

    def policy(problem: Problem, state) -> Policy:
        del state
        mdp, max_horizon = problem.params.mdp, problem.capacity.horizon
        shape = (max_horizon, env.num_states, env.num_actions)
        plays = tabulate(problem.expert, env.num_states, max_horizon)
        visited = exact.occupancy(mdp, plays, problem.horizon, max_horizon) > 0
        plays = jnp.broadcast_to(plays, shape)
        share = slip_share(chosen, problem.horizon, jnp.arange(max_horizon)[:, None, None])
        others = (1.0 - plays) / (env.num_actions - 1)
        slipping = sums.rounded((1.0 - share) * plays) + sums.rounded(share * others)
        off = plays if chosen.off_support == "recover" else jax.vmap(staying, (None, 0))(mdp, plays)
        return tabular(jnp.where(visited[..., None], slipping, off))

    return _control(policy, knows_dynamics=True)
