"""Pass a disc on one side or the other: two coordinates, one continuous action, a choice.

The expert takes either side with equal probability, so the mean of its actions at the start is
to go straight on, into the disc. Squared error learns that mean; a mixture density does not
(Bishop 1994, "Mixture density networks"). The environment is ours.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment

from imitax.core.config import config, setting
from imitax.core.distributions import Mixture, Normal
from imitax.core.errors import SpecError
from imitax.core.family import subsampling
from imitax.core.policies import Policy
from imitax.envs.continuous import ControlFamily, ControlParams, weighed

SPEED = 0.2
"""Distance along x of every step."""
STEERING = 0.5
"""Distance along y of an action of 1."""
RADIUS = 0.6
"""Of the disc, which lies at (0, 0)."""
START = (-0.75, 0.0)
SPREAD = (0.03, 0.1)
"""Episodes start uniformly within `SPREAD` of `START`."""

UNDECIDED = 0.2
"""Largest |y| at which the expert chooses a side."""
CORRIDOR = 0.8
"""The |y| at which it passes."""
SCALE = 0.05
"""Standard deviation of its actions."""

SHORTEST = 8
"""Steps within which a point that was not stopped has passed."""


@config
class ObstacleSettings:
    """Settings of `obstacle`."""

    noise: float = setting(0.01, "standard deviation of the noise of x and of y", low=0.0)
    subsample: int = subsampling()


@struct.dataclass(kw_only=True)
class ObstacleState(environment.EnvState):
    """Where an episode stands."""

    position: jax.Array
    """(x, y), float32 [2]."""
    passed: jax.Array
    """Whether the reward has been earned, bool."""
    time: Any
    """Actions taken so far, int32."""


def either_side(params: jax.Array, obs: jax.Array, time: jax.Array) -> Mixture:
    """The expert: choose a side where undecided, keep to it elsewhere.

    Where |y| <= 0.2 before the disc's centre, left and right have probability 1/2 each. One step
    later |y| is larger, as long as the noise is small, and its sign is the choice. The mean of
    the action leads to |y| = 0.8, by at most 0.5 a step.

    Args:
        params: standard deviation of the action, scalar.
        obs: (x, y), [2].
        time: not used.

    Returns:
        A mixture of two normals [1], the left one (y > 0) first.
    """
    del time
    x, y = obs

    def towards(side: float) -> Normal:
        mean = jnp.clip((side * CORRIDOR - y) / STEERING, -1.0, 1.0)
        return Normal(mean[None], params[None])

    undecided = (jnp.abs(y) <= UNDECIDED) & (x < 0.0)
    share = jnp.where(undecided, 0.5, jnp.where(y > 0.0, 1.0, 0.0))
    return Mixture(towards(1.0), towards(-1.0), share)


class Obstacle(ControlFamily):
    """x' = x + 0.2 + noise v, y' = y + 0.5 a + noise w; the observation is (x, y).

    v and w are independent and standard normal. A disc of radius 0.6 lies at (0, 0). Episodes
    start uniformly in (-0.75 +- 0.03, +-0.1): a single step straight on ends in the disc, so it is
    the first action that decides. A step that ends in the disc terminates; whoever steps on
    regardless stays where they are. The first step that ends at x >= 0.6, the seventh or with
    noise the eighth, earns 1 and nothing else earns anything: the return is 1 or 0, and its mean
    the success rate. Passing does not end the episode; horizons of about 10 show nothing but the
    pass. The action, [1], is clipped to +-2.
    """

    family = "obstacle"
    ending = "bad"
    num_coordinates = 2
    num_controls = 1

    def __init__(self, settings: ObstacleSettings | None = None):
        super().__init__(settings or ObstacleSettings())

    @property
    def action_limit(self) -> float:
        """Twice as far as the expert steers."""
        return 2.0

    def check_grid(self, horizons: tuple[int, ...], num_demos: tuple[int, ...]) -> None:
        """Refuse horizons in which nobody can pass; raises `SpecError`."""
        super().check_grid(horizons, num_demos)
        if min(horizons) < SHORTEST:
            raise SpecError(
                f"{self.family}: horizon {min(horizons)} is too short to pass the disc, so every "
                f"return would be 0; give horizons of {SHORTEST} or more"
            )

    def expert(self, params: ControlParams) -> Policy:
        """Left or right with equal probability, and past the disc."""
        return Policy(jnp.float32(SCALE), either_side)

    def reset_env(self, key: jax.Array, params: ControlParams):
        """Begin before the disc; the observation is the position, float32 [2]."""
        away = jax.random.uniform(key, (2,), jnp.float32, minval=-1.0)
        position = jnp.array(START, jnp.float32) + jnp.array(SPREAD, jnp.float32) * away
        state = ObstacleState(position=position, passed=jnp.bool_(False), time=jnp.int32(0))
        return position, state

    def step_env(self, key: jax.Array, state: ObstacleState, action, params: ControlParams):
        """One raw transition."""
        action = jnp.clip(jnp.reshape(action, ()), -self.action_limit, self.action_limit)
        noise = params.noise * jax.random.normal(key, (2,), jnp.float32)
        moved = state.position + jnp.stack([jnp.float32(SPEED), STEERING * action]) + noise
        over = self.is_terminated(state, params)
        position = jnp.where(over, state.position, moved).astype(jnp.float32)
        after = ObstacleState(position=position, passed=state.passed, time=state.time + 1)
        terminated = self.is_terminated(after, params)
        passes = (position[0] >= RADIUS) & ~terminated & ~state.passed
        after = after.replace(passed=state.passed | passes)  # pyright: ignore
        reward = weighed(params.reward_weight, passes)
        discount = 1.0 - terminated.astype(jnp.float32)
        return position, after, reward, terminated, {"discount": discount}

    def get_obs(self, state: ObstacleState, params=None, key=None) -> jax.Array:
        """The position (x, y), float32 [2]."""
        return state.position

    def is_terminated(self, state: ObstacleState, params: ControlParams) -> jax.Array:
        """In the disc; a position that is not a number is in it."""
        return ~(jnp.linalg.norm(state.position) > RADIUS)
