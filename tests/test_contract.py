"""What every algorithm promises, over one table of all of them.

A case's programs are compiled once and shared by its tests; pytest runs the tests case by case.
"""

import dataclasses
import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, build, experiment, same, table_rows
from ledger import KeyLedger

import imitax
from imitax.bench.programs.program import compiler_options
from imitax.core.types import Capacity, Metrics
from imitax.tasks.experiment import learn

CAPACITY = Capacity(horizon=6, num_demos=5)
LARGER = Capacity(horizon=11, num_demos=40)
HORIZON, NUM_DEMOS, SEED = 5, 4, 3
OUTSIDE = [
    *({"horizon": number} for number in (CAPACITY.horizon + 1, 0, -1)),
    *({"num_demos": number} for number in (CAPACITY.num_demos + 1, 0, -1)),
    {"seed": -1},
]
"""Numbers that no capacity holds, or that are none."""
ELSEWHERE = ("tpu", "cuda")
FEW = [
    next(case for case in CASES if str(case).startswith(begin))
    for begin in ("sine-path-bc:loss=gaussian", "lane-gail:absorbing=true")
]
"""Networks that also run without jit: one that is fitted, and one game."""


@pytest.fixture(scope="module", params=[pytest.param(x, id=str(x)) for x in CASES])
def case(request):
    yield request.param
    for one in {request.param, request.param.with_one_update()}:
        programs(one).clear()


@pytest.fixture(scope="module", autouse=True)
def _nothing_stays():
    yield
    jax.clear_caches()


class Programs:
    """The compiled programs of one case."""

    def __init__(self, case):
        self.case, self.traces, self.made = case, 0, []
        self.env, self.chosen = build(case)
        self.config = jax.tree.map(jnp.float32, self.chosen.config)

    def run(self, capacity, seed, horizon, num_demos, config, spoil=None):
        self.traces += 1
        algorithm = self.chosen.build(self.env, config)
        return experiment(self.env, algorithm, seed, horizon, num_demos, capacity, spoil)

    def spoiled(self, capacity, seed, horizon, num_demos, config, value, garbage):
        """The same, learned where rewards are `value` and the padding holds `garbage`."""

        def spoil(problem):
            shown = self.case.spoil(problem.demonstrations, horizon, garbage)
            params = self.case.with_reward(problem.params, value)
            return dataclasses.replace(problem, params=params, demonstrations=shown)

        return self.run(capacity, seed, horizon, num_demos, config, spoil)

    def learned(self, seed, horizon, num_demos, config):
        """The policy only."""
        algorithm = self.chosen.build(self.env, config)
        instance = imitax.pose(self.env, seed, horizon, num_demos, CAPACITY, algorithm.demand)
        return learn(algorithm, instance)[0].params

    @functools.cached_property
    def in_batch(self):
        return self.compiled(
            jax.vmap(functools.partial(self.run, CAPACITY), in_axes=(0, None, None, None))
        )

    @functools.cached_property
    def in_a_larger_grid(self):
        return self.compiled(functools.partial(self.run, LARGER))

    @functools.cached_property
    def may_be_spoiled(self):
        return self.compiled(functools.partial(self.spoiled, CAPACITY))

    @functools.cached_property
    def alone(self):
        """One seed. Of a table the harness's own program; networks save a compilation with the one
        that has rewards and padding as arguments, here NaN as `pose` leaves them, and clean."""
        if self.case.is_tabular:
            return self.compiled(functools.partial(self.run, CAPACITY))
        return functools.partial(
            self.may_be_spoiled, value=jnp.float32(jnp.nan), garbage=jnp.int32(0)
        )

    def learn(self, value, garbage):
        """The policy learned where rewards are `value` and the padding holds `garbage`."""
        given = {"value": jnp.float32(value), "garbage": jnp.int32(garbage)}
        return self.row(functools.partial(self.may_be_spoiled, **given))["policy"]

    def compiled(self, function):
        """Tables promise equal bits of the harness's programs; for networks compiling is dearer
        than running, and LLVM is told not to try."""
        options = compiler_options()
        if not self.case.is_tabular:
            options["xla_backend_optimization_level"] = "0"
        self.made.append(jax.jit(function, compiler_options=options))
        return self.made[-1]

    def clear(self):
        """Drop what was compiled, or the programs of all cases fill the memory."""
        for program in self.made:
            program.clear_cache()

    def several(self, num_demos):
        """A batch of seeds; the one with index 2 is `SEED`."""
        seeds = jnp.arange(SEED - 2, SEED + 5, dtype=jnp.int32)
        return self.in_batch(seeds, jnp.int32(HORIZON), jnp.int32(num_demos), self.config)

    def row(self, program, seed=SEED, horizon=HORIZON, num_demos=NUM_DEMOS, config=None):
        config = self.config if config is None else config
        return program(jnp.int32(seed), jnp.int32(horizon), jnp.int32(num_demos), config)


@functools.lru_cache(maxsize=2)
def programs(case):
    """Of a case, and of the same case with one update."""
    return Programs(case)


def test_every_public_algorithm_is_in_the_table():
    covered = {case.algorithm.split(":")[0] for case in CASES}
    assert covered == set(imitax.ALGORITHMS)
    for name in covered:
        assert callable(getattr(imitax, name.replace("-", "_")))


def test_no_public_factory_is_missing_from_the_catalogue():
    factories = {entry.factory for entry in imitax.ALGORITHMS.values()}
    public = [getattr(imitax, name) for name in imitax.__all__]
    hints = [(x, getattr(x, "__annotations__", {}).get("return")) for x in public]
    returns = {x for x, hint in hints if hint is imitax.Algorithm}
    assert returns == factories


def test_both_representations_are_in_the_table():
    built = {type(build(case)[1].config) for case in CASES}
    entries = imitax.ALGORITHMS.values()
    assert built == {cls for entry in entries for cls in (entry.tabular, entry.general) if cls}


def test_step_keeps_the_state(case):
    env, chosen = build(case)
    algorithm = chosen.build(env)

    def both():
        instance = imitax.pose(env, jnp.int32(0), HORIZON, NUM_DEMOS, CAPACITY, algorithm.demand)
        state = algorithm.init(jax.random.key(0), instance.problem)
        return state, algorithm.step(jax.random.key(1), instance.problem, state)

    state, (after, metrics) = jax.eval_shape(both)

    def shape(x):
        return x.shape, x.dtype

    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert jax.tree.map(shape, after) == jax.tree.map(shape, state)
    assert isinstance(metrics, Metrics)
    assert "converged" in state._fields


def test_a_seed_alone_equals_that_seed_in_a_batch(case):
    own = programs(case.with_one_update() if case.one_update else case)
    batch = own.several(NUM_DEMOS)
    inside, alone = jax.tree.map(lambda x: x[2], batch), own.row(own.alone)
    np.testing.assert_array_equal(inside["learner_key"], alone["learner_key"])
    if case.is_tabular:
        assert same(inside, alone)
        return
    both = (jax.tree.leaves(x["demonstrations"]) for x in (inside, alone))
    for x, y in zip(*both, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def test_networks_agree_after_one_update(case):
    if not case.one_update:
        assert case.is_tabular or case.algorithm in ("expert", "random")
        return
    own = programs(case.with_one_update())
    batch = own.several(num_demos=1)["policy"]
    alone = own.row(own.alone, num_demos=1)["policy"]
    for x, y in zip(jax.tree.leaves(batch), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(x[2], y, rtol=1e-5, atol=1e-6)


def test_nothing_new_retraces(case):
    own = programs(case)
    changed = jax.tree.map(lambda x: jnp.float32(x * 0.9), own.config)
    own.row(own.alone)
    before = own.traces
    own.row(own.alone, seed=1, horizon=2, num_demos=1)
    own.row(own.alone, seed=2, horizon=6, num_demos=5, config=changed)
    assert own.traces == before > 0


def test_an_accelerator_can_compile_it(case):
    """Lowered on this machine for TPU and CUDA; the first case of each representation."""
    kind = type(build(case)[1].config)
    if next(one for one in CASES if type(build(one)[1].config) is kind) is not case:
        return
    own, seed = programs(case), jax.ShapeDtypeStruct((2,), jnp.int32)
    run = jax.vmap(functools.partial(own.run, CAPACITY), in_axes=(0, None, None, None))
    sizes = (jax.ShapeDtypeStruct((), jnp.int32),) * 2
    lowered = jax.export.export(
        jax.jit(lambda *args: jax.tree.leaves(run(*args))), platforms=ELSEWHERE
    )
    found = lowered(seed, *sizes, own.config)
    assert found.platforms == ELSEWHERE
    assert all(shape.shape[0] == 2 for shape in found.out_avals)


def test_same_key_same_result_another_seed_another(case):
    own = programs(case)
    first, again = own.row(own.alone), own.row(own.alone)
    assert same(first, again)
    other = own.row(own.alone, seed=SEED + 1)
    assert not np.array_equal(first["learner_key"], other["learner_key"])
    assert same(first["policy"], other["policy"]) != case.is_random


def test_a_row_does_not_depend_on_the_grid(case):
    own = programs(case)
    small, large = own.row(own.alone), own.row(own.in_a_larger_grid)
    for name in ("regret", "learner_return", "expert_return", "metrics"):
        assert same(small[name], large[name]), name
    assert same(table_rows(small["policy"], HORIZON), table_rows(large["policy"], HORIZON))


def test_reward_is_never_read(case):
    learn = programs(case).learn
    nan, one = (learn(value, 0) for value in (jnp.nan, 1.0))
    assert same(nan, one)


def test_traced_numbers_out_of_range_give_nan(case):
    own = programs(case)
    good = own.row(own.alone)
    assert good["finite"]
    assert np.isfinite(good["regret"])
    for number in OUTSIDE:
        found = own.row(own.alone, **number)
        assert not found["finite"], number
        for name in ("regret", "learner_return", "expert_return"):
            assert np.isnan(found[name]), (name, number)


def test_padding_is_never_read(case):
    learn = programs(case).learn
    clean, spoiled = (learn(1.0, garbage) for garbage in (0, 1))
    assert same(table_rows(clean, HORIZON), table_rows(spoiled, HORIZON))


def test_the_ledger_sees_reuse():
    with KeyLedger() as ledger:
        key = jax.random.key(0)
        jax.jit(lambda: [jax.random.uniform(key), jax.random.normal(key)])()
        with pytest.raises(AssertionError, match="drawn from twice"):
            ledger.check()
        ledger.spent, ledger.folded = [(9, 9)], []
        jax.jit(lambda: jax.lax.map(lambda _: jax.random.fold_in(key, 1), jnp.arange(2)))()
        with pytest.raises(AssertionError, match="folded twice"):
            ledger.check()
        ledger.spent, ledger.folded = [], []
        jax.jit(lambda: [jax.random.split(key), jax.random.fold_in(key, 1)])()
        with pytest.raises(AssertionError, match="both drawn from and folded"):
            ledger.check()


def test_no_key_is_used_twice(case):
    """Before the evaluation, where policies share their noise; and what was noted is what ran."""
    own = programs(case)
    with KeyLedger() as ledger:
        noted = own.row(own.compiled(own.learned), horizon=3, num_demos=2)
        if case.is_random:
            ledger.check()
    fast = own.row(own.alone, horizon=3, num_demos=2)["policy"]
    for one, other in zip(*map(jax.tree.leaves, (noted, fast)), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)


def test_without_jit_the_same(case):
    if not case.is_tabular and case not in FEW:
        pytest.skip("a network's thousands of small operations, one by one, in two cases only")
    own = programs(case)
    fast = own.row(own.alone, horizon=3, num_demos=2)
    algorithm = own.chosen.build(own.env)
    with jax.disable_jit():
        slow = imitax.experiment(
            own.env, algorithm, *map(jnp.int32, (SEED, 3, 2)), CAPACITY, num_episodes=3
        )
    for name in ("regret", "learner_return", "expert_return"):
        np.testing.assert_allclose(
            fast[name], getattr(slow, name), rtol=2e-4, atol=2e-5, err_msg=name
        )
