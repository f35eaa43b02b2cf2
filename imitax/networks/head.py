"""A network's outputs read as a policy: categories, points, normals and their mixtures."""

import dataclasses
import math
from typing import Any, cast

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
from imitax.networks.mlp import MLP

LOG_SCALE_LOW, LOG_SCALE_HIGH = -5.0, 2.0
"""Bounds of the log standard deviation of an action."""


def bounded(raw: jax.Array) -> jax.Array:
    """A network's output as a log standard deviation: between its bounds, 0 where the output is 0.

    low + (high - low) sigmoid(raw + log(-low / high)): unlike a clamp, it has a slope everywhere.
    """
    shift = math.log(-LOG_SCALE_LOW / LOG_SCALE_HIGH)
    return LOG_SCALE_LOW + (LOG_SCALE_HIGH - LOG_SCALE_LOW) * jax.nn.sigmoid(raw + shift)


@dataclasses.dataclass(frozen=True)
class Head:
    """A network read as a policy; compares by value, so it may be a static field.

    Its parameters are a dictionary: `params`, the network's and with `free_scale` beside them
    `log_scale`, and with input normalisation `normaliser`, an
    `imitax.networks.normalisation.Normaliser`.
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
    free_scale: bool = False
    """Whether log standard deviations are parameters, one per output."""

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
        """Initial parameters, without a normaliser."""
        weights = self.network.init(key, self.raw_inputs(obs))["params"]
        if self.free_scale:
            weights = {**weights, "log_scale": jnp.zeros(self.network.num_outputs)}
        return {"params": weights}

    def outputs(
        self,
        params: Any,
        inputs: jax.Array,
        key: jax.Array | None = None,
        dropout: jax.Array | float = 0.0,
    ) -> tuple[jax.Array, jax.Array | None]:
        """Outputs of the network at inputs [..., D] or [..., H, W, C], and free log scales or None.

        Args:
            params: from `init`.
            inputs: from `inputs`.
            key: as for `MLP`.
            dropout: as for `MLP`.
        """
        layers = {name: leaf for name, leaf in params["params"].items() if name != "log_scale"}
        outputs = self.network.apply({"params": layers}, inputs, key, dropout)
        log_scale = params["params"].get("log_scale")
        if log_scale is not None:
            log_scale = jnp.clip(log_scale, LOG_SCALE_LOW, LOG_SCALE_HIGH)
        return cast(jax.Array, outputs), log_scale

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
