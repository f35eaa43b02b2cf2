"""Before a sampled game: scaling of observations, and cloning as a warm start."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from imitax.games.pairs import Expert, Pairs, expert_pairs
from imitax.rl import ppo
from imitax.rl.actor_critic import Actor

CLONING_RATE = 1e-3
"""Adam step size of the warm start."""


def warm(
    key: jax.Array, actor: Actor, settings: Any, player: ppo.Player, expert: Expert
) -> ppo.Player:
    """Clone the demonstrations: maximum likelihood, the spread of a continuous policy kept."""
    if settings.warm_start == 0:
        return player
    optimiser = optax.adam(CLONING_RATE)

    def negative_likelihood(weights, shown: Pairs):
        fixed = weights._replace(log_scale=jax.lax.stop_gradient(weights.log_scale))
        return -jnp.mean(actor.log_prob(actor.outputs(fixed, shown.inputs), shown.action))

    def descend(index, carry):
        weights, moments = carry
        uniform = jax.random.uniform(jax.random.fold_in(key, index), (settings.batch_size,))
        shown = expert_pairs(expert, uniform, jnp.ones_like(uniform))
        gradient = jax.grad(negative_likelihood)(weights, shown)
        move, moments = optimiser.update(gradient, moments)
        return optax.apply_updates(weights, move), moments

    start = (player.weights, optimiser.init(player.weights))
    weights, _ = jax.lax.fori_loop(0, settings.warm_start, descend, start)
    return player._replace(weights=weights)
