"""DART: the noise is the learner's error, its labels are what the expert meant, and it pays."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

import imitax
from imitax.algorithms.interactive.dart import Disturbed, cholesky, measured, scaled
from imitax.core.distributions import Point, certain

CLIFF = "recoverable-cliff:num_states=5,num_actions=3"
CAPACITY = imitax.Capacity(6, 600)


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("rank", [0, 1, 4])
def test_the_factor_is_that_of_the_covariance(size, rank):
    errors = np.random.default_rng([size, rank]).normal(size=(rank, size))
    covariance = errors.T @ errors
    factor = np.asarray(cholesky(jnp.asarray(covariance, jnp.float32)), float)
    np.testing.assert_allclose(factor @ factor.T, covariance, atol=1e-5)
    np.testing.assert_array_equal(factor, np.tril(factor))


def test_errors_are_those_of_numpy():
    rng = np.random.default_rng(1)
    valid = rng.random(40) < 0.6
    played, labels = rng.normal(size=(2, 40, 3))
    error = (played - labels)[valid]
    before = jnp.full((3, 3), 7.0)
    found = measured(before, jnp.asarray(played), jnp.asarray(labels), jnp.asarray(valid))
    np.testing.assert_allclose(found, error.T @ error / len(error), rtol=1e-5)
    acts, meant = rng.integers(3, size=(2, 40))
    found = measured(jnp.asarray(0.5), jnp.asarray(acts), jnp.asarray(meant), jnp.asarray(valid))
    assert float(found) == pytest.approx(np.mean((acts != meant)[valid]))
    rows = rng.dirichlet(np.ones(3), 40)
    found = measured(jnp.asarray(0.5), jnp.asarray(rows), jnp.asarray(meant), jnp.asarray(valid))
    assert float(found) == pytest.approx(np.mean(1 - rows[np.arange(40), meant][valid]))
    nothing = jnp.zeros(40, bool)
    assert float(measured(jnp.asarray(0.5), jnp.asarray(acts), jnp.asarray(meant), nothing)) == 0.5


def test_alpha_is_the_size_of_an_episode_s_error():
    error = jnp.asarray([[2.0, 0.5], [0.5, 1.0]])
    steps = jnp.int32(20)
    noise = scaled(0.3, error, steps)
    assert 20 * float(jnp.trace(noise)) == pytest.approx(0.3)
    np.testing.assert_allclose(noise / noise[0, 0], error / error[0, 0], rtol=1e-6)
    np.testing.assert_array_equal(scaled(0.0, error, steps), error)
    np.testing.assert_array_equal(scaled(0.3, 0.0 * error, steps), 0.0 * error)
    assert float(scaled(4.0, jnp.asarray(0.7), steps)) == pytest.approx(0.2)
    assert float(scaled(0.0, jnp.asarray(0.7), steps)) == pytest.approx(0.7)
    assert float(scaled(99.0, jnp.asarray(0.7), steps)) == 1.0


def test_disturbed_actions_have_the_noise_that_is_asked_for():
    count = 40_000
    keys = jax.random.split(jax.random.key(0), count)
    meant = Disturbed(certain(jnp.int32(2), 4), jnp.float32(0.3))
    drawn = np.asarray(jax.jit(jax.vmap(meant.sample))(keys))
    share = np.bincount(drawn, minlength=4) / count
    np.testing.assert_allclose(share, [0.1, 0.1, 0.7, 0.1], atol=5 * 0.5 / count**0.5)
    covariance = np.array([[0.4, -0.2], [-0.2, 0.3]])
    factor = cholesky(jnp.asarray(covariance, jnp.float32))
    meant = Disturbed(Point(jnp.asarray([1.0, -1.0])), factor)
    drawn = np.asarray(jax.jit(jax.vmap(meant.sample))(keys))
    np.testing.assert_allclose(drawn.mean(0), [1.0, -1.0], atol=5 * 0.7 / count**0.5)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.02)
    np.testing.assert_array_equal(meant.mode(), [1.0, -1.0])
    alone = Disturbed(certain(jnp.int32(0), 1), jnp.float32(0.9))
    assert int(alone.sample(jax.random.key(1))) == 0


def rounds(spec, num_demos, count, horizon=6):
    """The states after each of the first rounds, and the expert, the MDP and the horizon."""
    env = imitax.environment(CLIFF)
    algorithm = imitax.algorithm(spec, env).build(env)
    instance = imitax.pose(env, 3, horizon, num_demos, CAPACITY, algorithm.demand)
    state = jax.jit(algorithm.init)(jax.random.key(0), instance.problem)
    step, states = jax.jit(algorithm.step), [state]
    for index in range(count):
        states.append(step(jax.random.key(index + 1), instance.problem, states[-1])[0])
    return states, instance


def test_labels_are_what_the_expert_meant_in_the_states_of_its_noise():
    """Rounds of 250 episodes at known rates, beside occupancies by a loop in float64: `noise` in
    the first, alpha / H in the second."""
    spec = "dart:noise=0.4,alpha=1.2,episodes_per_round=250,first_episodes=1"
    states, instance = rounds(spec, 501, 2)
    for before, after, rate in zip(states, states[1:], (0.4, 1.2 / 6), strict=False):
        visits_are_those_of_noise(before, after, rate, instance)


def visits_are_those_of_noise(before, after, rate, instance):
    table = np.asarray(instance.expert.params, float)
    mdp, new = instance.params.mdp, np.asarray(after.counts - before.counts, float)
    num_actions = table.shape[-1]
    acting = (1 - rate) * table + rate * (1 - table) / (num_actions - 1)
    acting = np.broadcast_to(acting, (6, *table.shape[-2:]))
    P = np.asarray(mdp.transition, float)
    visits = oracles.occupancy(P, np.asarray(mdp.initial, float), acting, 6)
    assert np.all((new > 0) <= (np.broadcast_to(table, new.shape) > 0))
    error = np.sqrt(visits * (1 - visits) / 250)
    assert np.all(np.abs(new.sum(-1) / 250 - visits) <= 4.5 * error + 1e-9)


def test_the_noise_of_a_round_is_the_error_before_it():
    """By numpy, from the counts before and after."""
    states, _ = rounds("dart:episodes_per_round=4,unseen=first", 20, 3)
    assert float(states[0].error) == pytest.approx(0.1)
    for before, after in itertools.pairwise(states):
        old, new = (np.asarray(x.counts, float) for x in (before, after))
        total = old.sum(-1, keepdims=True)
        first = np.eye(old.shape[-1])[0]
        learner = np.where(total > 0, old / np.maximum(total, 1), first)
        added = new - old
        wanted = np.sum(added * (1 - learner)) / added.sum()
        assert float(after.error) == pytest.approx(wanted, abs=1e-6)


def regret(env, spec, horizon=16, num_demos=30):
    algorithm = imitax.algorithm(spec, env).build(env)
    capacity = imitax.Capacity(horizon, num_demos)

    def one(seed):
        return imitax.experiment(env, algorithm, seed, horizon, num_demos, capacity).regret

    found = np.asarray(jax.jit(jax.vmap(one))(jnp.arange(256)))
    return found.mean(), 2.0 * found.std() / 16.0


def test_it_pays_where_the_expert_recovers_and_costs_where_nothing_can():
    """As many labels each; on the reset cliff disturbed episodes end in the state that is lost."""
    recoverable, reset = map(imitax.environment, ("recoverable-cliff", "reset-cliff"))
    (bc, wide), (dart, narrow) = (regret(recoverable, f"{x}:unseen=first") for x in ("bc", "dart"))
    assert dart + narrow < 0.6 * (bc - wide)
    (bc, wide), (dart, narrow) = (regret(reset, f"{x}:unseen=first") for x in ("bc", "dart"))
    assert dart - narrow > bc + wide


def test_on_a_system_without_randomness_it_meets_states_that_cloning_does_not():
    """The spread of the observations that are learned from, at as many labels."""
    env = imitax.environment("lane:noise=0")
    found = []
    for spec in ("bc:hidden=none", "dart:hidden=none,noise=0.2,alpha=0.5,first_episodes=2"):
        algorithm = imitax.algorithm(spec, env).build(env)
        instance = imitax.pose(env, 1, 10, 12, imitax.Capacity(10, 12), algorithm.demand)
        trained = jax.jit(lambda p, a=algorithm: imitax.train(jax.random.key(0), a, p))(
            instance.problem
        )
        data = trained.state.data
        assert int(data.size) == 120
        late = np.asarray(data.obs).reshape(12, 10)[:, 5:]
        found.append(np.abs(late).mean())
    assert found[1] > 3 * found[0]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("dart:noise=1.5", "noise=1.5 is out of range"),
        ("dart:alpha=-1", "alpha=-1.0 is out of range"),
        ("dart:beta=0.5", "unknown setting of dart 'beta'"),
    ],
)
def test_bad_settings_are_refused(spec, words):
    with pytest.raises(imitax.SpecError, match=words):
        imitax.algorithm(spec, imitax.environment("reset-cliff"))
