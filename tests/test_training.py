"""How long a fit goes on: a numpy replay of the plateau, least squares, and matched labels."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import imitax
from imitax.core.policies import tabulate
from imitax.core.types import Capacity
from imitax.networks import fit as supervised
from imitax.networks import plateau, training
from imitax.networks.dataset import Dataset
from imitax.networks.head import Head
from imitax.networks.mlp import MLP
from imitax.networks.settings import NetworkSettings
from imitax.tabular import walks

KEY = jax.random.key(5)


def replay(losses, budget):
    """The rule in plain Python: (reached, steps before the decay, steps in all) of a fit."""
    lowest, stale, steps, window = np.inf, 0, 0, []
    for loss in losses:
        window.append(loss)
        steps += 1
        if len(window) < plateau.WINDOW:
            continue
        mean, window = np.mean(window), []
        if not np.isfinite(lowest) or mean < lowest - plateau.TOLERANCE * abs(lowest):
            lowest, stale = mean, 0
        else:
            stale += plateau.WINDOW
        if stale >= plateau.PATIENCE or steps >= budget:
            return stale >= plateau.PATIENCE, steps, steps + int(plateau.DECAY * steps)
    raise AssertionError("the losses end before the fit")


def falling(kind):
    steps = np.arange(1, 12000)
    noise = np.random.default_rng(0).uniform(0.9, 1.1, len(steps))
    shapes = {
        "exponential": np.exp(-steps / 400) + 0.1,
        "power": 100.0 / steps,
        "flat": np.ones(len(steps)),
        "negative": -3.0 + 5.0 * np.exp(-steps / 300),
        "fast": np.exp(-steps / 200),
    }
    return shapes[kind] * noise


@functools.cache
def watched():
    """Jitted: (reached, turned, steps of the whole fit, last step size before its end)."""

    @jax.jit
    def run(losses, budget):
        def body(state):
            seen = plateau.watch(state, losses[state.steps])
            is_judged = seen.count == 0
            turned = jnp.where(is_judged, plateau.turn(seen, budget).turned, seen.turned)
            return seen._replace(turned=turned)

        last = jax.lax.while_loop(lambda state: ~plateau.is_done(state), body, plateau.fresh())
        return last.reached, last.turned, last.steps, plateau.step_size(last)

    return run


@pytest.mark.parametrize("kind", ["exponential", "power", "flat", "negative", "fast"])
def test_a_fit_ends_where_a_replay_of_the_rule_says(kind):
    losses = falling(kind)
    budget = 3000 if kind == "fast" else 8000
    reached, turned, steps, size = watched()(jnp.float32(losses), jnp.int32(budget))
    assert (bool(reached), int(turned), int(steps)) == replay(losses, budget)
    assert bool(reached) == (kind != "fast"), "a loss that still falls is not at a plateau"
    assert float(size) == 0.0


def test_the_step_size_is_constant_and_then_falls_to_zero_on_a_line():
    state = plateau.fresh()._replace(steps=jnp.int32(900))
    assert float(plateau.step_size(state)) == 1.0
    turned = state._replace(turned=jnp.int32(800))
    assert float(plateau.step_size(turned)) == pytest.approx(1.0 - 100 / (plateau.DECAY * 800))
    assert int(plateau.budget(jnp.int32(6400), 64)) == plateau.LEAST + 100 * plateau.EPOCHS


def samples(obs, action):
    obs, action = np.float32(obs), np.float32(action)
    padding = np.full((37, obs.shape[1]), np.nan, np.float32)
    empty = np.full((37, action.shape[1]), np.nan, np.float32)
    rows = np.concatenate([obs, padding]), np.concatenate([action, empty])
    return Dataset(jnp.asarray(rows[0]), jnp.asarray(rows[1]), jnp.int32(len(obs)))


def least_squares(obs, action, l2=0.0):
    """argmin of mean |a - W' x - b|^2 + l2 / 2 |W|^2 in float64; of least norm where it is free."""
    obs, action = np.float32(obs).astype(float), np.float32(action).astype(float)
    away, aim = obs - obs.mean(0), action - action.mean(0)
    root = np.sqrt(0.5 * l2 * len(obs)) * np.eye(obs.shape[1])
    design = np.concatenate([away, root])
    kernel = np.linalg.lstsq(design, np.concatenate([aim, np.zeros((len(root), aim.shape[1]))]))[0]
    return kernel, action.mean(0) - obs.mean(0) @ kernel


def effective(fit):
    """Kernel and bias in units of the observations, whatever they were normalised by."""
    layer = jax.tree.map(lambda leaf: np.asarray(leaf, float), fit.params["params"]["Dense_0"])
    if fit.normaliser is None:
        return layer["kernel"], layer["bias"]
    mean, scale = (np.asarray(leaf, float) for leaf in fit.normaliser)
    kernel = layer["kernel"] / scale[:, None]
    return kernel, layer["bias"] - mean @ kernel


@functools.cache
def solver(num_outputs, normalise, l2=0.0):
    head = Head(MLP((), num_outputs), "mse", None, "mode")
    settings = NetworkSettings(hidden=(), normalise=normalise, l2=l2)

    @jax.jit
    def run(data):
        fit = supervised.start(KEY, head, settings, data)
        return training.solved(head, settings, fit, data)

    return run


RNG = np.random.default_rng(1)
SPREAD = RNG.standard_normal((200, 3)) * [1.0, 30.0, 1e-2] + [5.0, -400.0, 0.0]
MIXING = np.array([[1.0, 0.9, 0.9], [0.0, 0.3, 0.2], [0.0, 0.0, 0.2]])
CORRELATED = RNG.standard_normal((200, 3)) @ MIXING + [0.0, 3.0, -9.0]
CASES = {
    "spread": SPREAD,
    "correlated": CORRELATED,
    "constant": np.concatenate([SPREAD[:, :2], np.full((200, 1), 7.0)], axis=1),
    "one": SPREAD[:1],
}


@pytest.mark.parametrize("normalise", ["true", "false"])
@pytest.mark.parametrize("case", CASES)
def test_a_linear_policy_is_least_squares(case, normalise):
    obs = CASES[case]
    action = obs @ RNG.standard_normal((3, 2)) + 0.3 * RNG.standard_normal((len(obs), 2)) + 1.0
    kernel, bias = effective(solver(2, normalise)(samples(obs, action)))
    wanted, offset = least_squares(obs, action)
    size = np.abs(action).max()
    # Compared by what is played: where a coordinate is constant, weights and bias may trade.
    np.testing.assert_allclose(obs @ kernel + bias, obs @ wanted + offset, atol=1e-5 * size)
    if case in ("spread", "correlated"):
        np.testing.assert_allclose(kernel, wanted, rtol=1e-3, atol=1e-4)


def test_a_linear_policy_with_a_penalty_is_ridge_regression():
    action = SPREAD @ np.random.default_rng(8).standard_normal((3, 1)) + 0.3
    kernel, bias = effective(solver(1, "false", 0.8)(samples(SPREAD, action)))
    wanted, offset = least_squares(SPREAD, action, 0.8)
    np.testing.assert_allclose(kernel, wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(bias, offset, rtol=1e-4)


@functools.cache
def sine_path():
    """The trainings of a linear policy on `sine-path`, and the demonstrations, seed by seed."""
    env = imitax.environment("sine-path:noise=0.03")
    capacity = Capacity(20, 6)

    def run(spec):
        algorithm = imitax.algorithm(spec, env).build(env)

        def one(seed):
            posed = imitax.pose(env, seed, 20, 6, capacity, algorithm.demand)
            trained = imitax.train(posed.learner_key, algorithm, posed.problem)
            return trained, posed.problem.demonstrations

        return jax.jit(jax.vmap(one))(jnp.arange(2))

    return run


def test_linear_bc_on_the_sine_path_has_least_squares_parameters():
    trained, shown = sine_path()("bc:hidden=none")
    assert (np.asarray(trained.metrics.gradient_updates) == 0).all()
    assert (np.asarray(trained.metrics.fit_converged) == 1).all()
    for seed in range(2):
        fit = jax.tree.map(lambda leaf, seed=seed: leaf[seed], trained.state.fit)
        obs, action = (np.asarray(leaf[seed], float) for leaf in (shown.obs, shown.action))
        obs, action = obs.reshape(-1, 2), action.reshape(-1, 2)
        kernel, bias = effective(fit)
        wanted, offset = least_squares(obs, action)
        np.testing.assert_allclose(kernel, wanted, atol=1e-4)
        np.testing.assert_allclose(bias, offset, atol=1e-4)
        error = ((obs @ wanted + offset - action) ** 2).sum(1).mean()
        assert float(trained.metrics.training_loss[seed]) == pytest.approx(error, rel=1e-4)


def test_a_descent_that_is_done_is_at_the_minimum():
    """Without a count, Adam ends within a percent of the loss that is solved for."""
    least, _ = sine_path()("bc:hidden=none")
    trained, _ = sine_path()("bc:hidden=none,solver=adam")
    loss, lowest = (np.asarray(one.metrics.training_loss) for one in (trained, least))
    assert (loss >= lowest * (1 - 1e-4)).all()
    np.testing.assert_allclose(loss, lowest, rtol=0.01)
    assert (np.asarray(trained.metrics.fit_converged) == 1).all()
    taken = np.asarray(trained.metrics.gradient_updates)
    assert (taken > plateau.PATIENCE).all()
    assert (taken < 1.25 * plateau.LEAST + 200).all()


def test_a_count_is_taken_and_the_fit_said_to_be_unfinished():
    trained, _ = sine_path()("bc:hidden=4,num_steps=150,normalise=false")
    assert (np.asarray(trained.metrics.gradient_updates) == 150).all()
    assert (np.asarray(trained.metrics.fit_converged) == 0).all()
    assert trained.state.fit.normaliser is None


def test_dagger_trains_its_last_fit_until_it_is_done():
    trained, _ = sine_path()("dagger:hidden=4,batch_size=16")
    taken = np.asarray(trained.metrics.gradient_updates)
    before = 1000 + 4 * 200  # at first, and in all rounds but the last
    assert (np.asarray(trained.metrics.fit_converged) == 1).all()
    assert (taken - before > plateau.PATIENCE).all()
    # The last fit's own count, whose windows began anew with the last labels.
    np.testing.assert_array_equal(taken - before, trained.state.fit.plateau.steps)


def test_held_out_loss_decides_where_samples_are_held_out():
    trained, shown = sine_path()("bc:hidden=8,validation=30,learning_rate=0.01")
    held_out = np.asarray(trained.metrics.held_out_loss)
    assert np.isfinite(held_out).all()
    assert (np.asarray(trained.metrics.fit_converged) == 1).all()
    np.testing.assert_allclose(held_out, trained.state.fit.best.loss, rtol=1e-5)
    assert (np.asarray(trained.metrics.training_loss) != held_out).all()
    del shown


LABELS = 17
"""Two episodes of 7 labels and three of the third."""


@pytest.mark.parametrize("env", ["reset-cliff:num_states=5", "recoverable-cliff:num_states=5"])
def test_a_table_counts_whole_episodes_and_the_beginning_of_one(env):
    env = imitax.environment(env)
    capacity, horizon = Capacity(9, 6), 7
    demand = imitax.algorithm(f"bc:labels={LABELS}", env).build(env).demand

    @jax.jit
    def both(seed):
        cut = imitax.pose(env, seed, horizon, 6, capacity, demand)
        acting = tabulate(cut.expert, env.num_states, capacity.horizon)
        walker = walks.walkers(cut.params.mdp)
        key = imitax.core.keys.seed_keys(env.family, seed).demonstrations
        rows = (capacity.num_demos, capacity.horizon)
        return cut, walks.record(key, walker, acting, jnp.int32(horizon), jnp.int32(6), rows)

    cut, (states, actions) = both(jnp.int32(3))
    wanted = np.zeros((capacity.horizon, env.num_states, env.num_actions))
    for label in range(LABELS):
        episode, time = divmod(label, horizon)
        wanted[time, states[episode, time], actions[episode, time]] += 1
    np.testing.assert_array_equal(cut.problem.demonstrations.counts, wanted)
    assert int(cut.problem.demonstrations.num_episodes) == 3


def test_a_network_is_shown_the_first_pairs():
    env = imitax.environment("lane:subsample=2")
    capacity = Capacity(9, 6)
    demands = [
        imitax.algorithm(spec, env).build(env).demand for spec in ("bc", f"bc:labels={LABELS}")
    ]
    whole, cut = (
        imitax.pose(env, jnp.int32(1), 9, 6, capacity, demand).problem.demonstrations
        for demand in demands
    )
    wanted, left = [], LABELS
    for length in np.asarray(whole.length):
        wanted.append(min(left, length))
        left -= wanted[-1]
    np.testing.assert_array_equal(cut.length, wanted)
    np.testing.assert_array_equal(cut.obs, whole.obs)
    assert int(cut.num_episodes) == np.count_nonzero(wanted)


@pytest.mark.parametrize(
    ("env", "spec", "labels", "asked"),
    [
        ("reset-cliff:num_states=5", "dagger", LABELS, LABELS),
        ("reset-cliff:num_states=5", "dagger:episodes_per_round=4", LABELS, LABELS),
        ("reset-cliff:num_states=5", "bc", LABELS, LABELS),
        ("reset-cliff:num_states=5", "bc", 1000, 42),
        ("sine-path", "dagger:hidden=none,episodes_per_round=2", LABELS, LABELS),
        ("sine-path", "dagger:hidden=none", 5, 5),
        ("sine-path", "bc:hidden=none", LABELS, LABELS),
    ],
)
def test_as_many_labels_as_were_given(env, spec, labels, asked):
    env = imitax.environment(env)
    joined = f"{spec}{',' if ':' in spec else ':'}labels={labels}"
    algorithm = imitax.algorithm(joined, env).build(env)

    @jax.jit
    def run(seed):
        posed = imitax.pose(env, seed, 7, 6, Capacity(7, 6), algorithm.demand)
        return imitax.train(posed.learner_key, algorithm, posed.problem)

    trained = run(jnp.int32(0))
    assert int(trained.metrics.expert_labels) == asked
    if spec.startswith("dagger"):
        assert int(trained.metrics.environment_steps) == max(asked - 7, 0)
        size = trained.state.data.size if env.spec == "sine-path" else trained.state.counts.sum()
        assert int(size) == asked


@pytest.mark.parametrize(
    ("env", "spec", "words"),
    [
        ("lane", "bc:solver=exact", "needs hidden=none and loss=mse"),
        ("lane", "bc:solver=exact,hidden=none,num_steps=5", "takes no gradient step"),
        ("lane", "dagger:solver=exact,hidden=none,first_updates=5", "takes no gradient step"),
        ("lane", "bc:solver=exact,hidden=none,validation=20", "set solver=adam"),
        ("reset-cliff:subsample=2", "bc:labels=5", "leave one of them out, or use policy=mlp"),
        ("reset-cliff:subsample=2", "dagger:labels=5", "has no meaning in a table"),
        ("lane", "bc:labels=-1", "is out of range"),
        ("lane", "bc:normalise=yes", "allowed: auto|true|false"),
    ],
)
def test_refusals_name_the_remedy(env, spec, words):
    with pytest.raises(imitax.SpecError, match=words.replace("|", "[|]")):
        imitax.algorithm(spec, imitax.environment(env))
