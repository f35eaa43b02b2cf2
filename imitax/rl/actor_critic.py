"""A policy network and a value network, read as a policy.

Actions of a box are played as `centre + half_width * z` with z normal, so that networks work in
units of the box whatever it is; the environment clips what falls outside.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

from imitax.core.distributions import Categorical, Distribution, Normal, Point, certain
from imitax.core.family import Family
from imitax.core.policies import Policy
from imitax.networks.mlp import MLP, apply
from imitax.networks.normalisation import Normaliser

LOG_SCALE_LOW, LOG_SCALE_HIGH = -5.0, 1.0
"""Bounds of the log standard deviation of z."""
HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)


class Weights(NamedTuple):
    """All parameters of an actor and its critic; the scaling is never trained."""

    policy: Any
    log_scale: jax.Array
    """Of z, [D]; empty for discrete actions."""
    value: Any


class Outputs(NamedTuple):
    """What the policy network says: logits [..., A], or means of z [..., D] and their spread."""

    values: jax.Array
    log_scale: jax.Array


@dataclasses.dataclass(frozen=True)
class Actor:
    """Static description of both networks and of the spaces; compares by value."""

    policy: MLP
    value: MLP
    num_states: int | None
    """One-hot width of an int32 observation; None otherwise."""
    centre: tuple[float, ...] | None
    """Middle of the action box; None for discrete actions."""
    half_width: tuple[float, ...]
    shape: tuple[int, ...]
    """Of one action."""
    act: str = "mode"
    """`mode` or `sample`: how the finished policy plays."""

    @property
    def discrete(self) -> bool:
        """Whether actions are categories."""
        return self.centre is None

    @property
    def num_actions(self) -> int:
        """Categories, or coordinates."""
        return self.policy.num_outputs

    def encode(self, obs: jax.Array) -> jax.Array:
        """Network inputs of observations [B, ...]: one-hot states, images or vectors, float32."""
        if self.num_states is not None:
            return jax.nn.one_hot(obs, self.num_states)
        if self.policy.image:
            return obs.astype(jnp.float32)
        return obs.reshape(obs.shape[0], -1).astype(jnp.float32)

    def init(self, key: jax.Array, inputs: jax.Array) -> Weights:
        """Fresh weights for encoded inputs [B, ...]."""
        policy_key, value_key = jax.random.split(key)
        num_scales = 0 if self.discrete else self.num_actions
        return Weights(
            self.policy.init(policy_key, inputs),
            jnp.full(num_scales, -0.5),
            self.value.init(value_key, inputs),
        )

    def outputs(self, weights: Weights, inputs: jax.Array) -> Outputs:
        """The policy at scaled inputs [B, ...]."""
        log_scale = jnp.clip(weights.log_scale, LOG_SCALE_LOW, LOG_SCALE_HIGH)
        return Outputs(apply(self.policy, weights.policy, inputs), log_scale)

    def values(self, weights: Weights, inputs: jax.Array) -> jax.Array:
        """Values of scaled inputs [B, ...], [B]."""
        return apply(self.value, weights.value, inputs)[..., 0]

    def log_prob(self, outputs: Outputs, action: jax.Array) -> jax.Array:
        """Of actions as the network has them, int32 [B] or z [B, D]; in nats, [B]."""
        if self.discrete:
            logits = jax.nn.log_softmax(outputs.values)
            chosen = jax.nn.one_hot(action, self.num_actions, dtype=logits.dtype)
            return jnp.sum(logits * chosen, axis=-1)
        error = (action - outputs.values) * jnp.exp(-outputs.log_scale)
        return -jnp.sum(0.5 * error**2 + outputs.log_scale + HALF_LOG_TAU, axis=-1)

    def entropy(self, outputs: Outputs) -> jax.Array:
        """In nats, [B]; of z where actions are continuous."""
        if self.discrete:
            logits = jax.nn.log_softmax(outputs.values)
            return -jnp.sum(jnp.exp(logits) * logits, axis=-1)
        total = jnp.sum(outputs.log_scale + HALF_LOG_TAU + 0.5)
        return jnp.broadcast_to(total, outputs.values.shape[:-1])

    def draw(self, outputs: Outputs, noise: jax.Array) -> jax.Array:
        """Actions as the network has them, from `noise`: see `noise_like`."""
        if self.discrete:
            # The largest of logits plus Gumbel noise is a categorical draw.
            return jnp.argmax(outputs.values + noise, axis=-1).astype(jnp.int32)
        return outputs.values + jnp.exp(outputs.log_scale) * noise

    def noise(self, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """What `draw` needs for a batch of this shape, [*shape, A or D]."""
        kind = jax.random.gumbel if self.discrete else jax.random.normal
        return kind(key, (*shape, self.num_actions))

    def play(self, action: jax.Array) -> jax.Array:
        """The environment's actions for the network's, [B, ...]."""
        if self.discrete:
            return action
        moved = jnp.asarray(self.centre) + jnp.asarray(self.half_width) * action
        return moved.reshape(*action.shape[:-1], *self.shape)

    def read(self, action: jax.Array) -> jax.Array:
        """The network's actions for the environment's, cut to the box: the inverse of `play`."""
        if self.discrete:
            return action.astype(jnp.int32)
        flat = action.reshape(action.shape[0], -1).astype(jnp.float32)
        unit = (flat - jnp.asarray(self.centre)) / jnp.asarray(self.half_width)
        return jnp.clip(unit, -1.0, 1.0)

    def __call__(self, params: Any, obs: jax.Array, time: jax.Array) -> Distribution:
        """`apply` of the finished policy; `params` are policy weights, log scale and scaling."""
        del time
        network, log_scale, scaling = params
        weights = Weights(network, log_scale, None)
        outputs = self.outputs(weights, scaling(self.encode(obs[None])))
        values = outputs.values[0]
        if self.discrete:
            if self.act == "mode":
                return certain(jnp.argmax(values), self.num_actions)
            return Categorical(jax.nn.softmax(values))
        mean = self.play(jnp.clip(values, -1.0, 1.0) if self.act == "mode" else values)
        if self.act == "mode":
            return Point(mean)
        spread = jnp.asarray(self.half_width) * jnp.exp(outputs.log_scale)
        return Normal(mean, spread.reshape(self.shape))

    def as_policy(self, weights: Weights, scaling: Normaliser) -> Policy:
        """The finished policy."""
        return Policy((weights.policy, weights.log_scale, scaling), self)


def actor(env: Family, hidden: tuple[int, ...], act: str = "mode") -> Actor:
    """Networks for the spaces of an environment.

    Args:
        env: a gymnax environment; observations of rank 3 are images.
        hidden: widths of the hidden layers of both networks.
        act: `mode` or `sample`.
    """
    params = env.default_params
    action_space, obs_space = env.action_space(params), env.observation_space(params)
    discrete = isinstance(action_space, spaces.Discrete)
    num_outputs = action_space.n if discrete else math.prod(action_space.shape)
    is_state = isinstance(obs_space, spaces.Discrete)
    image = not is_state and len(obs_space.shape) == 3
    centre, half_width = (None, ()) if discrete else _box(action_space, num_outputs)
    return Actor(
        policy=MLP(hidden, num_outputs, image, last_scale=0.01),
        value=MLP(hidden, 1, image),
        num_states=obs_space.n if is_state else None,
        centre=centre,
        half_width=half_width,
        shape=() if discrete else tuple(action_space.shape),
        act=act,
    )


def _box(space: spaces.Box, size: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    low, high = (np.broadcast_to(np.asarray(x, float), size) for x in (space.low, space.high))
    return tuple((0.5 * (low + high)).tolist()), tuple((0.5 * (high - low)).tolist())
