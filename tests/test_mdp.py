"""imitax.tabular.mdp against the float64 oracles, in single and in double precision."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from imitax.tabular import mdp as library_mdp
from imitax.tabular import soft
from imitax.tabular.mdp import TabularMDP

# One compilation per shape; the horizon, the discount and the temperature are traced.
optimal_plan = jax.jit(library_mdp.optimal_plan, static_argnums=2)
soft_plan = jax.jit(soft.soft_plan, static_argnums=3)
occupancy = jax.jit(library_mdp.occupancy, static_argnums=3)
expected_return = jax.jit(library_mdp.expected_return)
regret = jax.jit(library_mdp.regret, static_argnames="max_horizon")

GARBAGE = np.nan  # fills rows at t >= horizon, which nothing may read


class Instance(NamedTuple):
    """An MDP in numpy; the columns of P are the given successors, or every state."""

    P: np.ndarray
    r: np.ndarray
    f: np.ndarray | None
    rho: np.ndarray
    successor: np.ndarray | None = None


def random_dense(rng, S=8, A=4):
    P, reward = rng.dirichlet(np.ones(S), (S, A)), rng.random((2, S, A))
    return Instance(P, reward[0], reward[1], rng.dirichlet(np.ones(S)))


def branching(rng, S=20, A=3, K=2):
    """Few successors, some of them repeated."""
    successor = rng.integers(0, S, (S, A, K), dtype=np.int32)
    successor[0] = successor[0, :, :1]
    P = rng.dirichlet(np.ones(K), (S, A))
    return Instance(P, rng.random((S, A)), None, rng.dirichlet(np.ones(S)), successor)


def flat(rng):
    """Actions that differ by little on a large return."""
    instance = random_dense(rng)
    return instance._replace(r=0.9993 + 0.0007 * instance.r, f=None)


def cliff(kind, reward):
    def build(rng):
        rho = oracles.initial_distribution("rajaraman", 9, 100)
        P, r = oracles.labelled_mdp(kind, rho, rng.integers(0, 5, 10), 5)
        r, f = (r, None) if reward == "dense" else (0 * r, r)
        return Instance(P, r, f, np.append(rho, 0.0))

    return build


INSTANCES = {
    "random": random_dense,
    "branching": branching,
    "flat": flat,
    "reset-cliff": cliff("reset-cliff", "dense"),
    "recoverable-cliff": cliff("recoverable-cliff", "dense"),
    "terminal-cliff": cliff("reset-cliff", "terminal"),
}


def make(name, dtype, seed=0):
    """A named instance rounded to the precision under test."""
    fields = INSTANCES[name](np.random.default_rng(seed))
    return Instance(*(None if x is None else x.astype(dtype) for x in fields[:4]), fields.successor)


def library(instance):
    arrays = [None if x is None else jnp.asarray(x) for x in instance]
    return TabularMDP(*arrays[:4], features=None, successor=arrays[4])


def dense(instance):
    """Oracle's [S, A, S] transition of the rounded columns."""
    if instance.successor is None:
        return instance.P
    S, A, _ = instance.P.shape
    P, index = np.zeros((S, A, S)), np.indices(instance.P.shape)
    np.add.at(P, (index[0], index[1], instance.successor), instance.P)
    return P


def densified(instance):
    return instance._replace(P=dense(instance).astype(instance.P.dtype), successor=None)


def rewarded(instance):
    return dense(instance), instance.r, instance.f


def random_policy(rng, instance, H, dtype):
    S, A = instance.r.shape
    return rng.dirichlet(np.ones(A), (H, S)).astype(dtype)


def padded(policy, T):
    filler = np.full((T - len(policy), *policy.shape[1:]), GARBAGE, policy.dtype)
    return np.concatenate([policy, filler])


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    with jax.enable_x64(request.param is np.float64):
        yield request.param


def assert_close(actual, exact, dtype, single=1e-4):
    """Relative error of 1e-4 (or tighter) in float32 and 1e-10 in float64, else absolute."""
    assert actual.dtype == dtype
    rtol, atol = (single, 1e-7) if dtype is np.float32 else (1e-10, 1e-12)
    np.testing.assert_allclose(actual, exact, rtol=rtol, atol=atol)


def assert_relative(actual, exact, dtype):
    assert actual.dtype == dtype
    np.testing.assert_allclose(actual, exact, rtol=1e-4 if dtype is np.float32 else 1e-10)


def evaluate(mdp, expert, policy, horizon, T, discount):
    """Everything the module computes; rows at t >= horizon of the first mean nothing."""
    plan = library_mdp.optimal_plan(mdp, horizon, T, discount=discount)
    settings = {"discount": discount, "temperature": 0.7}
    planned = soft.soft_plan(mdp, mdp.step_reward, horizon, T, **settings)
    visits = library_mdp.occupancy(mdp, policy, horizon, T)
    return {
        "rows": (*plan, *planned, visits),
        "return": library_mdp.expected_return(mdp, policy, horizon, discount=discount),
        "regret": library_mdp.regret(mdp, expert, policy, horizon, discount=discount),
    }


# ---------------------------------------------------------------- regret


def expert_of(rng, name, instance, H, discount, stochastic, dtype):
    """The optimal policy, or a mixture with noise that a cliff still lets live."""
    optimal = oracles.hard_plan(*rewarded(instance), H, discount)[0]
    noise = stochastic * (0.005 if "cliff" in name else 0.3)
    tables = (1 - noise) * optimal + noise * random_policy(rng, instance, H, np.float64)
    return tables.astype(dtype)


def near_expert(instance, expert, target, discount, dtype):
    """The expert mixed with the uniform policy so that the regret is about the target."""
    H, _, A = expert.shape
    args, epsilon = (*rewarded(instance), instance.rho, expert), 1e-4
    for _ in range(6):
        policy = ((1 - epsilon) * expert + epsilon / A).astype(dtype)
        lost = oracles.regret(*args, policy, H, discount)
        epsilon = min(epsilon * target / lost, 0.5)
    assert 0.5 * target < lost < 2 * target
    return policy


@pytest.mark.parametrize("discount", [1.0, 0.99])
@pytest.mark.parametrize("stochastic", [False, True], ids=["optimal", "stochastic"])
@pytest.mark.parametrize("name", INSTANCES)
def test_regret_down_to_one_thousandth_at_horizon_128(dtype, name, stochastic, discount):
    rng, H, instance = np.random.default_rng(1), 128, make(name, dtype)
    expert = expert_of(rng, name, instance, H, discount, stochastic, dtype)
    large = {"flat": 4e-3, "terminal-cliff": 0.1}.get(name, 1.0)
    targets = (1e-3, min(1e-2, large), large)
    policies = [near_expert(instance, expert, x, discount, dtype) for x in targets]
    policies.append(random_policy(rng, instance, H, dtype))
    args = (*rewarded(instance), instance.rho, expert)
    exact = [oracles.regret_by_advantages(*args, policy, H, discount) for policy in policies]
    difference = [oracles.regret(*args, policy, H, discount) for policy in policies]
    np.testing.assert_allclose(exact, difference, rtol=1e-8)
    mdp, expert = library(instance), jnp.asarray(expert)
    batch = jax.vmap(lambda policy: regret(mdp, expert, policy, H, discount=discount))
    assert_relative(batch(jnp.stack(policies)), exact, dtype)


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_regret_of_stationary_tables(dtype, discount):
    instance, rng = make("random", dtype), np.random.default_rng(2)
    expert, policy = random_policy(rng, instance, 2, dtype)
    tables = random_policy(rng, instance, 12, dtype)
    mdp = library(instance)
    for pair in ((expert, policy), (expert, tables), (tables, policy)):
        exact = oracles.regret(*rewarded(instance), instance.rho, *pair, 12, discount)
        pair = [jnp.asarray(table) for table in pair]
        bounded = regret(mdp, *pair, 12, discount=discount, max_horizon=14)
        assert_close(bounded, exact, dtype)
        assert_close(library_mdp.regret(mdp, *pair, 12, discount=discount), exact, dtype)


def test_regret_of_stationary_tables_needs_a_static_bound(dtype):
    mdp, table = library(make("random", dtype)), jnp.full((8, 4), 0.25, dtype)
    with pytest.raises(ValueError, match="max_horizon"):
        regret(mdp, table, table, 12)


@pytest.mark.parametrize("name", INSTANCES)
def test_regret_of_the_expert_itself_is_exactly_zero(dtype, name):
    instance, rng = make(name, dtype), np.random.default_rng(3)
    optimal = oracles.hard_plan(*rewarded(instance), 16)[0].astype(dtype)
    for policy in (optimal, random_policy(rng, instance, 16, dtype)):
        for discount in (1.0, 0.9):
            assert regret(library(instance), policy, policy, 16, discount=discount) == 0.0
        stationary = (policy[0], policy[0])
        assert regret(library(instance), *stationary, 16, max_horizon=16) == 0.0


def test_regret_is_negative_against_a_worse_expert(dtype):
    instance = make("random", dtype)
    best = oracles.hard_plan(*rewarded(instance), 16)[0].astype(dtype)
    worse = random_policy(np.random.default_rng(4), instance, 16, dtype)
    exact = oracles.regret(*rewarded(instance), instance.rho, worse, best, 16)
    assert exact < -1
    measured = regret(library(instance), jnp.asarray(worse), jnp.asarray(best), 16)
    assert_relative(measured, exact, dtype)


# ---------------------------------------------------------------- plans, returns, occupancy


@pytest.mark.parametrize("discount", [1.0, 0.9])
@pytest.mark.parametrize("name", INSTANCES)
def test_optimal_plan(dtype, name, discount):
    instance = make(name, dtype)
    policy, V, Q = oracles.hard_plan(*rewarded(instance), 16, discount)
    plan = optimal_plan(library(instance), 16, 20, discount=discount)
    assert plan.policy.shape == (20, *instance.r.shape)
    assert plan.value.shape == (20, len(instance.rho))
    assert_close(plan.value[:16], V, dtype, single=1e-6)
    clear = np.diff(np.sort(Q, axis=-1))[..., -1] > 2e-5
    assert clear.mean() > 0.2
    np.testing.assert_array_equal(np.asarray(plan.policy[:16])[clear], policy[clear])


def test_optimal_plan_takes_the_first_of_tied_actions(dtype):
    instance = make("reset-cliff", dtype)
    plan = optimal_plan(library(instance), 8, 8)
    assert (plan.policy[:, -1] == jnp.eye(5, dtype=dtype)[0]).all()
    np.testing.assert_array_equal(plan.policy.sum(-1), 1.0)


@pytest.mark.parametrize("discount", [1.0, 0.9])
@pytest.mark.parametrize("name", INSTANCES)
def test_return_and_occupancy(dtype, name, discount):
    instance = make(name, dtype)
    mdp, tables = library(instance), random_policy(np.random.default_rng(5), instance, 16, dtype)
    for policy in (tables, tables[0]):
        d = oracles.occupancy(dense(instance), instance.rho, policy, 16)
        args = (dense(instance), instance.r, instance.f, instance.rho, policy, 16, discount)
        measured = expected_return(mdp, jnp.asarray(policy), 16, discount=discount)
        assert_close(measured, oracles.policy_return(*args), dtype, single=1e-5)
        visits = occupancy(mdp, jnp.asarray(policy), 16, 16)
        assert_close(visits, d, dtype, single=1e-5)
        assert_close(visits.sum(-1), np.ones(16), dtype, single=1e-5)


@pytest.mark.parametrize("name", INSTANCES)
def test_forward_equals_backward(dtype, name):
    instance = make(name, dtype)
    mdp = library(instance)
    for discount in (1.0, 0.9):
        plan = optimal_plan(mdp, 32, 32, discount=discount)
        forward = expected_return(mdp, plan.policy, 32, discount=discount)
        assert_close(forward, mdp.initial @ plan.value[0], dtype, single=2e-6)


def test_dense_and_sparse_agree(dtype):
    sparse, rng = make("branching", dtype), np.random.default_rng(6)
    pair = [random_policy(rng, sparse, 16, dtype) for _ in range(2)]
    run = jax.jit(evaluate, static_argnums=4)
    forms = [run(library(form), *pair, 16, 16, 0.95) for form in (sparse, densified(sparse))]
    jax.tree.map(lambda x, y: assert_close(x, y, dtype, single=1e-5), *forms)


# ---------------------------------------------------------------- soft plans


@pytest.mark.parametrize(("discount", "temperature"), [(1.0, 1.0), (0.9, 0.3), (1.0, 5.0)])
@pytest.mark.parametrize("name", INSTANCES)
def test_soft_plan(dtype, name, discount, temperature):
    instance, rng = make(name, dtype), np.random.default_rng(7)
    S, A = instance.r.shape
    for reward in (rng.normal(size=(S, A)), rng.normal(size=(20, S, A))):
        reward = reward.astype(dtype)
        settings = {"discount": discount, "temperature": temperature}
        policy, V = oracles.soft_plan(dense(instance), reward, 16, **settings)
        plan = soft_plan(library(instance), jnp.asarray(reward), 16, 20, **settings)
        assert plan.log_policy.shape == (20, S, A)
        assert_close(plan.value[:16], V, dtype, single=1e-5)
        assert_close(jnp.exp(plan.log_policy[:16]), policy, dtype)


def test_soft_plan_ignores_the_rewards_of_the_mdp(dtype):
    instance = make("random", dtype)
    reward = jnp.asarray(instance.r) ** 2
    silent = library(instance._replace(r=0 * instance.r, f=None))
    for mine, other in zip(
        soft_plan(library(instance), reward, 8, 8, discount=1.0),
        soft_plan(silent, reward, 8, 8, discount=1.0),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_zero_reward_has_soft_value_horizon_log_actions(dtype, temperature):
    instance = make("branching", dtype)
    mdp = library(instance)
    settings = {"discount": 1.0, "temperature": temperature}
    plan = soft_plan(mdp, 0 * mdp.step_reward, 64, 70, **settings)
    remaining = (64 - np.arange(64))[:, None] * np.ones(len(instance.rho))
    assert_close(plan.value[:64], temperature * remaining * np.log(3), dtype, single=1e-5)


def test_low_temperature_approaches_the_optimal_plan(dtype):
    instance = make("random", dtype)._replace(f=None)
    mdp = library(instance)
    plan = soft_plan(mdp, mdp.step_reward, 16, 16, discount=1.0, temperature=1e-4)
    assert jnp.isfinite(plan.log_policy).all()
    exact = oracles.hard_plan(*rewarded(instance), 16)[1]
    np.testing.assert_allclose(plan.value, exact, atol=16 * 1e-4 * np.log(4))


def test_soft_value_is_reward_plus_causal_entropy(dtype):
    instance = make("branching", dtype)
    mdp = library(instance)
    for discount, temperature in ((1.0, 1.0), (0.9, 0.5)):
        settings = {"discount": discount, "temperature": temperature}
        plan = soft_plan(mdp, mdp.step_reward, 16, 16, **settings)
        policy = jnp.exp(plan.log_policy)
        entropy = oracles.causal_entropy(dense(instance), instance.rho, policy, 16, discount)
        total = expected_return(mdp, policy, 16, discount=discount) + temperature * entropy
        assert_close(mdp.initial @ plan.value[0], total, dtype, single=1e-5)


def test_gradient_of_the_soft_value_is_the_expected_visits(dtype):
    """3.1: d E_rho V_0 / d r_t(s, a) = d_t(s) pi_t(a|s); nothing beyond the horizon."""
    instance = make("branching", dtype)
    mdp, S, A = library(instance), *instance.r.shape
    reward = np.random.default_rng(8).normal(size=(14, S, A)).astype(dtype)

    def value(x, horizon):
        return mdp.initial @ soft_plan(mdp, x, horizon, 14, discount=1.0).value[0]

    policy, _ = oracles.soft_plan(dense(instance), reward, 10)
    visits = oracles.occupancy(dense(instance), instance.rho, policy, 10)[..., None] * policy
    exact = np.concatenate([visits, np.zeros((4, S, A))])
    assert_close(jax.jit(jax.jacfwd(value))(jnp.asarray(reward), 10), exact, dtype)


def test_soft_plan_against_every_path(dtype):
    """3.2.1: deterministic dynamics, 3 states, 2 actions, H = 4, as one successor per action."""
    rng = np.random.default_rng(9)
    successor = rng.integers(0, 3, (3, 2, 1), dtype=np.int32)
    reward, rho = rng.normal(size=(3, 2)).astype(dtype), rng.dirichlet(np.ones(3)).astype(dtype)
    instance = Instance(np.ones((3, 2, 1), dtype), reward, None, rho, successor)
    log_z, visits, first, entropy = oracles.path_weights(dense(instance), reward, rho, 4)
    for form in (instance, densified(instance)):
        mdp = library(form)
        plan = soft_plan(mdp, jnp.asarray(reward), 4, 6, discount=1.0)
        policy = jnp.exp(plan.log_policy)
        assert_close(plan.value[0], log_z, dtype, single=1e-5)
        assert_close(policy[0], first, dtype, single=1e-5)
        measured = occupancy(mdp, policy, 4, 6)[:4]
        assert_close(measured[..., None] * policy[:4], visits, dtype, single=1e-5)
        total = mdp.initial @ plan.value[0] - expected_return(mdp, policy, 4)
        assert_close(total, entropy, dtype, single=1e-5)


def grid(slip, stay, dtype, size=5):
    """3.2.4: moves, bumping a wall stays, a slip is a random one of the 4 moves."""
    moves = [(-1, 0), (1, 0), (0, -1), (0, 1)] + [(0, 0)] * stay
    S, A = size * size, len(moves)
    sure = np.zeros((S, A, S))
    for s in range(S):
        for a, move in enumerate(moves):
            x, y = np.clip(np.add(divmod(s, size), move), 0, size - 1)
            sure[s, a, x * size + y] = 1.0
    P = (1 - slip) * sure + slip * sure[:, :4].mean(1, keepdims=True)
    reward = np.repeat(1.5 * np.eye(S)[-1][:, None], A, 1)
    return Instance(P.astype(dtype), reward.astype(dtype), None, np.eye(S, dtype=dtype)[0])


@pytest.mark.parametrize("slip", [0.0, 0.1])
@pytest.mark.parametrize("stay", [False, True])
def test_soft_plan_of_the_grid(dtype, slip, stay):
    instance, H = grid(slip, stay, dtype), 20
    P, reward, _, rho, _ = instance
    exact, V = oracles.soft_plan(P, reward, H)
    mdp = library(instance)
    plan = soft_plan(mdp, mdp.step_reward, H, H, discount=1.0)
    assert_close(plan.value[0], V[0], dtype, single=1e-5)
    assert_close(jnp.exp(plan.log_policy[0]), exact[0], dtype, single=2e-5)
    goal = occupancy(mdp, jnp.exp(plan.log_policy), H, H)[:, -1]
    assert_close(goal, oracles.occupancy(P, rho, exact, H)[:, -1], dtype)
    assert (goal[:8] == 0).all()
    assert (goal[8:].sum() > 0.1) & (goal[8] > 0)


# ---------------------------------------------------------------- padding and batching


@pytest.mark.parametrize("name", ["random", "branching"])
def test_padding_changes_nothing_bit_for_bit(dtype, name):
    instance, rng = make(name, dtype), np.random.default_rng(10)
    mdp = library(instance)
    pair = [random_policy(rng, instance, 24, dtype) for _ in range(2)]
    run = jax.jit(evaluate, static_argnums=4)
    for discount in (1.0, 0.9):
        exact = run(mdp, *pair, 24, 24, discount)
        wide = run(mdp, *(padded(policy, 41) for policy in pair), 24, 41, discount)
        assert (wide["rows"][-1][24:] == 0).all()
        wide["rows"] = tuple(rows[:24] for rows in wide["rows"])
        jax.tree.map(np.testing.assert_array_equal, wide, exact)


@pytest.mark.parametrize("name", ["random", "branching"])
def test_horizons_of_one_batch(dtype, name):
    instance, rng = make(name, dtype), np.random.default_rng(11)
    pair = [random_policy(rng, instance, 16, dtype) for _ in range(2)]
    horizons = (1, 2, 7, 16)

    def every(horizon):
        return evaluate(library(instance), *map(jnp.asarray, pair), horizon, 16, 0.95)

    batch = jax.jit(jax.vmap(every))(jnp.array(horizons))
    for i, H in enumerate(horizons):
        args = (*rewarded(instance), instance.rho)
        lost = oracles.regret(*args, *pair, H, 0.95)
        assert_close(batch["regret"][i], lost, dtype)
        gained = oracles.policy_return(*args, pair[1], H, 0.95)
        assert_close(batch["return"][i], gained, dtype, single=1e-5)
        V = oracles.hard_plan(*rewarded(instance), H, 0.95)[1]
        assert_close(batch["rows"][1][i, :H], V, dtype, single=1e-5)
        d = oracles.occupancy(dense(instance), instance.rho, pair[1], H)
        assert_close(batch["rows"][-1][i], np.pad(d, ((0, 16 - H), (0, 0))), dtype, single=1e-5)


@pytest.mark.parametrize("name", ["random", "branching"])
def test_batches_of_mdps_and_seeds(dtype, name):
    instances = [make(name, dtype, seed) for seed in range(3)]
    mdps = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(library, instances))
    rng, H = np.random.default_rng(12), 16
    policies = np.stack([random_policy(rng, instances[0], H, dtype) for _ in range(12)])
    policies = policies.reshape(3, 4, *policies.shape[1:])

    def every(mdp, tables):
        plan = optimal_plan(mdp, H, H)
        soft = soft_plan(mdp, mdp.step_reward, H, H, discount=1.0)
        lost = jax.vmap(lambda policy: regret(mdp, plan.policy, policy, H))(tables)
        gained = jax.vmap(lambda policy: expected_return(mdp, policy, H))(tables)
        return plan.value, soft.value, lost, gained

    value, soft, lost, gained = jax.jit(jax.vmap(every))(mdps, policies)
    for i, instance in enumerate(instances):
        best, V, _ = oracles.hard_plan(*rewarded(instance), H)
        assert_close(value[i], V, dtype, single=1e-5)
        assert_close(soft[i], oracles.soft_plan(dense(instance), instance.r, H)[1], dtype, 1e-5)
        for j, policy in enumerate(policies[i]):
            args = (*rewarded(instance), instance.rho)
            assert_close(lost[i, j], oracles.regret(*args, best, policy, H), dtype)
            assert_close(gained[i, j], oracles.policy_return(*args, policy, H), dtype, 1e-5)
