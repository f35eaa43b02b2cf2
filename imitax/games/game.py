"""The imitation game from samples: any reward player against PPO.

    gail        network, Jensen-Shannon                       Ho and Ermon 2016
    wail        network, Wasserstein                          Xiao et al. 2019
    airl        network reward plus shaping, Jensen-Shannon   Fu, Luo and Levine 2018
    fem         linear in features, l2 ball                   Abbeel and Ng 2004; Ho et al. 2016
    gtal        linear in features, simplex                   Syed and Schapire 2008; Ho et al. 2016
    maxent-irl  linear or network, likelihood, soft policy    Ziebart et al. 2010; Finn et al. 2016

`imitax.gail` and `imitax.maxent_irl` also have exact players for tables.

Each round the policy acts for `num_envs * rollout` steps, the reward player answers with some
gradient steps on pairs of both sides, and the policy improves by PPO on the reward it now has.
Nothing reads the environment's own reward.

Observations are scaled by fixed statistics: mean and deviation of the demonstrations and of one
round of the untrained policy, half and half (`scaling=none` leaves them and that round out). With
`warm_start` the policy first clones the demonstrations for that many gradient steps. With
`absorbing`, an end that is not the time limit is followed by an absorbing state up to the horizon,
whose reward is learned too (Kostrikov et al. 2019): its discounted sum is added to the last reward,
and it enters the reward player's samples with the weight of the steps it lasts. With
`retrain_rounds` the game is followed by as many rounds in which a fresh policy learns from the
final reward, and that policy is returned: in an environment with a shift the game is then played
where the demonstrations are from, and the fresh policy learns in the shifted environment.

`sign` shifts what is earned by its extreme over the round, so that it is nowhere negative or
positive: an end is then bad or good whatever was learned. `imitax.games.reward_form` says what
`auto` is.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from imitax.core.config import config, setting
from imitax.core.family import Family
from imitax.core.policies import Policy
from imitax.core.types import Algorithm, Demand, Metrics, Problem
from imitax.games.pairs import (
    Expert,
    Pairs,
    Seen,
    after_end,
    no_past,
    pairs_of,
    remember,
    share_after_end,
)
from imitax.games.reward_form import extreme
from imitax.games.warm_start import warm
from imitax.networks import dataset
from imitax.networks.normalisation import Normaliser, scaling_of
from imitax.numerics.blocks import over_rollout
from imitax.rl import actor_critic, ppo
from imitax.rl.actor_critic import Actor
from imitax.rl.ppo import PPOSettings, Rollout
from imitax.tasks.demonstrations import check_shown


@config
class GameSettings(PPOSettings):
    """What every sampled game has."""

    policy: str = setting("auto", "representation", choices=("auto", "mlp"))
    rounds: int = setting(145, "rounds; with the one that scales 299008 steps", low=1)
    policy_updates: int = setting(1, "policy updates, each on its own rollout, per round", low=1)
    retrain_rounds: int = setting(
        0, "rounds of a fresh policy on the final reward, which is then returned", low=0
    )
    replay: bool = setting(
        False, "whether half of the learner's pairs come from all earlier rounds"
    )
    warm_start: int = setting(0, "gradient steps of cloning before the first round", low=0)
    absorbing: bool = setting(False, "whether what follows an end has a learned reward")
    act: str = setting("mode", "how the trained policy acts", choices=("mode", "sample"))
    scaling: str = setting(
        "fixed",
        "of observations: by the demonstrations and one round of the untrained policy",
        choices=("fixed", "none"),
    )


class RewardPlayer(NamedTuple):
    """How the reward is played; pure functions for one seed."""

    start: Callable[[jax.Array, Actor, Expert], Any]
    """`start(key, actor, expert) -> state`."""
    respond: Callable[[jax.Array, Actor, Any, Any, Expert, Seen], Any]
    """`respond(key, actor, weights, state, expert, seen) -> state`: an answer to what the policy
    with these weights did."""
    reward: Callable[[Any, Actor, Pairs], jax.Array]
    """`reward(state, actor, pairs) -> [B]`, what the policy player earns."""
    recovered: Callable[[Any, Actor, Pairs], jax.Array]
    """`recovered(state, actor, pairs) -> [B]`, the reward a fresh policy is trained on."""
    successive: bool = False
    """Whether it reads the observation after a demonstrated step."""


class GameState(NamedTuple):
    """Both players."""

    player: ppo.Player
    critic: Any
    expert: Expert
    past: Any
    """Pairs of earlier rounds and their number; None without `replay`."""
    round: jax.Array
    """Rounds played, int32."""
    converged: jax.Array


def game(
    env: Family,
    settings: GameSettings,
    rewards: RewardPlayer,
    temperature: jax.Array | float = 0.0,
    sign: str = "none",
    reward_form: str = "",
) -> Algorithm:
    """A sampled game as an algorithm.

    Args:
        env: an environment family.
        settings: of the game and of PPO.
        rewards: the reward player.
        temperature: the policy earns r - temperature log pi, in nats.
        sign: `none`, `positive` or `negative`, of what it earns, by a shift.
        reward_form: what the algorithm says of its reward; see `Algorithm`.

    Returns:
        An `Algorithm`; each of its steps is a round.
    """
    actor = actor_critic.actor(env, settings.hidden, settings.act)
    rules = Rules(env, actor, settings, rewards, sign)
    per_update = settings.num_envs * settings.rollout
    per_round = settings.policy_updates * settings.epochs * (per_update // settings.batch_size)
    is_scaled = int(_scales(rules))

    def init(key, problem: Problem):
        check_shown("game", env, problem.demonstrations)
        keys = jax.random.split(key, 3)
        player, expert = _begin(keys[0], rules, problem)
        player = warm(keys[1], rules.actor, settings, player, expert)
        critic = rewards.start(keys[2], rules.actor, expert)
        past = None
        if settings.replay:
            past = (no_past(rules.actor, expert.inputs, max(settings.rounds, 1)), jnp.int32(0))
        return GameState(player, critic, expert, past, jnp.int32(0), jnp.bool_(False))

    def step(key, problem: Problem, state: GameState):
        state = _round(key, rules, temperature, problem, state)
        updates = state.round * settings.policy_updates + is_scaled
        metrics = Metrics(
            expert_labels=jnp.sum(problem.demonstrations.require_episodes()[2]),
            environment_steps=updates * per_update,
            gradient_updates=settings.warm_start + state.round * per_round,
        )
        return state, metrics

    def policy(problem: Problem, state: GameState) -> Policy:
        del problem
        return rules.actor.as_policy(state.player.weights, state.player.scaling)

    num_steps = settings.rounds + settings.retrain_rounds
    demand = Demand("episodes", shortest=2 if rewards.successive else 1)
    functions = (init, step, policy, lambda _: jnp.int32(num_steps))
    return Algorithm(*functions, demand, False, reward_form=reward_form)


class Rules(NamedTuple):
    """What stays the same during a game."""

    env: Family
    actor: Actor
    settings: Any
    rewards: RewardPlayer
    sign: str


def _scales(rules: Rules) -> bool:
    """Whether observations are scaled: vectors may be, images and one-hot states are not."""
    actor = rules.actor
    is_vector = not actor.policy.image and actor.num_states is None
    return is_vector and rules.settings.scaling == "fixed"


def _begin(key, rules: Rules, problem: Problem) -> tuple[ppo.Player, Expert]:
    """A fresh player and the demonstrations, both scaled by the statistics of a first round."""
    env, actor, settings, rewards, _ = rules
    params = problem.params
    if _moves(rules):
        env, params = env.source, problem.source_params
    start_key, roll_key = jax.random.split(key)
    shown = problem.demonstrations
    obs, _, length = shown.require_episodes()
    rows = obs.shape[0] * obs.shape[1]
    if rewards.successive:
        shown = shown._replace(length=jnp.maximum(length - 1, 0))
    data = dataset.dataset(shown, rows)
    inputs = actor.encode(data.obs)
    one = jnp.ones(inputs.shape[1:])
    player = ppo.start(start_key, actor, settings, env, params, Normaliser(0.0 * one, one))
    if _scales(rules):
        where = (env, params, problem.horizon)
        _, first = ppo.collect(roll_key, actor, settings, *where, player)
        seen = first.inputs.reshape(-1, *inputs.shape[1:])
        player = player._replace(scaling=scaling_of(inputs, data.size, seen))
    later = None
    if rewards.successive:
        after = shown._replace(obs=jnp.roll(obs, -1, axis=1))
        later = player.scaling(actor.encode(dataset.dataset(after, rows).obs))
    absorbed = (
        share_after_end(env, problem.horizon, length) if settings.absorbing else jnp.float32(0.0)
    )
    expert = (player.scaling(inputs), actor.read(data.action), later, data.size, absorbed)
    return player, Expert(*expert)


def _round(key, rules: Rules, temperature, problem: Problem, state: GameState) -> GameState:
    """One round; after `rounds` of them the reward rests and a fresh policy learns from it."""
    keys = jax.random.split(key, rules.settings.policy_updates + 1)
    is_first = state.round == rules.settings.rounds
    if rules.settings.retrain_rounds:
        fresh = _fresh(keys[0], rules, problem, state.player)
        player = jax.tree.map(lambda x, y: jnp.where(is_first, x, y), fresh, state.player)
        state = state._replace(player=player)
    state = _update(keys[1], rules, temperature, problem, state, answers=True)
    for update_key in keys[2:]:
        state = _update(update_key, rules, temperature, problem, state, answers=False)
    return state._replace(round=state.round + 1)


def _fresh(key, rules: Rules, problem: Problem, player: ppo.Player) -> ppo.Player:
    where = (rules.actor, rules.settings, rules.env, problem.params)
    return ppo.start(key, *where, player.scaling)


def _update(key, rules: Rules, temperature, problem, state: GameState, *, answers: bool):
    """Act, let the reward player answer, and improve."""
    _, actor, settings, rewards, _ = rules
    keys = jax.random.split(key, 3)
    player, rollout = _act(keys[0], rules, problem, state)
    left = jnp.where(rollout.terminated, problem.horizon - rollout.time - 1, 0)
    absorbed = jnp.sum(left) / (jnp.sum(left) + left.size) if settings.absorbing else 0.0
    is_over = state.round >= settings.rounds
    if answers:
        state = _answer(keys[1], rules, state._replace(player=player), rollout, absorbed)
    bonus = -temperature * rollout.log_prob
    earned = functools.partial(_earned, rules, state.critic, rollout, left, bonus)
    reward = earned(rewards.reward)
    if settings.retrain_rounds:
        reward = jnp.where(is_over, earned(rewards.recovered), reward)
    share = jnp.where(
        is_over,
        1.0 - (state.round - settings.rounds) / max(settings.retrain_rounds, 1),
        1.0 - state.round / max(settings.rounds, 1),
    )
    player = ppo.improve(keys[2], actor, settings, player, rollout, reward, share)
    return state._replace(player=player)


def _act(key, rules: Rules, problem: Problem, state: GameState) -> tuple[ppo.Player, Rollout]:
    """Act in the learner's environment; before a retraining, where the demonstrations are from."""
    env, actor, settings, *_ = rules

    def there(env, params):
        return ppo.collect(key, actor, settings, env, params, problem.horizon, state.player)

    if not _moves(rules):
        return there(env, problem.params)
    return jax.lax.cond(
        state.round < settings.rounds,
        lambda: there(env.source, problem.source_params),
        lambda: there(env, problem.params),
    )


def _moves(rules: Rules) -> bool:
    """Whether the game is played in another environment than the retraining."""
    return rules.env.is_shifted and rules.settings.retrain_rounds > 0


def _answer(key, rules: Rules, state: GameState, rollout: Rollout, absorbed) -> GameState:
    """Let the reward player answer, until it rests."""
    respond_key, past_key = jax.random.split(key)
    past, num_past = state.past if rules.settings.replay else (None, jnp.int32(0))
    seen = Seen(rollout, jnp.float32(absorbed), past, num_past)
    players = (rules.actor, state.player.weights, state.critic, state.expert, seen)
    critic = rules.rewards.respond(respond_key, *players)
    later = remember(past_key, seen) if rules.settings.replay else None
    is_over = state.round >= rules.settings.rounds
    critic, past = jax.tree.map(
        lambda x, y: jnp.where(is_over, x, y), (state.critic, state.past), (critic, later)
    )
    return state._replace(critic=critic, past=past)


def _earned(rules: Rules, critic, rollout: Rollout, left, bonus, kind: Callable) -> jax.Array:
    """Rewards of a rollout with their bonus, [T, B], and those of the states after its ends."""

    def earned(rows: Rollout) -> jax.Array:
        return kind(critic, rules.actor, pairs_of(rows))

    reward = bonus + over_rollout(earned, (rollout,), rollout.reward.shape)
    if not rules.settings.absorbing:
        return reward - extreme(rules.sign, reward)
    one = pairs_of(jax.tree.map(lambda leaf: leaf[0, :1], rollout))
    end = kind(critic, rules.actor, after_end(one._replace(absorbed=jnp.ones(1, bool))))[0]
    # Without an end the state after it is not in the round.
    shift = extreme(rules.sign, jnp.append(reward, jnp.where(jnp.any(left > 0), end, reward[0, 0])))
    return reward - shift + annuity(rules.settings.discount, left) * (end - shift)


def annuity(discount: jax.Array | float, steps: jax.Array) -> jax.Array:
    """The sum of discount^k for k = 1, ..., `steps`."""
    near_one = jnp.abs(1.0 - discount) < 1e-6
    rest = jnp.where(near_one, 1.0, 1.0 - discount)
    return jnp.where(near_one, steps, discount * (1.0 - discount**steps) / rest)
