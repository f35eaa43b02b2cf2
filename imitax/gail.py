"""Generative adversarial imitation in a tabular MDP.

Ho and Ermon 2016, with **D the probability that a pair is the expert's** (the paper and some texts
label it the other way round), l = log D - log(1 - D) its logit, d the learner's and e the expert's
empirical distribution over pairs at each step. The two players of `imitax.game`:

    divergence=js   D ascends  sum_t e log D + d log(1 - D);   at its optimum l = log e - log d.
                    The policy's reward is a form of D:
                      softplus  -log(1 - D) = log(1 + exp l)   >= 0: never end an episode
                      log       log D = -log(1 + exp -l)       <= 0: end it soon
                      logit     log D - log(1 - D) = l         both signs
    divergence=tv   f in [-1, 1] ascends  sum_t f (e - d);   the policy's reward is f.
                    The value is sum_t |e_t - d_t|_1 (Xu, Li and Yu 2020; "TV-AIL").

A policy step is mirror descent in occupancies, the exact proximal step

    maximise  <f, d> + entropy H(d) - KL(d | d_k) / rate

(O-REPS, Zimin and Neu 2013: a soft backward recursion with reward f + log pi_k / rate and
temperature entropy + 1/rate), or a policy-gradient step on softmax logits. With exact occupancies
and tv this is the primal-dual method of Chambolle and Pock 2011, the reward player answering the
extrapolated 2 d_k - d_{k-1}. Players are averaged over the second half of the steps and the
averages are returned; `equilibrium_gap` is their duality gap per step of the horizon. A positive
`entropy` breaks ties among optimal policies towards the most random one.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from imitax import game, sampling, sums
from imitax import mdp as exact
from imitax.algorithm import blank_metrics
from imitax.config import SpecError, check_ranges, config, setting
from imitax.demonstrations import num_labels
from imitax.envs.tabular import TabularFamily
from imitax.mdp import put
from imitax.policies import Policy, tabular
from imitax.sampled_games import NetworkGAILConfig, network_gail
from imitax.sums import rounded
from imitax.types import Algorithm, Demand, Problem

TINY = 1e-12
"""Keeps ratios of occupancies finite where neither player ever goes."""


@config
class GAILConfig:
    """Settings of tabular GAIL."""

    divergence: str = setting("js", "Jensen-Shannon or total variation", choices=("js", "tv"))
    reward: str = setting(
        "softplus", "form of the reward, js only", choices=("softplus", "log", "logit")
    )
    inputs: str = setting("tsa", "what the discriminator sees", choices=("sa", "tsa"))
    player: str = setting(
        "mirror-descent", "policy update", choices=("mirror-descent", "policy-gradient")
    )
    rollouts: str = setting(
        "exact", "occupancies by dynamics or by sampling", choices=("exact", "sampled")
    )
    rate: float = setting(1.0, "policy step size", above=0.0)
    discriminator_rate: float = setting(
        0.5, "js: part of the way to the optimum; tv: step size", above=0.0
    )
    discriminator_steps: int = setting(1, "discriminator steps per policy step", low=1)
    bound: float = setting(10.0, "largest |logit| of the discriminator, js only", above=0.0)
    entropy: float = setting(0.0, "weight of causal entropy in the policy's return", low=0.0)
    episodes: int = setting(32, "sampled episodes per policy step", low=1)
    num_steps: int = setting(50, "policy steps", low=1)


class GAILState(NamedTuple):
    """Both players, and their averages."""

    log_policy: jax.Array
    """[T, S, A]"""
    critic: jax.Array
    """Logit l or critic f, [T, S, A]; every row alike where inputs=sa."""
    flow: jax.Array
    """The current policy's distribution over pairs, exact or sampled, [T, S, A]."""
    flow_sum: jax.Array
    """Sum of the flows of the second half of the steps, [T, S, A]."""
    critic_sum: jax.Array
    """Sum of D or f over the same steps, [T, S, A]."""
    iteration: jax.Array
    converged: jax.Array


def reward_form(name: str, logit: jax.Array) -> jax.Array:
    """The policy's reward from the discriminator's logit, in nats; see the head of the file."""
    if name == "softplus":
        return softplus(logit)
    if name == "log":
        return -softplus(-logit)
    return logit


def softplus(logit: jax.Array) -> jax.Array:
    """log(1 + exp l), without the polynomial of log1p, whose rounding varies with the batch."""
    return jnp.maximum(logit, 0.0) + jnp.log(1.0 + jnp.exp(-jnp.abs(logit)))


def expert_share(logit: jax.Array) -> jax.Array:
    """D, the probability that a pair is the expert's, from its logit."""
    return 1.0 / (1.0 + jnp.exp(-logit))


def optimal_logit(expert: jax.Array, learner: jax.Array, bound: jax.Array | float) -> jax.Array:
    """The discriminator's optimum log e - log d, within +-`bound`; 0 where both are zero."""
    ratio = jnp.log(jnp.maximum(expert, TINY)) - jnp.log(jnp.maximum(learner, TINY))
    return jnp.clip(ratio, -bound, bound)


def discriminator_step(
    config: GAILConfig, critic: jax.Array, expert: jax.Array, learner: jax.Array
) -> jax.Array:
    """One step of the reward player.

    js: the gradient e (1 - D) - d D of the cross-entropy, divided by its curvature bound
    (e + d) / 4, so that pairs seen rarely move as fast as the others. tv: projected ascent.

    Args:
        config: divergence, rate and bound.
        critic: [T, S, A] logits or critic.
        expert: e, [T, S, A].
        learner: d, [T, S, A]; may be an extrapolation.
    """
    if config.divergence == "tv":
        moved = critic + rounded(config.discriminator_rate * (expert - learner))
        return jnp.clip(moved, -1.0, 1.0)
    share = expert_share(critic)
    slope = rounded(expert * (1.0 - share)) - rounded(learner * share)
    step = 4.0 * slope / jnp.maximum(expert + learner, TINY)
    moved = critic + rounded(config.discriminator_rate * step)
    return jnp.clip(moved, -config.bound, config.bound)


def gail(env: Any, config: GAILConfig | NetworkGAILConfig | None = None) -> Algorithm:
    """GAIL: exact players or sampled occupancies in a table, networks and PPO elsewhere.

    Args:
        env: an environment family, from `imitax.make`.
        config: which representation, and its settings; by default a table where the environment
            is tabular, networks elsewhere.

    Returns:
        An `Algorithm`. In a table with rollouts=exact it reads the dynamics; with
        rollouts=sampled it only walks in them, and the dynamics serve the reported equilibrium
        gap alone. With networks it steps the environment.

    Raises:
        SpecError: a setting out of range or without meaning beside another.
    """
    if config is None:
        config = GAILConfig() if isinstance(env, TabularFamily) else NetworkGAILConfig()
    return _tabular(env, config) if isinstance(config, GAILConfig) else network_gail(env, config)


def _tabular(env: Any, config: GAILConfig) -> Algorithm:
    check_ranges(config, "gail")
    _check(config)
    num_steps = config.num_steps

    def init(key, problem: Problem):
        del key
        shape = (problem.capacity.horizon, env.num_states, env.num_actions)
        dtype = problem.params.mdp.transition.dtype
        log_policy = jnp.full(shape, -jnp.log(float(env.num_actions)), dtype)
        policy = jnp.exp(log_policy)
        flow = exact.flows(problem.params.mdp, policy, problem.horizon, shape[0])
        zeros = jnp.zeros(shape, dtype)
        if config.rollouts == "sampled":
            flow = zeros
        return GAILState(log_policy, zeros, flow, zeros, zeros, jnp.int32(0), jnp.bool_(False))

    def step(key, problem: Problem, state: GAILState):
        state = _play(key, config, problem, state)
        is_last = state.iteration >= num_steps
        gap = jax.lax.cond(
            is_last, lambda: equilibrium_gap(config, problem, state), lambda: _nan(state)
        )
        own = state.iteration * config.episodes * problem.horizon
        metrics = blank_metrics()._replace(
            expert_labels=num_labels(problem),
            environment_steps=own if config.rollouts == "sampled" else jnp.int32(0),
            equilibrium_gap=gap,
        )
        return state, metrics

    def policy(problem: Problem, state: GAILState) -> Policy:
        del problem
        return tabular(flow_policy(state.flow_sum, jnp.exp(state.log_policy)))

    knows = config.rollouts == "exact"
    return Algorithm(init, step, policy, lambda _: jnp.int32(num_steps), Demand("counts"), knows)


def flow_policy(flow: jax.Array, otherwise: jax.Array) -> jax.Array:
    """The policy whose occupancy is `flow`, [T, S, A], and another where it never goes."""
    total = sums.total(flow)[..., None]
    return jnp.where(total > TINY, flow / jnp.maximum(total, TINY), otherwise)


def num_averaged(config: GAILConfig) -> int:
    """Steps over which the players are averaged: the second half."""
    return (config.num_steps + 1) // 2


def _normalised(logits: jax.Array) -> jax.Array:
    return logits - sums.log_sum_exp(logits)[..., None]


def equilibrium_gap(config: GAILConfig, problem: Problem, state: GAILState) -> jax.Array:
    """Duality gap of the averaged players, per step of the horizon; zero at equilibrium.

        gap = max_f J(f; mean policy) - min_pi J(mean f; pi)

    with J the divergence's objective; exact, from the dynamics.
    """
    expert, horizon = _expert(config, problem), problem.horizon
    mdp, averaged = problem.params.mdp, num_averaged(config)
    mean_critic = state.critic_sum / averaged
    policy = flow_policy(state.flow_sum, jnp.exp(state.log_policy))
    learner = _pool(config, exact.flows(mdp, policy, horizon, len(policy)), horizon)
    if config.divergence == "tv":
        best_critic = _total(jnp.abs(expert - learner), horizon)
        best_policy = game.best_return(mdp, mean_critic, horizon)
        known = game.pairing(expert, mean_critic, horizon)
        return sums.per_step(best_critic - known + best_policy, horizon)
    logit = optimal_logit(expert, learner, config.bound)
    ceiling = _total(_cross_entropy(expert, learner, expert_share(logit)), horizon)
    known = _total(expert * jnp.log(jnp.maximum(mean_critic, TINY)), horizon)
    reward = -jnp.log(jnp.maximum(1.0 - mean_critic, TINY))
    lowest = -game.best_return(mdp, reward, horizon)
    return sums.per_step(ceiling - known - lowest, horizon)


def _check(config: GAILConfig) -> None:
    if config.divergence == "tv" and config.reward != "softplus":
        raise SpecError(
            f"gail: reward={config.reward} has no meaning with divergence=tv, whose reward is the "
            "critic itself; leave reward out or set divergence=js"
        )


def _nan(state: GAILState) -> jax.Array:
    return jnp.full((), jnp.nan, state.flow.dtype)


def _total(table: jax.Array, horizon: jax.Array) -> jax.Array:
    return game.pairing(table, jnp.ones_like(table), horizon)


def _cross_entropy(expert: jax.Array, learner: jax.Array, share: jax.Array) -> jax.Array:
    real, fake = jnp.maximum(share, TINY), jnp.maximum(1.0 - share, TINY)
    return rounded(expert * jnp.log(real)) + rounded(learner * jnp.log(fake))


def _pool(config: GAILConfig, flow: jax.Array, horizon: jax.Array) -> jax.Array:
    """What the discriminator sees of a flow: itself, or at every step its mean over steps."""
    if config.inputs == "tsa":
        return flow
    mean = sums.per_step(game.total_flow(flow, horizon, 1.0), horizon)
    within = (jnp.arange(flow.shape[0]) < horizon)[:, None, None]
    return jnp.where(within, mean, 0.0)


def _expert(config: GAILConfig, problem: Problem) -> jax.Array:
    return _pool(config, _shown(problem), problem.horizon)


def _shown(problem: Problem) -> jax.Array:
    return game.expert_flows(problem.demonstrations, problem.subsample)


def _play(key, config: GAILConfig, problem: Problem, state: GAILState) -> GAILState:
    """A policy step, then discriminator steps, then the sums."""
    if config.rollouts == "sampled":
        log_policy, flow = _improve_sampled(key, config, problem, state.log_policy, state.critic)
        critic = _respond_at_once(config, problem, state, flow)
    else:
        log_policy = _improve(config, problem, state)
        flow, critic = _respond(config, problem, state, log_policy)
    is_counted = state.iteration >= config.num_steps - num_averaged(config)
    shown = critic if config.divergence == "tv" else expert_share(critic)
    return GAILState(
        log_policy,
        critic,
        flow,
        state.flow_sum + jnp.where(is_counted, flow, 0.0),
        state.critic_sum + jnp.where(is_counted, shown, 0.0),
        state.iteration + 1,
        state.converged,
    )


def _ahead(config: GAILConfig, flow: jax.Array, before: jax.Array) -> jax.Array:
    """What the reward player answers: for tv the flow extrapolated by its last move."""
    return flow + (flow - before) if config.divergence == "tv" else flow


def _reward_player(config: GAILConfig, critic, expert, seen) -> jax.Array:
    for _ in range(config.discriminator_steps):
        critic = discriminator_step(config, critic, expert, seen)
    return critic


def _policy_reward(config: GAILConfig, critic: jax.Array) -> jax.Array:
    return critic if config.divergence == "tv" else reward_form(config.reward, critic)


def _improve(config: GAILConfig, problem: Problem, state: GAILState) -> jax.Array:
    """One exact policy step, backward in time; see the head of the file."""
    mdp, horizon = problem.params.mdp, problem.horizon
    temperature = config.entropy + 1.0 / config.rate

    def backward(i, carry):
        time = horizon - 1 - i
        later, log_policy = carry
        old, reward = state.log_policy[time], _policy_reward(config, state.critic[time])
        if config.player == "mirror-descent":
            value = reward + old / config.rate + exact.expect_next(mdp, later)
            scores = value / temperature
            normaliser = sums.log_sum_exp(scores)
            return temperature * normaliser, put(log_policy, time, scores - normaliser[:, None])
        value = reward - rounded(config.entropy * old) + exact.expect_next(mdp, later)
        now = sums.weighted(jnp.exp(old), value)
        slope = state.flow[time] * (value - now[:, None])
        return now, put(log_policy, time, _normalised(old + rounded(config.rate * slope)))

    start = (jnp.zeros_like(mdp.initial), jnp.zeros_like(state.log_policy))
    return jax.lax.fori_loop(0, horizon, backward, start)[1]


def _respond(config: GAILConfig, problem: Problem, state: GAILState, log_policy: jax.Array):
    """The new policy's exact flow, and the reward player's answer, forward in time.

    The loop reads the old tables and writes new ones: reading and writing one table in a loop made
    XLA copy it at every step.
    """
    mdp, horizon = problem.params.mdp, problem.horizon
    shown = problem.demonstrations.require_counts()
    num_episodes = jnp.maximum(problem.demonstrations.num_episodes, 1)
    by_step = config.inputs == "tsa"

    def forward(time, carry):
        distribution, flows, critic = carry
        flow = distribution[:, None] * jnp.exp(log_policy[time])
        if by_step:
            ahead = _ahead(config, flow, state.flow[time])
            row = shown[time] / num_episodes
            row = row if problem.subsample == 1 else row * problem.subsample
            critic = put(critic, time, _reward_player(config, state.critic[time], row, ahead))
        return exact.push(mdp, flow), put(flows, time, flow), critic

    empty = jnp.zeros_like(state.flow)
    _, flow, critic = jax.lax.fori_loop(0, horizon, forward, (mdp.initial, empty, empty))
    return flow, critic if by_step else _respond_at_once(config, problem, state, flow)


def _respond_at_once(
    config: GAILConfig, problem: Problem, state: GAILState, flow: jax.Array
) -> jax.Array:
    """The reward player's answer to a whole flow: sampled, or seen as its mean over steps."""
    seen = _pool(config, _ahead(config, flow, state.flow), problem.horizon)
    return _reward_player(config, state.critic, _expert(config, problem), seen)


def _improve_sampled(key, config: GAILConfig, problem: Problem, log_policy, critic):
    """One policy step from sampled episodes; also their empirical flow.

    Mirror descent adds the advantages to the logits (natural gradient); the policy gradient weighs
    them by the visits.
    """
    reward = _policy_reward(config, critic) - rounded(config.entropy * log_policy)
    seen = sampling.sample(key, problem, log_policy, reward, config.episodes)
    natural = config.player == "mirror-descent"
    slope = seen.advantage if natural else seen.flow * seen.advantage
    return _normalised(log_policy + rounded(config.rate * slope)), seen.flow
