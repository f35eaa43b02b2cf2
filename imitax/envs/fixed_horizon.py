"""Fixed horizons: a state in which an episode that is over stays."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment


@struct.dataclass(kw_only=True)
class FixedState(environment.EnvState):
    """An environment's state, and whether it is over."""

    inner: Any
    """The environment's own state; at the end of the episode, once that is over."""
    obs: jax.Array
    """The last observation."""
    over: jax.Array
    """Whether the environment has terminated, bool."""
    time: Any
    """Actions taken so far, int32; goes on after the end."""


def begin(obs: jax.Array, state: Any) -> FixedState:
    """The state after a reset."""
    return FixedState(inner=state, obs=obs, over=jnp.bool_(False), time=jnp.int32(0))


def held(before: FixedState, moved: tuple) -> tuple:
    """A step that is held where the episode is over.

    Args:
        before: the state that the step was taken from.
        moved: observation, state, reward, terminated and info, as the environment returned them.

    Returns:
        The same, with a `FixedState` and without an end: from the step after the environment's
        termination on the state stays as it is, the last observation repeats and the reward is
        0. `terminated` is always False and the discount 1.
    """
    obs, state, reward, terminated, info = moved
    old, new = (before.obs, before.inner), (obs, state)
    obs, inner = jax.tree.map(lambda x, y: jnp.where(before.over, x, y), old, new)
    after = FixedState(inner=inner, obs=obs, over=before.over | terminated, time=before.time + 1)
    reward = jnp.where(before.over, 0.0, reward)
    return obs, after, reward, jnp.bool_(False), {**info, "discount": jnp.float32(1.0)}
