"""DAgger: behavioural cloning on the learner's own states, labelled by the expert.

Ross, Gordon and Bagnell 2011, algorithm 3.1, with true aggregation: every label ever asked for is
kept, and each round refits on all of them. `num_demos` counts expert-labelled episodes, as for
behavioural cloning: the first `first_episodes` are the seed's demonstrations, the others are the
learner's own, `episodes_per_round` in each round. In round i (from 1) of n the expert acts at each
step with probability beta_i:

    constant      beta               (0 by default: the learner acts alone)
    linear        max(beta_min, 1 - i/n), or 1 - i/rampdown where that is given
    exponential   beta_decay^i       (the paper's p^i)

We return the last policy; the paper returns the best on validation. A network's losses and training
are those of behavioural cloning: its last fit goes on until it is done (`imitax.networks.plateau`),
unless gradient steps are counted. Before the last round, labels are collected by policies that took
`FIRST_UPDATES` gradient steps at first and `ROUND_UPDATES` in each round. Each round goes on from
the last one's parameters or, with `refit=restart`, retrains fresh ones until that fit is done.
Observations are measured when parameters are fresh: by the first demonstrations if rounds go on
from them, by all labels if each round retrains. With `validation`, a sample stays held out for
good, and each round keeps its best parameters. `labels` ends the asking: the episode that would
pass it is labelled in part, and none follows.
"""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from imitax.algorithms.cloning.bc import exact_fit
from imitax.core.config import among, check_settings, config, labels_setting, setting
from imitax.core.distributions import Distribution, Mixture, inverse_cdf
from imitax.core.family import Family
from imitax.core.policies import Policy, tabular, tabulate
from imitax.core.train import blank_metrics
from imitax.core.types import Algorithm, Demand, Metrics, Problem
from imitax.networks import fit as supervised
from imitax.networks import least_squares, training
from imitax.networks.dataset import Dataset, append, dataset, hold_out
from imitax.networks.settings import NetworkSettings, head
from imitax.numerics.sums import rounded
from imitax.tabular import walks
from imitax.tabular.estimates import likelihood_row, pooled
from imitax.tabular.mdp import at, put
from imitax.tasks import rollout
from imitax.tasks.demonstrations import check_labels, num_labels, num_whole

FIRST_UPDATES, ROUND_UPDATES = 1000, 200
"""Gradient steps before the last round, where the settings say none: at first, and in a round."""


@config
class Mixing:
    """How much the expert acts, and how many episodes a round has."""

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
    episodes_per_round: int = setting(1, "the learner's episodes in a round", low=1)
    first_episodes: int = setting(1, "demonstrations before the first round", low=1)


@config
class TabularDaggerConfig(Mixing):
    """DAgger in a table."""

    policy: str = setting("auto", "representation", choices=("auto", "tabular"))
    stationary: bool = setting(False, "one table for all steps instead of one per step")
    unseen: str = setting("uniform", "action where nothing was seen", choices=("uniform", "first"))
    labels: int = labels_setting()


@config
class NetworkDaggerConfig(Mixing, NetworkSettings):
    """DAgger with a network."""

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


class TabularDaggerState(NamedTuple):
    """All labels so far, as counts."""

    counts: jax.Array
    """[T, S, A]"""
    num_episodes: jax.Array
    """Labelled episodes so far, int32."""
    converged: jax.Array


class NetworkDaggerState(NamedTuple):
    """All labels so far, and the network they train."""

    fit: supervised.Fit
    data: Dataset
    num_episodes: jax.Array
    """Labelled episodes so far, int32."""
    own_steps: jax.Array
    """Environment steps of the learner's episodes, int32."""
    converged: jax.Array


def expert_share(config: Mixing, round_index: jax.Array, num_rounds: jax.Array) -> jax.Array:
    """beta_i of round i in 1..n; see the head of the file."""
    if config.schedule == "linear":
        last = config.rampdown or jnp.maximum(num_rounds, 1)
        return jnp.maximum(config.beta_min, 1.0 - round_index / last)
    if config.schedule == "exponential":
        return jnp.asarray(config.beta_decay) ** round_index
    return jnp.asarray(config.beta, jnp.float32)


def num_rounds(config: Mixing, problem: Problem) -> jax.Array:
    """Rounds of the learner's own episodes, int32: what the demonstrations leave, rounded up."""
    most = _most_episodes(config, problem)
    own = most - jnp.minimum(config.first_episodes, most)
    return (own + config.episodes_per_round - 1) // config.episodes_per_round


def _most_episodes(config: Any, problem: Problem) -> jax.Array:
    """Labelled episodes at most: of a table, whose episodes are whole, as `labels` allows."""
    if not config.labels or not isinstance(config, TabularDaggerConfig):
        return problem.num_demos
    return jnp.minimum(problem.num_demos, num_whole(config.labels, problem.horizon))


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
    if config is None:
        is_table = env.is_tabular
        config = TabularDaggerConfig() if is_table else NetworkDaggerConfig()
    check_settings(config, "dagger")
    if isinstance(config, TabularDaggerConfig):
        return _tabular(env, config)
    return _network(env, config)


def _tabular(env: Family, config: TabularDaggerConfig) -> Algorithm:
    size = config.episodes_per_round
    check_labels(config.labels, env, "dagger")

    def init(key, problem: Problem):
        del key
        counts = problem.demonstrations.require_counts()
        counts = pooled(counts, problem.horizon)[None] if config.stationary else counts
        return TabularDaggerState(counts, problem.demonstrations.num_episodes, jnp.bool_(False))

    def step(key, problem: Problem, state: TabularDaggerState):
        horizon = problem.horizon
        own = jnp.minimum(_most_episodes(config, problem) - state.num_episodes, size)
        expert = tabulate(problem.expert, env.num_states, problem.capacity.horizon)
        first = problem.demonstrations.num_episodes
        index = 1 + (state.num_episodes - first) // size
        share = expert_share(config, index, num_rounds(config, problem))
        rules = _Round(expert, jnp.cumsum(expert, axis=-1), share, state.counts)

        def visit(seen, time, state, uniform):
            return _label_and_act(config, rules, seen, time, state, uniform)

        seen = jnp.zeros((problem.capacity.horizon, 2, size), jnp.int32)
        walker = walks.walkers(problem.params.mdp)
        seen = walks.walk(key, walker, horizon, size, visit, seen, num_draws=2)
        valid = _is_labelled(config, state.num_episodes, own, horizon, seen.shape)
        counts = _aggregate_counts(config, state.counts, seen, valid)
        num_episodes = state.num_episodes + own
        asked = num_episodes * horizon
        if config.labels:
            asked = jnp.minimum(asked, config.labels)
        shown = num_labels(problem, config.labels)
        steps = asked - jnp.minimum(first * horizon, asked)
        metrics = blank_metrics()._replace(expert_labels=shown + steps, environment_steps=steps)
        return TabularDaggerState(counts, num_episodes, state.converged), metrics

    def policy(problem: Problem, state: TabularDaggerState) -> Policy:
        del problem
        counts = state.counts[0] if config.stationary else state.counts
        return tabular(likelihood_row(counts, config.unseen))

    def num_steps(problem: Problem):
        return jnp.maximum(num_rounds(config, problem), 1)

    demand = Demand("counts", at_most=config.first_episodes, labels=config.labels)
    return Algorithm(init, step, policy, num_steps, demand, False, conclude=exact_fit)


class _Round(NamedTuple):
    """What stays the same during a round."""

    expert: jax.Array
    expert_cdf: jax.Array
    share: jax.Array
    counts: jax.Array
    """Before the round, [T, S, A], or [1, S, A] if stationary."""


def _label_and_act(config, rules: _Round, seen, time, state, uniform):
    """Act as the round's mixture does, and note the visited states and their labels."""
    known = rules.counts[0 if config.stationary else time, state]
    expert = at(rules.expert, time)[state]
    learner = likelihood_row(known, config.unseen)
    acting = rounded(rules.share * expert) + rounded((1.0 - rules.share) * learner)
    action = inverse_cdf(jnp.cumsum(acting, axis=-1), uniform[:, 0])
    label = inverse_cdf(at(rules.expert_cdf, time)[state], uniform[:, 1])
    return put(seen, time, jnp.stack([state, label])), action


def _is_labelled(config, num_episodes, own, horizon, shape):
    """Which steps of a round's episodes the expert labels, bool [T, B]: all of the first `own`."""
    times, index = jnp.arange(shape[0])[:, None], jnp.arange(shape[2])
    valid = (times < horizon) & (index < own)
    if config.labels:
        valid &= (num_episodes + index) * horizon + times < config.labels
    return valid


def _aggregate_counts(config, counts, seen, valid):
    """Add the valid labels of a round, seen [T, 2, B] and valid [T, B], to the counts."""
    times = jnp.arange(len(seen))[:, None]
    rows = jnp.zeros_like(times) if config.stationary else times
    return counts.at[rows, seen[:, 0], seen[:, 1]].add(valid.astype(counts.dtype))


def mixed(params: Any, obs: jax.Array, time: jax.Array) -> Distribution:
    """`apply` of the acting policy: the expert with probability `share` at each step."""
    expert, learner, share = params
    return Mixture(expert(obs, time), learner(obs, time), share)


def _network(env: Family, config: NetworkDaggerConfig) -> Algorithm:
    network, size = head(config, env, "dagger"), config.episodes_per_round
    is_counted = config.first_updates > 0 or config.updates_per_round > 0
    is_exact = least_squares.applies(config, network, is_counted, "dagger")

    def refit(key, fit, data, is_fresh, is_last, has_new):
        if is_exact:
            return training.solved(network, config, fit, data)
        return _refit(key, network, config, fit, data, is_fresh, is_last, has_new)

    def is_full(problem: Problem, data, num_episodes):
        enough = num_episodes >= problem.num_demos
        return enough | (data.size >= config.labels) if config.labels else enough

    def init(key, problem: Problem):
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
        return NetworkDaggerState(fit, data, num_episodes, jnp.int32(0), done)

    def step(key, problem: Problem, state: NetworkDaggerState):
        roll_key, fit_key = jax.random.split(key)
        index = 1 + (state.num_episodes - problem.demonstrations.num_episodes) // size
        share = expert_share(config, index, num_rounds(config, problem))
        acting = Policy((problem.expert, supervised.policy(network, state.fit), share), mixed)
        own = jnp.minimum(problem.num_demos - state.num_episodes, size)
        data = _aggregate(roll_key, env, problem, acting, size, own, state.data, config.labels)
        new, num_episodes = data.size - state.data.size, state.num_episodes + own
        full = is_full(problem, data, num_episodes)
        fit = refit(fit_key, state.fit, data, False, full, new > 0)
        own_steps = state.own_steps + new
        done = full if config.labels else state.converged
        state = NetworkDaggerState(fit, data, num_episodes, own_steps, done)
        metrics = blank_metrics()._replace(expert_labels=data.size, environment_steps=own_steps)
        return state, metrics

    def policy(problem: Problem, state: NetworkDaggerState) -> Policy:
        del problem
        return supervised.policy(network, state.fit)

    def num_steps(problem: Problem):
        return jnp.maximum(num_rounds(config, problem), 1)

    def conclude(problem: Problem, state: NetworkDaggerState, metrics: Metrics) -> Metrics:
        del problem
        metrics = metrics._replace(expert_labels=state.data.size, environment_steps=state.own_steps)
        return training.conclude(network, config, state.fit, state.data, metrics)

    demand = Demand("episodes", at_most=config.first_episodes, labels=config.labels)
    return Algorithm(init, step, policy, num_steps, demand, False, conclude=conclude)


def _refit(key, network, config: NetworkDaggerConfig, fit, data, is_fresh, is_last, has_new):
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


def _aggregate(key, env, problem, acting, size, own, data, most):
    """Append the expert's labels of `own` of `size` episodes of the acting policy, up to `most`."""

    def run(index):
        return rollout.rollout(
            jax.random.fold_in(key, index),
            env,
            problem.params,
            acting,
            problem.horizon,
            problem.capacity.horizon,
            labeller=problem.expert,
        )

    episodes = jax.vmap(run)(jnp.arange(size))
    max_horizon = problem.capacity.horizon
    lengths = jnp.where(jnp.arange(size) < own, episodes.length, 0)
    valid = jnp.arange(max_horizon) < lengths[:, None]
    flat = [x.reshape(size * max_horizon, *x.shape[2:]) for x in (episodes.obs, episodes.label)]
    valid = valid.ravel()
    if most:
        valid &= data.size + jnp.cumsum(valid.astype(jnp.int32)) <= most
    return append(data, flat[0], flat[1], valid)
