"""Sampled games round by round: what is earned, who learns, what is counted and refused."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from game_oracles import annuity, categorical, forward, gaussian
from probes import GAMES, Probe, clone_problem, layers, probe_params

import imitax
from imitax.bench.programs.program import compiler_options
from imitax.games import game as adversarial
from imitax.games.game import GameSettings, RewardPlayer
from imitax.games.pairs import Expert
from imitax.rl import ppo
from imitax.rl.actor_critic import actor

ENV = Probe()
TINY = {"num_envs": 4, "rollout": 8, "batch_size": 16, "rounds": 2, "epochs": 1, "hidden": (8,)}
SMALL_CRITIC = {
    "discriminator_hidden": (8,),
    "discriminator_batch": 16,
    "discriminator_steps": 2,
    "policy": "mlp",
}


class Improved(NamedTuple):
    """What the policy player was given for one update."""

    player: Any
    rollout: Any
    reward: Any
    rate_share: Any


class Game:
    """An algorithm, compiled, that also shows what it gave to PPO; a round is a step.

    Every round checks what the metrics count.
    """

    def __init__(self, monkeypatch, algorithm, problem):
        self.rounds, self.improved, self.rollouts = 0, [], []
        improve, collect = ppo.improve, ppo.collect

        def watched_improve(key, actor, settings, player, rollout, reward, rate_share=1.0):
            self.improved.append(Improved(player, rollout, reward, jnp.float32(rate_share)))
            return improve(key, actor, settings, player, rollout, reward, rate_share)

        def watched_collect(*args):
            player, rollout = collect(*args)
            self.rollouts.append(rollout)
            return player, rollout

        monkeypatch.setattr(ppo, "improve", watched_improve)
        monkeypatch.setattr(ppo, "collect", watched_collect)
        self.limit = int(algorithm.num_steps(problem))
        self.run_step = compiled(lambda key, state: self.watch(algorithm.step, key, problem, state))
        init = compiled(lambda key: self.watch(algorithm.init, key, problem))
        self.state, _, rollouts = init(jax.random.key(0))
        self.first, self.steps = self.state, sum(one.time.size for one in rollouts)
        self.labels = int(problem.demonstrations.length.sum())

    def watch(self, function, *args):
        self.improved, self.rollouts = [], []
        return function(*args), tuple(self.improved), tuple(self.rollouts)

    def play(self):
        """One round; its updates."""
        self.rounds += 1
        (self.state, metrics), updates, rollouts = self.run_step(
            jax.random.key(self.rounds), self.state
        )
        self.steps += sum(one.time.size for one in rollouts)
        assert int(metrics.environment_steps) == self.steps
        assert int(metrics.expert_labels) == self.labels
        return updates


def compiled(function):
    return jax.jit(function, compiler_options=compiler_options())


def count_of(player):
    """Gradient steps that Adam has taken."""
    return int(next(x for x in jax.tree.leaves(player.moments) if x.ndim == 0))


# --- what is earned ----------------------------------------------------------------------------


def known_rewards(scale=1.0):
    """A reward player that never moves: 0.5 + x_0 + 2 action, and -3 after an end."""

    def reward(state, actor, pairs):
        del actor
        played = scale * (0.5 + pairs.inputs[:, 0] + 2.0 * pairs.action)
        return jnp.where(pairs.absorbed > 0, -3.0, played) + 0.0 * state

    return RewardPlayer(
        start=lambda key, actor, expert: jnp.float32(0.0),
        respond=lambda key, actor, weights, state, expert, seen: state + 1.0,
        reward=reward,
        recovered=lambda *args: 10.0 * reward(*args),
    )


def earned_by_hand(rollout):
    return 0.5 + np.asarray(rollout.inputs)[..., 0] + 2.0 * np.asarray(rollout.action)


def test_the_reward_of_an_end_has_that_of_the_steps_after_it(monkeypatch):
    """Episodes end by themselves after 3 of 7 steps, so 4 are left."""
    settings = GameSettings(**TINY, absorbing=True, discount=0.8)
    problem = clone_problem(horizon=7, params=probe_params("one", 3))
    game = Game(monkeypatch, adversarial.game(ENV, settings, known_rewards()), problem)
    (update,) = game.play()
    terminated = np.asarray(update.rollout.terminated)
    assert terminated.sum() >= 8
    after = terminated * annuity(0.8, 4) * -3.0
    np.testing.assert_allclose(update.reward, earned_by_hand(update.rollout) + after, rtol=1e-5)


def test_a_time_limit_has_nothing_after_it_and_the_temperature_pays_for_surprise(monkeypatch):
    """A fresh policy is nearly uniform, so the bonus is near 3 log 2."""
    settings = GameSettings(**TINY, absorbing=True, discount=0.8)
    algorithm = adversarial.game(ENV, settings, known_rewards(), 3.0)
    (update,) = Game(monkeypatch, algorithm, clone_problem(3)).play()
    assert np.asarray(update.rollout.truncated).any()
    bonus = np.asarray(update.reward) - earned_by_hand(update.rollout)
    np.testing.assert_allclose(bonus, -3.0 * np.asarray(update.rollout.log_prob), rtol=1e-4)
    np.testing.assert_allclose(bonus, 3.0 * np.log(2.0), rtol=0.1)


def test_a_constant_discriminator_has_one_reward_and_with_absorbing_ends_do_not_matter(monkeypatch):
    """Theory 4: from any state, quitting now and never earn the same up to the horizon."""
    config = imitax.NetworkGAILConfig(
        **TINY, policy="mlp", discriminator="constant", absorbing=True, discount=0.9
    )
    problem = clone_problem(horizon=7, params=probe_params("one", 3))
    game = Game(monkeypatch, imitax.gail(ENV, config), problem)
    for _ in range(2):
        (update,) = game.play()
        terminated = np.asarray(update.rollout.terminated)
        np.testing.assert_allclose(update.reward[~terminated], np.log(2.0), rtol=1e-6)
        to_go = np.log(2.0) * (0.9 ** np.arange(5)).sum()  # the last step and 4 after it
        np.testing.assert_allclose(update.reward[terminated], to_go, rtol=1e-5)
    same_trees(game.state.critic, game.first.critic)


@pytest.mark.parametrize("ends", [False, True], ids=["no-end", "ends"])
@pytest.mark.parametrize("absorbing", [False, True], ids=["", "absorbing"])
@pytest.mark.parametrize("sign", ["none", "positive", "negative"])
def test_a_sign_is_an_extreme_over_the_round(monkeypatch, sign, absorbing, ends):
    """With the bonus; the state after an end counts where there is one, at -3 a step."""
    settings = GameSettings(**TINY, absorbing=absorbing, discount=0.8)
    algorithm = adversarial.game(ENV, settings, known_rewards(), 0.5, sign)
    problem = clone_problem(horizon=7, params=probe_params("one", 3 if ends else 0))
    (update,) = Game(monkeypatch, algorithm, problem).play()
    earned = earned_by_hand(update.rollout) - 0.5 * np.asarray(update.rollout.log_prob)
    every = np.append(earned, -3.0) if absorbing and ends else earned
    shift = {"none": 0.0, "positive": every.min(), "negative": every.max()}[sign]
    after = np.asarray(update.rollout.terminated) * annuity(0.8, 4) * (-3.0 - shift) * absorbing
    np.testing.assert_allclose(update.reward, earned - shift + after, rtol=1e-4, atol=1e-5)
    assert np.asarray(update.rollout.terminated).any() == ends


# --- rounds ------------------------------------------------------------------------------------


def same_trees(left, right):
    for x, y in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_array_equal(x, y)


def differ(left, right):
    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    return all(np.abs(x - y).max() > 1e-6 for x, y in pairs if x.ndim == 2)


def test_retraining_rests_the_reward_and_starts_the_policy_afresh(monkeypatch):
    """Here an end that the environment makes has its own reward only: `absorbing` is off."""
    settings = GameSettings(**TINY, retrain_rounds=3, policy_updates=2)
    problem = clone_problem(horizon=7, params=probe_params("one", 3))
    game = Game(monkeypatch, adversarial.game(ENV, settings, known_rewards()), problem)
    per_round = 2 * 2  # policy updates, each of two minibatches
    assert game.limit == 5
    players, critics, counts, shares, scales = [], [], [], [], []
    for number in range(5):
        updates = game.play()
        players.append(updates[0].player)
        critics.append(float(game.state.critic))
        counts.append(count_of(updates[0].player))
        shares += [float(one.rate_share) for one in updates]
        scales.append(float(updates[0].player.spread.count))
        for one in updates:
            gained = earned_by_hand(one.rollout) * (1.0 if number < 2 else 10.0)
            np.testing.assert_allclose(one.reward, gained, rtol=1e-5)
            assert np.asarray(one.rollout.terminated).any()
        assert (np.asarray(updates[0].rollout.time[0]) == 0).all() == (number in (0, 2))
    np.testing.assert_allclose(critics, [1.0, 2.0, 2.0, 2.0, 2.0])
    np.testing.assert_array_equal(counts, [0, per_round, 0, per_round, 2 * per_round])
    thirds = [1.0, 1.0, 2 / 3, 2 / 3, 1 / 3, 1 / 3]
    np.testing.assert_allclose(shares, [1.0, 1.0, 0.5, 0.5, *thirds], rtol=1e-6)
    assert scales[0] == scales[2] < 1.0 < scales[1] == scales[3] < scales[4]
    for earlier in players[:2]:
        assert differ(players[2].weights.policy, earlier.weights.policy)
        assert differ(players[2].weights.value, earlier.weights.value)
    same_trees(game.state.player.scaling, game.first.player.scaling)


def test_a_round_earns_the_reward_that_answered_it(monkeypatch):
    """The reward player moves first: in its n-th round the reward is n, in every update of it."""
    moving = known_rewards()._replace(
        reward=lambda state, actor, pairs: state + 0.0 * pairs.inputs[:, 0]
    )
    settings = GameSettings(**TINY, policy_updates=2)
    game = Game(monkeypatch, adversarial.game(ENV, settings, moving), clone_problem())
    for number in (1, 2):
        for update in game.play():
            np.testing.assert_array_equal(update.reward, np.full(update.reward.shape, number))


@pytest.mark.parametrize("reward", ["network", "linear"])
def test_no_rounds_leave_the_reward_untrained(monkeypatch, reward):
    config = imitax.NetworkMaxEntConfig(
        **(TINY | {"rounds": 0, "retrain_rounds": 2, "policy_updates": 1}),
        **({"policy": "mlp"} if reward == "linear" else SMALL_CRITIC),
        reward=reward,
        temperature=0.0,
    )
    game = Game(monkeypatch, imitax.maxent_irl(ENV, config), clone_problem())
    assert game.limit == 2
    for number in range(2):
        (update,) = game.play()
        assert np.isfinite(update.reward).all()
        assert float(update.rate_share) == 1.0 - 0.5 * number
        if reward == "linear":
            np.testing.assert_array_equal(update.reward, 0.0)
    same_trees(game.state.critic, game.first.critic)
    assert differ(game.state.player.weights.policy, game.first.player.weights.policy)


# --- learning ----------------------------------------------------------------------------------

LEARNING = {
    "num_envs": 16,
    "rollout": 16,
    "batch_size": 64,
    "rounds": 40,
    "hidden": (16,),
    "learning_rate": 1e-2,
    "discount": 0.8,
}
LEARNING_CRITIC = {
    "discriminator_hidden": (16,),
    "discriminator_batch": 64,
    "discriminator_rate": 1e-2,
}
LEARNERS = {
    "gail": LEARNING_CRITIC,
    "airl": LEARNING_CRITIC | {"inputs": "state-action"},
    "fem": {},
    "maxent-irl": {
        "reward": "linear",
        "reward_rate": 0.1,
        "policy_updates": 1,
        "temperature": 0.3,
        "retrain_rounds": 10,
    },
}


@pytest.mark.parametrize("name", LEARNERS)
def test_the_game_ends_at_the_expert(name):
    """The expert plays 1 where the start is positive; MaxEnt IRL retrains on its reward."""
    factory, config = GAMES[name]
    problem = clone_problem(horizon=4, num_demos=16)
    algorithm = factory(ENV, config(**LEARNING, **LEARNERS[name]))
    start = jnp.concatenate([jnp.linspace(-0.95, -0.25, 15), jnp.linspace(0.25, 0.95, 15)])

    def learned(key):
        trained = imitax.train(key, algorithm, problem)
        policy = algorithm.policy(problem, trained.state)
        return jax.vmap(lambda x: policy(jnp.stack([x, 1.0]), jnp.int32(1)).mode())(start)

    played = compiled(learned)(jax.random.key(0))
    assert (played == (start > 0.0)).mean() > 0.9


# --- the warm start and scales -----------------------------------------------------------------


def likelihood(own, weights, expert):
    """Mean log probability of the demonstrations in float64."""
    count = int(expert.size)
    outputs = forward(layers(weights.policy), expert.inputs[:count])
    if own.discrete:
        return categorical(outputs, np.asarray(expert.action[:count]))[0].mean()
    return gaussian(outputs, weights.log_scale, expert.action[:count])[0].mean()


@pytest.mark.parametrize("continuous", [False, True], ids=["discrete", "continuous"])
def test_a_warm_start_clones(continuous):
    env = Probe(continuous=continuous)
    own, rng = actor(env, (8,)), np.random.default_rng(0)
    x = rng.normal(size=(40, 2))
    action = 0.8 * np.tanh(x[:, :1]) if continuous else 1 * (x[:, 0] > 0)
    padding = np.arange(40) >= 30
    expert = Expert(
        jnp.float32(np.where(padding[:, None], np.nan, x)),
        jnp.asarray(action, jnp.float32 if continuous else jnp.int32),
        None,
        jnp.int32(30),
        jnp.float32(0.5),
    )
    settings = GameSettings(**TINY, warm_start=300)
    where = (env, probe_params(), adversarial.Normaliser(jnp.zeros(2), jnp.ones(2)))
    player = ppo.start(jax.random.key(1), own, settings, *where)
    warmed = jax.jit(functools.partial(adversarial.warm, actor=own, settings=settings))(
        jax.random.key(2), player=player, expert=expert
    )
    before, after = (likelihood(own, x.weights, expert) for x in (player, warmed))
    # The spread of a continuous policy is kept at exp(-1/2), so its density has this bound.
    best = 0.5 - 0.5 * np.log(2.0 * np.pi) if continuous else 0.0
    assert before < best - 0.2
    assert after > 0.5 * (before + best)
    np.testing.assert_array_equal(warmed.weights.log_scale, player.weights.log_scale)
    same_trees(warmed.weights.value, player.weights.value)
    same_trees(warmed.moments, player.moments)
    cold = adversarial.warm(jax.random.key(2), own, GameSettings(**TINY), player, expert)
    same_trees(cold, player)


def test_scales_are_of_both_sides_with_equal_weight():
    rng = np.random.default_rng(1)
    shown, seen = 3.0 + rng.normal(size=(20, 2)), rng.normal(size=(50, 2)) * [1.0, 0.0]
    shown[:, 1] = 0.0
    padded = np.where(np.arange(20)[:, None] < 12, shown, np.nan)
    found = adversarial.scaling_of(jnp.float32(padded), jnp.int32(12), jnp.float32(seen))
    weights = np.concatenate([np.full(12, 0.5 / 12), np.full(50, 0.5 / 50)])
    rows = np.concatenate([shown[:12], seen])
    mean = weights @ rows
    np.testing.assert_allclose(found.mean, mean, rtol=1e-5, atol=1e-6)
    deviation = np.sqrt(weights @ (rows - mean) ** 2)
    np.testing.assert_allclose(found.scale, [deviation[0], 1.0], rtol=1e-5)


# --- what is counted ---------------------------------------------------------------------------


def test_states_need_no_scales_and_no_steps_for_them(monkeypatch):
    env = imitax.environment("gridworld:size=3x2,goal=2x1")
    chosen = imitax.algorithm("fem:num_envs=4,rollout=8,batch_size=16,hidden=8,rounds=1", env)
    algorithm = chosen.build(env)
    capacity = imitax.Capacity(5, 3)
    posed = imitax.pose(env, jnp.int32(0), 5, 3, capacity, algorithm.demand)
    game = Game(monkeypatch, algorithm, posed.problem)
    game.play()
    assert game.steps == 32
    assert game.labels == 15
