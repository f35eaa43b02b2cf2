"""Small networks and the policies they make."""

import dataclasses
import math
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from imitax.core.distributions import (
    Categorical,
    Distribution,
    Normal,
    NormalMixture,
    Point,
    Squashed,
    certain,
)
from imitax.numerics.matmul import dot_general
from imitax.numerics.sums import HIGHEST

LOG_SCALE_LOW, LOG_SCALE_HIGH = -5.0, 2.0
"""Bounds of the log standard deviation of a head."""

CONV_CHANNELS, CONV_WIDTH = 16, 3
"""Of the one convolution in front of an image: the network of MinAtar (Young and Tian 2019)."""


class MLP(nn.Module):
    """Fully connected layers with tanh between them; no hidden layer makes it linear."""

    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    num_outputs: int
    free_scale: bool = False
    """Whether to carry one more parameter per output, a log standard deviation."""
    image: bool = False
    """Whether inputs are [..., H, W, C] and pass through a convolution first."""

    @nn.compact
    def __call__(
        self,
        inputs: jax.Array,
        key: jax.Array | None = None,
        dropout: jax.Array | float = 0.0,
    ) -> tuple[jax.Array, jax.Array | None]:
        """Outputs [..., num_outputs] and the log scales [num_outputs] or None.

        Args:
            inputs: [..., D], or [..., H, W, C] with H, W >= 3 for an image.
            key: for dropout; None drops nothing.
            dropout: share of hidden units set to zero, the others divided by the rest (Srivastava
                et al. 2014); drawn anew for each row of the inputs. In [0, 1), may be traced.
        """
        if self.image:
            inputs = self._convolve(inputs)
        # Not orthogonal initialisation: a batched QR inside shard_map hangs on several CPU devices.
        for layer, width in enumerate(self.hidden):
            inputs = nn.tanh(nn.Dense(width, dot_general=dot_general)(inputs))
            if key is not None:
                inputs = drop(jax.random.fold_in(key, layer), inputs, dropout)
        outputs = nn.Dense(self.num_outputs, dot_general=dot_general)(inputs)
        if not self.free_scale:
            return outputs, None
        log_scale = self.param("log_scale", nn.initializers.zeros, (self.num_outputs,))
        return outputs, jnp.clip(log_scale, LOG_SCALE_LOW, LOG_SCALE_HIGH)

    def _convolve(self, inputs: jax.Array) -> jax.Array:
        """A 3 x 3 convolution without padding, relu, flattened: [..., (H-2) (W-2) 16].

        Written as a matrix product over patches: with a network per seed, a convolution becomes a
        grouped one, and took 1.7 times as long on a CPU.
        """
        dense = nn.Dense(CONV_CHANNELS, precision=HIGHEST, name="Conv_0")
        outputs = nn.relu(dense(patches(inputs)))
        return outputs.reshape(*outputs.shape[:-3], -1)


def patches(images: jax.Array) -> jax.Array:
    """What each place of a convolution without padding sees: of [..., H, W, C] the
    [..., H-2, W-2, 9 C].
    """
    height, width = (size - CONV_WIDTH + 1 for size in images.shape[-3:-1])
    shifts = [(row, column) for row in range(CONV_WIDTH) for column in range(CONV_WIDTH)]
    shifted = [images[..., i : i + height, j : j + width, :] for i, j in shifts]
    return jnp.concatenate(shifted, axis=-1)


def drop(key: jax.Array, values: jax.Array, rate: jax.Array | float) -> jax.Array:
    """Each value zero with probability `rate`, else divided by 1 - rate."""
    kept = jax.random.uniform(key, values.shape, values.dtype) >= rate
    return jnp.where(kept, values / (1.0 - rate), 0.0).astype(values.dtype)


def bounded(raw: jax.Array) -> jax.Array:
    """A network's output as a log standard deviation: between its bounds, 0 where the output is 0.

    low + (high - low) sigmoid(raw + log(-low / high)): unlike a clamp, it has a slope everywhere.
    """
    shift = math.log(-LOG_SCALE_LOW / LOG_SCALE_HIGH)
    return LOG_SCALE_LOW + (LOG_SCALE_HIGH - LOG_SCALE_LOW) * jax.nn.sigmoid(raw + shift)


@dataclasses.dataclass(frozen=True)
class Head:
    """A network read as a policy; compares by value, so it may be a static field.

    Its parameters are a dictionary: `params`, the network's, and with input normalisation
    `normaliser`, an `imitax.networks.normalisation.Normaliser`.
    """

    network: MLP
    loss: str
    """What the outputs mean; one of the losses of `imitax.networks.losses`."""
    num_states: int | None
    """One-hot width of an int32 observation; None for numbers."""
    act: str
    """`mode` or `sample`."""
    components: int = 1
    """K of a mixture."""
    bounds: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Lower and upper corner of the action box, D numbers each, where `squashed` needs them."""
    half_widths: tuple[float, ...] | None = None
    """Of the observation box, F numbers, 0 where a coordinate has no bounds; None for all zero."""

    @property
    def num_actions(self) -> int:
        """Of a discrete space; 0 where actions are vectors."""
        return self.network.num_outputs if self.loss == "cross-entropy" else 0

    @property
    def reads_vectors(self) -> bool:
        """Whether observations are vectors of numbers: neither states nor images."""
        return self.num_states is None and not self.network.image

    def raw_inputs(self, obs: jax.Array) -> jax.Array:
        """One observation as the network takes it, before normalisation: [D] or [H, W, C]."""
        if self.num_states is not None:
            return jax.nn.one_hot(obs, self.num_states)
        return (obs if self.network.image else jnp.ravel(obs)).astype(jnp.float32)

    def inputs(self, params: Any, obs: jax.Array) -> jax.Array:
        """The network's input for one observation."""
        inputs = self.raw_inputs(obs)
        return params["normaliser"](inputs) if "normaliser" in params else inputs

    def init(self, key: jax.Array, obs: jax.Array) -> Any:
        """Initial parameters of the network, without a normaliser."""
        return self.network.init(key, self.raw_inputs(obs))

    def outputs(
        self,
        params: Any,
        inputs: jax.Array,
        key: jax.Array | None = None,
        dropout: jax.Array | float = 0.0,
    ) -> tuple[jax.Array, jax.Array | None]:
        """What the network says of inputs [..., D] or [..., H, W, C]; the rest as for `MLP`."""
        weights = {"params": params["params"]}
        return cast(tuple, self.network.apply(weights, inputs, key, dropout))

    def distribution(self, outputs: jax.Array, log_scale: jax.Array | None) -> Distribution:
        """The outputs [..., num_outputs] read as a distribution over actions [...] or [..., D]."""
        if self.loss == "cross-entropy":
            return Categorical(jax.nn.softmax(outputs))
        if self.loss == "mixture":
            return self._mixture(outputs)
        if self.loss not in ("gaussian", "squashed"):
            return Point(outputs)
        if log_scale is None:
            outputs, raw = jnp.split(outputs, 2, axis=-1)
            log_scale = bounded(raw)
        scale = jnp.broadcast_to(jnp.exp(log_scale), outputs.shape)
        if self.loss == "gaussian":
            return Normal(outputs, scale)
        low, high = (jnp.asarray(corner, outputs.dtype) for corner in cast(tuple, self.bounds))
        return Squashed(outputs, scale, low, high)

    def _mixture(self, outputs: jax.Array) -> NormalMixture:
        logits, rest = outputs[..., : self.components], outputs[..., self.components :]
        mean, raw = jnp.split(rest.reshape(*rest.shape[:-1], self.components, -1), 2, axis=-1)
        return NormalMixture(jax.nn.log_softmax(logits), mean, jnp.exp(bounded(raw)))

    def __call__(self, params: Any, obs: jax.Array, time: jax.Array) -> Distribution:
        """The policy's distribution at one observation; the time is not read."""
        del time
        outputs, log_scale = self.outputs(params, self.inputs(params, obs))
        said = self.distribution(outputs, log_scale)
        if self.act == "sample":
            return said
        if isinstance(said, Categorical):
            # Of the outputs: their softmax may round two of them to equals.
            return certain(jnp.argmax(outputs), outputs.shape[-1])
        return Point(said.mode())
