"""The game of tabular GAIL: its settings, its reward forms, and how far players are from its end.

With e the expert's and d the learner's distribution over pairs at each step, both [T, S, A]:

    divergence=js   J = sum_t e log D + d log(1 - D),     D = 1 / (1 + exp -l)
    divergence=tv   J = sum_t f (e - d),                  f in [-1, 1]

The reward player ascends, the policy descends. Every pair of players bounds from both sides what
the policy can still gain; `gaps` has the difference of the bounds, exactly, from the dynamics.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from imitax.core.config import among, config, setting
from imitax.core.types import Problem
from imitax.numerics import sums
from imitax.numerics.sums import rounded
from imitax.tabular import mdp as exact
from imitax.tabular import moments
from imitax.tabular.mdp import TabularMDP

TINY = 1e-12
"""Keeps ratios of occupancies finite where neither player ever goes."""


@config
class GAILConfig:
    """Settings of tabular GAIL; where 0 is said to choose,
    `imitax.algorithms.adversarial.gail_steps` has how.
    """

    divergence: str = setting("js", "Jensen-Shannon or total variation", choices=("js", "tv"))
    reward: str = setting(
        "softplus",
        "form of the reward; that of tv is the critic itself",
        choices=("softplus", "log", "logit"),
        when=among("divergence", "js"),
    )
    inputs: str = setting("tsa", "what the discriminator sees", choices=("sa", "tsa"))
    player: str = setting(
        "mirror-descent", "policy update", choices=("mirror-descent", "policy-gradient")
    )
    rollouts: str = setting(
        "exact", "occupancies by dynamics or by sampling", choices=("exact", "sampled")
    )
    rate: float = setting(0.0, "policy step size at most; 0: from the problem", low=0.0)
    discriminator_rate: float = setting(
        0.0, "js: part of the way to the optimum; tv: step size; 0: chosen", low=0.0
    )
    discriminator_steps: int = setting(1, "discriminator steps per policy step", low=1)
    bound: float = setting(
        10.0, "largest |logit| of the discriminator", above=0.0, when=among("divergence", "js")
    )
    entropy: float = setting(0.0, "weight of causal entropy in the policy's return", low=0.0)
    episodes: int = setting(
        32, "episodes per policy step", low=1, when=among("rollouts", "sampled")
    )
    num_steps: int = setting(
        0, "policy steps at most; 0: 20000 of exact mirror descent, 50 of others", low=0
    )
    tolerance: float = setting(
        0.0,
        "gap per step of the horizon at convergence; 0: chosen",
        low=0.0,
        when=among("rollouts", "exact"),
    )
    check_every: int = setting(
        25,
        "most policy steps from one look at the gap to the next",
        low=1,
        when=among("rollouts", "exact"),
    )


def reward_form(name: str, logit: jax.Array) -> jax.Array:
    """The policy's reward from the discriminator's logit, in nats; see `imitax.gail`."""
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
    """The discriminator's optimum log e - log d, within +-`bound`.

    Minus the bound wherever the expert never goes, its limit from d > 0: where both are zero any
    other number would invite the policy to pairs that no one showed, and the gap would count it.
    """
    ratio = jnp.log(jnp.maximum(expert, TINY)) - jnp.log(jnp.maximum(learner, TINY))
    return jnp.where(expert > 0, jnp.clip(ratio, -bound, bound), -bound)


def flow_policy(flow: jax.Array, otherwise: jax.Array) -> jax.Array:
    """The policy whose occupancy is `flow`, [T, S, A], and another where it never goes."""
    total = sums.total(flow)[..., None]
    return jnp.where(total > TINY, flow / jnp.maximum(total, TINY), otherwise)


def seen(settings: GAILConfig, flow: jax.Array, horizon: jax.Array) -> jax.Array:
    """What the discriminator sees of a flow: itself, or at every step its mean over steps."""
    if settings.inputs == "tsa":
        return flow
    mean = sums.per_step(moments.total_flow(flow, horizon, 1.0), horizon)
    within = (jnp.arange(flow.shape[0]) < horizon)[:, None, None]
    return jnp.where(within, mean, 0.0)


def expert_seen(settings: GAILConfig, problem: Problem) -> jax.Array:
    """What the discriminator sees of the expert, [T, S, A]."""
    flows = moments.expert_flows(problem.demonstrations, problem.subsample)
    return seen(settings, flows, problem.horizon)


class Gaps(NamedTuple):
    """Scalars per step of the horizon, zero at equilibrium."""

    own: jax.Array
    """What decides on convergence: of the game with the causal entropy and the reward form."""
    plain: jax.Array
    """The duality gap that is reported: of J alone."""


def gaps(settings: GAILConfig, problem: Problem, policy: jax.Array, critic: jax.Array) -> Gaps:
    """How far a policy and a critic are from equilibrium, exactly.

        plain = max_f J(f, policy) - min_p J(critic, p)
        own   = max_p [<r, p> + entropy H(p)] - [<r, policy> + entropy H(policy)] + (tv) rest

    with H the causal entropy. tv: r is the critic, the rest is sum_t |e - d|_1 - <f, e - d>, and
    `own` is the duality gap with the entropy. js: r is the form's reward at the optimum log e -
    log d, minus the slope of a convex divergence (softplus: J's), so that `own` bounds what the
    policy can still gain of that one (Frank and Wolfe 1956; Jaggi 2013).

    Args:
        settings: divergence, reward form, inputs, bound and entropy.
        problem: dynamics, horizon and demonstrations.
        policy: [T, S, A].
        critic: f, or D in [0, 1], [T, S, A].
    """
    mdp, horizon, entropy = problem.params.mdp, problem.horizon, settings.entropy
    expert = expert_seen(settings, problem)
    flow = exact.flows(mdp, policy, horizon, len(policy))
    learner = seen(settings, flow, horizon)
    surprise, ones = -jnp.log(jnp.maximum(policy, TINY)), jnp.ones_like(flow)
    if settings.divergence == "tv":
        hard, soft = best_returns(mdp, critic, entropy, horizon)
        apart, known, random = _pairings(
            horizon, (jnp.abs(expert - learner), ones), (expert, critic), (flow, surprise)
        )
        rest = apart - known
        own = rest + soft - rounded(entropy * random)
        return Gaps(sums.per_step(own, horizon), sums.per_step(rest + hard, horizon))
    logit = optimal_logit(expert, learner, settings.bound)
    reward = reward_form(settings.reward, logit)
    soft = best_returns(mdp, reward, entropy, horizon)[1]
    earned, random, ceiling, known = _pairings(
        horizon,
        (learner, reward),
        (flow, surprise),
        (_cross_entropy(expert, learner, expert_share(logit)), ones),
        (expert * jnp.log(jnp.maximum(critic, TINY)), ones),
    )
    own = soft - earned - rounded(entropy * random)
    fooled = -jnp.log(jnp.maximum(1.0 - critic, TINY))
    plain = ceiling - known + moments.best_return(mdp, fooled, horizon)
    return Gaps(sums.per_step(own, horizon), sums.per_step(plain, horizon))


def best_returns(
    mdp: TabularMDP, reward: jax.Array, entropy: jax.Array | float, horizon: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Largest return of a reward [T, S, A], and largest with `entropy` times the causal entropy.

    V_t(s) = entropy log sum_a exp(Q_t(s, a) / entropy), at its limit max_a where entropy = 0
    """
    temperature = jnp.maximum(entropy, 1e-30)

    def backward(i, values):
        time = horizon - 1 - i
        hard, soft = (reward[time] + exact.expect_next(mdp, value) for value in values)
        top = jnp.max(soft, axis=-1)
        spread = jnp.log(sums.total(jnp.exp((soft - top[:, None]) / temperature)))
        return jnp.max(hard, axis=-1), top + rounded(entropy * spread)

    zeros = jnp.zeros_like(mdp.initial)
    hard, soft = jax.lax.fori_loop(0, horizon, backward, (zeros, zeros))
    return sums.weighted(mdp.initial, hard), sums.weighted(mdp.initial, soft)


def _pairings(horizon: jax.Array, *pairs: tuple[jax.Array, jax.Array]) -> jax.Array:
    """`moments.pairing` of each of K pairs of tables, in one loop, [K]."""
    left, right = (jnp.stack(side) for side in zip(*pairs, strict=True))
    return jax.vmap(moments.pairing, in_axes=(0, 0, None))(left, right, horizon)


def _cross_entropy(expert: jax.Array, learner: jax.Array, share: jax.Array) -> jax.Array:
    real, fake = jnp.maximum(share, TINY), jnp.maximum(1.0 - share, TINY)
    return rounded(expert * jnp.log(real)) + rounded(learner * jnp.log(fake))
