"""What every algorithm promises, over one table of all of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, build, experiment, same, table_rows

import imitax
from imitax.types import Capacity, Metrics

CAPACITY = Capacity(horizon=6, num_demos=5)
LARGER = Capacity(horizon=11, num_demos=40)


def compiled(case, capacity=CAPACITY, batched=False):
    env, chosen = build(case)

    def run(seed, horizon, num_demos, config):
        return experiment(env, chosen.build(env, config), seed, horizon, num_demos, capacity)

    return jax.jit(jax.vmap(run, in_axes=(0, None, None, None)) if batched else run), chosen.config


def one(case, capacity=CAPACITY, seed=3, horizon=5, num_demos=4):
    run, config = compiled(case, capacity)
    return run(jnp.int32(seed), jnp.int32(horizon), jnp.int32(num_demos), config)


def test_every_public_algorithm_is_in_the_table():
    covered = {case.algorithm.split(":")[0] for case in CASES}
    assert covered == set(imitax.ALGORITHMS)
    for name in covered:
        assert callable(getattr(imitax, name.replace("-", "_")))


def test_both_representations_are_in_the_table():
    built = {type(build(case)[1].config) for case in CASES}
    entries = imitax.ALGORITHMS.values()
    assert built == {cls for entry in entries for cls in (entry.tabular, entry.general) if cls}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_step_keeps_the_state(case):
    env, chosen = build(case)
    algorithm = chosen.build(env)
    instance = imitax.pose(env, jnp.int32(0), 5, 4, CAPACITY, algorithm.demand)
    state = algorithm.init(jax.random.key(0), instance.problem)
    after, metrics = jax.eval_shape(algorithm.step, jax.random.key(1), instance.problem, state)

    def shape(x):
        return jnp.shape(x), jnp.result_type(x)

    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert jax.tree.map(shape, after) == jax.tree.map(shape, state)
    assert isinstance(metrics, Metrics)
    assert "converged" in state._fields


@pytest.mark.parametrize("case", CASES, ids=str)
def test_jit_equals_no_jit(case):
    env, chosen = build(case)
    fast = one(case, horizon=3, num_demos=2)
    with jax.disable_jit():
        slow = experiment(
            env, chosen.build(env), jnp.int32(3), jnp.int32(3), jnp.int32(2), CAPACITY
        )
    for name in ("regret", "learner_return", "expert_return"):
        np.testing.assert_allclose(fast[name], slow[name], rtol=2e-4, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_seed_alone_equals_that_seed_in_a_batch(case):
    run, config = compiled(case, batched=True)
    horizon, num_demos = jnp.int32(5), jnp.int32(4)
    batch = run(jnp.arange(7), horizon, num_demos, config)
    single = run(jnp.array([4]), horizon, num_demos, config)
    inside = jax.tree.map(lambda x: x[4:5], batch)
    if case.is_tabular:
        assert same(inside, single)
        return
    assert same(inside["demonstrations"], single["demonstrations"])
    np.testing.assert_array_equal(inside["learner_key"], single["learner_key"])
    if case.one_update:
        return  # compared below, after a single update
    assert same(inside, single)


@pytest.mark.parametrize("case", [case for case in CASES if case.one_update], ids=str)
def test_networks_agree_after_one_update(case):
    run, config = compiled(case.with_one_update(), batched=True)
    horizon, num_demos = jnp.int32(5), jnp.int32(1)
    inside = run(jnp.arange(7), horizon, num_demos, config)["policy"]
    single = run(jnp.array([4]), horizon, num_demos, config)["policy"]
    for x, y in zip(jax.tree.leaves(inside), jax.tree.leaves(single), strict=True):
        np.testing.assert_allclose(x[4:5], y, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_nothing_new_retraces(case):
    env, chosen = build(case)
    traces = []

    def run(seed, horizon, num_demos, config):
        traces.append(1)
        return experiment(env, chosen.build(env, config), seed, horizon, num_demos, CAPACITY)

    jitted = jax.jit(run)
    config = jax.tree.map(jnp.float32, chosen.config)
    changed = jax.tree.map(lambda x: jnp.float32(x * 0.9), chosen.config)
    jitted(jnp.int32(0), jnp.int32(5), jnp.int32(4), config)
    jitted(jnp.int32(1), jnp.int32(2), jnp.int32(1), config)
    jitted(jnp.int32(2), jnp.int32(6), jnp.int32(5), changed)
    assert len(traces) == 1


@pytest.mark.parametrize("case", CASES, ids=str)
def test_same_key_same_result(case):
    assert same(one(case), one(case))


@pytest.mark.parametrize("case", [case for case in CASES if case.is_random], ids=str)
def test_another_seed_is_another_result(case):
    first, second = one(case, seed=3), one(case, seed=4)
    assert not np.array_equal(first["learner_key"], second["learner_key"])
    assert not same(first["policy"], second["policy"])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_row_does_not_depend_on_the_grid(case):
    small, large = one(case), one(case, LARGER)
    for name in ("regret", "learner_return", "expert_return", "metrics"):
        assert same(small[name], large[name]), name
    assert same(table_rows(small["policy"], 5), table_rows(large["policy"], 5))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reward_is_never_read(case):
    env, chosen = build(case)
    algorithm = chosen.build(env)

    def learn(value):
        instance = imitax.pose(env, jnp.int32(3), 5, 4, CAPACITY, algorithm.demand)
        problem = dataclasses.replace(
            instance.problem, params=case.with_reward(instance.problem.params, value)
        )
        trained = imitax.train(instance.learner_key, algorithm, problem)
        return algorithm.policy(problem, trained.state).params

    assert same(jax.jit(learn)(jnp.float32(jnp.nan)), jax.jit(learn)(jnp.float32(1.0)))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_padding_is_never_read(case):
    env, chosen = build(case)
    algorithm = chosen.build(env)

    def learn(garbage):
        instance = imitax.pose(env, jnp.int32(3), 4, 3, CAPACITY, algorithm.demand)
        spoiled = case.spoil(instance.problem.demonstrations, 4, garbage)
        problem = dataclasses.replace(instance.problem, demonstrations=spoiled)
        trained = imitax.train(instance.learner_key, algorithm, problem)
        return algorithm.policy(problem, trained.state).params

    clean, spoiled = jax.jit(learn)(0), jax.jit(learn)(1)
    assert same(table_rows(clean, 4), table_rows(spoiled, 4))


def primitive(function, *args):
    """The primitive behind a random function, found without private names."""
    return jax.make_jaxpr(function)(*args).eqns[-1].primitive


class KeyLedger:
    """Notes, without jit, what each key is spent on."""

    def __init__(self, monkeypatch):
        self.folded, self.spent = [], []
        key, number = jax.random.key(0), jnp.uint32(0)
        patches = {
            primitive(jax.random.bits, key): lambda keys, **_: self.spend(keys),
            primitive(jax.random.split, key): lambda keys, **_: self.spend(keys),
            primitive(jax.random.fold_in, key, number): lambda keys, x, **_: self.fold(keys, x),
        }
        for found, note in patches.items():
            original = found.impl

            def noting(*args, _note=note, _original=original, **kwargs):
                _note(*args, **kwargs)
                return _original(*args, **kwargs)

            monkeypatch.setattr(found, "impl", noting)

    @staticmethod
    def rows(keys):
        return [tuple(row) for row in np.asarray(jax.random.key_data(keys)).reshape(-1, 2)]

    def spend(self, keys):
        self.spent += self.rows(keys)

    def fold(self, keys, numbers):
        keys = self.rows(keys)
        numbers = np.broadcast_to(np.asarray(numbers).ravel(), (max(len(keys), np.size(numbers)),))
        keys = keys * (len(numbers) // len(keys))
        self.folded += [(*key, int(number)) for key, number in zip(keys, numbers, strict=True)]

    def check(self):
        assert self.spent, "nothing was drawn, so nothing was checked"
        assert len(self.spent) == len(set(self.spent)), "a key was drawn from twice"
        repeated = [path for path in set(self.folded) if self.folded.count(path) > 1]
        shared_prefix = {path for path in repeated if path[:2] not in self.allowed}
        assert not shared_prefix, f"a key was folded twice with the same number: {shared_prefix}"
        both = {path[:2] for path in self.folded} & set(self.spent)
        assert not both, "a key was both drawn from and folded"

    allowed: frozenset = frozenset()


def test_the_ledger_sees_reuse(monkeypatch):
    ledger = KeyLedger(monkeypatch)
    with jax.disable_jit():
        key = jax.random.key(0)
        jax.random.uniform(key)
        jax.random.uniform(key)
    with pytest.raises(AssertionError, match="drawn from twice"):
        ledger.check()
    ledger.spent, ledger.folded = [(9, 9)], []
    with jax.disable_jit():
        jax.random.fold_in(key, 1)
        jax.random.fold_in(key, 1)
    with pytest.raises(AssertionError, match="folded twice"):
        ledger.check()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_key_is_used_twice(case, monkeypatch):
    env, chosen = build(case)
    algorithm = chosen.build(env)
    ledger = KeyLedger(monkeypatch)
    # The path root -> family -> seed is walked once for each purpose.
    root = jax.random.key(imitax.keys.ROOT, impl="threefry2x32")
    with jax.disable_jit():
        family = jax.random.fold_in(root, imitax.keys.family_hash(env.family))
        ledger.allowed = frozenset(ledger.rows(root) + ledger.rows(family))
        instance = imitax.pose(env, jnp.int32(3), 3, 2, CAPACITY, algorithm.demand)
        imitax.train(instance.learner_key, algorithm, instance.problem)
    if ledger.spent or case.is_random:
        ledger.check()
