"""Reward players whose reward is linear in features: theta . phi(s, a).

With the gap g = E_expert phi - E_learner phi of mean features,

    l2-ball    theta = g / |g|                     feature expectation matching (FEM)
    simplex    theta = +-1 at the largest |g_i|    game-theoretic apprenticeship learning (GTAL)
    likelihood theta climbs theta . g - (l2 / 2) |theta|^2 by Adam          MaxEnt IRL

The first two are the best responses of Abbeel and Ng 2004 and of Syed and Schapire 2008 in the
form of Ho, Gupta and Ermon 2016, over the features and their negatives. `gap_rate` below 1 answers
a running mean of the gaps, which is fictitious play and does not oscillate.

phi is [x, x^2, 1] for the scaled observation x, one block per action; for continuous actions z it
is [x, x^2, z, z^2, x z, 1]. Ho and Ermon take [o, (o/100)^2, 1] of the raw observation o.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from imitax.core.config import config, setting
from imitax.games.game import RewardPlayer
from imitax.games.pairs import Expert, Pairs, Seen, after_end, all_pairs
from imitax.games.reward_form import SignSettings
from imitax.numerics.blocks import mean_of_first
from imitax.rl.actor_critic import Actor

TINY = 1e-8


@config
class LinearSettings(SignSettings):
    """Settings of a linear reward."""

    gap_rate: float = setting(1.0, "weight of the newest round's gap", above=0.0, high=1.0)


class LinearState(NamedTuple):
    """A linear reward."""

    theta: jax.Array
    """[F]"""
    gap: jax.Array
    """Running mean of the gaps, [F]."""
    moments: Any
    """Of Adam; used by `likelihood` only."""


def features(actor: Actor, pairs: Pairs) -> jax.Array:
    """Features phi of pairs, [B, F]; see the head of the file."""
    inputs = pairs.inputs.reshape(len(pairs.inputs), -1)
    one = jnp.ones((len(inputs), 1))
    parts = [inputs, inputs**2, pairs.absorbed[:, None], one]
    if actor.discrete:
        played = jax.nn.one_hot(pairs.action, actor.num_actions)
        block = jnp.concatenate(parts, axis=-1)
        return (played[:, :, None] * block[:, None, :]).reshape(len(inputs), -1)
    products = (inputs[:, :, None] * pairs.action[:, None, :]).reshape(len(inputs), -1)
    return jnp.concatenate([*parts, pairs.action, pairs.action**2, products], axis=-1)


def linear_player(settings: Any, kind: str) -> RewardPlayer:
    """A reward player.

    Args:
        settings: a `LinearSettings`; with `reward_rate` and `l2` for `likelihood`.
        kind: `l2-ball`, `simplex` or `likelihood`.
    """

    def start(key, actor: Actor, expert: Expert):
        del key
        size = expert_features(actor, expert).shape[0]
        zeros = jnp.zeros(size)
        moments = optax.scale_by_adam().init(zeros) if kind == "likelihood" else None
        return LinearState(zeros, zeros, moments)

    def respond(key, actor: Actor, weights, state: LinearState, expert: Expert, seen: Seen):
        del key, weights
        absorbed, own_pairs = seen.absorbed, all_pairs(seen.rollout)
        own = features(actor, own_pairs)
        end = features(actor, _end(own_pairs))[0]
        learner = (1.0 - absorbed) * jnp.mean(own, axis=0) + absorbed * end
        newest = expert_features(actor, expert) - learner
        rate = jnp.where(jnp.any(state.gap), settings.gap_rate, 1.0)
        gap = (1.0 - rate) * state.gap + rate * newest
        theta, moments = answer(kind, settings, state, gap)
        return LinearState(theta, gap, moments)

    def reward(state: LinearState, actor: Actor, pairs: Pairs):
        return features(actor, pairs) @ state.theta

    return RewardPlayer(start, respond, reward, reward)


def answer(kind: str, settings: Any, state: LinearState, gap: jax.Array) -> tuple[jax.Array, Any]:
    """Theta that answers a gap [F], and the optimiser's moments; see the head of the file."""
    if kind == "l2-ball":
        return gap / jnp.maximum(jnp.sqrt(jnp.sum(gap**2)), TINY), state.moments
    if kind == "simplex":
        worst = jnp.argmax(jnp.abs(gap))
        return jnp.sign(gap[worst]) * jax.nn.one_hot(worst, len(gap)), state.moments
    slope = settings.l2 * state.theta - gap
    move, moments = optax.scale_by_adam().update(slope, state.moments)
    return state.theta - settings.reward_rate * move, moments


def expert_features(actor: Actor, expert: Expert) -> jax.Array:
    """Mean features of the demonstrations and, by their share, of the state after an end, [F]."""
    shown = Pairs(expert.inputs, expert.action, jnp.zeros(len(expert.inputs)))
    mean = mean_of_first(features(actor, shown), expert.size)
    end = features(actor, _end(shown))[0]
    share = expert.absorbed
    return (1.0 - share) * mean + share * end


def _end(pairs: Pairs) -> Pairs:
    one = jax.tree.map(lambda rows: rows[:1], pairs)
    return after_end(one._replace(absorbed=jnp.ones(1, bool)))
