"""PPO's gradient steps in one kernel, where `imitax.kernels.api` can: what `imitax.rl.ppo` does
otherwise.

The loss per row, from columns instead of arrays:

    -min(ratio A, clip(ratio) A) + value_weight (V - target)^2 / 2 - entropy H

with the advantages A normalised per minibatch beforehand. Actions are categories.
"""

import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp

from imitax.kernels import api, shapes
from imitax.rl.actor_critic import Actor, Weights

EPS = 1e-5
"""Adam's, as in `imitax.rl.ppo`."""


def fits(actor: Actor, settings: Any, inputs: jax.Array) -> bool:
    """Whether this player's gradient steps can be a kernel here and now."""
    if not api.available() or not actor.discrete or actor.policy.image:
        return False
    is_float = inputs.dtype == jnp.float32
    return is_float and all(shapes.fits(net, settings.batch_size) for net in _widths(actor, inputs))


def _widths(actor: Actor, inputs: jax.Array) -> tuple[tuple[int, ...], ...]:
    nets = (actor.policy, actor.value)
    return tuple((inputs.shape[-1], *net.hidden, net.num_outputs) for net in nets)


def descend(
    actor: Actor,
    settings: Any,
    weights: Weights,
    moments: Any,
    rows: Any,
    rate: jax.Array | float,
) -> tuple[Weights, Any]:
    """All gradient steps of a round.

    Args:
        actor: static networks.
        settings: `imitax.rl.ppo.PPOSettings`.
        weights: before.
        moments: of the optimiser of `imitax.rl.ppo`.
        rows: `imitax.rl.ppo.Batch` of S minibatches of B rows, [S, B, ...].
        rate: Adam step size.

    Returns:
        Weights and moments after the last step.
    """
    widths = _widths(actor, rows.inputs)
    recipe = shapes.Recipe(
        widths, actor.policy.activation, (policy_loss, value_loss), EPS, clips=True
    )
    none, adam = moments
    before = shapes.Moments(_flat(adam.mu), _flat(adam.nu), adam.count)
    gain = rows.advantage - jnp.mean(rows.advantage, axis=1, keepdims=True)
    gain = gain / (jnp.std(rows.advantage, axis=1, keepdims=True) + 1e-8)
    columns = (rows.action.astype(jnp.float32), rows.log_prob, gain, rows.target)
    vector, after = api.descend(
        recipe,
        _flat(weights),
        before,
        shapes.Rows(rows.inputs, columns),
        rate,
        settings.max_gradient,
        (settings.clip, settings.value_weight, settings.entropy),
    )
    tree = functools.partial(_tree, widths, weights.log_scale)
    adam = adam._replace(count=after.count, mu=tree(after.first), nu=tree(after.second))
    return tree(vector), (none, adam)


def _flat(weights: Weights) -> jax.Array:
    return jnp.concatenate([shapes.flat(weights.policy), shapes.flat(weights.value)])


def _tree(widths, log_scale: jax.Array, vector: jax.Array) -> Weights:
    size = shapes.size_of(widths[0])
    policy, value = shapes.unflat(vector[:size], widths[0]), shapes.unflat(vector[size:], widths[1])
    return Weights(policy, log_scale, value)


def policy_loss(logits: Any, columns: Any, numbers: Any) -> jax.Array:
    """Of the policy: see the head of the file and `imitax.kernels.shapes.Recipe.losses`."""
    action, old_log_prob, gain, _ = columns
    clip, _, entropy = numbers
    most = jax.lax.stop_gradient(functools.reduce(jnp.maximum, logits))
    total = functools.reduce(operator.add, [jnp.exp(logit - most) for logit in logits])
    log_probs = [logit - most - jnp.log(total) for logit in logits]
    chosen = [jnp.where(action == i, log_prob, 0.0) for i, log_prob in enumerate(log_probs)]
    ratio = jnp.exp(functools.reduce(operator.add, chosen) - old_log_prob)
    cut = jnp.clip(ratio, 1.0 - clip, 1.0 + clip)
    spread = functools.reduce(operator.add, [jnp.exp(x) * x for x in log_probs])
    return entropy * spread - jnp.minimum(ratio * gain, cut * gain)


def value_loss(outputs: Any, columns: Any, numbers: Any) -> jax.Array:
    """Of the value network, likewise."""
    (value,), target = outputs, columns[3]
    return 0.5 * numbers[1] * (value - target) ** 2
