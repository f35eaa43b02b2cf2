"""What a policy network is trained to make small, per sample and over its weights.

    cross-entropy   -log pi(a|s), finitely many actions
    mse             |a - f(s)|^2, summed over the action's coordinates
    huber           sum of h(a - f(s)); h(e) = e^2 / 2 within the width w, else w (|e| - w / 2)
    gaussian        -log N(a; f(s), diag of squared scales)
    squashed        the same of a normal number behind tanh, on a bounded action box
    mixture         -log sum_k w_k(s) N(a; f_k(s), diag of squared scales) (Bishop 1994)

Huber 1964 for the third. Scales are free parameters, one per coordinate, or outputs of the network;
those of a mixture are always outputs.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from imitax.core.distributions import Normal, NormalMixture, Squashed
from imitax.networks.head import Head

DISCRETE = ("cross-entropy",)
"""Losses for finitely many actions; the first is the default."""
CONTINUOUS = ("mse", "huber", "gaussian", "squashed", "mixture")
"""Losses for actions that are vectors; the first is the default."""
LIKELIHOODS = ("gaussian", "squashed", "mixture")
"""Those that leave a distribution over vectors behind."""


def losses(
    head: Head,
    outputs: jax.Array,
    log_scale: jax.Array | None,
    action: jax.Array,
    huber_width: jax.Array | float = 1.0,
    entropy: jax.Array | float = 0.0,
) -> jax.Array:
    """Loss per sample, [B]; see the head of the file.

    Args:
        head: says which loss.
        outputs: of the network, [B, num_outputs].
        log_scale: of the network, [num_outputs] or None.
        action: integers [B], or [B, ...] with as many coordinates as the head plays.
        huber_width: w of `huber`, in units of the action.
        entropy: weight of the policy's entropy in nats, subtracted from `cross-entropy`.
    """
    if head.loss == "cross-entropy":
        action = action.astype(jnp.int32)
        fit = optax.softmax_cross_entropy_with_integer_labels(outputs, action)
        log_probs = jax.nn.log_softmax(outputs)
        return fit + entropy * jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)
    action = action.reshape(outputs.shape[0], -1)
    said = head.distribution(outputs, log_scale)
    if isinstance(said, Normal | Squashed | NormalMixture):
        return -said.log_prob(action)
    error = outputs - action
    each = error**2 if head.loss == "mse" else optax.huber_loss(error, delta=huber_width)
    return jnp.sum(each, axis=-1)


def weight_penalty(params: Any) -> jax.Array:
    """Half the sum of squared weights; biases and free scales, which are vectors, are left out."""
    weights = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim > 1]
    return 0.5 * sum((jnp.sum(leaf**2) for leaf in weights), jnp.float32(0))
