"""Losses against their formulas in float64 numpy and against scipy.stats."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from imitax.core.distributions import EDGE, Normal, NormalMixture, Squashed
from imitax.networks import losses
from imitax.networks.head import LOG_SCALE_HIGH, LOG_SCALE_LOW, Head, bounded
from imitax.networks.mlp import MLP

NUM_SAMPLES, SIZE, NUM_COMPONENTS = 7, 2, 3
LOW, HIGH = (-1.0, 2.0), (3.0, 2.5)
RNG = np.random.default_rng(0)


def head(loss, num_outputs, **settings):
    settings.setdefault("act", "mode")
    return Head(MLP((), num_outputs), loss, None, **settings)


def outputs(num_outputs, spread=1.0):
    return spread * RNG.standard_normal((NUM_SAMPLES, num_outputs))


def inside(low=LOW, high=HIGH):
    return RNG.uniform(low, high, (NUM_SAMPLES, len(low)))


def logistic_bound(raw):
    shift = np.log(-LOG_SCALE_LOW / LOG_SCALE_HIGH)
    return LOG_SCALE_LOW + (LOG_SCALE_HIGH - LOG_SCALE_LOW) / (1 + np.exp(-(raw + shift)))


def test_cross_entropy_is_minus_the_log_of_the_played_probability():
    logits, action = outputs(4), RNG.integers(0, 4, NUM_SAMPLES)
    found = losses.losses(head("cross-entropy", 4), jnp.float32(logits), None, jnp.int32(action))
    wanted = -np.log(special.softmax(logits, axis=1)[np.arange(NUM_SAMPLES), action])
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_mse_adds_the_squares_of_the_coordinates():
    said, action = outputs(SIZE), outputs(SIZE)
    found = losses.losses(head("mse", SIZE), jnp.float32(said), None, jnp.float32(action))
    np.testing.assert_allclose(found, ((said - action) ** 2).sum(1), rtol=1e-5)


@pytest.mark.parametrize("width", [0.3, 1.0, 50.0])
def test_huber_is_scipys(width):
    said, action = outputs(SIZE, 3.0), outputs(SIZE)
    found = losses.losses(head("huber", SIZE), jnp.float32(said), None, jnp.float32(action), width)
    np.testing.assert_allclose(found, special.huber(width, said - action).sum(1), rtol=1e-4)


def test_gaussian_with_a_free_scale_is_scipys():
    said, action, log_scale = outputs(SIZE), outputs(SIZE), np.array([-0.7, 0.4])
    found = losses.losses(
        head("gaussian", SIZE), jnp.float32(said), jnp.float32(log_scale), jnp.float32(action)
    )
    wanted = -stats.norm(said, np.exp(log_scale)).logpdf(action).sum(1)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_gaussian_with_a_scale_from_the_network_is_scipys():
    said, action = outputs(2 * SIZE), outputs(SIZE)
    found = losses.losses(head("gaussian", 2 * SIZE), jnp.float32(said), None, jnp.float32(action))
    scale = np.exp(logistic_bound(said[:, SIZE:]))
    wanted = -stats.norm(said[:, :SIZE], scale).logpdf(action).sum(1)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_mixture_is_a_log_sum_of_scipys_densities():
    count = NUM_COMPONENTS * (1 + 2 * SIZE)
    said, action = outputs(count), outputs(SIZE)
    found = losses.losses(
        head("mixture", count, components=NUM_COMPONENTS),
        jnp.float32(said),
        None,
        jnp.float32(action),
    )
    log_weight = special.log_softmax(said[:, :NUM_COMPONENTS], axis=1)
    rest = said[:, NUM_COMPONENTS:].reshape(NUM_SAMPLES, NUM_COMPONENTS, 2 * SIZE)
    mean, scale = rest[..., :SIZE], np.exp(logistic_bound(rest[..., SIZE:]))
    each = stats.norm(mean, scale).logpdf(action[:, None]).sum(2)
    np.testing.assert_allclose(found, -special.logsumexp(log_weight + each, axis=1), rtol=1e-5)


def test_squashed_is_the_density_of_a_number_behind_tanh():
    said, action, log_scale = outputs(SIZE), inside(), np.array([-0.5, 0.3])
    found = losses.losses(
        head("squashed", SIZE, bounds=(LOW, HIGH)),
        jnp.float32(said),
        jnp.float32(log_scale),
        jnp.float32(action),
    )
    half, centre = (np.array(HIGH) - LOW) / 2, (np.array(HIGH) + LOW) / 2
    unit = (action - centre) / half
    density = stats.norm(said, np.exp(log_scale)).pdf(np.arctanh(unit))
    wanted = -np.log(density / (half * (1 - unit**2))).sum(1)
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (1.2, 0.4), (-0.7, 1.5)])
def test_squashed_density_has_mass_one(mean, scale):
    grid = 1.0 + 2.0 * np.tanh(np.linspace(-7, 7, 20_001))  # dense at the edges of [-1, 3]
    with jax.enable_x64(True):
        law = Squashed(*(jnp.asarray([x]) for x in (mean, scale, -1.0, 3.0)))
        density = np.exp(jax.vmap(lambda x: law.log_prob(x[None]))(jnp.asarray(grid)))
    assert integrate.trapezoid(density, grid) == pytest.approx(1.0, abs=1e-4)


def test_mixture_density_has_mass_one():
    law = NormalMixture(
        jnp.log(jnp.float32([0.2, 0.8])), jnp.float32([[-1.0], [2.0]]), jnp.float32([[0.3], [0.7]])
    )
    grid = np.linspace(-5, 7, 4001, dtype=np.float32)
    mass = integrate.trapezoid(jnp.exp(jax.vmap(lambda x: law.log_prob(x[None]))(grid)), grid)
    assert mass == pytest.approx(1.0, abs=1e-4)


def test_squashed_samples_follow_their_density():
    corner = jnp.float32([-1.0]), jnp.float32([3.0])
    law = Squashed(jnp.float32([0.4]), jnp.float32([0.8]), *corner)
    draws = np.asarray(jax.vmap(law.sample)(jax.random.split(jax.random.key(0), 4000)))[:, 0]
    unsquashed = stats.norm(0.4, 0.8)
    assert stats.kstest(draws, lambda a: unsquashed.cdf(np.arctanh((a - 1) / 2))).pvalue > 0.01
    np.testing.assert_allclose(law.mode(), 1 + 2 * np.tanh(0.4), rtol=1e-6)


def test_mixture_samples_follow_their_density():
    law = NormalMixture(
        jnp.log(jnp.float32([0.2, 0.8])), jnp.float32([[-1.0], [2.0]]), jnp.float32([[0.3], [0.7]])
    )
    draws = np.asarray(jax.vmap(law.sample)(jax.random.split(jax.random.key(1), 4000)))[:, 0]

    def cdf(x):
        return 0.2 * stats.norm(-1.0, 0.3).cdf(x) + 0.8 * stats.norm(2.0, 0.7).cdf(x)

    assert stats.kstest(draws, cdf).pvalue > 0.01
    np.testing.assert_allclose(law.mode(), [2.0])


@pytest.mark.parametrize("action", [LOW, HIGH, (5.0, -9.0)])
def test_squashed_stays_finite_at_and_beyond_the_box(action):
    net = head("squashed", 2 * SIZE, bounds=(LOW, HIGH))

    def loss(said):
        return losses.losses(net, said[None], None, jnp.float32(action)[None])[0]

    for said in (np.zeros(4), np.array([30.0, -30.0, 9.0, 9.0]), np.full(4, -30.0)):
        value, slope = jax.value_and_grad(loss)(jnp.float32(said))
        assert np.isfinite(value)
        assert np.isfinite(slope).all()
    edge = np.arctanh(1 - EDGE)
    found = Squashed(*jnp.float32([[0.0], [1.0], [-1.0], [1.0]])).log_prob(jnp.ones(1))
    wanted = stats.norm.logpdf(edge) - np.log1p(-(np.tanh(edge) ** 2))
    np.testing.assert_allclose(found, wanted, rtol=0.02)


@pytest.mark.parametrize(
    ("loss", "count", "settings"),
    [
        ("huber", SIZE, {}),
        ("gaussian", 2 * SIZE, {}),
        ("squashed", 2 * SIZE, {"bounds": (LOW, HIGH)}),
        ("mixture", NUM_COMPONENTS * (1 + 2 * SIZE), {"components": NUM_COMPONENTS}),
    ],
)
def test_gradients_are_finite_differences(loss, count, settings):
    said, action, net = outputs(count), inside(), head(loss, count, **settings)
    with jax.enable_x64(True):

        def total(values):
            return jnp.sum(losses.losses(net, values, None, jnp.asarray(action), 0.7))

        found = np.asarray(jax.grad(total)(jnp.asarray(said)))
        total = jax.jit(total)
        for place in [(0, 0), (3, 1), (NUM_SAMPLES - 1, count - 1)]:
            step = np.zeros_like(said)
            step[place] = 1e-5
            difference = (float(total(said + step)) - float(total(said - step))) / 2e-5
            assert found[place] == pytest.approx(difference, rel=1e-5, abs=1e-7)


def test_the_log_scale_of_a_network_stays_between_its_bounds():
    raw = np.array([-1e3, -3.0, 0.0, 2.0, 1e3])
    found = np.asarray(bounded(jnp.float32(raw)))
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(found, logistic_bound(raw), rtol=1e-5, atol=1e-6)
    assert (found[0], found[-1]) == (LOG_SCALE_LOW, LOG_SCALE_HIGH)
    assert abs(found[2]) < 1e-6


def test_the_penalty_is_half_the_squares_of_the_weights_alone():
    weights = {"kernel": jnp.float32([[1.0, -2.0], [3.0, 0.5]]), "bias": jnp.float32([9.0, 9.0])}
    assert float(losses.weight_penalty(weights)) == 0.5 * (1 + 4 + 9 + 0.25)


def test_one_observation_is_read_as_a_batch_is():
    """The policy's distribution at an observation is the one whose likelihood was trained."""
    count = NUM_COMPONENTS * (1 + 2 * SIZE)
    net = head("mixture", count, components=NUM_COMPONENTS, act="sample")
    obs, action = RNG.standard_normal((NUM_SAMPLES, 3)), outputs(SIZE)
    params = net.init(jax.random.key(0), jnp.zeros(3))
    law = [net(params, jnp.float32(row), jnp.int32(0)) for row in obs]
    alone = [-float(x.log_prob(jnp.float32(a))) for x, a in zip(law, action, strict=True)]
    said, log_scale = net.outputs(params, jnp.float32(obs))
    together = losses.losses(net, said, log_scale, jnp.float32(action))
    np.testing.assert_allclose(alone, together, rtol=1e-5)


def test_normal_log_prob_adds_coordinates():
    law = Normal(jnp.float32([0.5, -1.0]), jnp.float32([0.3, 2.0]))
    wanted = stats.norm([0.5, -1.0], [0.3, 2.0]).logpdf([0.1, 0.2]).sum()
    assert float(law.log_prob(jnp.float32([0.1, 0.2]))) == pytest.approx(wanted, rel=1e-5)
