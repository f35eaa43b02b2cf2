"""Rounds of labelling for a learner with a table: labels are counts, and a fit is a frequency."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from imitax.algorithms.cloning.bc import exact_fit
from imitax.algorithms.interactive.rounds import Acting, most_episodes, num_rounds
from imitax.core.distributions import inverse_cdf
from imitax.core.family import Family
from imitax.core.policies import Policy, tabular, tabulate
from imitax.core.types import Algorithm, Demand, Metrics, Problem
from imitax.tabular import walks
from imitax.tabular.estimates import likelihood_row, pooled
from imitax.tabular.mdp import at, put
from imitax.tasks.demonstrations import check_labels, num_labels


class TabularState(NamedTuple):
    """All labels so far, as counts."""

    counts: jax.Array
    """[T, S, A]"""
    num_episodes: jax.Array
    """Labelled episodes so far, int32."""
    converged: jax.Array
    error: Any = None
    """Of the learner on the last round's labels; None where it is not measured."""


def tabular_rounds(env: Family, config: Any, acting: Acting, name: str) -> Algorithm:
    """The rounds of a learner with a table; each step of the algorithm is a round.

    Args:
        env: a tabular family.
        config: a `TabularRounds`.
        acting: who acts.
        name: of the algorithm, for messages.

    Raises:
        SpecError: a number of labels that this environment cannot keep to.
    """
    size = config.episodes_per_round
    check_labels(config.labels, env, name)

    def init(key, problem: Problem):
        del key
        counts = problem.demonstrations.require_counts()
        counts = pooled(counts, problem.horizon)[None] if config.stationary else counts
        shown = problem.demonstrations.num_episodes
        error = acting.first_error(config, env) if acting.first_error else None
        return TabularState(counts, shown, jnp.bool_(False), error)

    def step(key, problem: Problem, state: TabularState):
        horizon = problem.horizon
        own = jnp.minimum(most_episodes(config, problem) - state.num_episodes, size)
        expert = tabulate(problem.expert, env.num_states, problem.capacity.horizon)
        first = problem.demonstrations.num_episodes
        index = 1 + (state.num_episodes - first) // size
        amount = acting.rule(config, problem, index, num_rounds(config, problem), state.error)
        rules = _Round(expert, jnp.cumsum(expert, axis=-1), amount, state.counts)

        def visit(seen, time, state, uniform):
            return _label_and_act(config, acting, rules, seen, time, state, uniform)

        seen = jnp.zeros((problem.capacity.horizon, 2, size), jnp.int32)
        walker = walks.walkers(problem.params.mdp)
        seen = walks.walk(key, walker, horizon, size, visit, seen, num_draws=2)
        valid = _is_labelled(config, state.num_episodes, own, horizon, seen.shape)
        counts = _aggregate_counts(config, state.counts, seen, valid)
        error = _tabular_error(config, acting, state, seen, valid)
        num_episodes = state.num_episodes + own
        asked = num_episodes * horizon
        if config.labels:
            asked = jnp.minimum(asked, config.labels)
        shown = num_labels(problem, config.labels)
        steps = asked - jnp.minimum(first * horizon, asked)
        metrics = Metrics(expert_labels=shown + steps, environment_steps=steps)
        return TabularState(counts, num_episodes, state.converged, error), metrics

    def policy(problem: Problem, state: TabularState) -> Policy:
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
    amount: Any
    """From `Acting.rule`."""
    counts: jax.Array
    """Before the round, [T, S, A], or [1, S, A] if stationary."""


def _label_and_act(config, acting: Acting, rules: _Round, seen, time, state, uniform):
    """Act as the round's mixture does, and note the visited states and their labels."""
    known = rules.counts[0 if config.stationary else time, state]
    expert = at(rules.expert, time)[state]
    learner = likelihood_row(known, config.unseen)
    played = acting.row(rules.amount, expert, learner)
    action = inverse_cdf(jnp.cumsum(played, axis=-1), uniform[:, 0])
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


def _tabular_error(config, acting: Acting, state: TabularState, seen, valid):
    """The error of the learner before the round on the round's labels."""
    if acting.error is None:
        return None
    times = jnp.arange(len(seen))[:, None]
    rows = jnp.zeros_like(times) if config.stationary else times
    played = likelihood_row(state.counts, config.unseen)[rows, seen[:, 0]]
    num_actions = played.shape[-1]
    flat = played.reshape(-1, num_actions), seen[:, 1].ravel(), valid.ravel()
    return acting.error(state.error, *flat)
