"""Behavioural cloning: maximum likelihood on the demonstrations, and nothing else.

Tabular, the estimate is the empirical action distribution where something was seen; where nothing
was seen it is uniform (the definition of Xu, Li and Yu 2022) or the first action. Non-stationary
(one table per step) unless `stationary=true` (one table for all steps). With a network, one of the
losses of `imitax.networks.losses` is minimised by Adam on minibatches until the fit is done
(`imitax.networks.plateau`), or for `num_steps` gradient steps; a linear network under squared error
is solved. An algorithm step is a gradient step where they are counted, and else the gradient steps
up to the next judgement of the fit: with validation `check_every`, the next look at what is held
out.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from imitax.core.config import config, labels_setting, setting
from imitax.core.family import Family
from imitax.core.policies import Policy, tabular
from imitax.core.representation import represented
from imitax.core.types import Algorithm, Demand, Metrics, Problem
from imitax.networks import fit as supervised
from imitax.networks import least_squares, plateau, training
from imitax.networks.dataset import Dataset, dataset, hold_out
from imitax.networks.settings import NetworkSettings, head
from imitax.tabular.estimates import likelihood_table
from imitax.tasks.demonstrations import check_labels, check_shown, num_labels


@config
class TabularBCConfig:
    """Behavioural cloning in a table."""

    policy: str = setting("auto", "representation", choices=("auto", "tabular"))
    stationary: bool = setting(False, "one table for all steps instead of one per step")
    unseen: str = setting("uniform", "action where nothing was seen", choices=("uniform", "first"))
    labels: int = labels_setting()


@config
class NetworkBCConfig(NetworkSettings):
    """Behavioural cloning with a network."""

    num_steps: int = setting(0, "gradient steps; 0 trains until the fit is done", low=0)


class TabularBCState(NamedTuple):
    """The policy's table."""

    table: jax.Array
    """[T, S, A], or [S, A] if stationary."""
    converged: jax.Array


class NetworkBCState(NamedTuple):
    """The network and the samples it learns from."""

    fit: supervised.Fit
    data: Dataset
    converged: jax.Array


def bc(env: Family, config: TabularBCConfig | NetworkBCConfig | None = None) -> Algorithm:
    """Behavioural cloning on an environment.

    Args:
        env: an environment family, from `imitax.make`.
        config: which representation, and its settings; by default a table where the environment
            is tabular, a network elsewhere.

    Returns:
        An `Algorithm`.

    Raises:
        SpecError: a setting out of range, or without meaning on this environment.
    """
    table, network = (TabularBCConfig, _tabular), (NetworkBCConfig, _network)
    return represented(env, config, "bc", table, network)


def _tabular(env: Family, config: TabularBCConfig) -> Algorithm:
    check_labels(config.labels, env, "bc")

    def table(problem: Problem, counts):
        horizon, stationary = problem.horizon, config.stationary
        return likelihood_table(counts, horizon, stationary=stationary, unseen=config.unseen)

    def init(key, problem: Problem):
        del key
        empty = jnp.zeros_like(problem.demonstrations.require_counts())
        return TabularBCState(table(problem, empty), jnp.bool_(False))

    def step(key, problem: Problem, state: TabularBCState):
        del key
        metrics = Metrics(expert_labels=num_labels(problem, config.labels))
        counts = problem.demonstrations.require_counts()
        return state._replace(table=table(problem, counts)), metrics

    def policy(problem: Problem, state: TabularBCState) -> Policy:
        del problem
        return tabular(state.table)

    demand = Demand("counts", labels=config.labels)
    return Algorithm(init, step, policy, lambda _: jnp.int32(1), demand, False, conclude=exact_fit)


def exact_fit(problem: Problem, state: Any, metrics: Metrics) -> Metrics:
    """`conclude` of a learner whose policy is computed: it took no gradient step and is done."""
    del problem, state
    return metrics._replace(fit_converged=jnp.int32(1))


def _network(env: Family, config: NetworkBCConfig) -> Algorithm:
    network, is_counted = head(config, env, "bc"), config.num_steps > 0
    is_exact = least_squares.applies(config, network, is_counted, "bc")
    if is_exact:
        advance = _solve
    elif is_counted:
        advance = _counted_leg if config.validation else _counted_step
    else:
        advance = training.next_leg

    def init(key, problem: Problem):
        check_shown("bc", env, problem.demonstrations)
        num_rows = problem.capacity.num_demos * problem.capacity.horizon
        data = dataset(problem.demonstrations, num_rows, network.num_actions)
        if config.validation:
            key, held_key = jax.random.split(key)
            data = hold_out(held_key, data, config.validation)
        fit = supervised.start(key, network, config, data)
        return NetworkBCState(fit, data, jnp.bool_(False))

    def step(key, problem: Problem, state: NetworkBCState):
        del problem
        data = state.data
        fit = advance(key, network, config, state.fit, data)
        metrics = Metrics(expert_labels=data.size)
        converged = state.converged
        if not (is_counted or is_exact):
            converged = training.is_done(config, fit, data)
        elif config.validation:
            converged = supervised.stopped(config, fit)
        return NetworkBCState(fit, data, converged), metrics

    def policy(problem: Problem, state: NetworkBCState) -> Policy:
        del problem
        return supervised.policy(network, state.fit)

    def num_steps(problem: Problem):
        if is_exact:
            return jnp.int32(1)
        if is_counted:
            leg = config.check_every if config.validation else 1
            return jnp.int32(-(-config.num_steps // leg))
        size = jnp.sum(problem.demonstrations.require_episodes()[2])
        return plateau.most_legs(size, config.batch_size, training.leg_length(config))

    def conclude(problem: Problem, state: NetworkBCState, metrics: Metrics) -> Metrics:
        del problem
        return training.conclude(network, config, state.fit, state.data, metrics)

    demand = Demand("episodes", labels=config.labels)
    stride = 1 if is_counted or is_exact else training.leg_length(config)
    functions = (init, step, policy, num_steps)
    return Algorithm(*functions, demand, False, conclude=conclude, stride=stride)


def _solve(key, network, config, fit, data):
    del key
    return training.solved(network, config, fit, data)


def _counted_step(key, network, config, fit, data):
    progress = supervised.num_taken(fit) / config.num_steps
    return supervised.update(key, network, config, fit, data, progress=progress)[0]


def _counted_leg(key, network, config, fit, data):
    first, count = supervised.num_taken(fit), config.num_steps
    length = jnp.minimum(config.check_every, count - first)
    return training.train_leg(key, network, config, fit, data, first, length, count)
