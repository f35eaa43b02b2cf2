"""How long the steps of tabular GAIL's players are, and how many they take."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from imitax.algorithms.adversarial.gail_game import GAILConfig
from imitax.numerics import sums
from imitax.numerics.sums import rounded

TOLERANCE = {"js": 1e-4, "tv": 1e-3}
"""Gap per step at convergence where none is given: js converges geometrically on most tasks, while
tv, which is not smooth, took five times the steps for a tenth of the gap on a gridworld."""

CRITIC_RATE = 4.0
"""tv: the reward player's step where neither rate is given."""

FORM_RATE = {"softplus": 2.0, "log": 2.0, "logit": 1.0}
"""js, discriminator_rate given: the policy's step times the number of steps left."""

GROWTH, SHRINKAGE, LARGEST = 1.5, 0.3, 1e4
"""js: what multiplies the policy's step after one that was accepted and refused, and its limit."""

ROUNDING = 1e-6
"""Per step of the horizon: a move that could raise the objective by less is accepted."""


def num_iterations(config: GAILConfig) -> int:
    """Policy steps at most."""
    if config.num_steps:
        return config.num_steps
    return 20_000 if chooses_steps(config) else 50


def chooses_steps(config: GAILConfig) -> bool:
    """Whether the players are those whose steps can be chosen from the problem."""
    return is_exact(config) and config.player == "mirror-descent"


def is_exact(config: GAILConfig) -> bool:
    """Whether occupancies are computed from the dynamics."""
    return config.rollouts == "exact"


def target_gap(config: GAILConfig) -> jax.Array:
    """The gap per step below which players have converged.

    The tolerance (0: `TOLERANCE`), but at most a hundredth of a positive entropy: that gap is at
    least the entropy times the divergence of the policy from the best, and the ties are decided at
    this scale.
    """
    finest = jnp.where(config.entropy > 0, 0.01 * config.entropy, jnp.inf)
    chosen = jnp.where(config.tolerance > 0, config.tolerance, TOLERANCE[config.divergence])
    return jnp.minimum(chosen, finest)


class StepSizes(NamedTuple):
    """Of one iteration."""

    price: jax.Array
    """1 / rate_t of the policy, [T]."""
    critic: jax.Array
    """Of the reward player, scalar; js: 0 for its optimum."""


def step_sizes(
    config: GAILConfig,
    horizon: jax.Array,
    max_horizon: int,
    dtype: Any,
    boldness: jax.Array | float = 1.0,
) -> StepSizes:
    """The steps of both players, from the settings and the horizon.

    The primal-dual method needs, for every two policies with occupancies d, d',

        sigma sum_t |d_t - d'_t|_2^2 / 2  <=  sum_t KL_t(d | d') / rate_t                       (1)

    where sigma is the Euclidean step of the reward player: strong convexity of the policy's
    proximal term in the norm in which the operator <f, d> is measured (Chambolle and Pock 2011,
    and 2016 for Bregman steps; with a Euclidean term in d, rate sigma |K|^2 <= 1). Let k_u =
    KL_u(d | d'). What was played after t does not change d_t, so by the chain rule and data
    processing KL(d_t | d'_t) <= sum_{u <= t} k_u, and by Pinsker |d_t - d'_t|_1^2 <= 2 sum_{u <= t}
    k_u. The entries of d_t - d'_t sum to zero, so |.|_2^2 <= |.|_1^2 / 2. Summed over t,

        sum_t |d_t - d'_t|_2^2  <=  sum_t sum_{u <= t} k_u  =  sum_u (H - u) k_u,

    and (1) holds if  rate_t sigma (H - t) / 2 <= 1  at every t. Both are tight up to constants: an
    early mistake into an absorbing state moves all later occupancies. A rate that is the same at
    all steps could be 2 / (sigma H) only. With n discriminator steps sigma is n times their rate
    (clipping n steps along one line is clipping their sum); inputs=sa keeps (1) by Jensen.

    tv, mirror descent, exact: rate_t = min(rate, 2 / (sigma (H - t))), so that no setting breaks
    the condition, and one that kept it is left alone. rate=0 takes the bound itself.

    js: J at its optimal discriminator is convex, and relatively smooth with constant one to the
    KL of d_t (its second derivative e / (d (e + d)) is below 1 / d; those of the other forms are
    1 / d and 1 / (e + d)), so by the same sum descent is certain for rate_t <= 1 / (H - t)
    (Lu, Freund and Nesterov 2018). That is the worst case, and slow; where neither rate is given
    the discriminator is at its optimum at once, and rate_t = `boldness` at every t, which `search`
    adapts. With discriminator_rate given and rate=0, J is not what descends, and rate_t =
    `FORM_RATE` / (H - t); the gap decides. A given rate is used at every step, uncapped.

    tv: the discriminator's rate is 0.5 where only the policy's is given, and `CRITIC_RATE` where
    neither is. Policy gradient and sampling: rates that are not given are 1 and 0.5.

    Args:
        config: rates and players.
        horizon: H, int32.
        max_horizon: T, static.
        dtype: of the results.
        boldness: scalar, from `search`.
    """
    rate, sigma = (jnp.asarray(x, dtype) for x in (config.rate, config.discriminator_rate))
    is_tv = config.divergence == "tv"
    left = jnp.maximum(horizon - jnp.arange(max_horizon), 1).astype(dtype)
    given = 1.0 / jnp.where(rate > 0, rate, 1.0)
    if not chooses_steps(config):
        price = jnp.broadcast_to(given, left.shape)
        return StepSizes(price, jnp.where(sigma > 0, sigma, 0.5))
    if not is_tv:
        bold = jnp.where(sigma > 0, left / FORM_RATE[config.reward], 1.0 / boldness)
        return StepSizes(jnp.where(rate > 0, given, bold), sigma)
    sigma = jnp.where(sigma > 0, sigma, jnp.where(rate > 0, 0.5, CRITIC_RATE))
    least = 0.5 * config.discriminator_steps * sigma * left
    return StepSizes(jnp.where(rate > 0, jnp.maximum(given, least), least), sigma)


def searches(config: GAILConfig) -> bool:
    """Whether policy steps may be searched for; whether they are is for the rates to say."""
    return chooses_steps(config) and config.divergence == "js"


class Players(NamedTuple):
    """Before or after a step, each [T, S, A]."""

    log_policy: jax.Array
    flow: jax.Array
    """The policy's distribution over pairs d; zero at and after the horizon."""
    reward: jax.Array
    """r, the form's reward at the optimal discriminator for d."""


def search(
    config: GAILConfig,
    horizon: jax.Array,
    boldness: jax.Array,
    is_first: jax.Array,
    old: Players,
    new: Players,
) -> tuple[jax.Array, jax.Array]:
    """Whether a policy step is accepted, and how bold the next one is.

    What the policy minimises is a convex F with gradient -r (softplus: J at its optimal
    discriminator). A mirror step descends if F(d') - F(d) - <F'(d), d' - d> is at most
    sum_t KL_t(d' | d) / rate (Lu, Freund and Nesterov 2018); to second order that is

        <r - r', d' - d> / 2  <=  sum_t KL_t(d' | d) / rate

    which needs no difference of nearly equal values of F. A step that breaks it is taken back. At
    rate 1 / H descent is certain (`step_sizes`): there is no test, and the rate falls no further.

    Args:
        config: rates; with one of them given every step is accepted and `boldness` is kept.
        horizon: H, int32.
        boldness: the rate of this step, scalar.
        is_first: the first step has no reward yet, and says nothing.
        old: before the step.
        new: after it.

    Returns:
        (accepted, boldness of the next step), scalars.
    """

    def add(time, totals):
        bent, moved = totals
        change = (new.flow[time] - old.flow[time]).ravel()
        bend = (old.reward[time] - new.reward[time]).ravel()
        ratio = new.log_policy[time] - old.log_policy[time]
        divergence = rounded(new.flow[time] * (ratio + jnp.expm1(-ratio)))  # each one >= 0
        return bent + sums.weighted(change, bend), moved + sums.total(divergence.ravel())

    nothing = jnp.zeros((), new.flow.dtype)
    bent, moved = jax.lax.fori_loop(0, horizon, add, (nothing, nothing))
    least = 1.0 / horizon.astype(nothing.dtype)
    descends = 0.5 * bent <= rounded(moved / boldness) + rounded(ROUNDING / least)
    given = (config.rate > 0) | (config.discriminator_rate > 0)
    accepted = descends | (boldness <= least) | is_first | given
    factor = jnp.where(accepted, GROWTH, SHRINKAGE)
    bolder = jnp.clip(boldness * factor, least, LARGEST)
    return accepted, jnp.where(given | is_first, boldness, bolder)
