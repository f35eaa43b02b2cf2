"""A reward player with a network: a discriminator or critic, and the reward it makes."""

from typing import Any

import jax
import jax.numpy as jnp

from imitax.core.family import Family
from imitax.games import critic as critics
from imitax.games import critic_kernel
from imitax.games.game import RewardPlayer
from imitax.games.pairs import draw_pairs, expert_pairs
from imitax.rl import actor_critic


def network_player(
    env: Family, settings: Any, loss: str, form: str, is_constant: bool = False
) -> RewardPlayer:
    """A reward player with a network.

    Args:
        env: an environment family.
        settings: a `CriticSettings` and `GameSettings`.
        loss: see `imitax.games.critic`.
        form: of the policy's reward.
        is_constant: whether f is zero everywhere, whatever the network says.
    """
    actor = actor_critic.actor(env, settings.hidden)
    critic = critics.critic(actor, settings, loss, absorbing=settings.absorbing)

    def start(key, actor, expert):
        pairs = expert_pairs(expert, jnp.zeros(2), jnp.ones(2))
        return critics.start(key, critic, pairs)

    def respond(key, actor, weights, state, expert, seen):
        del weights

        def one(state, key):
            draw_key, mix_key = jax.random.split(key)
            real, fake = draw_pairs(draw_key, settings, expert, seen)
            return critics.step(mix_key, critic, settings, state, real, fake), None

        if is_constant:
            return state
        keys = jax.random.split(key, settings.discriminator_steps)
        if critic_kernel.fits(critic, settings, expert):
            draw_keys = jax.vmap(jax.random.split)(keys)[:, 0]
            pairs = jax.vmap(lambda key: draw_pairs(key, settings, expert, seen))(draw_keys)
            return critic_kernel.descend(critic, settings, state, *pairs)
        return jax.lax.scan(one, state, keys)[0]

    def reward(state, actor, pairs):
        output = critics.output(critic, state, pairs)
        return critics.reward_form(form, jnp.zeros_like(output) if is_constant else output)

    return RewardPlayer(start, respond, reward, reward)
