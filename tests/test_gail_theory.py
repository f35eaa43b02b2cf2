"""Total-variation matching against its optimal set and its tie-break, theory 1.5."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

import imitax
from imitax.bench.programs.program import compiler_options
from imitax.core.types import Capacity

SETTINGS = "gail:divergence=tv,discriminator_rate=2.0,num_steps=8000,tolerance=1e-05"
PLACES, NUM_SEEDS, TIE_BREAK = ("reset-cliff", "standard-imitation"), 32, 0.003
BIAS = 0.02
"""Relative, of the gap that is left and the tie-break's weight."""


@functools.cache
def program(place):
    """regret, gap and shown states [T, S] of seeds; one compilation for all cells of a place."""
    env = imitax.environment(f"{place}:initial=uniform")
    chosen, capacity = imitax.algorithm(SETTINGS, env), Capacity(32, 1000)

    def one(seed, horizon, num_demos, config):
        algorithm = chosen.build(env, config)
        instance = imitax.pose(env, seed, horizon, num_demos, capacity, algorithm.demand)
        trained = imitax.train(instance.learner_key, algorithm, instance.problem)
        policy = algorithm.policy(instance.problem, trained.state)
        shown = instance.problem.demonstrations.counts.sum(-1) / num_demos
        return imitax.regret(env, instance, policy), trained.metrics.equilibrium_gap, shown

    config = jax.tree.map(jnp.float32, chosen.config)
    numbers = (jnp.arange(NUM_SEEDS), jnp.int32(1), jnp.int32(1), config)
    lowered = jax.jit(jax.vmap(one, (0, None, None, None))).lower(*numbers)
    return lowered.compile(compiler_options=compiler_options()), config


@functools.cache
def cell(place, horizon, num_demos, entropy):
    run, config = program(place)
    config = dataclasses.replace(config, entropy=jnp.float32(entropy))
    result = run(jnp.arange(NUM_SEEDS), jnp.int32(horizon), jnp.int32(num_demos), config)
    regret, gap, shown = (np.asarray(x, np.float64) for x in result)
    rho = np.full(9 + (place == "standard-imitation"), 1.0)
    return regret, gap, shown[:, :horizon, : len(rho)], rho / len(rho)


@pytest.mark.parametrize("entropy", [0.0, TIE_BREAK])
@pytest.mark.parametrize("place", PLACES)
def test_total_variation_ends_inside_the_optimal_set(place, entropy):
    """Theory 1.5 for every seed, with what the reported gap allows beyond it.

    With F = sum_t |e_t - d_t|_1 at most its minimum plus horizon * gap: on standard imitation
    regret <= F / 2. On the reset cliff mass lost before the last step costs at least 2 c in every
    later term of F, with c = min_t rho(e_t >= rho), and at the last step regret <= F_last / 2,
    which may hold the excess once more.
    """
    for horizon, num_demos in ((4, 30), (8, 10), (8, 300), (32, 30)):
        regret, gap, shown, rho = cell(place, horizon, num_demos, entropy)
        variation = 0.5 * np.abs(shown - rho).sum(-1)
        assert gap.min() > -1e-5  # float32
        if place == "standard-imitation":
            limit, slack = variation.sum(-1), horizon * gap / 2
        else:
            c = ((shown >= rho - 1e-6) * rho).sum(-1).min(-1)
            limit, slack = variation[:, -1], horizon * gap * (1 / (2 * c) + 0.5)
        assert regret.min() > -1e-5
        assert np.all(regret <= limit + slack + 1e-5 * horizon)
        assert np.median(slack / limit) < 1.0  # else the bound would say nothing
        # The expectation of the largest optimal regret is known; the optimum is well inside it.
        worst = oracles.tv_expected(rho, num_demos)
        error = limit.std() / np.sqrt(NUM_SEEDS)
        expected = worst * (horizon if place == "standard-imitation" else 1)
        assert abs(limit.mean() - expected) < 4 * error


def tie_break(place, horizon, num_demos):
    """Mean regret, its standard error, and the closed form of theory 1.5."""
    regret, _, shown, rho = cell(place, horizon, num_demos, TIE_BREAK)
    expected = oracles.max_entropy_gap(rho, num_demos, 5)
    own = np.maximum(rho - np.maximum(shown, rho / 5), 0).sum(-1)
    steps = horizon if place == "standard-imitation" else 1
    # Of each seed's own demonstrations: no sampling error in this comparison.
    assert abs((regret - own[:, -1] * steps).mean()) < BIAS * expected * steps
    return regret.mean(), regret.std() / np.sqrt(NUM_SEEDS), expected * steps


def exponent(points, results):
    """Slope of the log mean, its standard error for independent points, and the closed form's."""
    mean, error, expected = np.transpose(results)
    x = np.log(points) - np.log(points).mean()
    slope, closed = (x @ np.log(y) / (x @ x) for y in (mean, expected))
    return slope, np.sqrt(x**2 @ (error / mean) ** 2) / (x @ x), closed


@pytest.mark.parametrize("place", PLACES)
def test_the_maximum_entropy_tie_break(place):
    """Closed form in every cell; exponents 0 or 1 in the horizon and -1/2 in demonstrations."""
    horizons, numbers = (4, 8, 16, 32), (10, 30, 100, 300, 1000)
    by_horizon = [tie_break(place, horizon, 30) for horizon in horizons]
    by_number = [tie_break(place, 8, number) for number in numbers]
    for mean, error, expected in by_horizon + by_number:
        assert abs(mean - expected) < 4 * error + BIAS * expected
    slope, error, _ = exponent(horizons, by_horizon)
    if place == "standard-imitation":  # nothing moves: the same demonstrations at every horizon
        assert slope == pytest.approx(1.0, abs=0.01)
    else:
        assert slope == pytest.approx(0.0, abs=4 * error + 0.01)
    for few in (0, 1):  # with 10 demonstrations the closed form itself is not yet a power
        slope, error, closed = exponent(numbers[few:], by_number[few:])
        assert slope == pytest.approx(closed, abs=4 * error + 0.01)
    assert slope == pytest.approx(-0.5, abs=4 * error + 0.02)
