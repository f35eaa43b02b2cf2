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
from ledger import KeyLedger, unnoted

import imitax
from imitax.bench.programs.program import compiler_options
from imitax.core.types import Capacity, Metrics

CAPACITY = Capacity(horizon=6, num_demos=5)
LARGER = Capacity(horizon=11, num_demos=40)
HORIZON, NUM_DEMOS, SEED = 5, 4, 3
OUTSIDE = [
    *({"horizon": number} for number in (CAPACITY.horizon + 1, 0, -1)),
    *({"num_demos": number} for number in (CAPACITY.num_demos + 1, 0, -1)),
    {"seed": -1},
]
"""Numbers that no capacity holds, or that are none."""
SMALLER = Capacity(horizon=3, num_demos=2)
SEEDS = jnp.arange(SEED - 2, SEED + 5, dtype=jnp.int32)
"""A batch; the one with index 2 is `SEED`."""
UNSPOILED = {"value": jnp.float32(jnp.nan), "garbage": jnp.int32(0)}
QUICK = {"xla_backend_optimization_level": "0", "xla_cpu_use_fusion_emitters": False}
"""Compiling is dearer than running, and XLA is told not to try."""
EMITTERS = {"xla_cpu_use_fusion_emitters": True}
ELSEWHERE = ("tpu", "cuda")
FEW = [
    next(case for case in CASES if str(case).startswith(begin))
    for begin in ("sine-path-bc:loss=gaussian", "lane-gail:absorbing=true")
]
"""Networks that also run without jit: one that is fitted, and one game."""
AS_RUN = [
    next(case for case in CASES if case.is_tabular and str(case).endswith(end))
    for end in (
        "-bc",
        "dagger:beta=linear,episodes_per_round=2",
        "dart:noise=0.3",
        "maxent-irl:num_steps=12,discount=0.9",
        "gail:divergence=tv,num_steps=4,entropy=0.01",
        "gail:player=policy-gradient,reward=logit,num_steps=4",
        "gail:rollouts=sampled,episodes=6,num_steps=4",
    )
]
"""Tables of every kind whose programs are also compiled as the harness does."""


@pytest.fixture(scope="module", params=[pytest.param(x, id=str(x)) for x in CASES])
def case(request):
    yield request.param
    programs(request.param).clear()


@pytest.fixture(scope="module", autouse=True)
def _nothing_stays():
    yield
    jax.clear_caches()


class Programs:
    """The compiled programs of one case: one seed with every draw noted, of two grids, and a batch.

    A table's batch is one of the larger grid, so that a table needs two programs only.
    """

    def __init__(self, case):
        self.case, self.traces, self.made = case, 0, []
        self.env, self.chosen = build(case)
        self.config = jax.tree.map(jnp.float32, self.chosen.config)
        run = functools.partial(self.run, LARGER if case.is_tabular else CAPACITY)
        self.batched = jax.vmap(run, in_axes=(0, None, None, None))

    def run(self, capacity, seed, horizon, num_demos, config, **options):
        self.traces += 1
        algorithm = self.chosen.build(self.env, config)
        return experiment(self.env, algorithm, seed, horizon, num_demos, capacity, **options)

    def spoiled(self, capacity, seed, horizon, num_demos, config, value, garbage):
        """The same, learned where rewards are `value` and the padding holds `garbage`; without
        notes in the evaluation, where policies share their noise."""

        def change(instance):
            problem = instance.problem
            problem = dataclasses.replace(
                problem,
                params=self.case.with_reward(problem.params, value),
                demonstrations=self.case.spoil(problem.demonstrations, horizon, garbage),
            )
            key = unnoted(instance.evaluation_key)
            return dataclasses.replace(instance, problem=problem, evaluation_key=key)

        return self.run(capacity, seed, horizon, num_demos, config, change=change)

    def noted(self, capacity):
        """A program of one seed, and the ledger of its first run.

        Networks promise that the grid moves no bit of what the fusion emitters compile; tables
        promise it of any program.
        """
        options = QUICK if self.case.is_tabular else QUICK | EMITTERS
        run = functools.partial(self.spoiled, capacity)
        program, ledger = self.compiled(run, options), KeyLedger()
        with ledger:
            self.row(functools.partial(program, **UNSPOILED), horizon=3, num_demos=2)
            jax.effects_barrier()
        return program, ledger

    @functools.cached_property
    def small(self):
        return self.noted(CAPACITY)

    @functools.cached_property
    def large(self):
        return self.noted(LARGER)

    @functools.cached_property
    def in_batch(self):
        return self.compiled(self.batched, QUICK)

    @property
    def alone(self):
        """One seed, with rewards and padding as `pose` leaves them."""
        return functools.partial(self.small[0], **UNSPOILED)

    def in_a_larger_grid(self):
        """`SEED`, alone where there are networks."""
        if self.case.is_tabular:
            return self.inside()
        return self.row(functools.partial(self.large[0], **UNSPOILED))

    def learn(self, value, garbage):
        """The policy learned where rewards are `value` and the padding holds `garbage`."""
        given = {"value": jnp.float32(value), "garbage": jnp.int32(garbage)}
        return self.row(functools.partial(self.small[0], **given))["policy"]

    def compiled(self, function, options):
        self.made.append(jax.jit(function, compiler_options=options))
        return self.made[-1]

    def clear(self):
        """Drop what was compiled, or the programs of all cases fill the memory."""
        for program in self.made:
            program.clear_cache()

    def inside(self, program=None, num_demos=NUM_DEMOS):
        """`SEED` as a batch has it."""
        batch = (program or self.in_batch)(SEEDS, *self.sizes(HORIZON, num_demos), self.config)
        return jax.tree.map(lambda x: x[2], batch)

    def row(self, program, seed=SEED, horizon=HORIZON, num_demos=NUM_DEMOS, config=None):
        config = self.config if config is None else config
        return program(jnp.int32(seed), *self.sizes(horizon, num_demos), config)

    def sizes(self, horizon, num_demos):
        return jnp.int32(horizon), jnp.int32(num_demos)


@functools.lru_cache(maxsize=1)
def programs(case):
    return Programs(case)


def before_the_horizon(record):
    """A record without the rows of its tables over time that nothing reaches."""
    return jax.tree.map(lambda leaf: table_rows(leaf, HORIZON), record)


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
    """Of a table bit for bit, although the batch is one of a larger grid."""
    own = programs(case)
    inside, alone = own.inside(), own.row(own.alone)
    if case.is_tabular:
        assert same(before_the_horizon(inside), before_the_horizon(alone))
        return
    np.testing.assert_array_equal(inside["learner_key"], alone["learner_key"])
    both = (jax.tree.leaves(x["demonstrations"]) for x in (inside, alone))
    for x, y in zip(*both, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", AS_RUN, ids=str)
def test_a_seed_alone_equals_that_seed_in_a_batch_of_the_harness(case):
    """Bit for bit, of programs that are compiled as those of a sweep are."""
    own = Programs(case)
    run, options = jax.jit(functools.partial(own.run, CAPACITY)), compiler_options() | EMITTERS
    batch = jax.vmap(run, in_axes=(0, None, None, None))
    inside = own.inside(own.compiled(batch, options))
    assert same(inside, own.row(own.compiled(run, options)))
    own.clear()


def test_networks_agree_after_a_few_updates(case):
    if not case.trains_a_network:
        assert case.is_tabular or case.algorithm in ("expert", "random")
        return
    own = programs(case)
    batch = own.inside(num_demos=1)["policy"]
    alone = own.row(own.alone, num_demos=1)["policy"]
    for x, y in zip(jax.tree.leaves(batch), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


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
    own = programs(case)
    lowered = jax.export.export(
        jax.jit(lambda *args: jax.tree.leaves(own.batched(*args))), platforms=ELSEWHERE
    )
    found = lowered(SEEDS, *own.sizes(HORIZON, NUM_DEMOS), own.config)
    assert found.platforms == ELSEWHERE
    assert all(shape.shape[0] == len(SEEDS) for shape in found.out_avals)


def test_same_key_same_result_another_seed_another(case):
    own = programs(case)
    first, again = own.row(own.alone), own.row(own.alone)
    assert same(first, again)
    other = own.row(own.alone, seed=SEED + 1)
    assert not np.array_equal(first["learner_key"], other["learner_key"])
    assert same(first["policy"], other["policy"]) != case.is_random


def test_a_row_does_not_depend_on_the_grid(case):
    own = programs(case)
    small, large = own.row(own.alone), own.in_a_larger_grid()
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
    """The noted program is the one of the other tests here, so what was noted is what ran."""
    ledger = programs(case).small[1]
    if case.is_random:
        ledger.check()


def test_without_jit_the_same(case):
    if not case.is_tabular and case not in FEW:
        pytest.skip("a network's thousands of small operations, one by one, in two cases only")
    own = programs(case)
    fast = own.row(own.alone, horizon=3, num_demos=2)
    algorithm = own.chosen.build(own.env)
    with jax.disable_jit():
        slow = imitax.experiment(
            own.env, algorithm, *map(jnp.int32, (SEED, 3, 2)), SMALLER, num_episodes=3
        )
    for name in ("regret", "learner_return", "expert_return"):
        np.testing.assert_allclose(
            fast[name], getattr(slow, name), rtol=2e-4, atol=2e-5, err_msg=name
        )
