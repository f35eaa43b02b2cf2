"""The training loop: the one that runs any algorithm."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from imitax.core.border import check_instance, shown
from imitax.core.errors import SpecError
from imitax.core.types import Algorithm, Metrics, Problem, check_problem


class Trained(NamedTuple):
    """The end of a training run."""

    state: Any
    metrics: Metrics
    """Of the last step."""
    num_steps: jax.Array
    """Algorithm steps taken, `stride` of each call, int32."""
    curve: Any = None
    """What `observe` returned at each checkpoint, with a leading axis [K]; None without any."""


def train(
    key: jax.Array,
    algorithm: Algorithm,
    problem: Problem,
    *,
    num_checkpoints: int = 0,
    observe: Callable[[Any, Metrics, jax.Array], Any] | None = None,
) -> Trained:
    """Run an algorithm on a problem until it has converged or stalled, or took all its steps.

    Args:
        key: consumed; fold 0 initialises, fold t + 1 is for step t.
        algorithm: from a factory such as `imitax.bc(env, config)`.
        problem: one seed's problem, from `pose`.
        num_checkpoints: how often to observe, K, static. Checkpoint k comes after step
            ceil((k + 1) L / K) of the L that the algorithm may take, so the last one sees the end;
            a learner that converges before is seen at its end by those that are left. The steps
            are the same with and without, and with 0 the program is too.
        observe: `observe(state, metrics, num_steps) -> tree of arrays`, traced once.

    Returns:
        The final state, the last step's metrics, the number of steps and the observations.

    Raises:
        ValueError: checkpoints without `observe`, or a negative number of them.
        SpecError: no key, algorithm or problem, or a concrete number out of range.
        DataError: demonstrations that contradict themselves or do not fit the capacity; see
            `imitax.core.types.check_problem`.
    """
    if not hasattr(key, "dtype"):
        raise SpecError(f"train: key must be a JAX key, got {shown(key)}; give jax.random.key(0)")
    check_algorithm("train", algorithm)
    check_problem("train", problem)
    if num_checkpoints < 0 or (num_checkpoints and observe is None):
        raise ValueError(f"{num_checkpoints} checkpoints with observe={observe}: give both or none")
    limit = algorithm.num_steps(problem)

    def advance(loop):
        index, state, _ = loop
        step_key = jax.random.fold_in(key, index + 1)
        state, found = algorithm.step(step_key, problem, state)
        return index + 1, state, _arrays(found)

    def run_until(stop, loop):
        def unfinished(loop):
            index, state, _ = loop
            return (index < stop) & ~_is_over(state)

        return jax.lax.while_loop(unfinished, advance, loop)

    def segment(loop, checkpoint):
        index, state, metrics = run_until(_stop(limit, checkpoint, num_checkpoints), loop)
        assert observe is not None
        return (index, state, metrics), observe(state, metrics, index * algorithm.stride)

    def conclude(state, metrics):
        if algorithm.conclude is None:
            return metrics
        return _arrays(algorithm.conclude(problem, state, metrics))

    state = algorithm.init(jax.random.fold_in(key, 0), problem)
    start = (jnp.int32(0), state, _arrays(Metrics()))
    if num_checkpoints == 0:
        index, state, metrics = run_until(limit, start)
        return Trained(state, conclude(state, metrics), index * algorithm.stride)
    (index, state, metrics), curve = jax.lax.scan(segment, start, jnp.arange(num_checkpoints))
    return Trained(state, conclude(state, metrics), index * algorithm.stride, curve)


def _arrays(metrics: Metrics) -> Metrics:
    """Metrics as arrays: counts int32, numbers in the default precision, whatever the problem's."""
    return jax.tree.map(
        lambda value, like: jnp.asarray(value, jnp.int32 if isinstance(like, int) else float),
        metrics,
        Metrics(),
    )


def check_algorithm(owner: str, algorithm: Any) -> None:
    """Refuse what is no algorithm, such as its factory; raises `SpecError`."""
    remedy = "imitax.bc(env, config) makes one, or imitax.algorithm('bc', env).build(env)"
    check_instance(owner, "algorithm", algorithm, Algorithm, remedy)


def _is_over(state: Any) -> jax.Array:
    """Whether a state asks for no further step: it converged, or says that it cannot."""
    return state.converged | getattr(state, "stalled", False)


def _stop(limit: jax.Array, checkpoint: jax.Array, num_checkpoints: int) -> jax.Array:
    """ceil((checkpoint + 1) limit / num_checkpoints), without a product that overflows int32."""
    whole, rest = limit // num_checkpoints, limit % num_checkpoints
    return whole * (checkpoint + 1) + -(-rest * (checkpoint + 1) // num_checkpoints)
