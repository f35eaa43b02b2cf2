"""Networks against numpy: layers, the convolution, dropout, and which network an image gets."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import same
from scipy import signal

import imitax
from imitax.networks.head import Head
from imitax.networks.mlp import MLP, drop
from imitax.networks.settings import head

KEY = jax.random.key(0)


def forward(params, inputs, bend=np.tanh):
    """An MLP in float64."""
    layers = [params[f"Dense_{i}"] for i in range(sum(name.startswith("Dense") for name in params))]
    for layer in layers[:-1]:
        inputs = bend(inputs @ np.float64(layer["kernel"]) + np.float64(layer["bias"]))
    return inputs @ np.float64(layers[-1]["kernel"]) + np.float64(layers[-1]["bias"])


def test_an_image_passes_a_convolution_and_then_the_layers():
    image = np.random.default_rng(0).standard_normal((2, 6, 5, 3))
    network = MLP((7,), 4, image=True)
    params = network.init(KEY, jnp.float32(image[0]))["params"]
    assert params["Conv_0"]["kernel"].shape == (3 * 3 * 3, 16)
    kernel = np.float64(params["Conv_0"]["kernel"]).reshape(3, 3, 3, 16)
    maps = [
        [
            sum(signal.correlate2d(x[..., c], kernel[..., c, k], mode="valid") for c in range(3))
            for k in range(16)
        ]
        for x in image
    ]
    maps = np.moveaxis(np.array(maps), 1, -1) + np.float64(params["Conv_0"]["bias"])
    wanted = forward(params, np.maximum(maps, 0).reshape(2, -1))
    found = network.apply({"params": params}, jnp.float32(image))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_dropout_keeps_the_expectation_and_drops_the_rate():
    values = jnp.float32([[1.0, -2.0, 0.5]])
    keys = jax.random.split(KEY, 20_000)
    dropped = np.asarray(jax.vmap(lambda key: drop(key, values, 0.3))(keys))[:, 0]
    assert (dropped == 0).mean() == pytest.approx(0.3, abs=0.01)
    np.testing.assert_allclose(dropped.mean(0), values[0], rtol=0.03)
    np.testing.assert_allclose(dropped[dropped[:, 0] != 0, 0], 1 / 0.7, rtol=1e-6)


def test_dropout_in_a_network_is_of_hidden_units_by_row_and_nothing_without_a_key():
    network, inputs = MLP((16,), 2), jnp.ones((400, 3))
    params = network.init(KEY, inputs[0])
    plain = network.apply(params, inputs)
    outputs = np.asarray(network.apply(params, inputs, KEY, 0.5))
    assert len(np.unique(outputs[:, 0])) > 300
    spread = outputs.std(0) / np.sqrt(len(outputs))
    assert (np.abs(outputs.mean(0) - plain[0]) < 4 * spread).all()
    np.testing.assert_array_equal(network.apply(params, inputs, KEY, 0.0), plain)


@pytest.mark.parametrize(
    ("environment", "network", "is_image"),
    [
        ("FourRooms-misc", "auto", False),
        ("Breakout-MinAtar", "auto", True),
        ("Breakout-MinAtar", "conv", True),
        ("Breakout-MinAtar", "mlp", False),
    ],
)
def test_images_get_the_convolution_by_their_shape(environment, network, is_image):
    env = imitax.environment(environment)
    built = head(imitax.NetworkBCConfig(network=network, hidden=(4,)), env, "bc")
    assert built.network.image == is_image
    params = env.default_params
    obs = jnp.zeros(env.observation_space(params).shape)
    weights = built.init(KEY, obs)
    assert ("Conv_0" in weights["params"]) == is_image
    probs = built(weights, obs, jnp.int32(0)).probs
    assert probs.shape == (env.action_space(params).n,)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_a_layer_network_is_its_formula(activation):
    inputs = np.random.default_rng(1).standard_normal((5, 3))
    network = MLP((6, 4), 2, activation=activation)
    params = network.init(KEY, jnp.float32(inputs[0]))
    found = network.apply(params, jnp.float32(inputs))
    bend = np.tanh if activation == "tanh" else lambda x: np.maximum(x, 0)
    wanted = forward(params["params"], inputs, bend)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_the_last_layer_begins_as_small_as_asked():
    whole, part = (
        MLP((6,), 2, last_scale=scale).init(KEY, jnp.zeros(3))["params"] for scale in (1.0, 0.01)
    )
    kernels = [one.pop("Dense_1")["kernel"] for one in (whole, part)]
    np.testing.assert_allclose(kernels[1], 0.01 * kernels[0], rtol=1e-5)
    assert same(whole, part)


def test_free_scales_are_parameters_beside_the_layers():
    """One per output, cut to its bounds; the layers are those of a head without them."""
    plain = Head(MLP((6,), 2), "gaussian", None, "sample")
    own = dataclasses.replace(plain, free_scale=True)
    bare, params = plain.init(KEY, jnp.ones(3)), own.init(KEY, jnp.ones(3))
    assert set(params["params"]) == {*bare["params"], "log_scale"}
    np.testing.assert_array_equal(params["params"]["log_scale"], [0, 0])
    params["params"]["log_scale"] = jnp.array([-9.0, 0.5])
    outputs, log_scale = own.outputs(params, jnp.ones(3))
    np.testing.assert_array_equal(log_scale, [-5.0, 0.5])
    np.testing.assert_array_equal(outputs, plain.outputs(bare, jnp.ones(3))[0])
