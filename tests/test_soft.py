"""Soft planning and evaluation at every horizon: against `soft_oracle`, in both precisions."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soft_oracle as oracle

import imitax
from imitax.algorithms.inverse.maxent_irl import MaxEntConfig
from imitax.tabular import mdp as exact
from imitax.tabular import moments
from imitax.tabular.mdp import TabularMDP
from imitax.tabular.soft import soft_plan

LONGEST = 4000
SINGLE = 1e-5
"""Relative error wanted of returns, visits and regrets in float32."""
DOUBLE = 1e-9
"""The same in float64, which has nothing wider to add up in: it loses a factor of the horizon."""


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    with jax.enable_x64(request.param is np.float64):
        yield request.param


@jax.jit
def everything(mdp, other, horizon, discount, temperature):
    """Plan, evaluation of the plan and of another policy, [S, A], against it."""
    settings = {"discount": discount}
    reward = mdp.step_reward
    plan = soft_plan(mdp, reward, horizon, LONGEST, **settings, temperature=temperature)
    policy = jnp.exp(plan.log_policy)
    best = exact.optimal_plan(mdp, horizon, LONGEST, **settings).policy
    bound = {"max_horizon": LONGEST, **settings}
    return {
        "log_policy": plan.log_policy,
        "value": plan.value,
        "visits": moments.visits(mdp, plan.log_policy, horizon, discount),
        "occupancy": exact.occupancy(mdp, policy, horizon, LONGEST),
        "return": exact.expected_return(mdp, policy, horizon, **settings),
        "other": exact.expected_return(mdp, other, horizon, **settings),
        "best": exact.expected_return(mdp, best, horizon, **settings),
        "regret": exact.regret(mdp, policy, other, horizon, **bound),
        "short_of_best": exact.regret(mdp, best, policy, horizon, **bound),
    }


def mixing(rng, S=5, A=3):
    return rng.dirichlet(np.ones(S), (S, A))


def absorbing(rng):
    """States 3 and 4 hold for ever; the others reach them rarely and at unequal rates."""
    P = mixing(rng)
    P[..., 3:] *= 0.02 * rng.random((5, 3, 2))
    P[3:] = np.eye(5)[3:, None]
    return P / P.sum(-1, keepdims=True)


def nearly_certain(rng):
    """Rows with all but 1e-3 to 1e-7 of their mass on one state."""
    sure = np.eye(5)[rng.integers(0, 5, (5, 3))]
    spill = 10.0 ** -rng.uniform(3, 7, (5, 3, 1))
    return (1 - spill) * sure + spill * mixing(rng)


def apart(rng):
    """Two halves without a way from one to the other, beside a first state that chooses."""
    P = np.zeros((5, 3, 5))
    P[0, 0, 1], P[0, 1, 3], P[0, 2, [1, 3]] = 1.0, 1.0, 0.5
    for half in ([1, 2], [3, 4]):
        P[np.ix_(half, range(3), half)] = rng.dirichlet(np.ones(2), (2, 3))
    return P


def uneven(rng):
    """Rows with zeros, whose float32 sums differ from one."""
    P = mixing(rng) * (rng.random((5, 3, 5)) < 0.5)
    P[..., 0] += 0.05
    return P / P.sum(-1, keepdims=True)


KINDS = {
    "mixing": mixing,
    "absorbing": absorbing,
    "nearly-certain": nearly_certain,
    "apart": apart,
    "uneven": uneven,
    "one-state": lambda rng: np.ones((1, 3, 1)),
    "one-action": lambda rng: mixing(rng, A=1),
    "many-states": lambda rng: mixing(rng, S=42, A=2),
}


def task(kind, dtype, scale=1.0, offset=0.0, seed=0):
    """An MDP with its numbers rounded to the precision under test."""
    rng = np.random.default_rng([seed, *kind.encode()])
    P = KINDS[kind](rng)
    S, A, _ = P.shape
    reward = offset + scale * np.clip(rng.normal(size=(S, A)), -1, 1)
    rho = rng.dirichlet(np.ones(S))
    return TabularMDP(P.astype(dtype), reward.astype(dtype), None, rho.astype(dtype))


def listed(mdp):
    """The same MDP with successors, in reverse order."""
    S, A, _ = mdp.transition.shape
    order = np.broadcast_to(np.arange(S, dtype=np.int32)[::-1], (S, A, S))
    return mdp._replace(transition=mdp.transition[..., ::-1], successor=order)


def checked(mdp, H, discount, temperature, dtype, dense=None):
    """Everything of one case, against the oracle of the same rounded numbers."""
    truth = mdp if dense is None else dense
    P, r, rho = truth.transition, truth.step_reward, truth.initial
    discount, temperature = dtype(discount), dtype(temperature)
    other = np.random.default_rng(9).dirichlet(np.ones(r.shape[1]), len(rho)).astype(dtype)
    found = everything(mdp, other, jnp.int32(H), discount, temperature)
    found = {name: np.asarray(value) for name, value in found.items()}
    assert {x.dtype for x in found.values()} == {np.dtype(dtype)}
    wanted = SINGLE if dtype is np.float32 else DOUBLE

    log_policy, value = oracle.soft(P, r, H, discount, temperature)
    eps, largest = np.finfo(dtype).eps, np.abs(r).max()
    policy = np.exp(found["log_policy"][:H].astype(np.longdouble))
    np.testing.assert_allclose(policy.sum(-1), 1.0, rtol=16 * eps)
    of_rewards = eps * max(largest / temperature, 1.0) * (1 if dtype is np.float32 else H)
    error = np.abs(found["log_policy"][:H] - log_policy) / (1.0 + np.abs(log_policy))
    assert error.max() <= 2 * of_rewards
    steps = H if discount == 1 else (1 - discount**H) / (1 - discount)
    atol = wanted * largest * steps
    np.testing.assert_allclose(found["value"][:H], value, rtol=wanted, atol=1e-3 * atol)
    assert not found["value"][H:].any()
    assert not found["occupancy"][H:].any()

    shown = oracle.flows(P, rho, np.exp(log_policy), H)
    visits = oracle.visits(shown, discount)
    assert abs(found["visits"].sum(dtype=np.float64) / steps - 1) < 0.1 * wanted
    np.testing.assert_allclose(found["visits"], visits, rtol=wanted, atol=1e-9 * wanted * steps)
    occupancy = found["occupancy"][:H]
    np.testing.assert_allclose(occupancy, shown.sum(-1), rtol=wanted, atol=1e-9 * wanted)
    np.testing.assert_allclose(occupancy.sum(-1, dtype=np.float64), 1.0, rtol=16 * eps)

    gained = oracle.earned(shown, r, discount)
    others = oracle.earned(oracle.flows(P, rho, other, H), r, discount)
    best = oracle.optimum(P, rho, r, H, discount)
    np.testing.assert_allclose(found["return"], gained, rtol=wanted, atol=0.1 * atol)
    np.testing.assert_allclose(found["other"], others, rtol=wanted, atol=0.1 * atol)
    np.testing.assert_allclose(found["best"], best, rtol=wanted, atol=0.1 * atol)
    for name, lost in (("regret", gained - others), ("short_of_best", best - gained)):
        np.testing.assert_allclose(found[name], lost, rtol=wanted, atol=1e-3 * atol, err_msg=name)
    # By their own numbers alone:
    assert abs(found["return"] - found["regret"] - found["other"]) < 0.1 * atol
    assert found["return"] <= found["best"] + 0.1 * atol
    assert found["short_of_best"] >= -1e-3 * atol
    return found


HORIZONS, DISCOUNTS = (1, 50, LONGEST), (1.0, 0.99, 0.5, 0.0)
SIZES = [(1.0, 0.0, 1.0), (1.0, 100.0, 1.0), (1e4, 0.0, 10.0), (1.0, -1e4, 0.1), (0.01, 0.0, 1e-4)]


@pytest.mark.parametrize("kind", KINDS)
def test_sweep_of_the_kind(dtype, kind):
    """Two sizes of rewards at the longest horizon, others at other horizons and discounts."""
    first = list(KINDS).index(kind)
    pairs = [x for x in itertools.product(HORIZONS, DISCOUNTS) if x != (LONGEST, 1.0)]
    pairs = [(LONGEST, 1.0)] * 2 + pairs[first % 3 :: 3]
    for i, (H, discount) in enumerate(pairs):
        scale, offset, temperature = SIZES[(first + i) % len(SIZES)]
        checked(task(kind, dtype, scale, offset, seed=i), H, discount, temperature, dtype)


def test_listed_successors(dtype):
    for kind, H, discount in (("absorbing", LONGEST, 1.0), ("mixing", 300, 0.99)):
        mdp = task(kind, dtype, 1.0, 100.0)
        checked(listed(mdp), H, discount, 0.1, dtype, dense=mdp)


@pytest.mark.parametrize("kind", ["mixing", "apart"])
def test_an_offset_of_the_reward_changes_no_policy(dtype, kind):
    """Rewards of 12 bits, so that the offsets leave them as they are."""
    mdp = task(kind, dtype)
    reward = np.round(512 * mdp.step_reward).astype(dtype) / dtype(512)
    other = np.full(reward.shape, 1.0 / reward.shape[1], dtype)
    plans = []
    for offset in (0, 64, -8192):
        shifted = mdp._replace(step_reward=reward + dtype(offset))
        np.testing.assert_array_equal(shifted.step_reward - offset, reward)
        one = everything(shifted, other, jnp.int32(LONGEST), dtype(1), dtype(0.1))
        plans.append(np.asarray(one["log_policy"]))
    # A float32 rounding of log pi; in float64 the offset's, of 8192 over a temperature of 0.1.
    tolerance = 1e-6 if dtype is np.float32 else 1e-9
    for plan in plans[1:]:
        np.testing.assert_allclose(plan, plans[0], rtol=tolerance, atol=tolerance)


def test_visits_at_offset_100_sum_to_the_horizon(dtype):
    """Case 1: they summed to 1126.8 in float32."""
    rng = np.random.default_rng(0)
    P, reward = rng.dirichlet(np.ones(5), (5, 3)), rng.normal(size=(5, 3)) + 100
    mdp = TabularMDP(*(x.astype(dtype) for x in (P, reward)), None, np.full(5, 0.2, dtype))
    found = everything(mdp, np.ones((5, 3), dtype), jnp.int32(1000), dtype(1), dtype(1))
    wanted = oracle.soft(mdp.transition, mdp.step_reward, 1000, 1.0, 1.0)[0]
    shown = oracle.flows(mdp.transition, mdp.initial, np.exp(wanted), 1000)
    assert np.sum(found["visits"], dtype=np.float64) == pytest.approx(1000, rel=1e-6)
    np.testing.assert_allclose(found["visits"], oracle.visits(shown, 1.0), rtol=SINGLE)


@pytest.mark.parametrize(("temperature", "H", "right"), [(0.1, 4000, 3775.6), (0.001, 64, 52.303)])
def test_soft_experts_of_the_grid(dtype, temperature, H, right):
    """Case 1: their returns were 7165 and 51.89 in float32."""
    env = imitax.environment(f"gridworld:temperature={temperature}")
    draw = jax.jit(lambda: env.sample_params(jax.random.key(0), jnp.int32(H), jnp.int32(1), H))
    params = draw()
    P, reward = oracle.grid(5, 0.1, 24)
    log_policy, _ = oracle.soft(P, reward, H, 1.0, temperature)
    gained = oracle.earned(oracle.flows(P, np.eye(25)[0], np.exp(log_policy), H), reward, 1.0)
    assert gained == pytest.approx(right, rel=2e-5)
    measure = jax.jit(exact.expected_return)
    found = measure(params.mdp, params.expert_policy, jnp.int32(H))
    assert found == pytest.approx(float(gained), rel=SINGLE if dtype is np.float32 else 1e-12)
    # float32 of the slip's sixteenth: relative 1e-7, over a temperature of a thousandth
    error = np.abs(np.asarray(params.expert_policy) - np.exp(log_policy)).max()
    assert error < (2e-7 * max(1.0, 0.1 / temperature) if dtype is np.float32 else 1e-12)


def test_maxent_irl_of_a_thousand_steps():
    """Case 1: the learner's return was 939.30, above the expert's 937.74, its regret 18.236."""
    env, H = imitax.environment("gridworld"), 1000
    algorithm = imitax.algorithm("maxent-irl", env).build(env)

    @jax.jit
    def run(horizon):
        capacity = imitax.Capacity(H, 10)
        instance = imitax.pose(env, jnp.int32(0), horizon, 10, capacity, algorithm.demand)
        trained = imitax.train(instance.learner_key, algorithm, instance.problem)
        policy = algorithm.policy(instance.problem, trained.state)
        recovered = algorithm.reward(instance.problem, trained.state)
        return imitax.evaluate(env, instance, policy), recovered, trained.state.converged

    outcome, recovered, converged = jax.tree.map(np.asarray, run(jnp.int32(H)))
    assert converged
    P, reward = oracle.grid(5, 0.1, 24)
    best = oracle.optimum(P, np.eye(25)[0], reward, H, 1.0)
    log_policy, _ = oracle.soft(P, recovered, H, 1.0, 1.0)
    shown = oracle.flows(P, np.eye(25)[0], np.exp(log_policy), H)
    gained = oracle.earned(shown, reward, 1.0)
    assert outcome.expert_return == pytest.approx(float(best), rel=SINGLE)
    assert outcome.learner_return == pytest.approx(float(gained), rel=SINGLE)
    assert outcome.regret == pytest.approx(float(best - gained), rel=SINGLE)
    assert outcome.learner_return < best
    difference = outcome.expert_return - outcome.regret - outcome.learner_return
    assert abs(difference) < 1e-6 * H


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def test_the_grid_is_float64_from_the_first_number(x64):
    """Case 12: values were off by 2e-5, the soft expert's table by 2e-6."""
    env, H = imitax.environment("gridworld:temperature=0.3"), 40
    params = env.sample_params(jax.random.key(0), jnp.int32(H), jnp.int32(1), H)
    P, reward = oracle.grid(5, 0.1, 24)
    np.testing.assert_allclose(params.mdp.transition, P, atol=1e-16)
    np.testing.assert_array_equal(params.mdp.step_reward, reward)
    log_policy, value = oracle.soft(P, reward, H, 1.0, 0.3)
    np.testing.assert_allclose(params.expert_policy, np.exp(log_policy), atol=1e-14)
    plan = soft_plan(params.mdp, params.mdp.step_reward, H, H, discount=1.0, temperature=0.3)
    np.testing.assert_allclose(plan.value, value, rtol=1e-14)


FAMILIES = [
    "gridworld:start=uniform,features=coordinates",
    "gridworld:size=8x8,slip=0.3",
    "random-mdp:num_states=7",
    "random-mdp:num_states=24,branching=3",
    "reset-cliff:initial=rajaraman",
    "reset-cliff:initial=uniform",
    "recoverable-cliff:num_states=7,initial=uniform",
    "standard-imitation:num_states=7,initial=uniform",
    "three-state",
    "ross-bagnell",
]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_table_is_float64_from_the_first_number(x64, family):
    env = imitax.environment(family)
    draw = jax.jit(lambda key: env.sample_params(key, jnp.int32(5), jnp.int32(30), 5))
    params = draw(jax.random.key(3))
    floats = [x for x in jax.tree.leaves((params.mdp, params.expert_policy)) if x.dtype.kind == "f"]
    assert {x.dtype for x in floats} == {np.dtype(np.float64)}
    for distribution in (params.mdp.transition, params.mdp.initial):
        np.testing.assert_allclose(distribution.sum(-1), 1.0, rtol=1e-15)
        thirds = np.asarray(distribution)
        assert np.abs(thirds * 8 - np.round(thirds * 8)).max() < 1e-15 or np.any(
            thirds != thirds.astype(np.float32)
        )
    drawn = env.instance(jax.random.key(3), jnp.int32(5), jnp.int32(30), 5)
    assert all(x.dtype in (np.float64, np.int32) for x in jax.tree.leaves(drawn))


def exact_moments(env, H, config, num_demos=10):
    """MaxEnt IRL from the flows of the family's own expert, as if shown in full; jitted parts."""
    algorithm = imitax.maxent_irl(env, config)

    @jax.jit
    def run(horizon):
        capacity = imitax.Capacity(H, num_demos)
        instance = imitax.pose(env, jnp.int32(0), horizon, num_demos, capacity, algorithm.demand)
        shown = exact.flows(instance.params.mdp, instance.expert.params, horizon, H)
        demonstrations = instance.problem.demonstrations._replace(counts=num_demos * shown)
        problem = dataclasses.replace(instance.problem, demonstrations=demonstrations)
        trained = imitax.train(instance.learner_key, algorithm, problem)
        policy = algorithm.policy(problem, trained.state).params
        return trained.state, algorithm.reward(problem, trained.state), policy, shown

    return jax.tree.map(np.asarray, run(jnp.int32(H)))


def test_unpenalised_maxent_irl_on_the_grid(x64):
    """Case 12: multipliers reached 8.7e8, and their correlation with the true reward was 0.19."""
    env, H = imitax.environment("gridworld:temperature=1"), 30
    config = MaxEntConfig(l2=0.0, tolerance=1e-7, num_steps=400)
    state, recovered, policy, shown = exact_moments(env, H, config)
    assert state.converged
    assert np.abs(state.theta).max() < 10
    P, reward = oracle.grid(5, 0.1, 24)
    wanted, _ = oracle.soft(P, reward, H, 1.0, 1.0)
    divergence = (shown * (wanted - np.log(policy))).sum()
    assert 0 <= divergence < 1e-10
    learned = oracle.flows(P, np.eye(25)[0], policy, H)
    assert np.abs(oracle.visits(learned - shown, 1.0)).max() < 1e-5
    # Up to a constant, and shaping that the horizon's end forgives only in part.
    assert np.corrcoef(recovered[:, 0], reward[:, 0])[0, 1] > 0.999


@pytest.mark.parametrize("num_steps", [1, 7, 40, 300])
def test_the_best_iterate_is_returned(dtype, num_steps):
    """Without penalty and with a tolerance that rounding never meets; L in long doubles."""
    env, H = imitax.environment("gridworld:size=3x3,goal=2x2,temperature=0.5"), 20
    config = MaxEntConfig(l2=0.0, tolerance=1e-30, num_steps=num_steps)
    state, recovered, _, shown = exact_moments(env, H, config)
    assert not state.converged
    P, _ = oracle.grid(3, 0.1, 8)
    loss = -(shown * oracle.soft(P, recovered, H, 1.0, 1.0)[0]).sum() / H
    if num_steps == 1:
        uniform = np.log(5.0)
        assert loss < uniform
        return
    entropy = -(shown * oracle.soft(P, np.eye(9)[8][:, None] * np.ones(5), H, 1.0, 0.5)[0]).sum()
    excess = loss - entropy / H
    limit = {7: 0.05, 40: 1e-4, 300: 1e-5}[num_steps]
    assert -1e-6 < excess < limit
    assert bool(state.stalled) == (num_steps == 300)
    assert np.abs(state.theta).max() < 10
