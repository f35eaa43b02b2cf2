"""The network of every expert in a file: normalised input, tanh layers, one linear layer."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from imitax.core.distributions import Categorical, Distribution, Normal, Point, certain

Array = np.ndarray | jax.Array


class Weights(NamedTuple):
    """float32 parameters of a network with L layers."""

    mean: Array
    """Subtracted from an observation, [D]."""
    scale: Array
    """What is left is divided by it, [D], positive."""
    kernels: tuple[Array, ...]
    """L arrays [inputs, outputs]."""
    biases: tuple[Array, ...]
    """L arrays [outputs]."""
    log_scale: Array
    """Logarithm of the standard deviation of a continuous action, [outputs]; empty otherwise."""


@dataclasses.dataclass(frozen=True)
class Actor:
    """`apply` of an expert's policy; compares by value, so it may be a static field."""

    act: str
    """`mode`: the most probable action, or the mean cut to the box; `sample`: a draw."""
    low: tuple[float, ...] = ()
    """Lower corner of the box of continuous actions [D]; empty for discrete ones."""
    high: tuple[float, ...] = ()
    """Upper corner."""
    angles: bool = False
    """Whether to turn the (cos, sin) pairs of Acrobot's observation back into angles first."""

    def __call__(self, params: Weights, obs: jax.Array, time: jax.Array) -> Distribution:
        """The distribution at one observation; the time is not read."""
        del time
        outputs = forward(params, joint_angles(obs) if self.angles else obs)
        if self.low and self.act == "mode":
            return Point(jnp.clip(outputs, jnp.array(self.low), jnp.array(self.high)))
        if self.low:
            return Normal(outputs, jnp.exp(params.log_scale))
        if self.act == "mode":
            return certain(jnp.argmax(outputs), outputs.shape[-1])
        return Categorical(jax.nn.softmax(outputs))


def forward(weights: Weights, obs: jax.Array) -> jax.Array:
    """The last layer's outputs for one observation of any shape, which is flattened."""
    inputs = (jnp.ravel(obs).astype(jnp.float32) - weights.mean) / weights.scale
    *hidden, last = zip(weights.kernels, weights.biases, strict=True)
    for kernel, bias in hidden:
        inputs = jnp.tanh(jnp.matmul(inputs, kernel, precision="highest") + bias)
    return jnp.matmul(inputs, last[0], precision="highest") + last[1]


def joint_angles(obs: jax.Array) -> jax.Array:
    """Acrobot's (angle, angle, velocity, velocity), in (-pi, pi], from its observation.

    Args:
        obs: (cos 1, sin 1, cos 2, sin 2, velocity 1, velocity 2), [6].
    """
    cos, sin = obs[0:4:2], obs[1:4:2]
    return jnp.concatenate([jnp.arctan2(sin, cos), obs[4:]])
