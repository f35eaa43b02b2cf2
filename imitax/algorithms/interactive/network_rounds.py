"""Rounds of labelling for a learner with a network, which each round trains on all labels.

The last fit goes on until it is done (`imitax.networks.plateau`), unless gradient steps are
counted. Before the last round, labels are collected by policies that took `FIRST_UPDATES` gradient
steps at first and `ROUND_UPDATES` in each round. Each round goes on from the last one's parameters
or, with `refit=restart`, retrains fresh ones until that fit is done. Observations are measured when
parameters are fresh: by the first demonstrations if rounds go on from them, by all labels if each
round retrains. With `validation`, a sample stays held out for good, and each round keeps its best
parameters.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from imitax.algorithms.interactive.rounds import Acting, NetworkRounds, num_rounds
from imitax.core.family import Family
from imitax.core.policies import Policy
from imitax.core.types import Algorithm, Demand, Metrics, Problem
from imitax.networks import fit as supervised
from imitax.networks import least_squares, training
from imitax.networks.dataset import Dataset, append, dataset, hold_out
from imitax.networks.settings import head
from imitax.tasks import rollout
from imitax.tasks.demonstrations import check_shown

FIRST_UPDATES, ROUND_UPDATES = 1000, 200
"""Gradient steps before the last round, where the settings say none: at first, and in a round."""


class NetworkState(NamedTuple):
    """All labels so far, and the network they train."""

    fit: supervised.Fit
    data: Dataset
    num_episodes: jax.Array
    """Labelled episodes so far, int32."""
    own_steps: jax.Array
    """Environment steps of the rounds' episodes, int32."""
    converged: jax.Array
    error: Any = None
    """Of the learner on the last round's labels; None where it is not measured."""


def network_rounds(env: Family, config: Any, acting: Acting, name: str) -> Algorithm:
    """The rounds of a learner with a network; each step of the algorithm is a round.

    Args:
        env: an environment family.
        config: a `NetworkRounds`; its floats may be traced.
        acting: who acts.
        name: of the algorithm, for messages.

    Raises:
        SpecError: a setting without meaning on this environment.
    """
    network, size = head(config, env, name), config.episodes_per_round
    is_counted = config.first_updates > 0 or config.updates_per_round > 0
    is_exact = least_squares.applies(config, network, is_counted, name)

    def refit(key, fit, data, is_fresh, is_last, has_new):
        if is_exact:
            return training.solved(network, config, fit, data)
        return _refit(key, network, config, fit, data, is_fresh, is_last, has_new)

    def is_full(problem: Problem, data, num_episodes):
        enough = num_episodes >= problem.num_demos
        return enough | (data.size >= config.labels) if config.labels else enough

    def init(key, problem: Problem):
        check_shown(name, env, problem.demonstrations)
        start_key, fit_key = jax.random.split(key)
        # The last round writes `size` episodes of which some may be masked.
        num_rows = problem.capacity.num_demos * problem.capacity.horizon
        data = dataset(problem.demonstrations, num_rows, network.num_actions)
        if config.validation:
            start_key, held_key = jax.random.split(start_key)
            data = hold_out(held_key, data, config.validation)
        fit = supervised.start(start_key, network, config, data)
        num_episodes = problem.demonstrations.num_episodes
        full = is_full(problem, data, num_episodes)
        fit = refit(fit_key, fit, data, True, full, True)
        done = full if config.labels else jnp.bool_(False)
        error = acting.first_error(config, env) if acting.first_error else None
        return NetworkState(fit, data, num_episodes, jnp.int32(0), done, error)

    def step(key, problem: Problem, state: NetworkState):
        roll_key, fit_key = jax.random.split(key)
        index = 1 + (state.num_episodes - problem.demonstrations.num_episodes) // size
        amount = acting.rule(config, problem, index, num_rounds(config, problem), state.error)
        learner = supervised.policy(network, state.fit)
        player = acting.policy(amount, problem.expert, learner)
        own = jnp.minimum(problem.num_demos - state.num_episodes, size)
        labelled = _labelled(roll_key, env, problem, player, size, own)
        if config.labels:
            labelled = _at_most(labelled, config.labels - state.data.size)
        data = append(state.data, *labelled)
        new, num_episodes = data.size - state.data.size, state.num_episodes + own
        full = is_full(problem, data, num_episodes)
        fit = refit(fit_key, state.fit, data, False, full, new > 0)
        own_steps = state.own_steps + new
        done = full if config.labels else state.converged
        error = None
        if acting.error is not None:
            played = jax.vmap(lambda obs: learner(obs, jnp.int32(0)).mode())(labelled.obs)
            error = acting.error(state.error, played, labelled.label, labelled.valid)
        state = NetworkState(fit, data, num_episodes, own_steps, done, error)
        metrics = Metrics(expert_labels=data.size, environment_steps=own_steps)
        return state, metrics

    def policy(problem: Problem, state: NetworkState) -> Policy:
        del problem
        return supervised.policy(network, state.fit)

    def num_steps(problem: Problem):
        return jnp.maximum(num_rounds(config, problem), 1)

    def conclude(problem: Problem, state: NetworkState, metrics: Metrics) -> Metrics:
        del problem
        metrics = metrics._replace(expert_labels=state.data.size, environment_steps=state.own_steps)
        return training.conclude(network, config, state.fit, state.data, metrics)

    demand = Demand("episodes", at_most=config.first_episodes, labels=config.labels)
    return Algorithm(init, step, policy, num_steps, demand, False, conclude=conclude)


def _refit(key, network, config: NetworkRounds, fit, data, is_fresh, is_last, has_new):
    """Train on all labels, from where the last round ended or afresh; not without a new label."""
    restarts = config.refit == "restart"
    if restarts and not is_fresh:
        start_key, key = jax.random.split(key)
        fresh = supervised.start(start_key, network, config, data)
        fresh = fresh._replace(num_updates=fit.num_updates)
        fit = jax.tree.map(lambda new, old: jnp.where(has_new, new, old), fresh, fit)
    from_fresh = is_fresh or restarts
    count = config.first_updates if from_fresh else config.updates_per_round
    where = (key, network, config, fit, data)
    if count:
        new = training.train_on(*where, jnp.where(has_new, count, 0))
    else:
        few = jnp.where(has_new, FIRST_UPDATES if from_fresh else ROUND_UPDATES, 0)
        new = training.train_until_done(*where, is_last=(is_last | restarts) & has_new, few=few)
    return jax.tree.map(lambda new, old: jnp.where(has_new, new, old), new, fit)


class Labelled(NamedTuple):
    """A round's visited observations and the expert's labels, episodes end to end."""

    obs: jax.Array
    """[n, ...]"""
    label: jax.Array
    """[n, ...]"""
    valid: jax.Array
    """bool [n]"""


def _labelled(key, env, problem, player, size, own) -> Labelled:
    """The expert's labels of `own` of `size` episodes of the policy that acts."""

    def run(index):
        return rollout.rollout(
            jax.random.fold_in(key, index),
            env,
            problem.params,
            player,
            problem.horizon,
            problem.capacity.horizon,
            labeller=problem.expert,
        )

    episodes = jax.vmap(run)(jnp.arange(size))
    max_horizon = problem.capacity.horizon
    lengths = jnp.where(jnp.arange(size) < own, episodes.length, 0)
    valid = jnp.arange(max_horizon) < lengths[:, None]
    obs, label = (x.reshape(-1, *x.shape[2:]) for x in (episodes.obs, episodes.label))
    return Labelled(obs, label, valid.ravel())


def _at_most(labelled: Labelled, number: jax.Array) -> Labelled:
    """The first `number` of them."""
    allowed = jnp.cumsum(labelled.valid.astype(jnp.int32)) <= number
    return labelled._replace(valid=labelled.valid & allowed)
