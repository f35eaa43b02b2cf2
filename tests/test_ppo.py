"""PPO: its parts by float64 numpy, its rollouts step by step, the probes' known answers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from game_oracles import (
    advantages,
    advantages_by_returns,
    categorical,
    clipped_surrogate,
    discounted_so_far,
    episodes,
    forward,
    gaussian,
    standardised,
)
from jax.flatten_util import ravel_pytree
from probes import Probe, layers, probe_params

from imitax.core.errors import SpecError
from imitax.networks.normalisation import Normaliser
from imitax.numerics.blocks import MANY_ROWS, over_rollout
from imitax.rl import ppo
from imitax.rl.actor_critic import actor
from imitax.rl.advantages import LEAST_SHARE, centred
from imitax.rl.ppo import PPOSettings

ENV, CONTINUOUS = Probe(), Probe(continuous=True)
SCALING = Normaliser(jnp.array([0.25, 1.0]), jnp.array([0.5, 2.0]))
RESCALED = jax.jit(ppo.rescaled)
PLAIN = Normaliser(jnp.zeros(2), jnp.ones(2))


def ends(rng, shape):
    """Terminations and truncations mixed, never both; the first column runs on at the end."""
    kind = rng.choice(3, shape, p=[0.7, 0.15, 0.15])
    kind[-1, 0] = 0
    return kind == 1, kind == 2


# --- advantages --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("discount", "trace_decay"), [(0.99, 0.95), (0.9, 0.0), (0.8, 1.0), (1.0, 1.0), (0.0, 0.5)]
)
def test_advantages_are_sums_of_discounted_surprises(discount, trace_decay):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3, 19, 6))
    over = ends(rng, (19, 6))
    assert all(one.any() for one in over)
    found = ppo.advantages(*jnp.float32(rows), *over, discount, trace_decay)
    np.testing.assert_allclose(
        found, advantages(*rows, *over, discount, trace_decay), rtol=1e-5, atol=1e-5
    )
    # Where next values are the next rows' values, the sums are mixtures of n-step advantages.
    _, value, after = rows
    after[:-1] = np.where((over[0] | over[1])[:-1], after[:-1], value[1:])
    wanted = advantages_by_returns(*rows, *over, discount, trace_decay)
    found = ppo.advantages(*jnp.float32(rows), *over, discount, trace_decay)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("discount", [0.5, 0.9])
def test_a_right_value_function_has_no_advantages_through_truncation(discount):
    right = np.full((12, 3), 1.0 / (1.0 - discount))
    truncated = np.random.default_rng(1).random((12, 3)) < 0.3
    none = np.zeros_like(truncated)
    found = ppo.advantages(np.ones((12, 3)), right, right, none, truncated, discount, 0.7)
    np.testing.assert_allclose(found, 0.0, atol=1e-5)


@pytest.mark.parametrize("discount", [0.5, 0.9])
def test_a_termination_costs_the_future_it_takes(discount):
    """Values that know no end: only an end surprises, by minus discount / (1 - discount)."""
    right = np.full((12, 3), 1.0 / (1.0 - discount))
    terminated, truncated = ends(np.random.default_rng(2), (12, 3))
    found = ppo.advantages(np.ones((12, 3)), right, right, terminated, truncated, discount, 0.7)
    wanted = np.zeros((12, 3))
    for b, i, j in episodes(terminated | truncated):
        if terminated[j - 1, b]:
            to_go = np.arange(j - 1 - i, -1, -1)
            wanted[i:j, b] = (0.7 * discount) ** to_go * -discount / (1.0 - discount)
    assert (wanted < 0.0).any()
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


# --- minibatches and scales --------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096])
def test_every_order_holds_each_number_once(size):
    orders = jax.vmap(lambda key: ppo.shuffled(key, size))(jax.random.split(jax.random.key(1), 16))
    np.testing.assert_array_equal(np.sort(orders, axis=-1), np.tile(np.arange(size), (16, 1)))
    assert orders.dtype == jnp.int32
    if size >= 64:
        assert len({tuple(row) for row in orders.tolist()}) == 16


def test_batches_mix_times_and_environments():
    """Batch means of the position scatter as those of drawing without replacement."""
    size, batch = 2048, 256
    keys = jax.random.split(jax.random.key(2), 200)
    orders = np.asarray(jax.vmap(lambda key: ppo.shuffled(key, size))(keys))
    for signal in (np.arange(size), np.arange(size) % 16):
        means = signal[orders].reshape(200, -1, batch).mean(-1)
        wanted = signal.std() * np.sqrt((1.0 - batch / size) / batch)
        assert 0.2 * wanted < means.std() < 2.0 * wanted


@pytest.mark.parametrize("discount", [0.9, 1.0])
def test_centring_takes_a_constant_value_out_of_the_rewards(discount):
    """r_t - v (1 - discount (1 - end)) by hand, with a mean of zero; at discount 1 too."""
    rng = np.random.default_rng(4)
    reward, ended = rng.normal(-2.0, 0.3, (16, 8)), rng.random((16, 8)) < 0.1
    rate = 1.0 - discount * (1.0 - ended.mean())
    wanted = reward - reward.mean() / rate * (1.0 - discount * (1.0 - ended))
    found = centred(jnp.float32(reward), jnp.asarray(ended), discount)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    assert abs(float(found.mean())) < 1e-4


def test_a_constant_reward_without_an_end_is_centred_to_nothing():
    found = centred(jnp.full((4, 2), -0.7), jnp.zeros((4, 2), bool), 0.99)
    np.testing.assert_allclose(found, 0.0, atol=1e-6)


def test_blocks_of_a_rollout_give_what_the_whole_gives():
    rows = jnp.asarray(np.random.default_rng(5).normal(size=(64, 16, 3)), jnp.float32)
    whole = jnp.sum(jnp.sin(rows), axis=-1)
    found = over_rollout(lambda x: jnp.sum(jnp.sin(x), axis=-1), (rows,), (64, 16))
    np.testing.assert_allclose(found, whole, rtol=1e-6)
    assert MANY_ROWS < 64 * 16


def test_rewards_are_divided_by_the_deviation_of_all_returns_so_far():
    rng = np.random.default_rng(3)
    reward, over = 0.1 + rng.normal(size=(20, 4)), rng.random((20, 4)) < 0.2
    spread = ppo.Spread(jnp.zeros(4), jnp.float32(1e-4), jnp.float32(0.0), jnp.float32(0.0))
    returns = discounted_so_far(reward, over, 0.9)
    for rows, seen in ((slice(0, 8), returns[:8]), (slice(8, 20), returns)):
        spread, scaled = ppo.rescaled(spread, jnp.float32(reward[rows]), over[rows], 0.9)
        np.testing.assert_allclose(scaled, reward[rows] / seen.std(), rtol=2e-5)


@pytest.mark.parametrize("reward", [-1.0, 1.0, 0.3, -1e-10, 1e10, -1e15, 1e-15])
@pytest.mark.parametrize(("ends", "discount"), [(True, 0.99), (True, 1.0), (False, 0.0)])
def test_rewards_whose_returns_are_all_equal_stay_of_order_one(reward, ends, discount):
    """One-step episodes, or discount 0: there is no deviation, and the size takes its place."""
    rng = np.random.default_rng(0)
    over = jnp.full((32, 4), ends)
    spread = ppo.Spread(jnp.zeros(4), jnp.float32(1e-4), jnp.float32(0.0), jnp.float32(0.0))
    for _ in range(3):
        spread, scaled = RESCALED(spread, jnp.full((32, 4), reward, jnp.float32), over, discount)
        np.testing.assert_allclose(scaled, np.sign(reward) / LEAST_SHARE, rtol=1e-3)
    # Rewards that hardly differ keep their order, and their size.
    noise = reward * (1 + 1e-3 * rng.normal(size=(32, 4)))
    _, scaled = RESCALED(spread, jnp.float32(noise), over, discount)
    np.testing.assert_allclose(scaled, noise / (LEAST_SHARE * np.abs(reward)), rtol=1e-3)


def test_rewards_of_zero_stay_zero():
    zeros = jnp.zeros((32, 4))
    spread = ppo.Spread(jnp.zeros(4), jnp.float32(1e-4), jnp.float32(0.0), jnp.float32(0.0))
    spread, scaled = RESCALED(spread, zeros, zeros.astype(bool), 0.99)
    np.testing.assert_array_equal(scaled, 0.0)
    # What comes later is scaled as if they had been part of it.
    later = jnp.asarray(np.random.default_rng(1).normal(size=(32, 4)), jnp.float32)
    _, scaled = RESCALED(spread, later, zeros.astype(bool), 0.0)
    both = np.concatenate([zeros, later])
    np.testing.assert_allclose(scaled, later / both.std(), rtol=2e-5)


# --- the loss ----------------------------------------------------------------------------------


def batch_of(env, seed=0, size=24):
    """An actor, weights that are not small, and samples under a policy some way off."""
    rng, own = np.random.default_rng(seed), actor(env, (8,))
    weights = own.init(jax.random.key(seed), jnp.zeros((1, 2)))
    flat, unravel = ravel_pytree(weights)
    weights = jax.tree.map(
        jnp.float64, unravel(flat + jnp.float32(0.3 * rng.normal(size=len(flat))))
    )
    inputs = rng.normal(size=(size, 2))
    action = rng.integers(2, size=size) if own.discrete else rng.normal(size=(size, 1))
    outputs = own.outputs(weights, jnp.asarray(inputs))
    log_prob = own.log_prob(outputs, jnp.asarray(action)) + 0.4 * rng.normal(size=size)
    rest = (rng.normal(size=size), rng.normal(size=size))
    return own, weights, ppo.Batch(*map(jnp.asarray, (inputs, action, log_prob, *rest)))


def loss_by_hand(settings, own, weights, batch):
    x, action, log_prob, advantage, target = (np.asarray(rows, float) for rows in batch)
    outputs = forward(layers(weights.policy), x)
    if own.discrete:
        now, entropy = categorical(outputs, action.astype(int))
    else:
        now, entropy = gaussian(outputs, weights.log_scale, action)
    ratio = np.exp(now - log_prob)
    assert (np.abs(ratio - 1.0) > settings.clip).any(), "nothing is clipped"
    assert (np.abs(ratio - 1.0) < settings.clip).any(), "everything is clipped"
    value = forward(layers(weights.value), x)[:, 0]
    error = 0.5 * ((value - target) ** 2).mean()
    gain = clipped_surrogate(now, log_prob, standardised(advantage), settings.clip)
    return -gain + settings.value_weight * error - settings.entropy * entropy.mean()


@pytest.mark.parametrize("env", [ENV, CONTINUOUS], ids=["discrete", "continuous"])
def test_loss_and_gradient(env):
    settings = PPOSettings(entropy=0.1, value_weight=0.7, clip=0.3)
    with jax.enable_x64(True):
        own, weights, batch = batch_of(env)
        found, gradient = jax.value_and_grad(lambda x: ppo.loss(own, settings, x, batch))(weights)
        np.testing.assert_allclose(
            found, loss_by_hand(settings, own, weights, batch), rtol=1e-7, atol=1e-9
        )
        flat, unravel = ravel_pytree(weights)
        flat = np.asarray(flat)
        slope, width = ravel_pytree(gradient)[0], 1e-6
        chosen = np.random.default_rng(4).choice(len(flat), 12, replace=False).tolist()
        if not own.discrete:
            before = ravel_pytree(weights.policy)[0].size
            chosen.append(before)
            assert flat[before] == weights.log_scale[0]
        for i in chosen:
            pair = [unravel(flat + change * np.eye(len(flat))[i]) for change in (width, -width)]
            up, down = (loss_by_hand(settings, own, one, batch) for one in pair)
            np.testing.assert_allclose(slope[i], (up - down) / (2 * width), rtol=1e-4, atol=1e-7)


# --- rollouts ----------------------------------------------------------------------------------

SMALL = PPOSettings(hidden=(8,), num_envs=4, rollout=16, batch_size=16)


@functools.partial(jax.jit, static_argnums=0)
def two_rounds(env, params, horizon):
    own = actor(env, SMALL.hidden)
    player = ppo.start(jax.random.key(5), own, SMALL, env, params, SCALING)
    rollouts = []
    for key in jax.random.split(jax.random.key(6)):
        player, rollout = ppo.collect(key, own, SMALL, env, params, horizon, player)
        rollouts.append(rollout)
    return player, jax.tree.map(lambda *x: jnp.concatenate(x), *rollouts)


@pytest.mark.parametrize(
    ("length", "horizon"), [(1, 5), (2, 5), (0, 5), (3, 5), (3, 3), (0, 100), (4, 3)]
)
def test_rollouts_step_by_step(length, horizon):
    """Nothing changes at the border of two rounds, which is row 16."""
    player, seen = two_rounds(ENV, probe_params("start", length), jnp.int32(horizon))
    here = np.asarray(seen.inputs) * SCALING.scale + SCALING.mean
    there = np.asarray(seen.next_inputs) * SCALING.scale + SCALING.mean
    time, begun = np.zeros(4, int), here[0, :, 0]
    for t in range(32):
        np.testing.assert_array_equal(seen.time[t], time)
        np.testing.assert_allclose(here[t], np.stack([begun, time], -1), atol=1e-6)
        # The observation after the step and before any reset.
        np.testing.assert_allclose(there[t], np.stack([begun, time + 1], -1), atol=1e-6)
        np.testing.assert_allclose(seen.reward[t], begun, atol=1e-6)
        terminated = time + 1 == length
        truncated = ~terminated & (time + 1 == horizon)
        np.testing.assert_array_equal(seen.terminated[t], terminated)
        np.testing.assert_array_equal(seen.truncated[t], truncated)
        over = terminated | truncated
        time = np.where(over, 0, time + 1)
        after = here[t + 1, :, 0] if t < 31 else np.asarray(player.places.obs)[:, 0]
        assert (np.abs(after - begun) > 1e-4)[over].all(), "an ended episode begins anew"
        begun = np.where(over, after, begun)
    np.testing.assert_array_equal(player.places.time, time)
    np.testing.assert_array_equal(player.places.state.time, time)
    np.testing.assert_allclose(player.places.state.start, begun, atol=1e-6)


@pytest.mark.parametrize("env", [ENV, CONTINUOUS], ids=["discrete", "continuous"])
def test_rollouts_note_the_probability_of_what_was_played(env):
    player, seen = two_rounds(env, probe_params("action"), jnp.int32(7))
    outputs = forward(layers(player.weights.policy), np.asarray(seen.inputs).reshape(-1, 2))
    if env.continuous:
        action = np.asarray(seen.action).reshape(-1, 1)
        wanted = gaussian(outputs, player.weights.log_scale, action)[0]
        # The box is [0, 2], so an action is played as 1 + z.
        reward = -((1.0 + action[:, 0] - 0.5) ** 2)
    else:
        action = np.asarray(seen.action).ravel()
        wanted, reward = categorical(outputs, action)[0], action == 1
    np.testing.assert_allclose(np.asarray(seen.log_prob).ravel(), wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.asarray(seen.reward).ravel(), reward, rtol=1e-4, atol=1e-5)


# --- learning ----------------------------------------------------------------------------------

LEARNER = PPOSettings(
    hidden=(16,), num_envs=16, rollout=16, batch_size=64, learning_rate=2e-2, discount=0.5
)


@functools.partial(jax.jit, static_argnums=0)
def learn(env, params, horizon):
    """60 updates; rewards keep their unit, so that values have known answers."""
    own = actor(env, LEARNER.hidden)
    player = ppo.start(jax.random.key(7), own, LEARNER, env, params, PLAIN)
    many = jnp.float32(1e9)
    player = player._replace(spread=player.spread._replace(count=many, square=many))

    def update(player, row):
        key, share = row
        keys = jax.random.split(key)
        player, seen = ppo.collect(keys[0], own, LEARNER, env, params, horizon, player)
        return ppo.improve(keys[1], own, LEARNER, player, seen, seen.reward, share), None

    rows = (jax.random.split(jax.random.key(8), 60), jnp.linspace(1.0, 0.0, 60))
    return jax.lax.scan(update, player, rows)[0].weights


def answers(env, obs, **kind):
    """Values and policy outputs at observations [start, time] after learning."""
    params = probe_params(kind["reward"], kind["length"], kind.get("clock", 1.0))
    weights = learn(env, params, jnp.int32(kind["horizon"]))
    own, obs = actor(env, LEARNER.hidden), jnp.array(obs)
    return own.values(weights, obs), own.outputs(weights, obs)


STARTS = [[-0.8, 0.0], [-0.3, 0.0], [0.3, 0.0], [0.8, 0.0]]


def test_the_value_learns_a_constant():
    value, _ = answers(ENV, STARTS, reward="one", length=1, horizon=9)
    np.testing.assert_allclose(value, 1.0, atol=0.03)


def test_the_value_reads_the_observation():
    value, _ = answers(ENV, STARTS, reward="start", length=1, horizon=9)
    np.testing.assert_allclose(value, [-0.8, -0.3, 0.3, 0.8], atol=0.06)


def test_the_value_of_a_later_reward_is_discounted():
    value, _ = answers(ENV, [[0.0, 0.0], [0.0, 1.0]], reward="last", length=2, horizon=9)
    np.testing.assert_allclose(value, [0.5, 1.0], atol=0.05)


def test_a_time_limit_does_not_end_the_value_and_an_end_does():
    cut, _ = answers(ENV, STARTS, reward="one", length=0, horizon=2, clock=0.0)
    np.testing.assert_allclose(cut, 1.0 / (1.0 - 0.5), atol=0.06)
    rows = [[0.0, 0.0], [0.0, 1.0]]
    ended, _ = answers(ENV, rows, reward="one", length=2, horizon=9)
    np.testing.assert_allclose(ended, [1.0 + 0.5, 1.0], atol=0.08)


def test_the_policy_learns_the_better_action():
    _, outputs = answers(ENV, STARTS, reward="action", length=1, horizon=9)
    assert (np.asarray(jax.nn.softmax(outputs.values))[:, 1] > 0.95).all()


def test_the_policy_reads_the_observation():
    _, outputs = answers(ENV, STARTS, reward="both", length=1, horizon=9)
    up = np.asarray(jax.nn.softmax(outputs.values))[:, 1]
    assert (up[2:] > 0.9).all()
    assert (up[:2] < 0.1).all()


def test_a_continuous_policy_finds_the_best_action():
    """Played is 1 + z and best is 1/2, so z = -1/2."""
    _, outputs = answers(CONTINUOUS, STARTS, reward="action", length=1, horizon=9)
    np.testing.assert_allclose(outputs.values, -0.5, atol=0.1)
    assert outputs.log_scale[0] < -0.8, "an exact action pays"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (PPOSettings(num_envs=3, rollout=16, batch_size=16), "num_envs=3 times rollout=16"),
        (PPOSettings(num_envs=4, rollout=16, batch_size=24), "batch_size=24"),
        (PPOSettings(num_envs=4, rollout=16, batch_size=128), "batch_size=128"),
        (PPOSettings(num_envs=1, rollout=2, batch_size=2), "num_envs=1 times rollout=2"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(settings, told):
    with pytest.raises(SpecError, match=told) as caught:
        ppo.check(settings, "gail")
    assert "gail: " in str(caught.value)
    assert "power of two" in str(caught.value)
    assert "\n" not in str(caught.value)
