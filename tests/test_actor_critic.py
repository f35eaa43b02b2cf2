"""Actor and critic against scipy and hand-written forward passes."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from game_oracles import categorical, forward, gaussian
from gymnax.environments import spaces
from probes import layers

from imitax.core.distributions import Point
from imitax.networks.normalisation import Normaliser
from imitax.rl.actor_critic import Outputs, Weights, actor

LOW, HIGH = np.array([-1.0, 2.0, 0.0]), np.array([3.0, 2.5, 10.0])
VECTOR = spaces.Box(-np.inf, np.inf, (4,))


def space_env(observation, action):
    """What `actor` reads of an environment."""
    return types.SimpleNamespace(
        default_params=None,
        observation_space=lambda params: observation,
        action_space=lambda params: action,
    )


def discrete(num_actions=3, act="mode"):
    return actor(space_env(VECTOR, spaces.Discrete(num_actions)), (8,), act)


def boxed(act="mode"):
    box = spaces.Box(jnp.asarray(LOW), jnp.asarray(HIGH), (3,))
    return actor(space_env(VECTOR, box), (8,), act)


def large(own, inputs, seed=0):
    """Weights whose outputs are of order one."""
    fresh = own.init(jax.random.key(seed), inputs)
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.float32(rng.normal(size=x.shape)), fresh)


def test_categories():
    rng, own = np.random.default_rng(0), discrete()
    logits, action = 3.0 * rng.normal(size=(50, 3)), rng.integers(3, size=50)
    outputs = Outputs(jnp.float32(logits), jnp.zeros(0))
    log_p, entropy = categorical(logits, action)
    np.testing.assert_allclose(own.log_prob(outputs, jnp.asarray(action)), log_p, rtol=1e-5)
    np.testing.assert_allclose(own.entropy(outputs), entropy, rtol=1e-5, atol=1e-6)
    probs = np.exp(logits - scipy.special.logsumexp(logits, axis=-1, keepdims=True))
    np.testing.assert_allclose(entropy, scipy.stats.entropy(probs, axis=-1), rtol=1e-9)


def test_normal_coordinates():
    rng, own = np.random.default_rng(1), boxed()
    mean, log_scale, z = rng.normal(size=(50, 3)), rng.normal(size=3), rng.normal(size=(50, 3))
    outputs = Outputs(jnp.float32(mean), jnp.float32(log_scale))
    log_p, entropy = gaussian(mean, log_scale, z)
    np.testing.assert_allclose(own.log_prob(outputs, jnp.float32(z)), log_p, rtol=1e-4)
    np.testing.assert_allclose(own.entropy(outputs), entropy, rtol=1e-5)
    assert own.entropy(outputs).shape == (50,)


def test_draws_have_the_probabilities_of_the_outputs():
    logits, count = np.array([1.0, -0.5, 0.2]), 20_000
    own = discrete()
    noise = own.noise(jax.random.key(2), (count,))
    drawn = own.draw(Outputs(jnp.float32(logits), jnp.zeros(0)), noise)
    assert drawn.dtype == jnp.int32
    probs = np.exp(categorical(np.tile(logits, (3, 1)), np.arange(3))[0])
    found = np.bincount(drawn, minlength=3)
    assert scipy.stats.chisquare(found, count * probs).pvalue > 1e-3
    own, mean, log_scale = boxed(), np.array([0.3, -2.0, 1.0]), np.array([-1.0, 0.0, 0.5])
    noise = own.noise(jax.random.key(3), (count,))
    z = np.asarray(own.draw(Outputs(jnp.float32(mean), jnp.float32(log_scale)), noise))
    for i in range(3):
        law = scipy.stats.norm(mean[i], np.exp(log_scale[i]))
        assert scipy.stats.kstest(z[:, i], law.cdf).pvalue > 1e-3
    np.testing.assert_allclose(np.corrcoef(z.T), np.eye(3), atol=0.03)


def test_the_spread_has_bounds():
    own = boxed()
    weights = large(own, jnp.zeros((1, 4)))._replace(log_scale=jnp.array([-9.0, 0.5, 7.0]))
    np.testing.assert_allclose(own.outputs(weights, jnp.zeros((2, 4))).log_scale, [-5.0, 0.5, 1.0])


def test_playing_and_reading_are_inverse():
    rng, own = np.random.default_rng(4), boxed()
    z = jnp.float32(rng.uniform(-1.0, 1.0, (50, 3)))
    np.testing.assert_allclose(own.read(own.play(z)), z, atol=1e-5)
    corners = own.play(jnp.array([[-1.0] * 3, [0.0] * 3, [1.0] * 3]))
    np.testing.assert_allclose(corners, [LOW, (LOW + HIGH) / 2, HIGH], rtol=1e-6)
    outside = own.read(jnp.asarray([HIGH + 5.0, LOW - 5.0]))
    np.testing.assert_allclose(outside, [[1.0] * 3, [-1.0] * 3])
    action = jnp.array([2, 0, 1])
    np.testing.assert_array_equal(discrete().play(action), action)
    np.testing.assert_array_equal(discrete().read(action), action)


def test_actions_of_any_shape_are_rows_of_coordinates():
    own = actor(space_env(VECTOR, spaces.Box(-2.0, 2.0, (2, 3))), (8,))
    z = jnp.float32(np.random.default_rng(5).uniform(-1.0, 1.0, (7, 6)))
    played = own.play(z)
    np.testing.assert_allclose(played, 2.0 * z.reshape(7, 2, 3), rtol=1e-6)
    np.testing.assert_allclose(own.read(played), z, atol=1e-6)


def test_vectors_go_through_tanh_layers():
    own, x = discrete(), jnp.float32(np.random.default_rng(6).normal(size=(9, 4)))
    weights = large(own, x)
    found = own.outputs(weights, own.encode(x)).values
    np.testing.assert_allclose(found, forward(layers(weights.policy), x), rtol=1e-4, atol=1e-5)
    value = forward(layers(weights.value), x)[:, 0]
    np.testing.assert_allclose(own.values(weights, own.encode(x)), value, rtol=1e-4, atol=1e-5)
    assert own.encode(x.reshape(9, 2, 2)).shape == (9, 4)


def test_fresh_policies_are_nearly_uniform():
    own, x = discrete(), jax.random.normal(jax.random.key(7), (50, 4))
    logits = own.outputs(own.init(jax.random.key(8), x), x).values
    assert np.abs(logits).max() < 0.1


def test_states_are_one_hot():
    own = actor(space_env(spaces.Discrete(5), spaces.Discrete(2)), (8,))
    np.testing.assert_array_equal(own.encode(jnp.array([3, 0])), np.eye(5)[[3, 0]])


def convolved(kernel, bias, image):
    """Every 3 x 3 window of an image [height, width, channels] times the kernel, then relu."""
    height, width = image.shape[0] - 2, image.shape[1] - 2
    out = np.zeros((height, width, kernel.shape[-1]))
    for i in range(height):
        for j in range(width):
            out[i, j] = np.einsum("abc,abco->o", image[i : i + 3, j : j + 3], kernel) + bias
    return np.maximum(out, 0.0)


def test_images_go_through_a_convolution():
    own = actor(space_env(spaces.Box(0, 1, (5, 6, 2)), spaces.Discrete(3)), (8,))
    image = np.random.default_rng(9).random((4, 5, 6, 2)) < 0.5
    inputs = own.encode(jnp.asarray(image))
    assert inputs.dtype == jnp.float32
    weights = large(own, inputs)
    first = weights.policy["params"]["Conv_0"]
    kernel, bias = (np.asarray(first[name], float) for name in ("kernel", "bias"))
    kernel = kernel.reshape(3, 3, 2, -1)
    flat = [convolved(kernel, bias, one.astype(float)).ravel() for one in image]
    wanted = forward(layers(weights.policy), np.array(flat))
    np.testing.assert_allclose(own.outputs(weights, inputs).values, wanted, rtol=1e-4, atol=1e-4)


SCALING = Normaliser(jnp.array([1.0, 0.0, -1.0, 2.0]), jnp.array([2.0, 1.0, 0.5, 3.0]))
OBS = np.array([0.3, -0.7, 0.2, 1.5], np.float32)


@pytest.mark.parametrize("act", ["mode", "sample"])
def test_the_finished_policy_of_categories(act):
    own = discrete(act=act)
    weights = large(own, jnp.zeros((1, 4)))
    found = own.as_policy(weights, SCALING)(jnp.asarray(OBS), jnp.int32(0)).probs
    logits = forward(layers(weights.policy), (OBS - SCALING.mean) / SCALING.scale)
    probs = np.exp(categorical(np.tile(logits, (3, 1)), np.arange(3))[0])
    wanted = probs if act == "sample" else np.eye(3)[probs.argmax()]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_the_finished_policy_of_a_box():
    weights = large(boxed(), jnp.zeros((1, 4)))
    mean = forward(layers(weights.policy), (OBS - SCALING.mean) / SCALING.scale)
    assert (np.abs(mean) > 1.0).any(), "a mean outside the box is what `mode` cuts"
    middle, half = (LOW + HIGH) / 2, (HIGH - LOW) / 2
    mode = boxed().as_policy(weights, SCALING)(jnp.asarray(OBS), jnp.int32(0))
    assert isinstance(mode, Point)
    np.testing.assert_allclose(mode.value, middle + half * np.clip(mean, -1, 1), rtol=1e-4)
    drawn = boxed("sample").as_policy(weights, SCALING)(jnp.asarray(OBS), jnp.int32(0))
    np.testing.assert_allclose(drawn.mean, middle + half * mean, rtol=1e-4)
    scale = half * np.exp(np.clip(weights.log_scale, -5.0, 1.0))
    np.testing.assert_allclose(drawn.scale, scale, rtol=1e-5)


def test_actors_of_the_same_spaces_are_one_static_value():
    assert boxed() == boxed()
    assert hash(boxed()) == hash(boxed())
    assert boxed() != boxed("sample")
    assert isinstance(discrete().init(jax.random.key(0), jnp.zeros((1, 4))), Weights)
