"""Systems with continuous states and actions: what `lane`, `sine-path`, `linear` and `obstacle`
share.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from imitax.core.config import check_settings, setting
from imitax.core.family import FamilyDefaults
from imitax.core.policies import Policy
from imitax.core.spec import write


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


def labelling(deviation: float = 0.0) -> Any:
    """The setting `label_noise` of a family; see `imitax.tasks.rollout.noisy`."""
    return setting(
        deviation,
        "standard deviation of noise on the actions that are recorded of the expert, or asked of "
        "it; nobody acts on it",
        low=0.0,
    )


class ControlFamily(FamilyDefaults, environment.Environment):
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

    def __init__(self, settings: Any):
        super().__init__()
        check_settings(settings, self.family)
        self.settings = settings
        self.spec = write(self.family, settings)
        self.source: Any = self
        """The family in which demonstrations are collected."""

    @property
    def action_limit(self) -> float:
        """Largest absolute value of an action's coordinates, in units of the state."""
        raise NotImplementedError

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


@struct.dataclass(kw_only=True)
class PositionState(environment.EnvState):
    """Where an episode stands."""

    position: jax.Array
    """float32, [1] in `lane` and `linear`, [2] in `sine-path`."""
    time: Any
    """Actions taken so far, int32."""
