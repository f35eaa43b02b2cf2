"""Generative adversarial imitation in a tabular MDP.

Ho and Ermon 2016, with **D the probability that a pair is the expert's** (the paper and some texts
label it the other way round), l = log D - log(1 - D) its logit, d the learner's and e the expert's
empirical distribution over pairs at each step. The two players of `imitax.tabular.moments`:

    divergence=js   D ascends  sum_t e log D + d log(1 - D);   at its optimum l = log e - log d.
                    The policy's reward is a form of D:
                      softplus  -log(1 - D) = log(1 + exp l)   >= 0: never end an episode
                      log       log D = -log(1 + exp -l)       <= 0: end it soon
                      logit     log D - log(1 - D) = l         both signs
    divergence=tv   f in [-1, 1] ascends  sum_t f (e - d);   the policy's reward is f.
                    The value is sum_t |e_t - d_t|_1 (Xu, Li and Yu 2020; "TV-AIL").

A policy step is mirror descent in occupancies, the exact proximal step

    maximise  <f, d> + entropy H(d) - sum_t KL_t(d | d_k) / rate_t

with KL_t the expected divergence of the policies' rows at step t (a soft backward recursion with
reward f_t + log pi_k / rate_t and temperature entropy + 1/rate_t; Neu, Jonsson and Gomez 2017,
after O-REPS), or a policy-gradient step on softmax logits. With exact occupancies and tv this is
the primal-dual method of Chambolle and Pock 2011, the reward player answering the extrapolated
2 d_k - d_{k-1}; `imitax.algorithms.adversarial.gail_steps` has the condition on its steps.

**What is returned.** Players are averaged over windows that begin at n/2, n/4, n/8, .. of the n =
num_steps steps, so that a run that goes to its end averages the second half, and one that stops
before has a window of a constant part of it. Every few steps the gap
(`imitax.algorithms.adversarial.gail_game.gaps`) of the averages and of the last players is
computed; the pair of the smallest gap so far is the result, and the run has converged once that is
small enough (`imitax.algorithms.adversarial.gail_steps.target_gap`). Sampled rollouts must not look
at the dynamics: they take all their steps and return the average of the second half; their gap is
computed once, for the report. A positive `entropy` breaks ties among optimal policies towards the
most random one; `equilibrium_gap` is always that of the game without.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from imitax.algorithms.adversarial.gail_game import (
    TINY,
    GAILConfig,
    Gaps,
    expert_seen,
    expert_share,
    flow_policy,
    gaps,
    optimal_logit,
    reward_form,
    seen,
)
from imitax.algorithms.adversarial.gail_networks import NetworkGAILConfig, network_gail
from imitax.algorithms.adversarial.gail_steps import (
    Players,
    StepSizes,
    is_exact,
    num_iterations,
    search,
    searches,
    step_sizes,
    target_gap,
)
from imitax.core.family import Family
from imitax.core.policies import Policy, tabular, until
from imitax.core.representation import represented
from imitax.core.types import Algorithm, Demand, Metrics, Problem
from imitax.numerics import sums
from imitax.numerics.sums import rounded
from imitax.tabular import estimates
from imitax.tabular import mdp as exact
from imitax.tabular.mdp import put
from imitax.tasks.demonstrations import num_labels


class GAILState(NamedTuple):
    """Both players, their averages, and the best of what was seen."""

    log_policy: jax.Array
    """[T, S, A]"""
    critic: jax.Array
    """Logit l or critic f, [T, S, A]; every row alike where inputs=sa."""
    flow: jax.Array
    """The current policy's distribution over pairs, exact or sampled, [T, S, A]."""
    flow_sum: jax.Array
    """Sum of the flows of the current window, [T, S, A]."""
    critic_sum: jax.Array
    """Sum of D or f over the same steps, [T, S, A]."""
    averaged: jax.Array
    """Number of steps in these sums, int32."""
    best_policy: jax.Array
    """[T, S, A], of the smallest gap; not used where rollouts are sampled."""
    best: Gaps
    """Its gaps."""
    boldness: jax.Array
    """Of the policy's next step, where it is searched for:
    `imitax.algorithms.adversarial.gail_steps.search`; scalar.
    """
    iteration: jax.Array
    converged: jax.Array


def discriminator_step(
    config: GAILConfig,
    rate: jax.Array | float,
    critic: jax.Array,
    expert: jax.Array,
    learner: jax.Array,
) -> jax.Array:
    """One step of the reward player.

    js: the gradient e (1 - D) - d D of the cross-entropy, divided by its curvature bound
    (e + d) / 4, so that pairs seen rarely move as fast as the others; the optimum where the rate is
    0. tv: projected ascent.

    Args:
        config: divergence and bound.
        rate: of `step_sizes`.
        critic: [T, S, A] logits or critic.
        expert: e, [T, S, A].
        learner: d, [T, S, A]; may be an extrapolation.
    """
    if config.divergence == "tv":
        moved = critic + rounded(rate * (expert - learner))
        return jnp.clip(moved, -1.0, 1.0)
    share = expert_share(critic)
    slope = rounded(expert * (1.0 - share)) - rounded(learner * share)
    step = 4.0 * slope / jnp.maximum(expert + learner, TINY)
    moved = jnp.clip(critic + rounded(rate * step), -config.bound, config.bound)
    return jnp.where(rate > 0, moved, optimal_logit(expert, learner, config.bound))


def gail(env: Family, config: GAILConfig | NetworkGAILConfig | None = None) -> Algorithm:
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
    table, network = (GAILConfig, _tabular), (NetworkGAILConfig, network_gail)
    return represented(env, config, "gail", table, network)


def _tabular(env: Family, config: GAILConfig) -> Algorithm:
    stride = _stride(config)
    advance = _advance if is_exact(config) else _advance_sampled

    def init(key, problem: Problem):
        del key
        shape = (problem.capacity.horizon, env.num_states, env.num_actions)
        dtype = problem.params.mdp.transition.dtype
        log_policy = jnp.full(shape, -jnp.log(float(env.num_actions)), dtype)
        policy = jnp.exp(log_policy)
        flow = exact.flows(problem.params.mdp, policy, problem.horizon, shape[0])
        zeros, nothing = jnp.zeros(shape, dtype), jnp.full((), jnp.inf, dtype)
        if not is_exact(config):
            flow = zeros
        best = Gaps(nothing, nothing)
        begin = (jnp.int32(0), policy, best, jnp.ones((), dtype), jnp.int32(0), jnp.bool_(False))
        return GAILState(log_policy, zeros, flow, zeros, zeros, *begin)

    def step(key, problem: Problem, state: GAILState):
        return advance(key, config, problem, state)

    def policy(problem: Problem, state: GAILState) -> Policy:
        table = jnp.exp(state.log_policy)
        if is_exact(config):
            table = jnp.where(jnp.isfinite(state.best.own), state.best_policy, table)
        else:
            table = flow_policy(state.flow_sum, table)
        return tabular(until(table, problem.horizon))

    calls, demand = num_iterations(config) // stride, Demand("counts")
    knows = is_exact(config)
    return Algorithm(init, step, policy, lambda _: jnp.int32(calls), demand, knows, stride=stride)


def _stride(config: GAILConfig) -> int:
    """Policy steps between two looks at the gap: the largest divisor that is not too large."""
    if not is_exact(config):
        return 1
    steps = num_iterations(config)
    return max(k for k in range(1, config.check_every + 1) if steps % k == 0)


def _advance(key, config: GAILConfig, problem: Problem, state: GAILState):
    """Some policy steps, and a look at the gap of the averages and of the last players.

    The number of steps is static: whether to look may not be data, for under vmap both branches
    would be computed at every step.
    """
    state = jax.lax.fori_loop(
        0, _stride(config), lambda _, state: _play(key, config, problem, state), state
    )
    last = jnp.exp(state.log_policy)
    policies = jnp.stack([flow_policy(state.flow_sum, last), last])
    critics = jnp.stack([_mean_critic(state), _critic_shown(config, state.critic)])
    found = jax.vmap(lambda *pair: gaps(config, problem, *pair))(policies, critics)
    for i in range(2):
        own = jax.tree.map(lambda leaf, i=i: leaf[i], found)
        better = own.own < state.best.own
        policy = jnp.where(better, policies[i], state.best_policy)
        state = state._replace(best_policy=policy, best=_choose(better, own, state.best))
    state = state._replace(converged=state.best.own < target_gap(config))
    return state, _metrics(problem, state.best.plain, jnp.int32(0))


def _advance_sampled(key, config: GAILConfig, problem: Problem, state: GAILState):
    """One policy step from samples; the gap after the last one, for the report alone."""
    state = _play(key, config, problem, state)

    def report():
        policy = flow_policy(state.flow_sum, jnp.exp(state.log_policy))
        return gaps(config, problem, policy, _mean_critic(state)).plain

    is_last = state.iteration >= num_iterations(config)
    nothing = jnp.full((), jnp.nan, state.flow.dtype)
    gap = jax.lax.cond(is_last, report, lambda: nothing)
    return state, _metrics(problem, gap, state.iteration * config.episodes * problem.horizon)


def _metrics(problem: Problem, gap: jax.Array, environment_steps: jax.Array) -> Metrics:
    return Metrics(
        expert_labels=num_labels(problem),
        environment_steps=environment_steps,
        equilibrium_gap=gap,
    )


def _choose(condition: jax.Array, left: Gaps, right: Gaps) -> Gaps:
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), left, right)


def _mean_critic(state: GAILState) -> jax.Array:
    return state.critic_sum / jnp.maximum(state.averaged, 1)


def _critic_shown(config: GAILConfig, critic: jax.Array) -> jax.Array:
    return critic if config.divergence == "tv" else expert_share(critic)


def _normalised(logits: jax.Array) -> jax.Array:
    behind = logits - jnp.max(logits, axis=-1, keepdims=True)
    return behind - sums.log_sum_exp(behind)[..., None]


def _begins_window(config: GAILConfig, iteration: jax.Array) -> jax.Array:
    """Whether the sums start again before this step: at n/2, n/4, n/8, .. of n."""
    starts, begin = [], num_iterations(config) // 2
    while begin:
        starts.append(begin)
        begin //= 2
    return jnp.any(iteration == jnp.array(starts, jnp.int32))


def _play(key, config: GAILConfig, problem: Problem, state: GAILState) -> GAILState:
    """A policy step, then discriminator steps, then the sums; a step refused counts as one."""
    sizes = step_sizes(config, problem.horizon, len(state.flow), state.flow.dtype, state.boldness)
    boldness = state.boldness
    if is_exact(config):
        log_policy = _improve(config, problem, sizes, state)
        flow, critic = _respond(config, problem, sizes, state, log_policy)
    else:
        log_policy, flow = _improve_sampled(key, config, problem, sizes, state)
        critic = _respond_at_once(config, problem, sizes, state, flow)
    if searches(config):
        old = Players(state.log_policy, state.flow, _policy_reward(config, state.critic))
        new = Players(log_policy, flow, _policy_reward(config, critic))
        is_first = state.iteration == 0  # its critic answers nothing yet
        accepted, boldness = search(config, problem.horizon, boldness, is_first, old, new)
        log_policy = jnp.where(accepted, log_policy, state.log_policy)
        flow = jnp.where(accepted, flow, state.flow)
        critic = jnp.where(accepted, critic, state.critic)
    begins = _begins_window(config, state.iteration)
    shown = _critic_shown(config, critic)
    return state._replace(
        log_policy=log_policy,
        critic=critic,
        flow=flow,
        flow_sum=flow + jnp.where(begins, 0.0, state.flow_sum),
        critic_sum=shown + jnp.where(begins, 0.0, state.critic_sum),
        averaged=1 + jnp.where(begins, 0, state.averaged),
        boldness=boldness,
        iteration=state.iteration + 1,
    )


def _ahead(config: GAILConfig, flow: jax.Array, before: jax.Array) -> jax.Array:
    """What the reward player answers: for tv the flow extrapolated by its last move."""
    return flow + (flow - before) if config.divergence == "tv" else flow


def _reward_player(config: GAILConfig, rate, critic, expert, learner) -> jax.Array:
    for _ in range(config.discriminator_steps):
        critic = discriminator_step(config, rate, critic, expert, learner)
    return critic


def _policy_reward(config: GAILConfig, critic: jax.Array) -> jax.Array:
    return critic if config.divergence == "tv" else reward_form(config.reward, critic)


def _improve(config: GAILConfig, problem: Problem, sizes: StepSizes, state: GAILState) -> jax.Array:
    """One exact policy step, backward in time; see the head of the file."""
    mdp, horizon = problem.params.mdp, problem.horizon

    def backward(i, carry):
        time = horizon - 1 - i
        later, log_policy = carry
        old, reward = state.log_policy[time], _policy_reward(config, state.critic[time])
        if config.player == "mirror-descent":
            price = sizes.price[time]
            temperature = config.entropy + price
            value = reward + rounded(old * price) + exact.expect_next(mdp, later)
            scores = rounded(value * (1.0 / temperature))  # as in `sums.per_step`
            top = jnp.max(scores, axis=-1)
            behind = scores - top[:, None]  # small numbers, or the rows would not sum to one
            spread = sums.log_sum_exp(behind)
            row = behind - spread[:, None]
            return rounded(temperature * (top + spread)), put(log_policy, time, row)
        value = reward - rounded(config.entropy * old) + exact.expect_next(mdp, later)
        now = sums.weighted(jnp.exp(old), value)
        slope = state.flow[time] * (value - now[:, None])
        return now, put(log_policy, time, _normalised(old + rounded(slope / sizes.price[time])))

    start = (jnp.zeros_like(mdp.initial), jnp.zeros_like(state.log_policy))
    return jax.lax.fori_loop(0, horizon, backward, start)[1]


def _respond(
    config: GAILConfig,
    problem: Problem,
    sizes: StepSizes,
    state: GAILState,
    log_policy: jax.Array,
):
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
            answer = _reward_player(config, sizes.critic, state.critic[time], row, ahead)
            critic = put(critic, time, answer)
        return exact.push(mdp, flow), put(flows, time, flow), critic

    empty = jnp.zeros_like(state.flow)
    _, flow, critic = jax.lax.fori_loop(0, horizon, forward, (mdp.initial, empty, empty))
    return flow, critic if by_step else _respond_at_once(config, problem, sizes, state, flow)


def _respond_at_once(
    config: GAILConfig, problem: Problem, sizes: StepSizes, state: GAILState, flow: jax.Array
) -> jax.Array:
    """The reward player's answer to a whole flow: sampled, or seen as its mean over steps."""
    learner = seen(config, _ahead(config, flow, state.flow), problem.horizon)
    expert = expert_seen(config, problem)
    return _reward_player(config, sizes.critic, state.critic, expert, learner)


def _improve_sampled(key, config: GAILConfig, problem: Problem, sizes: StepSizes, state: GAILState):
    """One policy step from sampled episodes; also their empirical flow.

    Mirror descent adds the advantages to the logits (natural gradient); the policy gradient weighs
    them by the visits.
    """
    log_policy = state.log_policy
    reward = _policy_reward(config, state.critic) - rounded(config.entropy * log_policy)
    found = estimates.sample(key, problem, log_policy, reward, config.episodes)
    natural = config.player == "mirror-descent"
    slope = found.advantage if natural else found.flow * found.advantage
    return _normalised(log_policy + rounded(slope / sizes.price[:, None, None])), found.flow
