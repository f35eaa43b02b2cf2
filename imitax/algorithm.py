"""The one loop that runs any algorithm."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from imitax.types import Algorithm, Metrics, Problem


class Trained(NamedTuple):
    """The end of a training run."""

    state: Any
    metrics: Metrics
    """Of the last step."""
    num_steps: jax.Array
    """Algorithm steps taken, int32."""


def blank_metrics() -> Metrics:
    """Metrics of a learner that has nothing to say."""
    nan, zero = jnp.asarray(jnp.nan), jnp.int32(0)
    return Metrics(zero, zero, nan, nan)


def train(key: jax.Array, algorithm: Algorithm, problem: Problem) -> Trained:
    """Run an algorithm on a problem until it has converged or has taken all its steps.

    Args:
        key: consumed; fold 0 initialises, fold t + 1 is for step t.
        algorithm: from a factory such as `imitax.bc(env, config)`.
        problem: one seed's problem, from `pose`.

    Returns:
        The final state, the last step's metrics and the number of steps.
    """
    limit = algorithm.num_steps(problem)

    def unfinished(loop):
        index, state, _ = loop
        return (index < limit) & ~state.converged

    def advance(loop):
        index, state, metrics = loop
        step_key = jax.random.fold_in(key, index + 1)
        state, found = algorithm.step(step_key, problem, state)
        # A problem in another precision than the default reports in that of the metrics.
        metrics = jax.tree.map(lambda new, old: new.astype(old.dtype), found, metrics)
        return index + 1, state, metrics

    state = algorithm.init(jax.random.fold_in(key, 0), problem)
    start = (jnp.int32(0), state, blank_metrics())
    index, state, metrics = jax.lax.while_loop(unfinished, advance, start)
    return Trained(state, metrics, index)
