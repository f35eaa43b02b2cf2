"""Maximum causal entropy inverse reinforcement learning with known dynamics.

Ziebart, Bagnell and Dey 2010. The policy player answers a reward r = theta . phi with its soft
best response (`imitax.tabular.soft.soft_plan`); the reward player ascends the penalised
log-likelihood

    L(theta) / H = (theta . f_E - E V_0(theta)) / H - (l2 / (2 N)) |theta|^2

whose gradient is the moment gap (f_E - f_theta) / H - (l2 / N) theta. Here f are discounted
feature counts over the horizon H, V_0 is the soft value and N the number of demonstrations. L is
concave. The game's value and its moments grow with H, hence the division; the penalty acts as a
Gaussian prior whose weight against N demonstrations is 1/N. Without it the maximum is at infinity
wherever the expert is deterministic (its moments lie on the boundary of what policies can reach)
or where the moments of few demonstrations are out of reach altogether, and with l2 > 0 the moments
are matched up to (l2 / N) |theta|.

We climb by L-BFGS (`imitax.numerics.lbfgs`) and backtrack one trial per algorithm step, so that
seeds under vmap never wait in an inner line search. A trial is taken if its value is lower by more
than rounding and as much as Armijo's rule asks, or, where rounding hides the difference, if its
gradient is shorter; so the iterate at hand is the best one seen. Where no step along L-BFGS'
direction is taken, its memory is dropped; where none along the gradient itself is, rounding has
ended progress and so do we (`stalled`). Converged means that the norm of the penalised gradient,
per step of the horizon, is below `tolerance`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from imitax.algorithms.inverse.maxent_networks import NetworkMaxEntConfig, network_maxent
from imitax.core.config import config, setting
from imitax.core.family import Family
from imitax.core.policies import Policy, tabular, until
from imitax.core.representation import represented
from imitax.core.types import Algorithm, Demand, Metrics, Problem
from imitax.numerics import lbfgs, sums
from imitax.tabular import moments, soft
from imitax.tasks.demonstrations import num_labels

SUFFICIENT = 1e-4
"""Part of the predicted increase that a trial must reach (Armijo)."""
SHORTEST = 2.0**-20
"""Part of a direction below which no further trial is made along it."""


@config
class MaxEntConfig:
    """Settings of maximum causal entropy inverse reinforcement learning."""

    reward: str = setting(
        "linear", "in the environment's features, or free in (s, a)", choices=("linear", "tabular")
    )
    l2: float = setting(0.1, "penalty on the multipliers, divided by num_demos", low=0.0)
    discount: float = setting(1.0, "of planner, policy and moments", low=0.0, high=1.0)
    tolerance: float = setting(1e-4, "norm of the gradient per step at convergence", above=0.0)
    num_steps: int = setting(100, "evaluations of the likelihood at most", low=1)


class Likelihood(NamedTuple):
    """The negative penalised log-likelihood per step of the horizon, at one theta."""

    value: jax.Array
    gradient: jax.Array
    moment_gap: jax.Array
    """|f_E - f_theta| / H."""
    magnitude: jax.Array
    """Size of the terms that cancel in `value`: its rounding error in units of epsilon."""


class MaxEntState(NamedTuple):
    """The reward player's position and its next trial."""

    theta: jax.Array
    """[F], or [S, A] for a tabular reward."""
    here: Likelihood
    direction: jax.Array
    """What L-BFGS would subtract from theta."""
    step_size: jax.Array
    memory: lbfgs.Memory
    converged: jax.Array
    stalled: jax.Array
    """Whether rounding hides what any further step would gain; bool."""


def likelihood(problem: Problem, config: MaxEntConfig, theta: jax.Array) -> Likelihood:
    """Value and gradient of -L(theta) / H; see the head of the file.

    Args:
        problem: with counts of demonstrations.
        config: penalty and discount.
        theta: [F], or [S, A] for a tabular reward.
    """
    mdp, horizon = problem.params.mdp, problem.horizon
    features = _features(problem, config)
    expert = moments.moments(features, moments.expert_total(problem, config.discount))
    plan = _plan(problem, config, theta)
    total = moments.visits(mdp, plan.log_policy, horizon, config.discount)
    gap = moments.moments(features, total) - expert
    penalty = config.l2 / jnp.maximum(problem.num_demos, 1)
    soft_value = sums.weighted(mdp.initial, plan.value[0])
    fit = sums.per_step(_dot(theta, expert), horizon)
    prior = sums.rounded(0.5 * penalty * _dot(theta, theta))
    soft_value = sums.per_step(soft_value, horizon)
    magnitude = 1.0 + jnp.abs(soft_value) + jnp.abs(fit) + prior
    norm = sums.per_step(jnp.sqrt(_dot(gap, gap)), horizon)
    slope = sums.per_step(gap, horizon) + sums.rounded(penalty * theta)
    return Likelihood(soft_value - fit + prior, slope, norm, magnitude)


def maxent_irl(env: Family, config: MaxEntConfig | NetworkMaxEntConfig | None = None) -> Algorithm:
    """MaxEnt IRL: with known dynamics in a table, from samples with networks elsewhere.

    Args:
        env: an environment family, from `imitax.make`.
        config: which representation, and its settings; by default a table where the environment
            is tabular, networks elsewhere.

    Returns:
        An `Algorithm`. In a table it reads the true dynamics and recovers a reward, [S, A]; with
        networks it steps the environment, and `retrain_rounds` trains a fresh policy on the
        recovered reward.

    Raises:
        SpecError: a setting out of range or without meaning here.
    """
    table, network = (MaxEntConfig, _tabular), (NetworkMaxEntConfig, network_maxent)
    return represented(env, config, "maxent-irl", table, network)


def _tabular(env: Family, config: MaxEntConfig) -> Algorithm:
    del env

    def init(key, problem: Problem):
        del key
        features = _features(problem, config)
        shape = problem.params.mdp.transition.shape[:2] if features is None else features.shape[2:]
        theta = jnp.zeros(shape, problem.params.mdp.transition.dtype)
        here = likelihood(problem, config, theta)
        memory = lbfgs.empty(here.gradient.ravel())
        direction = _steepest(here)
        one, converged = jnp.ones((), theta.dtype), _is_flat(here, config)
        return MaxEntState(theta, here, direction, one, memory, converged, jnp.bool_(False))

    def step(key, problem: Problem, state: MaxEntState):
        del key
        trial = state.theta - state.step_size * state.direction
        there = likelihood(problem, config, trial)
        accepted = _advance(state, trial, there, config)
        is_better = _is_better(state, there)
        state = _either(is_better, accepted, _retreat(state))
        shown = num_labels(problem)
        metrics = Metrics(expert_labels=shown, moment_gap=state.here.moment_gap)
        return state, metrics

    def policy(problem: Problem, state: MaxEntState) -> Policy:
        plan = _plan(problem, config, state.theta)
        return tabular(until(jnp.exp(plan.log_policy), problem.horizon))

    def reward(problem: Problem, state: MaxEntState) -> jax.Array:
        return moments.linear_reward(_features(problem, config), state.theta)

    num_steps, demand = config.num_steps, Demand("counts")
    return Algorithm(init, step, policy, lambda _: jnp.int32(num_steps), demand, True, reward)


def _features(problem: Problem, config: MaxEntConfig) -> jax.Array | None:
    return problem.params.mdp.features if config.reward == "linear" else None


def _plan(problem: Problem, config: MaxEntConfig, theta: jax.Array) -> soft.SoftPlan:
    reward = moments.linear_reward(_features(problem, config), theta)
    max_horizon, discount = problem.capacity.horizon, config.discount
    return soft.soft_plan(
        problem.params.mdp, reward, problem.horizon, max_horizon, discount=discount
    )


def _dot(left: jax.Array, right: jax.Array) -> jax.Array:
    return sums.weighted(left.ravel(), right.ravel())


def _is_flat(here: Likelihood, config: MaxEntConfig) -> jax.Array:
    return jnp.sqrt(_dot(here.gradient, here.gradient)) < config.tolerance


def _is_better(state: MaxEntState, there: Likelihood) -> jax.Array:
    """Armijo where the values differ by more than their rounding, else the shorter gradient."""
    predicted = state.step_size * _dot(state.here.gradient, state.direction)
    wanted = sums.rounded(SUFFICIENT * predicted)
    rounding = sums.rounded(4.0 * jnp.finfo(there.value.dtype).eps * there.magnitude)
    change = there.value - state.here.value
    lengths = [_dot(x.gradient, x.gradient) for x in (there, state.here)]
    is_lower = (change < -rounding) & (change <= -wanted)
    return is_lower | ((jnp.abs(change) <= rounding) & (lengths[0] < lengths[1]))


def _either(condition: jax.Array, yes: MaxEntState, no: MaxEntState) -> MaxEntState:
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), yes, no)


def _retreat(state: MaxEntState) -> MaxEntState:
    """What a trial that is not taken leaves: half the step, a new direction, or nothing more."""
    shorter = state._replace(step_size=0.5 * state.step_size)
    memory = lbfgs.empty(state.here.gradient.ravel())
    steepest = state._replace(
        direction=_steepest(state.here),
        step_size=jnp.ones_like(state.step_size),
        memory=memory,
        stalled=state.memory.count == 0,
    )
    return _either(shorter.step_size < SHORTEST, steepest, shorter)


def _steepest(here: Likelihood) -> jax.Array:
    return lbfgs.steepest(here.gradient.ravel()).reshape(here.gradient.shape)


def _advance(
    state: MaxEntState, trial: jax.Array, there: Likelihood, config: MaxEntConfig
) -> MaxEntState:
    move, change = trial - state.theta, there.gradient - state.here.gradient
    memory = lbfgs.remember(state.memory, move.ravel(), change.ravel())
    direction = lbfgs.direction(memory, there.gradient.ravel()).reshape(trial.shape)
    one = jnp.ones_like(state.step_size)
    converged = _is_flat(there, config)
    return MaxEntState(trial, there, direction, one, memory, converged, jnp.bool_(False))
