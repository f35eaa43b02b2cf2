"""Keep to a lane: one coordinate, one continuous action; and what continuous families share."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from imitax.core.config import check_ranges, config, setting
from imitax.core.policies import Policy
from imitax.core.spec import write
from imitax.experts import controllers
from imitax.tasks.demonstrations import check_subsample, subsampling

START = 0.05
"""Where every episode begins; in units of the state."""


@struct.dataclass(kw_only=True)
class ControlParams(environment.EnvParams):
    """One instance of a continuous family."""

    noise: jax.Array
    """Standard deviation of the noise of a step, in units of the state."""
    reward_weight: jax.Array
    """1; NaN in the parameters that a learner sees, and every reward is multiplied by it."""
    max_steps_in_episode: Any = 1
    """The horizon, int32."""


def weighed(weight: jax.Array, reward: jax.Array) -> jax.Array:
    """A reward times `reward_weight`; NaN where that is NaN, whatever the reward.

    The product alone will not do: XLA makes `weight * (x > 0)` a choice between the weight and
    zero, so that a learner could tell which steps earn nothing.
    """
    return jnp.where(jnp.isnan(weight), weight, weight * reward)


class ControlFamily(environment.Environment):
    """A gymnax environment with continuous actions that also brings its instances and its expert.

    Actions are clipped to the action space before they do anything. Subclasses define
    `sample_params`, `expert`, `reset_env`, `step_env`, `get_obs` and the sizes and bounds.
    """

    family = "control"
    """Name in specs; part of every key path."""
    num_coordinates = 1
    """Length of the observation."""
    num_controls = 1
    """Length of the action."""
    ending = "none"
    """What an early end says; see `imitax.envs.endings`."""
    shuffles = False
    """Whether demonstrated actions are shuffled; see `imitax.tasks.demonstrations.shuffled`."""

    def __init__(self, settings: Any):
        super().__init__()
        check_ranges(settings, self.family)
        self.settings = settings
        self.spec = write(self.family, settings)
        self.source: Any = self
        """The family in which demonstrations are collected."""

    @property
    def action_limit(self) -> float:
        """Largest absolute value of an action's coordinates, in units of the state."""
        raise NotImplementedError

    def check_grid(self, horizons: tuple[int, ...], num_demos: tuple[int, ...]) -> None:
        """Refuse a sweep that this family has no meaning for; raises `SpecError`."""
        check_subsample(self.family, self.settings.subsample, horizons)

    def sample_params(
        self, key: jax.Array, horizon: jax.Array, num_demos: jax.Array, max_horizon: int
    ) -> Any:
        """The instance of a seed: the same for all of them.

        Args:
            key: not used.
            horizon: actions per episode, int32.
            num_demos: not used.
            max_horizon: not used.
        """
        del key, num_demos, max_horizon
        return ControlParams(
            noise=jnp.float32(self.settings.noise),
            reward_weight=jnp.float32(1.0),
            max_steps_in_episode=horizon,
        )

    def expert(self, params: Any) -> Policy:
        """The expert of an instance."""
        raise NotImplementedError

    def without_reward(self, params: Any) -> Any:
        """What a learner may see of an instance: rewards are NaN."""
        return params.replace(reward_weight=jnp.full_like(params.reward_weight, jnp.nan))

    @property
    def default_params(self) -> Any:
        """The instance of seed 0 with 32 steps."""
        return self.sample_params(jax.random.key(0), jnp.int32(32), jnp.int32(1), 32)

    def is_terminated(self, state: Any, params: Any) -> jax.Array:
        """Never: an episode ends at its horizon only."""
        return jnp.bool_(False)

    @property
    def name(self) -> str:
        """The family's name."""
        return self.family

    @property
    def num_actions(self) -> int:
        """Length of the action."""
        return self.num_controls

    def action_space(self, params: Any = None) -> spaces.Box:
        """A box around zero."""
        limit = self.action_limit
        return spaces.Box(-limit, limit, (self.num_controls,), jnp.float32)

    def observation_space(self, params: Any = None) -> spaces.Box:
        """All finite numbers."""
        largest = float(jnp.finfo(jnp.float32).max)
        return spaces.Box(-largest, largest, (self.num_coordinates,), jnp.float32)

    def state_space(self, params: Any = None) -> spaces.Dict:
        """The coordinates."""
        return spaces.Dict({"position": self.observation_space(params)})


@config
class LaneSettings:
    """Settings of `lane`."""

    gain: float = setting(0.5, "the expert plays -gain * s", low=0.0, high=2.0)
    noise: float = setting(0.1, "standard deviation of a step's noise", low=0.0)
    width: float = setting(1.0, "half width of the lane", low=START)
    absorbing: bool = setting(True, "whether leaving the lane ends the episode")
    subsample: int = subsampling()


@struct.dataclass(kw_only=True)
class LaneParams(ControlParams):
    """One instance of `lane`."""

    width: jax.Array
    """Half width of the lane, in units of the state."""


@struct.dataclass(kw_only=True)
class PositionState(environment.EnvState):
    """Where an episode stands."""

    position: jax.Array
    """float32, [1] in `lane` and [2] in `sine-path`."""
    time: Any
    """Actions taken so far, int32."""


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
