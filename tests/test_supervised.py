"""Supervised training: closed forms, a numpy replay of early stopping, and DAgger's rounds."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_networks import forward

import imitax
from imitax.core.types import Capacity
from imitax.networks import fit as supervised
from imitax.networks import training
from imitax.networks.dataset import Dataset
from imitax.networks.head import Head
from imitax.networks.mlp import MLP
from imitax.networks.settings import NetworkSettings

KEY = jax.random.key(3)
LINEAR = Head(MLP((), 1), "mse", None, "mode")


def samples(obs, action, **fields):
    """A data set without an unfilled row."""
    obs, action = jnp.float32(obs), jnp.float32(action)
    return Dataset(obs, action, jnp.int32(len(obs)), **fields)


def fitted(head, settings, data, num_updates, key=KEY):
    @jax.jit
    def run(key):
        start_key, train_key = jax.random.split(key)
        fit = supervised.start(start_key, head, settings, data)
        return training.train_on(train_key, head, settings, fit, data, num_updates)

    return run(key)


@functools.cache
def lane(num_demos=8):
    """Observations on `lane`, and the expert's actions with noise of our own."""
    env = imitax.environment("lane")
    capacity, demand = Capacity(16, num_demos), imitax.bc(env).demand
    pose = jax.jit(lambda seed: imitax.pose(env, seed, 16, num_demos, capacity, demand))
    shown = pose(jnp.int32(1)).problem.demonstrations
    valid = np.arange(16) < np.asarray(shown.length)[:, None]
    obs, action = np.asarray(shown.obs)[valid], np.asarray(shown.action)[valid]
    noise = np.random.default_rng(0).standard_normal(action.shape)
    return obs, np.float32(action + 0.1 + 0.2 * noise)


def ridge(obs, action, penalty):
    """argmin over w, b of mean (a - w s - b)^2 + penalty w^2, for one coordinate."""
    centred = obs - obs.mean(0)
    weight = (centred * (action - action.mean(0))).mean() / ((centred**2).mean() + penalty)
    return weight, action.mean() - weight * obs.mean()


@pytest.mark.parametrize(
    ("chosen", "penalty"),
    [
        ({}, 0.0),
        ({"l2": 0.1}, 0.05),  # half of l2
        ({"augment": "noise", "input_noise": 0.3}, 0.09),  # its variance: Bishop 1995
    ],
)
def test_a_linear_network_reaches_least_squares_and_ridge(chosen, penalty):
    obs, action = lane()
    settings = NetworkSettings(
        hidden=(),
        batch_size=512,
        learning_rate=0.03,
        decay="linear",
        normalise="false",
        **chosen,
    )
    layer = fitted(LINEAR, settings, samples(obs, action), 1500).params["params"]["Dense_0"]
    weight, bias = ridge(np.float64(obs), np.float64(action), penalty)
    if not penalty:
        design = np.concatenate([obs, np.ones_like(obs)], axis=1)
        solved = np.linalg.lstsq(design, action, rcond=None)[0].ravel()
        np.testing.assert_allclose(solved, [weight, bias], rtol=1e-4)
    assert float(layer["kernel"][0, 0]) == pytest.approx(weight, abs=0.01)
    assert float(layer["bias"][0]) == pytest.approx(bias, abs=0.01)


def test_normalisation_makes_the_noise_one_of_normalised_units():
    """Noise of standard deviation n on normalised inputs is a ridge of n^2 on their slope."""
    obs, action = lane()
    settings = NetworkSettings(
        hidden=(),
        batch_size=512,
        learning_rate=0.03,
        decay="cosine",
        augment="noise",
        input_noise=0.5,
        normalise="true",
    )
    fit = fitted(LINEAR, settings, samples(obs, action), 1500)
    unit = (np.float64(obs) - obs.mean()) / obs.std()
    weight, bias = ridge(unit, np.float64(action), 0.25)
    played = supervised.policy(LINEAR, fit)(jnp.float32([0.4]), jnp.int32(0)).mode()
    wanted = weight * (0.4 - obs.mean()) / obs.std() + bias
    assert float(played[0]) == pytest.approx(wanted, abs=0.02)
    assert abs(weight) < 0.9 * abs(ridge(unit, np.float64(action), 0.0)[0])


def test_decay_scales_the_rate():
    for decay, wanted in [("none", [1, 1, 1]), ("linear", [1, 0.75, 0]), ("cosine", [1, 0.854, 0])]:
        settings = NetworkSettings(decay=decay, learning_rate=2.0)
        rates = [float(supervised.rate(settings, x)) / 2 for x in (0.0, 0.25, 1.0)]
        np.testing.assert_allclose(rates, wanted, atol=1e-3)


def bimodal(loss, **settings):
    """A head fitted to actions of which one half is near -1 and the other near 1."""
    rng = np.random.default_rng(0)
    action = np.where(rng.random((256, 1)) < 0.5, -1.0, 1.0) + 0.05 * rng.standard_normal((256, 1))
    count = {"mse": 1, "mixture": 9}[loss]
    head = Head(MLP((8,), count), loss, None, settings.pop("act", "mode"), components=3)
    config = NetworkSettings(hidden=(8,), loss=loss, learning_rate=0.02, **settings)
    fit = fitted(head, config, samples(np.zeros((256, 1)), action), 600)
    return supervised.policy(head, fit)(jnp.zeros(1), jnp.int32(0))


def test_squared_error_plays_between_two_modes():
    assert abs(float(bimodal("mse").mode()[0])) < 0.3


def test_a_mixture_plays_both_modes():
    law = bimodal("mixture", act="sample")
    draws = np.asarray(jax.vmap(law.sample)(jax.random.split(KEY, 1000)))[:, 0]
    near = np.abs(np.abs(draws) - 1.0) < 0.25
    assert near.mean() > 0.97
    assert 0.35 < (draws > 0).mean() < 0.65
    assert abs(abs(float(bimodal("mixture").mode()[0])) - 1.0) < 0.1


VALIDATION = (
    "bc:validation=40,check_every=5,patience=3,hidden=32,learning_rate=0.02,num_steps=203,"
    "normalise=false"
)


@functools.cache
def overfitted():
    """BC on actions that are noise, and its state after every algorithm step."""
    env = imitax.environment("lane")
    algorithm = imitax.algorithm(VALIDATION, env).build(env)
    instance = imitax.pose(env, jnp.int32(0), 8, 3, Capacity(8, 3), algorithm.demand)
    noise = jax.random.normal(KEY, (3, 8, 1))
    shown = instance.problem.demonstrations._replace(action=noise)
    problem = dataclasses.replace(instance.problem, demonstrations=shown)
    key, states = jax.random.key(11), []
    state = algorithm.init(jax.random.fold_in(key, 0), problem)
    step = jax.jit(
        lambda index, state: algorithm.step(jax.random.fold_in(key, index), problem, state)[0]
    )
    for index in range(int(algorithm.num_steps(problem))):
        state = step(index + 1, state)
        states.append(state)
    return algorithm, problem, key, states


def held_out_loss(state):
    """Mean squared error on the held-out rows, in float64 numpy."""
    data = state.data
    chosen = np.asarray(data.held_out) & (np.arange(len(data.obs)) < int(data.size))
    error = forward(state.fit.params["params"], np.float64(data.obs)[chosen])
    error = error - np.float64(data.action)[chosen]
    return (error**2).sum(1).mean()


def test_early_stopping_keeps_the_best_and_stops_when_patience_runs_out():
    algorithm, problem, key, states = overfitted()
    checked = [held_out_loss(state) for state in states]
    bests = np.minimum.accumulate(checked)
    stale = np.arange(len(checked)) - [
        int(np.argmin(checked[: i + 1])) for i in range(len(checked))
    ]
    for state, best, age in zip(states, bests, stale, strict=True):
        assert float(state.fit.best.loss) == pytest.approx(best, rel=1e-4)
        assert int(state.fit.best.stale) == age
    last = int(np.argmax(stale >= 3))
    assert 3 <= last < len(states) - 1, "the replay never runs out of patience"
    assert [bool(state.converged) for state in states[: last + 1]] == [False] * last + [True]

    trained = jax.jit(lambda: imitax.train(key, algorithm, problem))()
    assert int(trained.num_steps) == last + 1
    best = states[int(np.argmin(checked[: last + 1]))].fit.params
    policy = algorithm.policy(problem, trained.state)
    for x, y in zip(jax.tree.leaves(policy.params), jax.tree.leaves(best), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


def test_the_last_look_comes_after_the_last_step():
    *_, states = overfitted()
    assert [int(supervised.num_taken(state.fit)) for state in states[:2]] == [5, 10]
    assert int(supervised.num_taken(states[-1].fit)) == 203


def test_held_out_samples_are_never_trained_on():
    rng = np.random.default_rng(0)
    obs, action = rng.standard_normal((2, 40, 1))
    held_out = rng.random(40) < 0.5
    settings = NetworkSettings(hidden=(), validation=50, check_every=4)
    spoiled = samples(obs, np.where(held_out[:, None], np.nan, action), held_out=held_out)
    assert np.isfinite(taken(settings, spoiled)).all()
    spoiled = samples(obs, np.where(held_out[:, None], action, np.nan), held_out=held_out)
    assert np.isnan(taken(settings, spoiled)).all()


def taken(settings, data):
    """Parameters after the steps before a look."""
    fit = supervised.start(KEY, LINEAR, settings, data)
    fit = training.train_leg(KEY, LINEAR, settings, fit, data, 0, 4, 4)
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(fit.params)])


def test_a_single_sample_is_trained_on_and_the_last_parameters_kept():
    data = samples([[1.0]], [[2.0]], held_out=jnp.bool_([False]))
    settings = NetworkSettings(hidden=(), validation=50, check_every=7, learning_rate=0.05)
    fit = fitted(LINEAR, settings, data, 300)
    played = supervised.policy(LINEAR, fit)(jnp.ones(1), jnp.int32(0)).mode()
    assert float(played[0]) == pytest.approx(2.0, abs=0.01)


def dagger_round(spec, spoil):
    """DAgger's state before and after one round in which the expert acts."""
    env = imitax.environment("lane")
    algorithm = imitax.algorithm(f"dagger:beta=1.0,hidden=4,{spec}", env).build(env)
    instance = imitax.pose(env, jnp.int32(0), 6, 3, Capacity(6, 3), algorithm.demand)
    before = algorithm.init(KEY, instance.problem)
    params = jax.tree.map(lambda leaf: leaf + spoil, before.fit.params)
    before = before._replace(fit=before.fit._replace(params=params))
    return before, algorithm.step(jax.random.fold_in(KEY, 1), instance.problem, before)[0]


@pytest.mark.parametrize(
    ("spec", "forgets", "steps"),
    [
        ("refit=restart,first_updates=4,normalise=true", True, 4),
        ("refit=continue,first_updates=4,updates_per_round=3,normalise=true", False, 7),
    ],
)
def test_a_round_restarts_or_goes_on(spec, forgets, steps):
    (before, after), (_, other) = dagger_round(spec, 0.0), dagger_round(spec, 1.0)
    np.testing.assert_array_equal(after.data.obs, other.data.obs)
    pairs = zip(jax.tree.leaves(after.fit.params), jax.tree.leaves(other.fit.params), strict=True)
    assert all(np.array_equal(x, y) for x, y in pairs) == forgets
    assert int(supervised.num_taken(after.fit)) == steps
    seen = after if forgets else before
    rows = np.float64(seen.data.obs)[: int(seen.data.size)]
    np.testing.assert_allclose(after.fit.normaliser.mean, rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(after.fit.normaliser.scale, rows.std(0), rtol=1e-4)
