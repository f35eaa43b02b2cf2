"""How long the steps of tabular GAIL's players are, and how many they take."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from imitax.gail_game import GAILConfig

CRITIC_RATE = 4.0
"""tv: the reward player's step where neither rate is given."""

FORM_RATE = {"softplus": 2.0, "log": 2.0, "logit": 1.0}
"""js: the policy's step times the number of steps left, where no rate is given."""


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

    The tolerance, but at most a hundredth of a positive entropy: that gap is at least the entropy
    times the divergence of the policy from the best, and the ties are decided at this scale.
    """
    finest = jnp.where(config.entropy > 0, 0.01 * config.entropy, jnp.inf)
    return jnp.minimum(config.tolerance, finest)


class StepSizes(NamedTuple):
    """Of one iteration."""

    price: jax.Array
    """1 / rate_t of the policy, [T]."""
    critic: jax.Array
    """Of the reward player, scalar; js: 0 for its optimum."""


def step_sizes(config: GAILConfig, horizon: jax.Array, max_horizon: int, dtype: Any) -> StepSizes:
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
    (Lu, Freund and Nesterov 2018). rate=0 takes `FORM_RATE` / (H - t), twice that where at e = d
    the derivative is half the bound; the gap decides. A given rate is used at every step,
    uncapped. discriminator_rate=0 is the optimal discriminator at once.

    tv: the discriminator's rate is 0.5 where only the policy's is given, and `CRITIC_RATE` where
    neither is. Policy gradient and sampling: rates that are not given are 1 and 0.5.

    Args:
        config: rates and players.
        horizon: H, int32.
        max_horizon: T, static.
        dtype: of the results.
    """
    rate, sigma = (jnp.asarray(x, dtype) for x in (config.rate, config.discriminator_rate))
    is_tv = config.divergence == "tv"
    left = jnp.maximum(horizon - jnp.arange(max_horizon), 1).astype(dtype)
    given = 1.0 / jnp.where(rate > 0, rate, 1.0)
    if not chooses_steps(config):
        price = jnp.broadcast_to(given, left.shape)
        return StepSizes(price, jnp.where(sigma > 0, sigma, 0.5))
    if not is_tv:
        return StepSizes(jnp.where(rate > 0, given, left / FORM_RATE[config.reward]), sigma)
    sigma = jnp.where(sigma > 0, sigma, jnp.where(rate > 0, 0.5, CRITIC_RATE))
    least = 0.5 * config.discriminator_steps * sigma * left
    return StepSizes(jnp.where(rate > 0, jnp.maximum(given, least), least), sigma)
