"""Behavioural cloning: maximum likelihood on the demonstrations, and nothing else.

Tabular, the estimate is the empirical action distribution where something was seen; where nothing
was seen it is uniform (the definition of Xu, Li and Yu 2022) or the first action. Non-stationary
(one table per step) unless `stationary=true` (one table for all steps). With a network, one of the
losses of `imitax.losses` is minimised by Adam on minibatches; an algorithm step is a gradient step,
and with validation the `check_every` gradient steps up to a look at the held-out samples.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from imitax import supervised
from imitax.algorithm import blank_metrics
from imitax.config import check_ranges, config, setting
from imitax.demonstrations import num_labels
from imitax.envs.tabular import TabularFamily
from imitax.network_settings import NetworkSettings, head
from imitax.policies import Policy, tabular
from imitax.samples import Dataset, dataset, hold_out
from imitax.types import Algorithm, Demand, Problem


@config
class TabularBCConfig:
    """Behavioural cloning in a table."""

    policy: str = setting("auto", "representation", choices=("auto", "tabular"))
    stationary: bool = setting(False, "one table for all steps instead of one per step")
    unseen: str = setting("uniform", "action where nothing was seen", choices=("uniform", "first"))


@config
class NetworkBCConfig(NetworkSettings):
    """Behavioural cloning with a network."""

    num_steps: int = setting(1000, "gradient steps", low=1)


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


def likelihood_table(
    counts: jax.Array, horizon: jax.Array, *, stationary: bool, unseen: str
) -> jax.Array:
    """The maximum-likelihood policy of a table of counts.

    Args:
        counts: [T, S, A].
        horizon: number of rows that count, int32.
        stationary: whether to share one table among all steps.
        unseen: `uniform` or `first`, the rule where the counts are zero.

    Returns:
        [T, S, A], or [S, A] if stationary.
    """
    return likelihood_row(pooled(counts, horizon) if stationary else counts, unseen)


def pooled(counts: jax.Array, horizon: jax.Array) -> jax.Array:
    """Counts [T, S, A] added over the steps before the horizon, [S, A]; padding is not read."""
    within = (jnp.arange(counts.shape[0]) < horizon)[:, None, None]
    return jnp.sum(jnp.where(within, counts, 0.0), axis=0)


def likelihood_row(counts: jax.Array, unseen: str) -> jax.Array:
    """Relative frequencies over the last axis, and the rule for rows without a count."""
    total = jnp.sum(counts, axis=-1, keepdims=True)
    num_actions = counts.shape[-1]
    default = jnp.full(num_actions, 1.0 / num_actions, counts.dtype)
    if unseen == "first":
        default = jax.nn.one_hot(0, num_actions, dtype=counts.dtype)
    return jnp.where(total > 0, counts / jnp.maximum(total, 1.0), default)


def bc(env: Any, config: TabularBCConfig | NetworkBCConfig | None = None) -> Algorithm:
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
    if config is None:
        config = TabularBCConfig() if isinstance(env, TabularFamily) else NetworkBCConfig()
    check_ranges(config, "bc")
    return _tabular(config) if isinstance(config, TabularBCConfig) else _network(env, config)


def _tabular(config: TabularBCConfig) -> Algorithm:
    def table(problem: Problem, counts):
        horizon, stationary = problem.horizon, config.stationary
        return likelihood_table(counts, horizon, stationary=stationary, unseen=config.unseen)

    def init(key, problem: Problem):
        del key
        empty = jnp.zeros_like(problem.demonstrations.require_counts())
        return TabularBCState(table(problem, empty), jnp.bool_(False))

    def step(key, problem: Problem, state: TabularBCState):
        del key
        metrics = blank_metrics()._replace(expert_labels=num_labels(problem))
        counts = problem.demonstrations.require_counts()
        return state._replace(table=table(problem, counts)), metrics

    def policy(problem: Problem, state: TabularBCState) -> Policy:
        del problem
        return tabular(state.table)

    return Algorithm(init, step, policy, lambda _: jnp.int32(1), Demand("counts"), False)


def _network(env: Any, config: NetworkBCConfig) -> Algorithm:
    network, num_updates = head(config, env, "bc"), config.num_steps

    def init(key, problem: Problem):
        num_rows = problem.capacity.num_demos * problem.capacity.horizon
        data = dataset(problem.demonstrations, num_rows, network.num_actions)
        if config.validation:
            key, held_key = jax.random.split(key)
            data = hold_out(held_key, data, config.validation)
        fit = supervised.start(key, network, config, data)
        return NetworkBCState(fit, data, jnp.bool_(False))

    def step(key, problem: Problem, state: NetworkBCState):
        del problem
        fit, data, converged = state
        done = supervised.num_taken(fit)
        if config.validation:
            fit = supervised.train_and_look(key, network, config, fit, data, done, num_updates)
            converged = supervised.stopped(config, fit)
        else:
            progress = done / num_updates
            fit, _ = supervised.update(key, network, config, fit, data, progress=progress)
        metrics = blank_metrics()._replace(expert_labels=data.size)
        return NetworkBCState(fit, data, converged), metrics

    def policy(problem: Problem, state: NetworkBCState) -> Policy:
        del problem
        return supervised.policy(network, state.fit)

    legs = -(-num_updates // config.check_every) if config.validation else num_updates
    return Algorithm(init, step, policy, lambda _: jnp.int32(legs), Demand("episodes"), False)
