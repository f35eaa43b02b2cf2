"""The reward player of AIRL: a reward g plus shaping by a potential h (Fu, Luo and Levine 2018).

    f(s, a, s') = g(s, a) + discount (1 - terminated) h(s') - h(s)
    D = exp(f) / (exp(f) + pi(a|s)),  so the logit is f - log pi(a|s)

The policy earns the logit, log D - log(1 - D). What is recovered is g, which with `inputs=state`
is a function of the state alone and then free of the shaping (their theorem 5.1).
"""

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from imitax.core.family import Family
from imitax.games import critic as critics
from imitax.games.critic import Critic
from imitax.games.game import RewardPlayer
from imitax.games.pairs import Pairs, draw_pairs, expert_pairs
from imitax.networks.mlp import MLP
from imitax.numerics.blocks import gradient
from imitax.rl import actor_critic
from imitax.rl.actor_critic import Actor


class Shaped(NamedTuple):
    """Weights of both networks, and Adam's moments."""

    reward: Any
    potential: Any
    moments: Any


def shaped_player(env: Family, settings: Any) -> RewardPlayer:
    """The reward player of AIRL.

    Args:
        env: an environment family.
        settings: an `AIRLConfig`.
    """
    actor = actor_critic.actor(env, settings.hidden)
    critic = critics.critic(actor, settings, "jensen-shannon", absorbing=settings.absorbing)
    potential = MLP(settings.discriminator_hidden, 1, actor.policy.image)

    def start(key, actor: Actor, expert):
        pairs = expert_pairs(expert, jnp.zeros(2), jnp.ones(2))
        reward_key, potential_key = jax.random.split(key)
        nets = (
            critics.start(reward_key, critic, pairs).params,
            potential.init(potential_key, pairs.inputs),
        )
        # Where no demonstrated step has a successor there is nothing to draw but padding.
        is_shown = jnp.where(expert.size > 0, 1.0, jnp.nan)
        params, shaping = jax.tree.map(lambda leaf: leaf * is_shown, nets)
        return Shaped(params, shaping, optax.scale_by_adam().init((params, shaping)))

    def respond(key, actor: Actor, weights, state: Shaped, expert, seen):
        def one(state, key):
            draw_key, mix_key = jax.random.split(key)
            drawn = draw_pairs(draw_key, settings, expert, seen)
            real, fake = (_scored(actor, weights, pairs) for pairs in drawn)
            mix = jax.random.uniform(mix_key, (len(real.inputs),))
            summands = losses(critic, potential, settings)
            slope = gradient(summands, state[:2], (real, fake, mix))
            move, moments = optax.scale_by_adam().update(slope, state.moments)
            rate = settings.discriminator_rate
            nets = jax.tree.map(lambda x, y: x - rate * y, state[:2], move)
            return Shaped(nets[0], nets[1], moments), None

        return jax.lax.scan(one, state, jax.random.split(key, settings.discriminator_steps))[0]

    def reward(state: Shaped, actor: Actor, pairs: Pairs):
        return logit(critic, potential, settings.discount, state[:2], pairs)

    def recovered(state: Shaped, actor: Actor, pairs: Pairs):
        return critics.evaluate(critic, state.reward, *critics.points(critic, pairs))

    return RewardPlayer(start, respond, reward, recovered, successive=True)


def _scored(actor: Actor, weights, pairs: Pairs) -> Pairs:
    """Pairs with the probability of their actions under the policy that plays now."""
    own = actor.log_prob(actor.outputs(weights, pairs.inputs), pairs.action)
    return pairs._replace(log_prob=own)


def logit(critic: Critic, potential: MLP, discount, nets, pairs: Pairs) -> jax.Array:
    """The logit f - log pi of pairs, [B]; see the head of the file.

    Args:
        critic: static, for g.
        potential: static, for h.
        discount: of the game.
        nets: weights of g and h.
        pairs: with all their fields.
    """
    reward = critics.evaluate(critic, nets[0], *critics.points(critic, pairs))
    here, later = (
        cast(jax.Array, potential.apply(nets[1], inputs))[..., 0]
        for inputs in (pairs.inputs, pairs.next_inputs)
    )
    if pairs.terminated is None or pairs.log_prob is None:
        raise ValueError("AIRL reads whether a step ended the episode, and its log-probability")
    shaping = discount * jnp.where(pairs.terminated, 0.0, later) - here
    return reward + jnp.where(pairs.absorbed > 0, 0.0, shaping - pairs.log_prob)


def losses(critic: Critic, potential: MLP, settings: Any):
    """Cross-entropy of the logit, and the gradient penalty on g; as in `imitax.games.critic`."""

    def apart(nets, real, fake, mix):
        del mix
        outputs = (logit(critic, potential, settings.discount, nets, one) for one in (real, fake))
        return critics.contrast(critic, settings, *outputs)

    def steep(nets, real, fake, mix):
        return critics.penalty(critic, settings, nets[0], real, fake, mix)

    return apart, steep
