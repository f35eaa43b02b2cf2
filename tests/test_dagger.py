"""DAgger's first set of demonstrations, its schedule, and the counts it aggregates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import imitax
from imitax.algorithms.interactive.dagger import (
    NetworkDaggerConfig,
    TabularDaggerConfig,
    expert_share,
)
from imitax.core.types import Capacity
from imitax.networks.head import Head
from imitax.networks.losses import losses
from imitax.networks.mlp import MLP
from imitax.tabular.walks import COMPARED, tally


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        (TabularDaggerConfig(schedule="linear"), [0.75, 0.5, 0.25, 0.0]),
        (TabularDaggerConfig(schedule="linear", rampdown=8), [0.875, 0.75, 0.625, 0.5]),
        (TabularDaggerConfig(schedule="linear", rampdown=2, beta_min=0.1), [0.5, 0.1, 0.1, 0.1]),
        (TabularDaggerConfig(schedule="exponential"), [0.5, 0.25, 0.125, 0.0625]),
    ],
)
def test_the_expert_acts_as_the_schedule_says(config, wanted):
    found = [float(expert_share(config, jnp.int32(i), jnp.int32(4))) for i in (1, 2, 3, 4)]
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("first", [1, 3, 8])
@pytest.mark.parametrize("name", ["reset-cliff", "lane"])
def test_the_first_episodes_are_demonstrations_and_the_rest_its_own(name, first):
    """Labels count all episodes; steps and rounds those that are not demonstrations."""
    env, _ = imitax.make(name)
    sizes = {"first_episodes": first, "episodes_per_round": 2}
    config = TabularDaggerConfig(**sizes)
    if name == "lane":
        config = NetworkDaggerConfig(
            **sizes,
            first_updates=1,
            updates_per_round=1,
            hidden=(4,),
            minibatches="epochs",
            normalise="false",  # hardly trained, it would leave the lane otherwise
        )
    algorithm, horizon, num_demos = imitax.dagger(env, config), 6, 8

    def run(seed):
        size = Capacity(horizon, num_demos)
        posed = imitax.pose(
            env, seed, jnp.int32(horizon), jnp.int32(num_demos), size, algorithm.demand
        )
        return imitax.train(posed.learner_key, algorithm, posed.problem)

    trained = jax.jit(run)(jnp.int32(0))
    assert int(trained.metrics.expert_labels) == num_demos * horizon
    assert int(trained.metrics.environment_steps) == (num_demos - first) * horizon
    assert int(trained.num_steps) == max(1, -(-(num_demos - first) // 2))


@pytest.mark.parametrize("size", [7, COMPARED, COMPARED + 1])
def test_visits_are_tallied(size):
    rng = np.random.default_rng(size)
    pair, weight = rng.integers(0, size, 32), rng.integers(0, 2, 32)
    row = rng.integers(0, 5, size)
    found = tally(jnp.float32(row), jnp.asarray(pair), jnp.float32(weight))
    np.testing.assert_array_equal(found, row + np.bincount(pair, weight, minlength=size))


def test_the_entropy_is_taken_off_the_loss():
    head = Head(MLP((), 3), "cross-entropy", None, "mode")
    outputs = np.random.default_rng(0).normal(size=(5, 3))
    action = np.array([0, 2, 1, 1, 0])
    log_probs = outputs - np.log(np.exp(outputs).sum(1, keepdims=True))
    entropy = -(np.exp(log_probs) * log_probs).sum(1)
    wanted = -log_probs[np.arange(5), action] - 0.3 * entropy
    found = losses(head, jnp.float32(outputs), None, jnp.int8(action), entropy=0.3)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
