"""Keep to a lane: one coordinate, one continuous action."""

import jax
import jax.numpy as jnp
from flax import struct

from imitax.core.config import config, setting
from imitax.core.family import subsampling
from imitax.core.policies import Policy
from imitax.envs.continuous import (
    ControlFamily,
    ControlParams,
    PositionState,
    labelling,
    weighed,
)
from imitax.experts import controllers

START = 0.05
"""Where every episode begins; in units of the state."""


@config
class LaneSettings:
    """Settings of `lane`."""

    gain: float = setting(0.5, "the expert plays -gain * s", low=0.0, high=2.0)
    noise: float = setting(0.1, "standard deviation of a step's noise", low=0.0)
    width: float = setting(1.0, "half width of the lane", low=START)
    absorbing: bool = setting(True, "whether leaving the lane ends the episode")
    label_noise: float = labelling()
    subsample: int = subsampling()


@struct.dataclass(kw_only=True)
class LaneParams(ControlParams):
    """One instance of `lane`."""

    width: jax.Array
    """Half width of the lane, in units of the state."""


class Lane(ControlFamily):
    """s' = s + a + noise w, w standard normal, s = 0.05 at first; the observation is s, [1].

    A step earns 1 if the state it leads to satisfies |s'| <= width, else 0. With `absorbing` a
    step that leaves the lane terminates; whoever steps on regardless stays where they are and
    earns nothing. Without it the lane can be entered again. The action, [1], is clipped to
    +-2 width. After the toy of theory 1.10, where the reward belongs to s instead of s'.
    """

    family = "lane"

    def __init__(self, settings: LaneSettings | None = None):
        super().__init__(settings or LaneSettings())

    @property
    def ending(self) -> str:
        """Leaving an absorbing lane is bad."""
        return "bad" if self.settings.absorbing else "none"

    @property
    def action_limit(self) -> float:
        """From any place in the lane, every other one can be reached in one step."""
        return 2.0 * self.settings.width

    def sample_params(self, key, horizon, num_demos, max_horizon):
        """The instance of a seed: the same for all of them."""
        del key, num_demos, max_horizon
        return LaneParams(
            noise=jnp.float32(self.settings.noise),
            width=jnp.float32(self.settings.width),
            reward_weight=jnp.float32(1.0),
            max_steps_in_episode=horizon,
        )

    def expert(self, params: LaneParams) -> Policy:
        """Proportional control, a = -gain * s."""
        return Policy(jnp.float32(self.settings.gain), controllers.linear)

    def reset_env(self, key: jax.Array, params: LaneParams):
        """Begin at 0.05; the observation is the position, float32 [1]."""
        state = PositionState(position=jnp.full(1, START, jnp.float32), time=jnp.int32(0))
        return state.position, state

    def step_env(self, key: jax.Array, state: PositionState, action, params: LaneParams):
        """One raw transition."""
        limit = 2.0 * params.width
        action = jnp.clip(jnp.reshape(action, (1,)), -limit, limit)
        moved = state.position + action + params.noise * jax.random.normal(key, (1,), jnp.float32)
        over = self.is_terminated(state, params)
        after = PositionState(
            position=jnp.where(over, state.position, moved).astype(jnp.float32),
            time=state.time + 1,
        )
        inside = jnp.abs(after.position[0]) <= params.width
        reward = weighed(params.reward_weight, inside)
        terminated = self.is_terminated(after, params)
        return (
            after.position,
            after,
            reward,
            terminated,
            {"discount": 1.0 - terminated.astype(jnp.float32)},
        )

    def get_obs(self, state: PositionState, params=None, key=None) -> jax.Array:
        """The position, float32 [1]."""
        return state.position

    def is_terminated(self, state: PositionState, params: LaneParams) -> jax.Array:
        """Out of an absorbing lane; a position that is not a number is out."""
        if not self.settings.absorbing:
            return jnp.bool_(False)
        return ~(jnp.abs(state.position[0]) <= params.width)
