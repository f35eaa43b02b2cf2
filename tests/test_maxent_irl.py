"""Maximum causal entropy IRL and the measures of a recovered reward, against float64 oracles."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

import imitax
from imitax.algorithms.inverse.maxent_irl import MaxEntConfig, likelihood
from imitax.core.policies import tabular
from imitax.core.types import Capacity, Demonstrations, Problem
from imitax.envs.tabular import TabularParams
from imitax.tabular import mdp as exact
from imitax.tabular import moments as game
from imitax.tabular import soft
from imitax.tasks import reward_metrics

ROUNDING = 1e-11  # float64: some hundred additions of numbers of order ten
NUM_DEMOS, S, A = 7, 5, 3
ENV = types.SimpleNamespace(family="tiny", is_tabular=True, spec="tiny")
P, RHO = (np.random.default_rng(0).dirichlet(np.ones(S), shape) for shape in ((S, A), ()))

evaluate = jax.jit(likelihood)
each = jax.jit(jax.vmap(likelihood, (None, None, 0)))
soft_plan = jax.jit(soft.soft_plan, static_argnums=3)


@jax.jit
def solve(problem, config):
    """State, policy and reward; as `imitax.train`, whose loop holds metrics to float32."""
    algorithm, key = imitax.maxent_irl(ENV, config), jax.random.key(0)
    _, state = jax.lax.while_loop(
        lambda loop: (loop[0] < config.num_steps) & ~loop[1].converged,
        lambda loop: (loop[0] + 1, algorithm.step(key, problem, loop[1])[0]),
        (jnp.int32(0), algorithm.init(key, problem)),
    )
    return state, algorithm.policy(problem, state).params, algorithm.reward(problem, state)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def flows(policy, P=P, rho=RHO):
    return oracles.occupancy(P, rho, policy, len(policy))[..., None] * policy


def task(features, shown, num_demos=NUM_DEMOS, P=P, rho=RHO):
    """An expert who showed exactly the flows d_t(s) pi_t(a|s), [H, S, A], in a longer buffer."""
    counts = np.pad(num_demos * shown, ((0, 2), (0, 0), (0, 0))).astype(shown.dtype)
    arrays = [None if x is None else jnp.asarray(x, shown.dtype) for x in (P, rho, features)]
    mdp = exact.TabularMDP(arrays[0], None, None, *arrays[1:])
    horizon, number = jnp.int32(len(shown)), jnp.int32(num_demos)
    return Problem(
        params=TabularParams(mdp=mdp, expert_policy=None, max_steps_in_episode=horizon),
        horizon=horizon,
        num_demos=number,
        demonstrations=Demonstrations(None, None, None, jnp.asarray(counts), number),
        expert=tabular(jnp.zeros((S, A))),  # never read
        source_params=None,
        capacity=Capacity(len(shown) + 2, NUM_DEMOS),
    )


def soft_expert(reward, H, discount=1.0):
    policy, _ = oracles.soft_plan(P, reward, H, discount)
    return policy, flows(policy)


def sampled(rng, flow):
    """Flows of a few draws per step; good enough as demonstrations."""
    draws = [rng.multinomial(NUM_DEMOS, x.ravel() / 1.0000001) / NUM_DEMOS for x in flow]
    return np.array(draws).reshape(flow.shape)


def moments(features, flow, discount):
    """f = sum_t g^t sum_{s,a} d_t phi; without features the visits themselves."""
    total = np.einsum("t,tsa->sa", discount ** np.arange(len(flow)), flow)
    return total if features is None else np.einsum("saf,sa->f", features, total)


def gradient(features, shown, theta, discount, l2):
    """Of -L / H, and the moment gap / H, in float64."""
    H, theta = len(shown), np.asarray(theta, np.float64)
    policy, _ = oracles.soft_plan(P, theta if features is None else features @ theta, H, discount)
    gap = moments(features, flows(policy), discount) - moments(features, shown, discount)
    return gap / H + l2 / NUM_DEMOS * theta, np.linalg.norm(gap) / H


@pytest.mark.parametrize("discount", [1.0, 0.9])
@pytest.mark.parametrize("num_features", [None, 4])
def test_gradient_is_the_slope_of_the_value(x64, num_features, discount):
    rng, H, l2 = np.random.default_rng(1), 6, 0.3
    features = None if num_features is None else rng.normal(size=(5, 3, num_features))
    _, flow = soft_expert(rng.normal(size=(5, 3)), H)
    shown, theta = sampled(rng, flow), rng.normal(size=num_features or (5, 3))
    problem = task(features, shown)
    config = MaxEntConfig(l2=l2, discount=discount)
    found = evaluate(problem, config, jnp.asarray(theta))

    _, V = oracles.soft_plan(P, theta if features is None else features @ theta, H, discount)
    data = (theta * moments(features, shown, discount)).sum()
    value = (RHO @ V[0] - data) / H + l2 / (2 * NUM_DEMOS) * (theta**2).sum()
    assert found.value == pytest.approx(value, abs=ROUNDING)
    slope, gap = gradient(features, shown, theta, discount, l2)
    np.testing.assert_allclose(found.gradient, slope, atol=ROUNDING)
    assert found.moment_gap == pytest.approx(gap, abs=ROUNDING)

    step = 1e-5  # truncation step^2 times a third derivative below 1; rounding 1e-15 / step
    shifts = step * np.eye(theta.size).reshape(-1, *theta.shape)
    up, down = (each(problem, config, jnp.asarray(theta + x)).value for x in (shifts, -shifts))
    np.testing.assert_allclose(found.gradient.ravel(), (up - down) / (2 * step), atol=1e-9)


def test_paths_of_a_deterministic_mdp(x64):
    """P(tau) = exp(sum r) / Z over every path, for the policy the algorithm returns."""
    H, rng = 4, np.random.default_rng(2)
    P, rho = np.eye(3)[rng.integers(0, 3, (3, 2))], rng.dirichlet(np.ones(3))
    theta, problem = rng.normal(size=(3, 2)), task(None, np.ones((H, 3, 2)) / 6, P=P, rho=rho)
    algorithm = imitax.maxent_irl(ENV, MaxEntConfig())
    state = algorithm.init(jax.random.key(0), problem)._replace(theta=jnp.asarray(theta))
    policy = algorithm.policy(problem, state).params
    log_Z, visits, first, _ = oracles.path_weights(P, theta, rho, H)

    plan = soft_plan(problem.params.mdp, jnp.asarray(theta), H, H + 2, discount=1.0)
    np.testing.assert_allclose(plan.value[0], log_Z, atol=ROUNDING)
    np.testing.assert_allclose(policy[0], first, atol=ROUNDING)
    np.testing.assert_array_equal(policy[H:], 0.0)
    total = game.visits(problem.params.mdp, plan.log_policy, jnp.int32(H), 1.0)
    np.testing.assert_allclose(total, visits.sum(0), atol=ROUNDING)
    np.testing.assert_allclose(flows(policy[:H], P, rho), visits, atol=ROUNDING)


def test_a_zero_reward_is_worth_the_entropy(x64):
    mdp = task(None, np.ones((9, 5, 3))).params.mdp
    plan = soft_plan(mdp, jnp.zeros((5, 3)), 9, 11, discount=1.0)
    np.testing.assert_allclose(plan.value[0], 9 * np.log(3), rtol=1e-14)
    np.testing.assert_allclose(plan.log_policy[:9], -np.log(3), rtol=1e-14)


@pytest.mark.parametrize("num_demos", [1, NUM_DEMOS])
@pytest.mark.parametrize("discount", [1.0, 0.9])
@pytest.mark.parametrize("by_state", [False, True], ids=["pairs", "states"])
def test_recovery_of_a_soft_expert_from_exact_moments(x64, by_state, discount, num_demos):
    """Theory 3.2.5 and 3.4: policy and moments; the reward up to a constant."""
    rng, H = np.random.default_rng(3), 6
    features = np.eye(S)[:, None].repeat(A, 1) if by_state else None
    truth = rng.normal(size=(5, 1)) * np.ones(3) if by_state else rng.normal(size=(5, 3))
    expert, shown = soft_expert(truth, H, discount)
    config = MaxEntConfig(l2=0.0, tolerance=1e-9, discount=discount, num_steps=500)
    state, policy, reward = solve(task(features, shown, num_demos), config)
    assert state.converged
    divergence = (shown * (np.log(expert) - np.log(policy[:H]))).sum()
    assert divergence < 1e-6
    gap = gradient(features, shown, state.theta, discount, 0.0)[1]
    assert gap < 1e-9
    assert state.here.moment_gap == pytest.approx(gap, abs=ROUNDING)
    # A gap of 1e-9 over a smallest curvature of about 1e-3; a constant changes no policy.
    assert np.ptp(reward - truth) < 1e-5


def shaped(P, reward, potential, discount):
    """r_t + g E phi_{t+1}(s') - phi_t(s); potential [H + 1, S]."""
    return reward + discount * np.einsum("sax,tx->tsa", P, potential[1:]) - potential[:-1, :, None]


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_shaping_that_ends_in_zero_changes_no_policy(x64, discount):
    rng, H = np.random.default_rng(4), 6
    mdp, reward = task(None, np.ones((H, 5, 3))).params.mdp, rng.normal(size=(5, 3))
    potential = 3.0 * rng.normal(size=(H + 1, 5))

    def log_policy(potential, factor):
        table = jnp.asarray(shaped(P, reward, potential, factor))
        return soft_plan(mdp, table, H, H, discount=discount).log_policy

    plain = soft_plan(mdp, jnp.asarray(reward), H, H, discount=discount).log_policy
    at_the_end = potential.copy()
    potential[-1] = 0.0
    np.testing.assert_allclose(log_policy(potential, discount), plain, atol=ROUNDING)
    changed = log_policy(at_the_end, discount)
    assert np.abs(changed - plain)[-1].max() > 0.1  # potentials of order 3
    assert np.abs(changed - plain)[0].max() > 1e-3
    other = log_policy(potential, discount - 0.1)  # a shaping of another discount
    assert np.abs(other - plain).max() > 0.01


def test_one_discount_in_planner_policy_and_moments(x64):
    rng, H = np.random.default_rng(5), 8
    shown = sampled(rng, soft_expert(rng.normal(size=(5, 3)), H)[1])
    config = MaxEntConfig(l2=0.1, tolerance=1e-9, discount=0.9, num_steps=500)
    state, policy, reward = solve(task(None, shown), config)
    assert state.converged
    planned, _ = oracles.soft_plan(P, reward, H, 0.9)
    np.testing.assert_allclose(policy[:H], planned, atol=ROUNDING)
    undiscounted, _ = oracles.soft_plan(P, reward, H, 1.0)
    assert np.abs(undiscounted - policy[:H]).max() > 0.01
    slopes = [gradient(None, shown, state.theta, discount, 0.1)[0] for discount in (0.9, 1.0)]
    assert np.linalg.norm(slopes[0]) < 1e-9
    assert np.linalg.norm(slopes[1]) > 1e-3


def test_converged_means_a_small_gradient_per_step():
    """In float32: the flag against the oracle's float64 gradient of the same problem and theta."""
    H, l2, flags = 10, 0.1, set()
    flow = soft_expert(2.0 * np.random.default_rng(6).normal(size=(5, 3)), H)[1]
    for seed in range(4):
        shown = sampled(np.random.default_rng(seed), flow)
        for tolerance in (0.1, 1e-2, 1e-3, 1e-5):
            config = MaxEntConfig(l2=l2, tolerance=tolerance, num_steps=10)
            state, _, _ = solve(task(None, shown.astype("f")), config)
            slope, gap = gradient(None, shown, state.theta, 1.0, l2)
            rounding = 2e-6  # of float32 visits up to H = 10, over H
            assert state.here.moment_gap == pytest.approx(gap, abs=rounding)
            if state.converged:
                assert np.linalg.norm(slope) < tolerance + rounding
            else:
                assert np.linalg.norm(slope) >= tolerance - rounding
            flags.add(bool(state.converged))
    assert flags == {True, False}


def test_the_recovered_grid_reward_peaks_at_the_goal():
    env, numbers = imitax.environment("gridworld"), (15, 200)
    algorithm = imitax.algorithm("maxent-irl", env).build(env)

    def one(seed):
        instance = imitax.pose(env, seed, *numbers, Capacity(*numbers), algorithm.demand)
        trained = imitax.train(instance.learner_key, algorithm, instance.problem)
        reward = algorithm.reward(instance.problem, trained.state)
        return reward, reward_metrics.reward_metrics(env, instance, reward), trained.state.converged

    recovered, metrics, converged = jax.jit(jax.vmap(one))(jnp.arange(4))
    assert np.all(converged)
    recovered, truth = np.asarray(recovered), np.eye(25)[24]
    np.testing.assert_array_equal(np.ptp(recovered, axis=2), 0.0)  # features of the state alone
    assert np.all(recovered[..., 0].argmax(1) == 24)
    mean = recovered[..., 0].mean(0)
    assert mean[24] - np.delete(mean, 24).max() > 0.5
    assert np.corrcoef(mean, truth)[0, 1] > 0.7
    # 0 is the truth, sqrt(1/2) an unrelated reward; both measures again by the oracle.
    assert np.all(metrics.epic_distance < 0.5)
    table = truth[:, None, None] * np.ones((25, 5, 25))
    for reward, distance in zip(recovered, metrics.epic_distance, strict=True):
        again = oracles.epic_distance(reward[..., None] * np.ones(25), table, 1.0)
        assert distance == pytest.approx(again, abs=1e-4)
    lost = metrics.expected_value_difference  # of about six visits to the goal
    assert np.all((lost >= 0) & (lost < 0.5))


@pytest.mark.parametrize("discount", [1.0, 0.8])
def test_epic_distance(x64, discount):
    rng = np.random.default_rng(7)
    left, right, potential = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), rng.normal(size=5)
    wide = [x[..., None] * np.ones(5) for x in (left, right)]

    def distance(one, other):
        return reward_metrics.epic_distance(jnp.asarray(one), jnp.asarray(other), discount=discount)

    half = 1e-7  # sqrt of a rounding error of 1e-15 in the correlation
    assert distance(left, 3.0 * left + 2.0) == pytest.approx(0.0, abs=half)
    assert distance(left, -left) == pytest.approx(1.0, abs=half)
    expected = oracles.epic_distance(*wide, discount)
    assert distance(left, right) == pytest.approx(expected, abs=ROUNDING)
    # Shaping has distance zero as a reward of (s, a, s'); its mean over s' has not.
    full = wide[0] + discount * potential - potential[:, None, None]
    assert oracles.epic_distance(wide[0], full, discount) < half
    mean = left + discount * P @ potential - potential[:, None]
    expected = oracles.epic_distance(wide[0], mean[..., None] * np.ones(5), discount)
    assert expected > 0.01
    assert distance(left, mean) == pytest.approx(expected, abs=ROUNDING)


EPIC = jax.jit(reward_metrics.epic_distance)
CONSTANTS = (0.1, 0.3, -0.7, 1 / 3, 0.0, 1.0, 1e-20, -1e20)


@pytest.mark.parametrize("shape", [(10, 5), (1, 1), (3, 1), (1, 7)])
def test_epic_distance_of_a_reward_that_says_nothing_is_nan(shape):
    other = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
    for value in CONSTANTS:
        constant = jnp.full(shape, value, jnp.float32)
        assert np.isnan(EPIC(constant, other))
        assert np.isnan(EPIC(other, constant))
        assert np.isnan(EPIC(constant, constant))
    # At discount 0 a reward of the state alone prefers no action either.
    alone = other[:, :1] * jnp.ones(shape)
    assert np.isnan(EPIC(alone, other, discount=0.0))


@pytest.mark.parametrize("scale", [1.0, 1e-10, 1e10, 1e-30, 1e30])
def test_epic_distance_is_free_of_scale_and_level(scale):
    """In float32 as the oracle in float64 has it of the same numbers."""
    rng = np.random.default_rng(3)
    left, right = np.float32(rng.normal(size=(2, 10, 5)))
    for one, other in ((left, right), (left, left + np.float32(1e-3) * right), (left, -left)):
        one, other = np.float32(scale * one), np.float32(other)
        wide = [np.float64(x)[..., None] * np.ones(10) for x in (one / np.float32(scale), other)]
        expected = oracles.epic_distance(*wide, 0.9)
        for factor in (1.0, scale):
            found = EPIC(one, np.float32(factor) * other, discount=0.9)
            assert found == pytest.approx(expected, abs=2e-6)
    assert EPIC(scale * left, left) == pytest.approx(0.0, abs=1e-6)
    found = EPIC(left + np.float32(64), right - np.float32(64), discount=0.9)
    wide = [x[..., None] * np.ones(10) for x in (left, right)]
    assert found == pytest.approx(oracles.epic_distance(*wide, 0.9), abs=2e-5)


def test_expected_value_difference():
    H, reward = 6, np.random.default_rng(8).normal(size=(5, 3)).astype("f")
    mdp = task(None, np.ones((H, S, A), "f")).params.mdp._replace(step_reward=jnp.asarray(reward))
    evd = jax.jit(reward_metrics.expected_value_difference, static_argnums=3)
    assert evd(mdp, mdp.step_reward, H, H + 1) == 0.0
    assert evd(mdp, 2.0 * mdp.step_reward + 3.0, H, H + 1) == 0.0
    expert, planned = (oracles.hard_plan(P, x, None, H)[0] for x in (reward, -reward))
    lost = oracles.regret(P, reward, None, RHO, expert, planned, H)
    assert lost > 1.0
    assert evd(mdp, -mdp.step_reward, H, H + 1) == pytest.approx(lost, rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"l2": -1.0}, r"MaxEntConfig: l2=-1\.0 is out of range; allowed: >= 0\.0"),
        ({"discount": 1.5}, r"MaxEntConfig: discount=1\.5 is out of range; allowed: .*<= 1\.0"),
        ({"tolerance": 0.0}, r"MaxEntConfig: tolerance=0\.0 is out of range; allowed: > 0\.0"),
        (
            {"reward": "deep"},
            r"MaxEntConfig: reward=deep is out of range; allowed: linear\|tabular",
        ),
    ],
)
def test_settings_without_meaning_are_refused(settings, message):
    with pytest.raises(imitax.SpecError, match=message) as caught:
        MaxEntConfig(**settings)
    assert "\n" not in str(caught.value)
