"""The family `linear`, and the law of a least-squares fit on it, against numpy and enumeration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

import imitax
from imitax.bench.theory.closed_forms import closed_form, is_cheap
from imitax.bench.theory.linear_system import unstable_share
from imitax.core.errors import SpecError
from imitax.envs.linear import Linear, LinearSettings

RHO, GAIN, START, TAU, DEMOS = 0.5, 0.45, 0.1, 0.05, 10
HORIZONS = (8, 16, 32, 64, 128, 256)
NUM_SEEDS = 4096


def design(horizon, intercept):
    """The states of a demonstration, [H, 1], and a column of ones beside them."""
    states = START * (RHO + GAIN) ** np.arange(horizon)
    return np.stack([states, np.ones(horizon)], axis=1)[:, : 1 + intercept]


def lost(slope, intercept, horizon):
    """Cost of a = slope s + intercept above the expert's; nothing is clipped."""
    state, expert = np.full(np.shape(slope), START), START
    total = np.zeros(np.shape(slope))
    for _ in range(horizon):
        total += np.minimum(1.0, np.abs(state)) - min(1.0, abs(expert))
        state, expert = RHO * state + slope * state + intercept, (RHO + GAIN) * expert
    return total


def covariance(horizon, intercept):
    """Of the coefficients of ordinary least squares, tau^2 (X'X)^-1 / N."""
    states = design(horizon, intercept)
    return TAU**2 / DEMOS * np.linalg.inv(states.T @ states)


def oracle(horizon, intercept, nodes=1201):
    """Expected regret: the integral over coefficients in principal axes, by the midpoint rule."""
    size, vectors = np.linalg.eigh(covariance(horizon, intercept))
    grid = np.linspace(-7.5, 7.5, nodes)
    points = np.stack(np.meshgrid(*[grid] * len(size), indexing="ij"))
    weight = np.prod(norm.pdf(points), axis=0)
    root = vectors * np.sqrt(size)
    away = np.tensordot(root, points, axes=1)
    regret = lost(GAIN + away[0], away[1] if intercept else 0.0, horizon)
    return float(np.sum(weight * regret) / np.sum(weight))


def test_the_oracle_has_the_figures_of_the_theory():
    """Section 2 of theory-2, a fit without an intercept."""
    found = [oracle(horizon, False, 40001) for horizon in HORIZONS]
    np.testing.assert_allclose(found, (0.0204, 0.1117, 0.5725, 2.623, 9.092, 25.12), rtol=2.5e-3)
    share = norm.sf((1 - RHO - GAIN) / np.sqrt(covariance(4096, False)[0, 0]))
    assert share == pytest.approx(0.1556, abs=5e-5)


@pytest.mark.parametrize("horizon", [4, 16, 64])
def test_closed_form_against_the_oracle(horizon):
    found = closed_form("linear", "bc:hidden=none", horizon, DEMOS)
    assert found == pytest.approx(oracle(horizon, True), rel=1e-3)
    deviation = np.sqrt(covariance(horizon, True)[0, 0])
    law = norm(RHO + GAIN, deviation)
    share = unstable_share(LinearSettings(), horizon, DEMOS)
    assert share == pytest.approx(law.sf(1) + law.cdf(-1), rel=1e-9)


def test_the_share_of_unstable_loops_has_a_floor():
    """An intercept costs nothing in the limit of long episodes, and the share stays."""
    assert unstable_share(LinearSettings(), 100_000, DEMOS) == pytest.approx(0.1556, abs=1e-4)
    assert unstable_share(LinearSettings(label_noise=0.0), 64, DEMOS) == 0.0
    far = unstable_share(LinearSettings(rho=0.5, gain=-0.5, label_noise=50.0), 64, DEMOS)
    assert far > 0.9, "both edges of stability count"


@pytest.mark.parametrize("horizon", [8, 32])
def test_closed_form_against_simulated_least_squares(horizon):
    generator, number = np.random.default_rng(3), 8192
    states = np.tile(design(horizon, True), (DEMOS, 1))
    labels = GAIN * states[:, :1] + TAU * generator.normal(size=(len(states), number))
    slope, intercept = np.linalg.lstsq(states, labels, rcond=None)[0]
    regret = lost(slope, intercept, horizon)
    error = regret.std() / np.sqrt(number)
    exact = closed_form("linear", "bc:hidden=none", horizon, DEMOS)
    assert abs(regret.mean() - exact) < 4 * error
    assert error < 0.1 * exact
    unstable = np.abs(RHO + slope) > 1
    share = unstable_share(LinearSettings(), horizon, DEMOS)
    assert abs(unstable.mean() - share) < 4 * np.sqrt(share * (1 - share) / number)


@pytest.fixture(scope="module")
def cloned():
    """horizon -> (regret, slope) of `bc:hidden=none`, each [K]."""
    env = imitax.environment("linear")
    chosen, capacity = imitax.algorithm("bc:hidden=none", env), imitax.Capacity(32, DEMOS)

    def one(seed, horizon):
        algorithm = chosen.build(env)
        instance = imitax.pose(env, seed, horizon, jnp.int32(DEMOS), capacity, algorithm.demand)
        trained = imitax.train(instance.learner_key, algorithm, instance.problem)
        policy = algorithm.policy(instance.problem, trained.state)
        outcome = imitax.evaluate(env, instance, policy, num_episodes=1)
        here, there = (policy(jnp.full(1, s), jnp.int32(0)).mode()[0] for s in (0.0, 1.0))
        return outcome.regret, there - here

    run = jax.jit(jax.vmap(one, in_axes=(0, None)))
    return lambda horizon: [np.asarray(x) for x in run(jnp.arange(NUM_SEEDS), jnp.int32(horizon))]


@pytest.mark.parametrize("horizon", [8, 32])
def test_cloning_has_the_regret_of_its_law(cloned, horizon):
    regret, slope = cloned(horizon)
    exact = closed_form("linear", "bc:hidden=none", horizon, DEMOS)
    assert abs(regret.mean() - exact) < 4 * regret.std() / np.sqrt(NUM_SEEDS)
    assert (regret < 0).any(), "the expert is not optimal for this cost"
    share = unstable_share(LinearSettings(), horizon, DEMOS)
    error = np.sqrt(share * (1 - share) / NUM_SEEDS)
    assert abs((np.abs(RHO + slope) > 1).mean() - share) < 4 * error


@pytest.mark.parametrize(
    ("environment", "algorithm", "horizon"),
    [
        ("linear:noise=0.01", "bc:hidden=none", 8),
        ("linear:subsample=2", "bc:hidden=none", 8),
        ("linear", "bc:hidden=none", 1),
        ("linear", "bc:hidden=none,labels=40", 8),
        ("linear", "bc:hidden=none,l2=0.1", 8),
        ("linear", "bc:hidden=none,num_steps=10", 8),
        ("linear", "bc:hidden=none,loss=huber", 8),
        ("linear", "bc:hidden=none,solver=adam", 8),
        ("linear", "bc", 8),
        ("linear", "dagger:hidden=none", 8),
        ("lane", "bc:hidden=none", 8),
    ],
)
def test_no_other_learner_has_this_closed_form(environment, algorithm, horizon):
    assert closed_form(environment, algorithm, horizon, DEMOS) is None


def test_what_does_not_move_the_solution_keeps_the_closed_form():
    plain = closed_form("linear", "bc:hidden=none", 8, DEMOS)
    for more in ("normalise=false", "solver=exact", "loss=mse", "policy=mlp"):
        assert closed_form("linear", f"bc:hidden=none,{more}", 8, DEMOS) == plain
    assert closed_form("linear:label_noise=0.0", "bc:hidden=none", 8, DEMOS) == 0.0
    assert not is_cheap("bc:hidden=none")
    assert is_cheap("bc")


def test_a_step_of_the_system():
    """s' = rho s + a; the cost is that of the state acted from; actions and states have bounds."""
    env = Linear(LinearSettings(rho=1.5, gain=-0.75, start=0.8))
    params, key = env.default_params, jax.random.key(0)
    obs, state = env.reset_env(key, params)
    assert obs == np.float32(0.8)
    assert env.expert(params)(obs, jnp.int32(0)).mode() == pytest.approx(-0.6)
    for before, action, after, reward in (
        (0.8, -0.6, 0.6, -0.8),
        (-0.8, 0.5, -0.7, -0.8),
        (3.0, 0.5, 5.0, -1.0),
        (0.2, 9.0, 2.3, -0.2),
        (0.2, -9.0, -1.7, -0.2),
        (-999.0, 0.0, -1000.0, -1.0),
    ):
        state = state.replace(position=jnp.full(1, before, jnp.float32))
        found = env.step_env(key, state, jnp.array([action]), params)
        assert found[0] == pytest.approx(after, rel=1e-6)
        assert found[2] == pytest.approx(reward, rel=1e-6)
        assert not found[3]
    nowhere = state.replace(position=jnp.full(1, jnp.nan))
    assert env.step_env(key, nowhere, jnp.zeros(1), params)[2] == -1.0


def test_the_step_has_noise():
    env, number = Linear(LinearSettings(noise=0.3)), 4096
    params = env.default_params
    _, state = env.reset_env(jax.random.key(0), params)
    keys = jax.random.split(jax.random.key(1), number)
    moved = jax.vmap(lambda key: env.step_env(key, state, jnp.zeros(1), params)[0])(keys)
    assert np.mean(moved) == pytest.approx(RHO * START, abs=5 * 0.3 / np.sqrt(number))
    assert np.var(moved) == pytest.approx(0.09, rel=5 * np.sqrt(2 / number))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("linear:gain=0.5", "linear: rho=0.5 and gain=0.5 give an expert whose closed loop mult"),
        (
            "linear:rho=1.3",
            "multiplies the state by 1.75 and is not stable; give rho + gain betwee",
        ),
        ("linear:rho=0.2,gain=-1.2", "for instance gain=0.75"),
        ("linear:rho=-0.1", "linear: rho=-0.1 is out of range; allowed: >= 0.0, <= 2.0"),
        ("linear:start=0", "linear: start=0.0 is out of range; allowed: > 0.0, <= 1.0"),
        ("linear:label_noise=-1", "linear: label_noise=-1.0 is out of range; allowed: >= 0.0"),
    ],
)
def test_unstable_experts_and_bad_settings_are_refused(text, message):
    with pytest.raises(SpecError) as caught:
        imitax.environment(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
