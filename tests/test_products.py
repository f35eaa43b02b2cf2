"""The product of a layer against numpy, in values, gradients and gradients of gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imitax.numerics.matmul import product

RNG = np.random.default_rng(7)


def plain(inputs, kernel):
    return jnp.matmul(inputs, kernel, precision=jax.lax.Precision.HIGHEST)


@pytest.mark.parametrize("shape", [(5, 4, 64), (3, 5, 64, 2), (6, 64), (64, 32)])
def test_values_and_gradients(shape):
    inputs = jnp.asarray(RNG.normal(size=shape[:-1]), jnp.float32)
    kernel = jnp.asarray(RNG.normal(size=(shape[-2], shape[-1])), jnp.float32)
    out = product(inputs, kernel)
    np.testing.assert_allclose(out, np.asarray(inputs) @ np.asarray(kernel), rtol=1e-4, atol=1e-5)
    slope = RNG.normal(size=out.shape).astype(np.float32)
    found = jax.vjp(product, inputs, kernel)[1](jnp.asarray(slope))
    np.testing.assert_allclose(found[0], slope @ np.asarray(kernel).T, rtol=1e-4, atol=1e-4)
    rows, slopes = np.reshape(inputs, (-1, shape[-2])), slope.reshape(-1, shape[-1])
    np.testing.assert_allclose(found[1], rows.T @ slopes, rtol=1e-4, atol=1e-4)


def test_the_gradient_of_a_gradient():
    """As the gradient penalty needs it, under vmap."""
    inputs = jnp.asarray(RNG.normal(size=(2, 7, 5)), jnp.float32)
    kernels = jnp.asarray(RNG.normal(size=(2, 5, 3)), jnp.float32)

    def penalty(multiply):
        def norm(kernel, inputs):
            slope = jax.grad(lambda x: jnp.sum(jnp.tanh(multiply(x, kernel)) ** 2))(inputs)
            return jnp.sum(slope**2)

        return jax.vmap(jax.grad(norm))(kernels, inputs)

    np.testing.assert_allclose(penalty(product), penalty(plain), rtol=1e-4, atol=1e-4)
