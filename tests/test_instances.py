"""Tabular environments as data: the same rows as by hand, one program for all of a size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import imitax
from imitax.bench.plans.plan import Sweep
from imitax.bench.programs import instances
from imitax.bench.programs.program import compiler_options
from imitax.bench.runs.local import collect, resolve, run
from imitax.core.types import Capacity
from imitax.envs.cliffs import ResetCliff
from imitax.envs.tabular import AnyTabular, stand_in

SMALL = "num_actions=3,num_states=4"
HORIZONS, DEMOS, SEEDS = [3, 5], [4], 6


def sweep(environments, algorithms=("bc",), **options):
    return Sweep.grid(environments, algorithms, HORIZONS, DEMOS, SEEDS, **options)


@pytest.mark.parametrize(
    "spec",
    [
        f"reset-cliff:{SMALL},reward=terminal,initial=rajaraman",
        "gridworld:size=3x2,goal=2x1,shift=both,temperature=0.3,subsample=2",
        "random-mdp:num_states=4,num_actions=2,branching=2",
    ],
)
def test_rows_are_those_of_the_experiment_by_hand(spec):
    """Drawn on the way or given, planned or not, shared by all seeds or not: the same bits."""
    env = imitax.environment(spec)
    algorithm = imitax.bc(env)

    def one(seed, horizon):
        return imitax.experiment(env, algorithm, seed, horizon, 4, Capacity(5, 4))

    many = jax.jit(jax.vmap(one, in_axes=(0, None)), compiler_options=compiler_options())
    rows = collect(sweep([spec]))
    for horizon in HORIZONS:
        outcome = many(jnp.arange(SEEDS, dtype=jnp.int32), jnp.int32(horizon))
        own = rows["horizon"] == horizon
        for name in ("regret", "learner_return", "expert_return"):
            np.testing.assert_array_equal(rows[name][own], np.asarray(getattr(outcome, name)))


@pytest.fixture(scope="module")
def shared():
    """Three environments of a size and one of another: results, and what programs cost."""
    names = ("reset-cliff", "recoverable-cliff", "standard-imitation")
    specs = [f"{name}:{SMALL}" for name in names] + ["reset-cliff:num_actions=3,num_states=5"]
    stats = []
    found = list(run(resolve(sweep(specs)), on_program=stats.append))
    return specs, found, stats


def test_environments_of_a_size_share_a_program(shared):
    _, _, stats = shared
    assert [one.num_compilations for one in stats] == [1, 0, 0, 1]


def test_a_shared_program_reads_each_environment(shared):
    """Each draws from keys of its own and moves by its own transitions."""
    specs, found, _ = shared
    means = {}
    for spec in specs[:3]:
        own = [one.columns["regret"] for one in found if one.chunk.environment == spec]
        means[spec] = np.concatenate(own)
    assert len({values.tobytes() for values in means.values()}) == 3
    alone = collect(sweep([specs[1]]))["regret"]
    np.testing.assert_array_equal(means[specs[1]], alone)


def test_large_instances_are_drawn_a_block_at_a_time(shared, monkeypatch):
    specs, found, _ = shared
    monkeypatch.setattr(instances, "LARGEST", 1)
    own = [one.columns["regret"] for one in found if one.chunk.environment == specs[0]]
    rows = collect(sweep([specs[0]], block=2))
    np.testing.assert_array_equal(np.concatenate(own), rows["regret"])


class Own(ResetCliff):
    """Draws its parameters in a way of its own."""

    def sample_params(self, key, horizon, num_demos, max_horizon):
        found = super().sample_params(key, horizon, num_demos, max_horizon)
        return found.replace(mdp=found.mdp._replace(step_reward=2 * found.mdp.step_reward))


def test_what_is_more_than_data_keeps_its_own_program():
    assert stand_in(Own()) is None
    assert stand_in(imitax.environment("lane")) is None
    assert instances.bytes_per_seed(Own(), 5) == 0


def test_what_stands_for_an_environment_is_its_sizes():
    one, other = (AnyTabular(imitax.environment(spec)) for spec in ("reset-cliff", "random-mdp"))
    assert one == AnyTabular(imitax.environment("recoverable-cliff"))
    assert hash(one) == hash(AnyTabular(imitax.environment("recoverable-cliff:initial=uniform")))
    assert one != other
    assert one != AnyTabular(imitax.environment("reset-cliff:subsample=2"))
    grid = AnyTabular(imitax.environment("gridworld:size=2x5,goal=1x4"))
    assert grid.num_actions == one.num_actions
    assert grid != one  # of which maps are drawn


def test_a_program_holds_what_its_instances_weigh():
    env = imitax.environment(f"reset-cliff:{SMALL}")
    transition, reward, table, initial, keys = 4 * 3 * 4, 4 * 3, 4 * 3, 4, 5 * 2
    assert instances.bytes_per_seed(env, 5) == 4 * (transition + reward + table + initial + keys)
    assert instances.bytes_per_seed(imitax.environment("gridworld"), 5) == 0
