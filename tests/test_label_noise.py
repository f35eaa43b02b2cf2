"""Noise on the expert's labels: in what is recorded and asked, and nowhere else."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ledger import KeyLedger

import imitax
from imitax.core.types import Capacity, Demand
from imitax.envs.linear import Linear, LinearSettings
from imitax.tasks.experiment import learn

TAU, HORIZON, DEMOS, SEEDS = 0.05, 12, 4, 64


@functools.cache
def posed(text):
    """The demonstrations of many seeds, and the outcome of the expert."""
    env = imitax.environment(text)

    def one(seed):
        capacity = Capacity(HORIZON + 1, DEMOS + 1)
        sizes = jnp.int32(HORIZON), jnp.int32(DEMOS)
        instance = imitax.pose(env, seed, *sizes, capacity, Demand("episodes"))
        outcome = imitax.evaluate(env, instance, instance.problem.expert, num_episodes=2)
        return instance.problem.demonstrations, outcome

    return jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(jnp.arange(SEEDS)))


def check_normal(noise, deviation):
    """Mean, variance and independence along both axes of independent normal numbers [K, N, T]."""
    number = noise.size
    assert abs(noise.mean()) < 5 * deviation / np.sqrt(number)
    assert noise.var() == pytest.approx(deviation**2, rel=5 * np.sqrt(2 / number))
    assert len(np.unique(noise)) > 0.99 * number, "the same draw is not used twice"
    for shifted in (noise[:, :, 1:] * noise[:, :, :-1], noise[:, 1:] * noise[:, :-1]):
        assert abs(shifted.mean()) < 5 * deviation**2 / np.sqrt(shifted.size)


def test_demonstrations_of_linear_are_clean_states_and_noisy_labels():
    shown, outcome = posed("linear")
    states = 0.1 * 0.95 ** np.arange(HORIZON)
    found = shown.obs[:, :DEMOS, :HORIZON, 0]
    np.testing.assert_allclose(found, np.broadcast_to(states, found.shape), rtol=2e-6)
    check_normal(shown.action[:, :DEMOS, :HORIZON, 0] - 0.45 * states, TAU)
    assert np.all(outcome.regret == 0.0), "the judge compares with the clean expert"
    np.testing.assert_allclose(outcome.expert_return, -states.sum(), rtol=1e-5)


@pytest.mark.parametrize("name", ["lane", "sine-path"])
def test_label_noise_moves_nothing_but_labels(name):
    (clean, judged), (noisy, same) = (posed(text) for text in (name, f"{name}:label_noise=0.05"))
    np.testing.assert_array_equal(noisy.obs, clean.obs)
    np.testing.assert_array_equal(noisy.length, clean.length)
    for one, other in zip(judged, same, strict=True):
        np.testing.assert_array_equal(one, other)
    noise = (noisy.action - clean.action)[:, :DEMOS, :HORIZON]
    for coordinate in range(noise.shape[-1]):
        check_normal(noise[..., coordinate], TAU)
    assert imitax.environment(f"{name}:label_noise=0.0").spec == name


@pytest.mark.parametrize("name", ["lane:noise=0", "sine-path:noise=0"])
def test_without_label_noise_labels_are_the_actions(name):
    """The step of the state without noise, of those that moved."""
    shown, _ = posed(name)
    obs = shown.obs[:, :DEMOS, :HORIZON]
    moved = obs[:, :, 1:] - obs[:, :, :-1]
    np.testing.assert_allclose(shown.action[:, :DEMOS, : HORIZON - 1], moved, atol=2e-6)


@pytest.mark.parametrize("algorithm", ["dagger:beta=1,hidden=none", "dart:noise=0,hidden=none"])
def test_labels_that_are_asked_for_are_noisy_and_the_acting_expert_is_not(algorithm):
    """The expert acts in the one round, so its states are those of the demonstration."""
    env = imitax.environment("linear")
    chosen = imitax.algorithm(algorithm, env).build(env)

    def one(seed):
        sizes = jnp.int32(HORIZON), jnp.int32(2)
        instance = imitax.pose(env, seed, *sizes, Capacity(HORIZON, 2), chosen.demand)
        data = imitax.train(instance.learner_key, chosen, instance.problem).state.data
        return data.obs.reshape(2, -1), data.action.reshape(2, -1)

    obs, label = jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(jnp.arange(4 * SEEDS)))
    states = 0.1 * 0.95 ** np.arange(HORIZON)
    np.testing.assert_allclose(obs, np.broadcast_to(states, obs.shape), rtol=2e-6)
    check_normal(label - 0.45 * states, TAU)


def test_no_key_is_used_twice():
    with KeyLedger() as ledger:
        env = Linear(LinearSettings(noise=0.02))
        algorithm = imitax.algorithm("dagger:hidden=none,beta=0.5", env).build(env)

        def one(seed):
            sizes = jnp.int32(3), jnp.int32(3)
            posed = imitax.pose(env, seed, *sizes, Capacity(3, 3), algorithm.demand)
            return learn(algorithm, posed)[0].params

        jax.block_until_ready(jax.jit(one)(jnp.int32(2)))
        ledger.check()
