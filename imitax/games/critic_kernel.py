"""A discriminator's gradient steps in one kernel, where `imitax.kernels.api` can.

Loss per row, with y = 1 for the expert's pairs and -1 for the learner's, as many of each; means
over the rows are those of `imitax.games.critic`:

    jensen-shannon   2 softplus(-y f) - entropy_bonus H(sigmoid f)
    wasserstein      -2 y f
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from imitax.games.critic import Critic, CriticState, points
from imitax.games.pairs import Expert, Pairs, expert_pairs
from imitax.kernels import api, shapes

EPS = 1e-8
"""Adam's, as in `imitax.games.critic`."""


def fits(critic: Critic, settings: Any, expert: Expert) -> bool:
    """Whether this player's gradient steps can be a kernel here and now."""
    if not api.available() or critic.network.image or critic.spectral:
        return False
    is_plain = settings.slope == "free" and critic.loss in LOSSES
    if not is_plain:
        return False
    one = expert_pairs(expert, jnp.zeros(1), jnp.ones(1))
    num_inputs = jax.eval_shape(lambda: points(critic, one)[0]).shape[-1]
    return shapes.fits(_widths(critic, num_inputs), 2 * settings.discriminator_batch)


def _widths(critic: Critic, num_inputs: int) -> tuple[int, ...]:
    return (num_inputs, *critic.network.hidden, critic.network.num_outputs)


def descend(
    critic: Critic,
    settings: Any,
    state: CriticState,
    expert: Pairs,
    learner: Pairs,
) -> CriticState:
    """All gradient steps of a round.

    Args:
        critic: static.
        settings: an `imitax.games.critic.CriticSettings`.
        state: before.
        expert: for S steps B pairs of the demonstrations each, [S, B, ...].
        learner: as many of the policy.
    """
    real, fake = (
        jax.vmap(lambda one: points(critic, one)[0])(pairs) for pairs in (expert, learner)
    )
    inputs = jnp.concatenate([real, fake], axis=1)
    side = jnp.concatenate([jnp.ones(real.shape[:2]), -jnp.ones(fake.shape[:2])], axis=1)
    widths = _widths(critic, inputs.shape[-1])
    recipe = shapes.Recipe((widths,), critic.network.activation, (LOSSES[critic.loss],), EPS)
    adam = state.moments
    bonus = settings.entropy_bonus if critic.loss == "jensen-shannon" else 0.0
    vector, after = api.descend(
        recipe,
        shapes.flat(state.params),
        shapes.Moments(shapes.flat(adam.mu), shapes.flat(adam.nu), adam.count),
        shapes.Rows(inputs, (side,)),
        settings.discriminator_rate,
        numbers=(bonus,),
    )
    first, second = shapes.unflat(after.first, widths), shapes.unflat(after.second, widths)
    moments = optax.ScaleByAdamState(count=after.count, mu=first, nu=second)
    return CriticState(shapes.unflat(vector, widths), moments, state.vectors)


def jensen_shannon(outputs: Any, columns: Any, numbers: Any) -> jax.Array:
    """See the head of the file and `imitax.kernels.shapes.Recipe.losses`."""
    (logit,), (side,), (bonus,) = outputs, columns, numbers
    # H(sigmoid f) = softplus(f) - f sigmoid(f)
    entropy = softplus(logit) - logit / (1.0 + jnp.exp(-logit))
    return 2.0 * softplus(-side * logit) - bonus * entropy


def wasserstein(outputs: Any, columns: Any, numbers: Any) -> jax.Array:
    """Likewise."""
    del numbers
    return -2.0 * columns[0] * outputs[0]


def softplus(values: jax.Array) -> jax.Array:
    """log(1 + e^x), of operations that a kernel has."""
    return jnp.maximum(values, 0.0) + jnp.log(1.0 + jnp.exp(-jnp.abs(values)))


LOSSES = {"jensen-shannon": jensen_shannon, "wasserstein": wasserstein}
