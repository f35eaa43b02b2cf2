"""Follow the curve y = sin 2x: two coordinates, two continuous actions."""

import jax
import jax.numpy as jnp

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

START_SPREAD = 0.1
"""Standard deviation of the first y, in units of the state."""


@config
class SinePathSettings:
    """Settings of `sine-path`."""

    noise: float = setting(0.02, "standard deviation of the noise of x and of y", low=0.0)
    label_noise: float = labelling()
    subsample: int = subsampling()


class SinePath(ControlFamily):
    """x' = x + a_x + noise w_x, y' = y + a_y + noise w_y; the observation is (x, y).

    The noise acts on both coordinates, independent standard normals; episodes start at (0, 0.1 z)
    with z standard normal, and never terminate. The expert plays (0.2, clip(sin 2x - y, +-0.3)).
    A step earns minus the Euclidean distance between its action and the expert's at the state it
    is taken from, so the expert earns 0. The action, [2], is clipped to +-1 before it moves and
    before it is judged.
    """

    family = "sine-path"
    num_coordinates = 2
    num_controls = 2

    def __init__(self, settings: SinePathSettings | None = None):
        super().__init__(settings or SinePathSettings())

    @property
    def action_limit(self) -> float:
        """More than three times as far as the expert ever goes."""
        return 1.0

    def expert(self, params: ControlParams) -> Policy:
        """One step on and towards the curve."""
        return Policy(jnp.array(controllers.SINE_PATH, jnp.float32), controllers.sine_path)

    def reset_env(self, key: jax.Array, params: ControlParams):
        """Begin at (0, 0.1 z); the observation is the position, float32 [2]."""
        aside = START_SPREAD * jax.random.normal(key, (), jnp.float32)
        position = jnp.stack([jnp.zeros_like(aside), aside])
        return position, PositionState(position=position, time=jnp.int32(0))

    def step_env(self, key: jax.Array, state: PositionState, action, params: ControlParams):
        """One raw transition."""
        action = jnp.clip(action, -self.action_limit, self.action_limit)
        right = self.expert(params)(state.position, state.time).mode()
        reward = weighed(params.reward_weight, -jnp.linalg.norm(action - right))
        noise = params.noise * jax.random.normal(key, (2,), jnp.float32)
        after = PositionState(position=state.position + action + noise, time=state.time + 1)
        discount = jnp.float32(1.0)
        return after.position, after, reward, jnp.bool_(False), {"discount": discount}

    def get_obs(self, state: PositionState, params=None, key=None) -> jax.Array:
        """The position (x, y), float32 [2]."""
        return state.position
