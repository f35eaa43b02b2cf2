"""Small networks and the policies they make."""

import dataclasses
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from imitax.distributions import Categorical, Distribution, Normal, Point

LOG_SCALE_LOW, LOG_SCALE_HIGH = -5.0, 2.0
"""Bounds of the Gaussian head's log standard deviation."""


class MLP(nn.Module):
    """Fully connected layers with tanh between them; no hidden layer makes it linear."""

    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    num_outputs: int
    free_scale: bool = False
    """Whether to carry one more parameter per output, a log standard deviation."""

    @nn.compact
    def __call__(self, inputs: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        """Outputs [..., num_outputs] and the log scales [num_outputs] or None."""
        # Not orthogonal initialisation: a batched QR inside shard_map hangs on several CPU devices.
        for width in self.hidden:
            inputs = nn.tanh(nn.Dense(width, precision="highest")(inputs))
        outputs = nn.Dense(self.num_outputs, precision="highest")(inputs)
        if not self.free_scale:
            return outputs, None
        log_scale = self.param("log_scale", nn.initializers.zeros, (self.num_outputs,))
        return outputs, jnp.clip(log_scale, LOG_SCALE_LOW, LOG_SCALE_HIGH)


@dataclasses.dataclass(frozen=True)
class Head:
    """A network read as a policy; compares by value, so it may be a static field."""

    network: MLP
    loss: str
    """`cross-entropy`, `mse` or `gaussian`: what the outputs mean."""
    num_states: int | None
    """One-hot width of an int32 observation; None for a vector."""
    act: str
    """`mode` or `sample`."""

    def inputs(self, obs: jax.Array) -> jax.Array:
        """The network's input for one observation."""
        if self.num_states is not None:
            return jax.nn.one_hot(obs, self.num_states)
        return jnp.ravel(obs).astype(jnp.float32)

    def init(self, key: jax.Array, obs: jax.Array) -> Any:
        """Initial parameters."""
        return self.network.init(key, self.inputs(obs))

    def outputs(self, params: Any, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Outputs [..., num_outputs] and log scales [num_outputs], zero without a free scale."""
        outputs, log_scale = cast(tuple, self.network.apply(params, inputs))
        return outputs, jnp.zeros(outputs.shape[-1:]) if log_scale is None else log_scale

    def __call__(self, params: Any, obs: jax.Array, time: jax.Array) -> Distribution:
        """The policy's distribution at one observation; the time is not read."""
        del time
        outputs, log_scale = self.outputs(params, self.inputs(obs))
        if self.loss == "cross-entropy":
            probs = jax.nn.softmax(outputs)
            if self.act == "mode":
                probs = jax.nn.one_hot(jnp.argmax(outputs), outputs.shape[-1])
            return Categorical(probs)
        if self.loss == "gaussian" and self.act == "sample":
            return Normal(outputs, jnp.exp(log_scale))
        return Point(outputs)
