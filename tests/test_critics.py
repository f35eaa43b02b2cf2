"""Reward players with a network: forms, losses, penalty and spectral norm by float64 numpy."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from game_oracles import (
    annuity,
    cross_entropy,
    forward,
    gradient_penalty,
    return_of_quitting,
    reward_form,
    slopes,
    spectral,
)
from gymnax.environments import spaces
from probes import layers

from imitax.games import critic as critics
from imitax.games.critic import DiscriminatorSettings
from imitax.games.pairs import Pairs
from imitax.networks import spectral as library
from imitax.networks.mlp import MLP
from imitax.numerics import blocks
from imitax.rl.actor_critic import actor

FORMS = ("softplus", "log", "logit", "fairl")


# --- rewards -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMS)
def test_reward_forms(name):
    logit = np.concatenate([np.linspace(-12.0, 12.0, 97), [-80.0, 80.0]])
    found = critics.reward_form(name, jnp.float32(logit))
    np.testing.assert_allclose(found, reward_form(name, logit), rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize(("name", "best"), [("softplus", 9), ("log", 0), ("logit", None)])
def test_continue_or_quit(name, best):
    """Theory 4: at D = 1/2 survival pays, or dying, or neither; a reward after ends mends it."""
    reward = float(critics.reward_form(name, jnp.float32(0.0)))
    returns = np.array([return_of_quitting(reward, step) for step in range(10)])
    if best is None:
        np.testing.assert_array_equal(returns, 0.0)
    else:
        assert returns.argmax() == best
        assert len(np.unique(returns)) == 10
    for discount in (1.0, 0.9):
        after = [return_of_quitting(reward, t, discount, 10, reward) for t in range(10)]
        np.testing.assert_allclose(after, after[0], rtol=1e-12, atol=1e-12)
        steps = discount ** np.arange(10)
        as_annuity = [
            reward * steps[: t + 1].sum() + steps[t] * annuity(discount, 9 - t) * reward
            for t in range(10)
        ]
        np.testing.assert_allclose(after, as_annuity, rtol=1e-12, atol=1e-12)


# --- losses ------------------------------------------------------------------------------------


def space_env(observation, action):
    """What `actor` reads of an environment."""
    return types.SimpleNamespace(
        default_params=None,
        observation_space=lambda params: observation,
        action_space=lambda params: action,
    )


VECTOR = spaces.Box(-np.inf, np.inf, (3,))
ACTORS = {
    "discrete": actor(space_env(VECTOR, spaces.Discrete(4)), (8,)),
    "continuous": actor(space_env(VECTOR, spaces.Box(-1.0, 1.0, (2,))), (8,)),
    "image": actor(space_env(spaces.Box(0, 1, (4, 4, 2)), spaces.Discrete(4)), (8,)),
}


def settings(**changes):
    """Settings with everything that a loss may read."""
    own = DiscriminatorSettings(discriminator_hidden=(6,), penalty=3.0, penalty_target=0.4)
    fields = {name: getattr(own, name) for name in own.__dataclass_fields__} | {"l2": 0.02}
    return types.SimpleNamespace(**(fields | changes))


def pairs_of(own, seed, size=20):
    rng = np.random.default_rng(seed)
    shape = (size, 4, 4, 2) if own.policy.image else (size, 3)
    action = rng.integers(4, size=size) if own.discrete else rng.normal(size=(size, 2))
    flag = (rng.random(size) < 0.3) & (not own.policy.image)
    return Pairs(jnp.asarray(rng.normal(size=shape)), jnp.asarray(action), jnp.asarray(1.0 * flag))


def rows_by_hand(own, chosen, pairs, absorbing):
    """[observation, flag, action] as the head of the file has it."""
    action = np.asarray(pairs.action)
    parts = [np.asarray(pairs.inputs)]
    parts += [np.asarray(pairs.absorbed)[:, None]] if absorbing else []
    if chosen.inputs == "state-action":
        parts += [np.eye(4)[action] if own.discrete else action]
    return np.concatenate(parts, axis=-1)


def started(own, chosen, loss, absorbing=True, seed=0):
    """A critic in float64 whose weights are of order one, and pairs of both kinds."""
    critic = critics.critic(own, chosen, loss, absorbing=absorbing)
    real, fake = pairs_of(own, 1), pairs_of(own, 2)
    state = critics.start(jax.random.key(seed), critic, real)
    rng = np.random.default_rng(seed)
    params = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), state.params)
    return critic, state._replace(params=params), real, fake


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
@pytest.mark.parametrize("absorbing", [False, True])
@pytest.mark.parametrize("inputs", ["state", "state-action"])
def test_the_output_is_a_network_of_the_pair(kind, absorbing, inputs):
    own, chosen = ACTORS[kind], settings(inputs=inputs)
    critic, state, real, _ = started(own, chosen, "jensen-shannon", absorbing)
    rows = rows_by_hand(own, chosen, real, absorbing)
    wanted = forward(layers(state.params), rows)[:, 0]
    found = critics.output(critic, state, real)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert (np.ptp(rows, axis=0) > 0.0).all(), "every input is put to the test"


def test_images_and_categories_choose_an_output():
    own, chosen = ACTORS["image"], settings()
    critic, state, real, _ = started(own, chosen, "jensen-shannon", absorbing=False)
    every = np.asarray(critic.network.apply(state.params, real.inputs))
    wanted = every[np.arange(20), np.asarray(real.action)]
    np.testing.assert_allclose(critics.output(critic, state, real), wanted, rtol=1e-5)
    blind, state, real, _ = started(own, settings(inputs="state"), "jensen-shannon", False)
    found = critics.output(blind, state, real)
    other = critics.output(blind, state, real._replace(action=(real.action + 1) % 4))
    np.testing.assert_array_equal(found, other)


def contrast_by_hand(loss, chosen, real, fake, params):
    if loss == "jensen-shannon":
        return cross_entropy(real, fake, chosen.entropy_bonus)
    total = fake.mean() - real.mean()
    if loss == "likelihood":
        total += chosen.l2 * sum((np.asarray(x) ** 2).sum() for x in jax.tree.leaves(params))
    return total


def loss_of(critic, chosen, vectors):
    """The sum that a step descends, as a function of weights and all pairs."""
    summands = critics.losses(critic, chosen, vectors)
    return lambda *args: sum(one(*args) for one in summands)


@pytest.mark.parametrize(
    ("loss", "changes"),
    [
        ("jensen-shannon", {}),
        ("jensen-shannon", {"entropy_bonus": 0.3}),
        ("jensen-shannon", {"penalty": 0.0}),
        ("jensen-shannon", {"spectral": True}),
        ("wasserstein", {"penalty": 10.0, "penalty_target": 1.0}),
        ("likelihood", {}),
    ],
)
@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_losses(kind, loss, changes):
    own, chosen, key = ACTORS[kind], settings(**changes), jax.random.key(3)
    with jax.enable_x64(True):
        critic, state, real, fake = started(own, chosen, loss)
        params = layers(state.params)
        vectors = state.vectors
        if chosen.spectral:
            params = [(spectral(kernel)[0], bias) for kernel, bias in params]
            vectors = power_method(state.params, vectors, 2000)
        mix = jax.random.uniform(key, (20,))
        found = loss_of(critic, chosen, vectors)(state.params, real, fake, mix)
        mix = np.asarray(mix)
    rows = [rows_by_hand(own, chosen, one, True) for one in (real, fake)]

    def output(x):
        return forward(params, x)[:, 0]

    wanted = contrast_by_hand(loss, chosen, output(rows[0]), output(rows[1]), state.params)
    penalty = gradient_penalty(output, *rows, mix, chosen.penalty_target)
    assert penalty > 1e-3
    np.testing.assert_allclose(found, wanted + chosen.penalty * penalty, rtol=1e-6)


@pytest.mark.parametrize("kind", ["discrete", "image"])
def test_slopes_are_norms_of_gradients(kind):
    """Of images only the pixels count: the chosen output is mixed, not differentiated."""
    own, chosen = ACTORS[kind], settings()
    with jax.enable_x64(True):
        critic, state, real, fake = started(own, chosen, "wasserstein", absorbing=kind != "image")
        points = [critics.points(critic, one) for one in (real, fake)]
        mix = np.random.default_rng(4).random(20)
        found = critics.slopes(critic, state.params, *points, jnp.asarray(mix))
        shape, (x, weights) = points[0][0].shape[1:], zip(*points, strict=True)
        share = mix.reshape(-1, *(1,) * len(shape))
        between = share * np.asarray(x[0]) + (1.0 - share) * np.asarray(x[1])
        chooses = mix[:, None] * np.asarray(weights[0]) + (1.0 - mix[:, None]) * weights[1]

        @jax.jit
        def output(flat):
            return critics.evaluate(critic, state.params, flat.reshape(-1, *shape), chooses)

        wanted = slopes(lambda flat: np.asarray(output(flat)), between.reshape(20, -1))
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=2e-6)


def test_a_step_descends_the_loss_by_adam():
    """Adam's first step is the learning rate times the sign of the gradient."""
    chosen = settings(discriminator_rate=1e-3)
    critic, state, real, fake = started(ACTORS["discrete"], chosen, "jensen-shannon")
    key = jax.random.key(5)

    def loss(params):
        mix = jax.random.uniform(key, (20,))
        return loss_of(critic, chosen, None)(params, real, fake, mix)

    gradient = jax.grad(loss)(state.params)
    after = critics.step(key, critic, chosen, state, real, fake)
    trees = map(jax.tree.leaves, (state.params, after.params, gradient))
    for old, new, slope in zip(*trees, strict=True):
        sign = np.where(np.abs(slope) > 1e-4, np.sign(slope), np.nan)
        moved = np.where(np.isnan(sign), np.nan, (new - old) / 1e-3)
        np.testing.assert_allclose(moved, -sign, atol=2e-3)
    assert loss(after.params) < loss(state.params)


@pytest.mark.parametrize(
    ("loss", "changes"),
    [
        ("jensen-shannon", {"entropy_bonus": 0.3, "spectral": True}),
        ("jensen-shannon", {"slope": "free"}),
        ("wasserstein", {}),
        ("likelihood", {"spectral": True}),
    ],
)
@pytest.mark.parametrize("kind", ["discrete", "image"])
def test_a_gradient_in_blocks_is_that_of_all_pairs(kind, loss, changes):
    own, chosen = ACTORS[kind], settings(**changes)
    with jax.enable_x64(True):
        critic, state, real, fake = started(own, chosen, loss, absorbing=kind != "image")
        rows = (real, fake, jax.random.uniform(jax.random.key(8), (20,)))
        whole = jax.grad(loss_of(critic, chosen, state.vectors))
        wanted = jax.jit(whole)(state.params, *rows)
        summands = critics.losses(critic, chosen, state.vectors)
        found = jax.jit(lambda *args: blocks.gradient(summands, *args, most=5))(state.params, rows)
    for one, other in zip(*map(jax.tree.leaves, (found, wanted)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(wanted)) > 0.1


def test_a_step_of_many_pairs_keeps_the_vectors_of_the_power_method():
    chosen = settings(spectral=True)
    critic, state, *_ = started(ACTORS["discrete"], chosen, "jensen-shannon")
    real, fake = (pairs_of(ACTORS["discrete"], seed, 2 * blocks.ROWS) for seed in (1, 2))
    after = critics.step(jax.random.key(9), critic, chosen, state, real, fake)
    wanted = library.normalise(state.params, state.vectors)[1]
    for one, other in zip(*map(jax.tree.leaves, (after.vectors, wanted)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_the_best_discriminator_knows_both_densities():
    """Jensen-Shannon without penalty ends at log e - log d on discrete distributions."""
    expert, learner = np.array([6, 1, 1, 8]), np.array([2, 9, 1, 4])
    own = actor(space_env(spaces.Discrete(4), spaces.Discrete(2)), (8,))
    chosen = settings(penalty=0.0, discriminator_rate=0.02, inputs="state")
    critic = critics.critic(own, chosen, "jensen-shannon", absorbing=False)

    def sample(counts):
        states = np.repeat(np.arange(4), counts)
        return Pairs(own.encode(states), jnp.zeros(16, jnp.int32), jnp.zeros(16))

    @jax.jit
    def train(state):
        def one(state, key):
            return critics.step(key, critic, chosen, state, sample(expert), sample(learner)), None

        return jax.lax.scan(one, state, jax.random.split(jax.random.key(6), 600))[0]

    state = train(critics.start(jax.random.key(7), critic, sample(expert)))
    each = Pairs(own.encode(np.arange(4)), jnp.zeros(4, jnp.int32), jnp.zeros(4))
    found = critics.output(critic, state, each)
    np.testing.assert_allclose(found, np.log(expert / learner), atol=0.05)


# --- spectral norm -----------------------------------------------------------------------------


def power_method(params, vectors, count, limit=1.0):
    @jax.jit
    def many(params, vectors):
        return jax.lax.fori_loop(
            0, count, lambda _, kept: library.normalise(params, kept, limit)[1], vectors
        )

    return many(params, vectors)


@functools.cache
def convolutional():
    """A network with dense and convolutional kernels, some above any limit and some below."""
    params = MLP((7, 5), 3, image=True).init(jax.random.key(8), jnp.zeros((1, 4, 4, 2)))
    rng = np.random.default_rng(9)
    scale = iter([2.0, 0.01, 2.0, 0.05])

    def fill(leaf):
        if leaf.ndim < 2:
            return jnp.float32(rng.normal(size=leaf.shape))
        return jnp.float32(next(scale) * rng.normal(size=leaf.shape))

    return jax.tree.map(fill, params)


@pytest.mark.parametrize("limit", [1.0, 3.0])
def test_spectral_norm(limit):
    params = convolutional()
    kept = power_method(params, library.vectors(params), 300, limit)
    used, _ = library.normalise(params, kept, limit)
    touched = []
    for old, new in zip(jax.tree.leaves(params), jax.tree.leaves(used), strict=True):
        if old.ndim < 2:
            np.testing.assert_array_equal(old, new)
            continue
        wanted, sigma = spectral(old, limit)
        np.testing.assert_allclose(new, wanted, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(spectral(new)[1], min(sigma, limit), rtol=1e-4)
        touched.append(sigma > limit)
        if sigma <= limit:
            np.testing.assert_array_equal(old, new)
    assert set(touched) == {True, False}
    assert len(touched) == 4


def test_a_network_of_spectral_norm_one_stretches_nothing():
    chosen = settings(spectral=True, discriminator_hidden=(6, 6))
    critic, state, _, _ = started(ACTORS["continuous"], chosen, "wasserstein", absorbing=False)
    params = jax.tree.map(lambda x: 3.0 * x, state.params)
    state = state._replace(params=params, vectors=power_method(params, state.vectors, 300))
    points = np.random.default_rng(10).normal(size=(2, 500, 3))
    out = [
        critics.output(critic, state, Pairs(jnp.float32(x), jnp.zeros((500, 2)), jnp.zeros(500)))
        for x in points
    ]
    stretch = np.abs(out[0] - out[1]) / np.linalg.norm(points[0] - points[1], axis=-1)
    assert 0.01 < stretch.max() <= 1.0 + 1e-4


def test_spectral_gradients_keep_the_vectors():
    """With u and v held, W / (u W v) has the gradient of a quotient."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(11)
        kernel, direction = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
        u, s, v = np.linalg.svd(kernel)
        kept = [jnp.asarray(v[0])]

        def inner(kernel):
            return jnp.sum(library.normalise([kernel], kept)[0][0] * direction)

        found = jax.grad(inner)(jnp.asarray(kernel))
    turned = (kernel * direction).sum() / s[0] ** 2 * np.outer(u[:, 0], v[0])
    np.testing.assert_allclose(found, direction / s[0] - turned, rtol=1e-6, atol=1e-9)
