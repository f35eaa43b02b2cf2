"""The whole path from a seed to a regret also runs in float64, and agrees with float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import experiment

import imitax
from imitax.core.types import Capacity

ALGORITHMS = ["bc", "dagger", "maxent-irl:num_steps=30", "gail:num_steps=20", "random"]


def regrets(algorithm):
    env = imitax.environment("reset-cliff:num_states=4,num_actions=3")
    chosen = imitax.algorithm(algorithm, env)

    def run(seed):
        return experiment(env, chosen.build(env), seed, 6, 10, Capacity(6, 10))["regret"]

    return np.asarray(jax.jit(jax.vmap(run))(jnp.arange(256, dtype=jnp.int32)))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_double_precision_runs_and_agrees(algorithm):
    single = regrets(algorithm)
    with jax.enable_x64(True):
        double = regrets(algorithm)
    assert single.dtype == np.float32
    assert np.isfinite(double).all()
    # Other uniform numbers are drawn in float64, so only the means can be compared.
    error = np.hypot(single.std(), double.std()) / np.sqrt(len(single))
    assert abs(single.mean() - double.mean()) < 4 * error + 1e-6
