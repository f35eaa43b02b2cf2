"""A linear system near the edge of stability: one coordinate, one continuous action, noisy labels.

The smallest system in which an error of cloning is amplified: a learner's gain is the expert's
plus an error, and the deviation from zero is multiplied by rho + gain at each step. Simchowitz,
Pfrommer and Jadbabaie 2025, "The pitfalls of imitation learning when actions are continuous"
(arXiv 2503.09722), have the theory; the instance is ours (theory-2, section 2).
"""

import jax
import jax.numpy as jnp
from flax import struct

from imitax.core.config import config, setting
from imitax.core.errors import SpecError
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

LIMIT = 2.0
"""Largest action, in units of the state."""
BOUND = 1000.0
"""Where the state is held, so that an unstable system stays in float32."""


@config
class LinearSettings:
    """Settings of `linear`."""

    rho: float = setting(0.5, "factor of the state in a step without action", low=0.0, high=2.0)
    gain: float = setting(
        0.45, "the expert plays gain * s; |rho + gain| below 1", low=-3.0, high=1.0
    )
    start: float = setting(0.1, "where every episode begins", above=0.0, high=1.0)
    noise: float = setting(0.0, "standard deviation of a step's noise", low=0.0)
    label_noise: float = labelling(0.05)
    subsample: int = subsampling()


@struct.dataclass(kw_only=True)
class LinearParams(ControlParams):
    """One instance of `linear`."""

    rho: jax.Array
    """Factor of the state in a step without action."""
    start: jax.Array
    """First state, in units of the state."""


class Linear(ControlFamily):
    """s' = rho s + a + noise w, w standard normal, s = start at first; the observation is s, [1].

    A step costs min(1, |s|) of the state s that it is taken from, and earns minus that; a state
    that is not a number costs 1. The expert plays a = gain s: closed, the loop multiplies the state
    by rho + gain. It is not optimal for this cost, so a learner's regret can be negative. Labels
    have noise of deviation `label_noise`; what the expert does has none. `noise` moves the state in
    demonstrations and evaluation alike. Episodes never terminate. The action, [1], is clipped to
    +-2, labels are not, and the state is held within +-1000.
    """

    family = "linear"
    says = "Copies of the expert's gain are noisy: an unstable one leaves its states for good."

    def __init__(self, settings: LinearSettings | None = None):
        super().__init__(settings or LinearSettings())
        own = self.settings
        loop = own.rho + own.gain
        if not abs(loop) < 1.0:
            raise SpecError(
                f"linear: rho={own.rho} and gain={own.gain} give an expert whose closed loop "
                f"multiplies the state by {loop:.6g} and is not stable; give rho + gain between -1 "
                f"and 1, for instance gain={0.95 - own.rho:.6g}"
            )

    @property
    def action_limit(self) -> float:
        """Twice the distance at which the cost no longer grows."""
        return LIMIT

    def sample_params(self, key, horizon, num_demos, max_horizon):
        """The instance of a seed: the same for all of them."""
        del key, num_demos, max_horizon
        return LinearParams(
            noise=jnp.float32(self.settings.noise),
            rho=jnp.float32(self.settings.rho),
            start=jnp.float32(self.settings.start),
            reward_weight=jnp.float32(1.0),
            max_steps_in_episode=horizon,
        )

    def expert(self, params: LinearParams) -> Policy:
        """Proportional control, a = gain * s."""
        return Policy(jnp.float32(-self.settings.gain), controllers.linear)

    def reset_env(self, key: jax.Array, params: LinearParams):
        """Begin at `start`; the observation is the position, float32 [1]."""
        state = PositionState(position=params.start[None], time=jnp.int32(0))
        return state.position, state

    def step_env(self, key: jax.Array, state: PositionState, action, params: LinearParams):
        """One raw transition."""
        action = jnp.clip(jnp.reshape(action, (1,)), -LIMIT, LIMIT)
        away = jnp.abs(state.position[0])
        reward = weighed(params.reward_weight, -jnp.where(away < 1.0, away, 1.0))
        noise = params.noise * jax.random.normal(key, (1,), jnp.float32)
        moved = jnp.clip(params.rho * state.position + action + noise, -BOUND, BOUND)
        after = PositionState(position=moved, time=state.time + 1)
        return after.position, after, reward, jnp.bool_(False), {"discount": jnp.float32(1.0)}

    def get_obs(self, state: PositionState, params=None, key=None) -> jax.Array:
        """The position, float32 [1]."""
        return state.position
