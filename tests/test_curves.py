"""Learning curves: the checkpoints of `imitax.train`, and the rows a sweep makes of them."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import imitax
from imitax.bench.programs.curves import EPISODES
from imitax.bench.runs.local import Sweep, concatenate, resolve, run
from imitax.bench.schema import CURVES, to_table
from imitax.core.train import _stop
from imitax.core.types import Algorithm, Demand, Metrics

KEYS = ["environment", "algorithm", "horizon", "num_demos", "seed"]


class Count(NamedTuple):
    """How many steps were taken, and a sum of what their keys drew."""

    steps: jax.Array
    drawn: jax.Array
    converged: jax.Array


def counter(limit, enough):
    """An algorithm that converges at `enough` of at most `limit` steps."""

    def step(key, problem, state):
        del problem
        steps = state.steps + 1
        drawn = state.drawn + jax.random.uniform(key)
        return Count(steps, drawn, steps >= enough), Metrics(expert_labels=steps)

    def init(key, problem):
        del key, problem
        return Count(jnp.int32(0), jnp.float32(0), jnp.bool_(False))

    return Algorithm(
        init, step, lambda problem, state: None, lambda _: limit, Demand("none"), False
    )


def observe(state, metrics, num_steps):
    return state.steps, metrics.expert_labels, num_steps, state.drawn


@functools.cache
def unread():
    """A problem that the counter does not read; posed outside the trace that asks for it."""
    env = imitax.environment("reset-cliff:num_states=3")
    with jax.ensure_compile_time_eval():
        return imitax.pose(env, 0, 2, 1, imitax.Capacity(2, 1), Demand("none")).problem


def trained(limit, enough, **options):
    return imitax.train(jax.random.key(3), counter(limit, enough), unread(), **options)


LIMITS = [(1, 99), (2, 99), (12, 99), (13, 99), (13, 5)]
"""Steps that may be taken, and the step that converges."""


@functools.cache
def drawn_after():
    """What the counter has drawn after 0, 1, ... steps, in runs of their own."""
    return jax.jit(jax.vmap(lambda limit: trained(limit, 99).state.drawn))(jnp.arange(14))


@pytest.mark.parametrize("num_checkpoints", [1, 3, 7])
def test_checkpoints_are_even_and_the_last_is_at_the_end(num_checkpoints):
    options = {"num_checkpoints": num_checkpoints, "observe": observe}
    run_all = jax.jit(jax.vmap(lambda limit, enough: trained(limit, enough, **options).curve))
    found = run_all(*jnp.array(LIMITS).T)
    for (limit, enough), *seen in zip(LIMITS, *found, strict=True):
        stops = [math.ceil((k + 1) * limit / num_checkpoints) for k in range(num_checkpoints)]
        expected = [min(stop, enough) for stop in stops]
        assert expected[-1] == min(limit, enough)
        for column in seen[:3]:
            assert column.tolist() == expected
        np.testing.assert_array_equal(seen[3], drawn_after()[np.array(expected)])


def test_checkpoints_change_nothing():
    plain = trained(jnp.int32(11), 9)
    seen = trained(jnp.int32(11), 9, num_checkpoints=4, observe=observe)
    assert plain.curve is None
    for left, right in zip(jax.tree.leaves(plain), jax.tree.leaves(seen[:3]), strict=True):
        np.testing.assert_array_equal(left, right)


def test_stops_do_not_overflow():
    limit, count = 2**31 - 1, 1000
    stops = jax.vmap(lambda k: _stop(jnp.int32(limit), k, count))(jnp.arange(count))
    assert stops.tolist() == [-(-limit * (k + 1) // count) for k in range(count)]


@pytest.mark.parametrize("options", [{"num_checkpoints": 3}, {"num_checkpoints": -1}])
def test_checkpoints_without_an_observer_are_refused(options):
    with pytest.raises(ValueError, match="observe=None"):
        trained(jnp.int32(2), 2, **options)


def swept(environment, algorithm, cells=((5, 4),), seeds=3, **options):
    """Rows and curves of a sweep."""
    horizons, demos = (sorted(set(axis)) for axis in zip(*cells, strict=True))
    sweep = Sweep.grid([environment], [algorithm], horizons, demos, seeds=seeds, **options)
    results = list(run(resolve(sweep)))
    rows = pd.DataFrame(concatenate(result.columns for result in results))
    if not sweep.curve:
        assert all(result.curve is None for result in results)
        return rows, None
    return rows, pd.DataFrame(concatenate(result.curve for result in results))


LANE = "lane:noise=0.3"


@pytest.fixture(scope="module")
def lane():
    spec = "bc:act=sample,hidden=4,learning_rate=0.05,loss=gaussian,num_steps={}"
    evaluated = {"evaluation_episodes": EPISODES}
    whole = swept(LANE, spec.format(6), curve=2, chunk_size=2, **evaluated)
    return whole, swept(LANE, spec.format(3), **evaluated)[0]


def test_a_checkpoint_is_the_policy_of_a_shorter_training(lane):
    (rows, curve), half = lane
    assert curve.groupby(KEYS, sort=False)["checkpoint"].apply(list).tolist() == [[0, 1]] * 3
    assert curve["iterations"].tolist() == [3, 6] * 3
    assert curve["expert_labels"].tolist() == np.repeat(rows["expert_labels"], 2).tolist()
    for checkpoint, expected in enumerate((half, rows)):
        own = curve[curve["checkpoint"] == checkpoint]
        for name in ("learner_return", "regret"):
            np.testing.assert_allclose(own[name], expected[name], rtol=1e-5)
    assert half["learner_return"].nunique() > 1
    assert not np.allclose(half["learner_return"], rows["learner_return"])


def test_the_columns_are_those_of_the_files(lane):
    (_, curve), _ = lane
    assert list(curve.columns.sort_values()) == sorted(CURVES.names)
    table = to_table({name: curve[name].to_numpy() for name in curve}, CURVES)
    assert table.schema.equals(CURVES)


def test_tabular_rows_are_the_same_bits_with_curves():
    cells = ((4, 3), (7, 5))
    plain, _ = swept("reset-cliff", "dagger", cells)
    seen, curve = swept("reset-cliff", "dagger", cells, curve=3)
    pd.testing.assert_frame_equal(plain, seen, check_exact=True)
    last = curve[curve["checkpoint"] == 2].reset_index(drop=True)
    names = [*KEYS, "learner_return", "regret", "iterations", "expert_labels"]
    pd.testing.assert_frame_equal(last[names], seen[names], check_exact=True)
    assert curve["iterations"].tolist()[:3] == [1, 2, 2]
    assert curve["regret"].nunique() > 6


def test_a_policy_without_finite_numbers_has_no_point():
    _, curve = swept("lane", "bc:hidden=4,learning_rate=3e38,num_steps=4", curve=2)
    assert curve["learner_return"].isna().all()
    assert curve["regret"].isna().all()
