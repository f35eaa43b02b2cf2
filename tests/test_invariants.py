"""What holds of every tabular learner whatever the task: no oracle of an algorithm is needed.

Random and nasty MDPs of a few shapes are data, so that every algorithm is one program per shape and
precision. Rewards have scale one except where a constant is added.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

import imitax
from imitax.algorithms import ALGORITHMS
from imitax.core.policies import tabular
from imitax.core.types import Capacity, Demonstrations, Problem
from imitax.envs.random_mdp import RandomMDPSettings
from imitax.envs.tabular import TabularFamily, TabularParams
from imitax.experts.planning import planned
from imitax.tabular import mdp as exact
from imitax.tabular import moments
from imitax.tasks import reward_metrics
from imitax.tasks.pose import Instance, demonstrate

H, N = 7, 9
SHAPES = [(5, 3), (1, 2), (4, 1)]
"""States and actions."""
KINDS = ("random", "absorbing", "deterministic", "nearly", "equal", "offset")
TV = "gail:divergence=tv,num_steps=50"
SPECS = [
    "bc",
    "bc:stationary=true,unseen=first",
    "dagger",
    "dart:alpha=0.5",
    "maxent-irl:num_steps=30",
    "gail:num_steps=50",
    TV,
    "gail:player=policy-gradient,rollouts=sampled,num_steps=4,episodes=4",
    "expert",
    "random",
    "noisy-expert:epsilon=0.2,off_support=stay",
]
OFFSET = 64.0


class Arrays(TabularFamily):
    """Stands for any tabular environment of a shape; its instances are given from outside."""

    family = "arrays"

    def __init__(self, num_states, num_actions):
        super().__init__(RandomMDPSettings(), num_states, num_actions)

    def instance(self, key, horizon, num_demos, max_horizon):
        shape = (self.num_states, self.num_actions)
        rows = jnp.full((*shape, self.num_states), 1.0 / self.num_states)
        initial = jnp.full(self.num_states, 1.0 / self.num_states)
        expert = jnp.full(shape, 1.0 / shape[1])
        return exact.TabularMDP(rows, jnp.zeros(shape), None, initial), expert


@functools.cache
def family(num_states, num_actions):
    return Arrays(num_states, num_actions)


class Task(NamedTuple):
    """An MDP in numpy, its best return and an expert: optimal, or soft at temperature 0.3."""

    P: np.ndarray
    r: np.ndarray
    rho: np.ndarray
    expert: np.ndarray
    best: float


def task(kind, soft, num_states, num_actions, seed):
    """All numbers but the probabilities are multiples of 1/64: a constant is added exactly."""
    rng = np.random.default_rng([seed, num_states, num_actions, KINDS.index(kind), soft])
    S, A = num_states, num_actions
    P = rng.dirichlet(np.ones(S), (S, A))
    if kind in ("deterministic", "nearly"):
        sharp = np.eye(S)[rng.integers(S, size=(S, A))]
        P = sharp if kind == "deterministic" else (1 - 1e-6) * sharp + 1e-6 * P
    if kind == "absorbing":
        P[-1] = np.eye(S)[-1]
    r = np.round(64 * rng.uniform(size=(S, A))) / 64
    r = np.full((S, A), 0.5) if kind == "equal" else r + OFFSET * (kind == "offset")
    rho = np.eye(S)[0] if kind == "absorbing" else rng.dirichlet(np.ones(S))
    plan, value = oracles.hard_plan(P, r, None, H)[:2]
    expert = oracles.soft_plan(P, r, H, temperature=0.3)[0] if soft else plan
    return Task(P, r, rho, expert, value[0] @ rho)


@functools.cache
def tasks(num_states, num_actions):
    return [
        task(kind, soft, num_states, num_actions, seed=0)
        for kind in KINDS
        for soft in (False, True)
    ]


def arrays(some, dtype):
    """Stacked: (MDP, expert table)."""
    P, r, rho, expert = (np.stack(x) for x in list(zip(*some, strict=True))[:4])
    P, r, rho, expert = (jnp.asarray(x, dtype) for x in (P, r, rho, expert))
    return exact.TabularMDP(P, r, None, rho), expert


def posed(env, key, mdp, expert, demand):
    """As `imitax.pose` poses a family's own instance."""
    params = TabularParams(mdp=mdp, expert_policy=expert, max_steps_in_episode=H)
    capacity, policy = Capacity(H, N), tabular(expert)
    sizes = (jnp.int32(H), jnp.int32(N))
    shown = demonstrate(key, env, params, policy, *sizes, capacity, demand)
    hidden = env.without_reward(params)
    problem = Problem(hidden, *sizes, shown, policy, hidden, capacity)
    return Instance(params, policy, problem, *jax.random.split(jax.random.fold_in(key, 1)))


def learn(algorithm, instance):
    trained = imitax.train(instance.learner_key, algorithm, instance.problem)
    return algorithm.policy(instance.problem, trained.state), trained


class Found(NamedTuple):
    policy: np.ndarray
    outcome: imitax.Outcome
    visits: np.ndarray
    gap: np.ndarray
    shown: np.ndarray | None


@functools.cache
def instances(shape, wide, demand):
    """Every task of a shape, posed at once; learners with the same demand share them."""
    some, env = tasks(*shape), family(*shape)
    keys = jax.random.split(jax.random.key(3), len(some))

    def one(key, mdp, expert):
        return posed(env, key, mdp, expert, demand)

    return jax.jit(jax.vmap(one))(keys, *arrays(some, np.float64 if wide else np.float32))


@functools.partial(jax.jit, static_argnames="env")
def judge(env, some, rows):
    """Outcomes of tables [K, T, S, A] and how much they visit; one program for all learners."""

    def one(instance, rows):
        total = exact.flows(instance.params.mdp, rows, jnp.int32(H), H).sum()
        return imitax.evaluate(env, instance, tabular(rows)), total

    return jax.vmap(one)(some, rows)


@functools.cache
def results(spec, num_states, num_actions, wide):
    """Every task of a shape at once, as float64."""
    shape = (num_states, num_actions)
    env, dtype = family(*shape), np.float64 if wide else np.float32
    algorithm = imitax.algorithm(spec, env).build(env)
    some = instances(shape, wide, algorithm.demand)

    def one(instance):
        problem = dataclasses.replace(instance.problem, horizon=jnp.int32(H))
        policy, trained = learn(algorithm, dataclasses.replace(instance, problem=problem))
        rows = imitax.core.policies.tabulate(policy, num_states, H)
        return jnp.broadcast_to(rows, (H, *shape)), trained.metrics.equilibrium_gap

    rows, gap = jax.jit(jax.vmap(one))(some)
    outcome, visits = judge(env, some, rows.astype(dtype))
    found = Found(rows, outcome, visits, gap, some.problem.demonstrations.counts)
    return jax.tree.map(lambda x: np.asarray(x, np.float64), found)


PRECISIONS = pytest.mark.parametrize("wide", [False, True], ids=["float32", "float64"])


@pytest.fixture(autouse=True)
def precision(request):
    """x64 where a test asks for it by its parameter `wide`."""
    params = getattr(request.node, "callspec", None)
    with jax.enable_x64(bool(params and params.params.get("wide"))):
        yield


def combinations():
    """All learners in the first shape and both precisions; in the others those that iterate."""
    for spec in SPECS:
        yield spec, SHAPES[0], False
        yield spec, SHAPES[0], True
    for spec in ("bc", "maxent-irl:num_steps=30", "gail:num_steps=50", TV):
        yield spec, SHAPES[1], False
        yield spec, SHAPES[2], False


EVERYWHERE = pytest.mark.parametrize(
    ("spec", "shape", "wide"),
    list(combinations()),
    ids=lambda x: "x".join(map(str, x)) if isinstance(x, tuple) else str(x),
)


def test_every_algorithm_of_tables_is_here():
    wanted = {name for name, entry in ALGORITHMS.items() if entry.tabular}
    assert wanted | {"expert", "random"} == {spec.split(":")[0] for spec in SPECS}


@EVERYWHERE
def test_learners_keep_the_invariants(spec, shape, wide):
    """Rows are distributions, visits sum to the horizon, nobody beats the optimum, and the three
    numbers of a row belong together and to the policy."""
    found, some = results(spec, *shape, wide), tasks(*shape)
    np.testing.assert_allclose(found.policy.sum(-1), 1.0, atol=1e-6)
    assert found.policy.min() >= 0.0
    np.testing.assert_allclose(found.visits, H, atol=1e-6 * H)
    scale = np.array([np.abs(one.r).max() for one in some])
    room = 1e-5 * H * scale
    best, own, experts = (np.zeros(len(some)) for _ in range(3))
    for i, one in enumerate(some):
        best[i] = one.best
        rows = oracles.rows(found.policy[i])
        own[i] = oracles.policy_return(one.P, one.r, None, one.rho, rows, H)
        experts[i] = oracles.policy_return(one.P, one.r, None, one.rho, one.expert, H)
    outcome = found.outcome
    assert np.all(outcome.learner_return <= best + room)
    assert np.all(outcome.expert_return <= best + room)
    belongs = np.abs(outcome.learner_return - (outcome.expert_return - outcome.regret))
    assert np.all(belongs <= room)
    assert np.all(np.abs(outcome.learner_return - own) <= room)
    assert np.all(np.abs(outcome.expert_return - experts) <= room)
    # The regret itself has no part in the constant: its rounding is that of differences.
    assert np.all(np.abs(outcome.regret - (experts - own)) <= 1e-5 * H)
    assert outcome.finite.all()


@PRECISIONS
def test_the_gap_bounds_what_a_total_variation_matcher_loses(wide):
    """regret <= H gap / 2 + sum_t |e_t - ehat_t|_1 for rewards in [0, 1] (theory 2, section 7)."""
    shape, ratios = SHAPES[0], []
    for spec in (TV, "gail:divergence=tv,num_steps=2,tolerance=1e-30"):
        found = results(spec, *shape, wide)
        for i, one in enumerate(tasks(*shape)):
            width = np.ptp(one.r) or 1.0
            e = oracles.occupancy(one.P, one.rho, one.expert, H)[..., None] * one.expert
            bound = H * found.gap[i] / 2 + np.abs(e - found.shown[i, :H] / N).sum()
            assert found.outcome.regret[i] / width <= bound + 1e-5 * H
            ratios.append(found.outcome.regret[i] / width / bound)
    assert max(ratios) > 0.05  # else the bound would say nothing


@functools.cache
def plans(offset, wide):
    """Soft and hard plans of every task of the first shape with a constant added."""
    dtype = np.float64 if wide else np.float32
    mdp, _ = arrays(tasks(*SHAPES[0]), dtype)

    def one(mdp):
        mdp = mdp._replace(step_reward=mdp.step_reward + offset)
        soft, hard = (planned(mdp, temperature, jnp.int32(H), H) for temperature in (0.3, None))
        return soft, moments.visits(mdp, jnp.log(soft), jnp.int32(H), 1.0), hard

    return jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(mdp))


@PRECISIONS
@pytest.mark.parametrize("offset", [0.0, 64.0, -4096.0])
def test_an_added_constant_changes_no_plan(wide, offset):
    """The sums are exact, so that nothing of the constant is in the input's rounding."""
    (soft, visits, hard), (plain, _, first) = plans(offset, wide), plans(0.0, wide)
    np.testing.assert_allclose(soft.sum(-1), 1.0, atol=1e-6)
    np.testing.assert_allclose(visits.sum((1, 2)), H, atol=1e-5 * H)
    eps = np.finfo(soft.dtype).eps
    largest = np.array([np.abs(one.r).max() for one in tasks(*SHAPES[0])])
    room = 4 * eps * np.maximum(np.abs(offset + largest), largest) / 0.3 + 1e-6
    assert np.all(np.abs(soft - plain).max((1, 2, 3)) <= room)
    for i, one in enumerate(tasks(*SHAPES[0])):
        if np.ptp(one.r) and abs(offset) < 100:  # rounding may break ties, and near ones
            lost = oracles.regret(one.P, one.r, None, one.rho, first[i], hard[i], H)
            assert abs(lost) < 1e-5 * H


def permuted(mdp, table, states, actions):
    """The same MDP, and a table [T, S, A], with other names: new s is old states[s]."""
    P = mdp.transition[:, states][:, :, actions][..., states]
    reward = mdp.step_reward[:, states][:, :, actions]
    moved = mdp._replace(transition=P, step_reward=reward, initial=mdp.initial[:, states])
    return moved, table[:, :, states][..., actions]


EXACT = ["bc", "maxent-irl:num_steps=30,reward=tabular", "gail:num_steps=20"]
EXACT += ["gail:divergence=tv,num_steps=20", "gail:player=policy-gradient,num_steps=5", "random"]


@pytest.mark.parametrize("wide", [True], ids=["float64"])
@pytest.mark.parametrize("spec", EXACT)
def test_other_names_of_states_and_actions_give_the_same_policy(wide, spec):
    """Exact learners are maps of the counts; in float64 the order of sums hardly shows."""
    del wide
    S, A = SHAPES[0]
    env = family(S, A)
    algorithm = imitax.algorithm(spec, env).build(env)
    rng = np.random.default_rng(7)
    mdp, expert = arrays(tasks(S, A), np.float64)
    shown = rng.multinomial(N, np.ones(S * A) / (S * A), (len(expert), H)).reshape(-1, H, S, A)

    def one(mdp, expert, counts):
        params = TabularParams(mdp=mdp, expert_policy=expert, max_steps_in_episode=H)
        hidden = env.without_reward(params)
        seen = Demonstrations(None, None, None, counts, jnp.int32(N))
        sizes = (jnp.int32(H), jnp.int32(N))
        problem = Problem(hidden, *sizes, seen, tabular(expert), hidden, Capacity(H, N))
        instance = Instance(params, tabular(expert), problem, jax.random.key(0), jax.random.key(1))
        policy = learn(algorithm, instance)[0]
        rows = jnp.broadcast_to(imitax.core.policies.tabulate(policy, S, H), (H, S, A))
        return rows, exact.regret(mdp, expert, rows, jnp.int32(H))

    run, names = jax.jit(jax.vmap(one)), (rng.permutation(S), np.array([2, 0, 1]))
    policy, lost = run(mdp, expert, jnp.asarray(shown, np.float64))
    moved, other = permuted(mdp, expert, *names)
    again, same = run(moved, other, jnp.asarray(permuted(mdp, shown, *names)[1], np.float64))
    np.testing.assert_allclose(again, permuted(mdp, policy, *names)[1], atol=1e-6)
    np.testing.assert_allclose(same, lost, atol=1e-6)
    if spec != "random":
        assert np.abs(again - policy).max() > 0.1  # the names matter to the numbers


@PRECISIONS
@pytest.mark.parametrize("scale", [1e-10, 1e-3, 1e10])
def test_the_scale_of_rewards_is_nothing_to_epic(wide, scale):
    del wide
    rng = np.random.default_rng(11)
    left, right = (jnp.asarray(x, float) for x in rng.normal(size=(2, 10, 5)))
    distance = float(reward_metrics.epic_distance(left, right))
    cubes = (np.repeat(np.asarray(x)[..., None], 10, axis=2) for x in (left, right))
    assert distance == pytest.approx(oracles.epic_distance(*cubes, 1.0), abs=1e-5)
    for one, other in ((scale, scale), (scale, 1.0), (1.0, scale)):
        again = float(reward_metrics.epic_distance(one * left, other * right))
        assert again == pytest.approx(distance, abs=1e-5)
