"""Any registered gymnax environment as a family, with its own reward."""

from typing import Any

import gymnax
import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment

from imitax import spec
from imitax.config import SpecError, config
from imitax.experts import controllers
from imitax.policies import Policy

EXPERTS = {"CartPole-v1": (controllers.CARTPOLE_GAINS, controllers.cartpole)}
"""Parameters and controller of each environment that has an expert."""


@config
class GymnaxSettings:
    """Nothing to set."""


@struct.dataclass(kw_only=True)
class GymnaxParams(environment.EnvParams):
    """Parameters of a gymnax environment, and what a family adds to them."""

    inner: Any
    """The environment's own parameters; its own time limit is not read."""
    reward_weight: jax.Array
    """1; NaN in the parameters that a learner sees, and every reward is multiplied by it."""
    max_steps_in_episode: Any = 1
    """The horizon, int32; it takes the place of the environment's own time limit."""


class GymnaxFamily(environment.Environment):
    """A registered gymnax environment, the same instance for every seed.

    Transitions, termination and rewards are the environment's own; rewards are multiplied by
    `reward_weight`, and an episode is truncated at our horizon.

    Args:
        env_id: the registered id, e.g. `CartPole-v1`; also the family's name.

    Raises:
        SpecError: gymnax has no environment of this id, or cannot make it without a network.
    """

    def __init__(self, env_id: str, settings: GymnaxSettings | None = None):
        super().__init__()
        if env_id not in gymnax.registered_envs:
            raise spec.unknown("environment", env_id, gymnax.registered_envs)
        self.family = self.spec = env_id
        self.settings = settings or GymnaxSettings()
        try:
            self.inner, self.inner_params = gymnax.make(env_id)
        except OSError as error:  # MNISTBandit-bsuite downloads its images
            raise SpecError(f"{env_id}: gymnax cannot make it here: {error}") from error

    @property
    def has_expert(self) -> bool:
        """Whether `expert` has an answer."""
        return self.family in EXPERTS

    def check_grid(self, horizons: tuple[int, ...], num_demos: tuple[int, ...]) -> None:
        """Refuse an environment that nobody can demonstrate; raises `SpecError`."""
        self._require_expert()

    def sample_params(
        self, key: jax.Array, horizon: jax.Array, num_demos: jax.Array, max_horizon: int
    ) -> GymnaxParams:
        """The default parameters, truncated at `horizon`; nothing else is read."""
        del key, num_demos, max_horizon
        return GymnaxParams(
            inner=self.inner_params,
            reward_weight=jnp.float32(1.0),
            max_steps_in_episode=horizon,
        )

    def expert(self, params: GymnaxParams) -> Policy:
        """The controller of this environment.

        Raises:
            SpecError: there is none yet.
        """
        self._require_expert()
        constants, controller = EXPERTS[self.family]
        return Policy(jnp.array(constants, jnp.float32), controller)

    def _require_expert(self) -> None:
        if not self.has_expert:
            raise SpecError(
                f"{self.family}: no expert exists for it yet; gymnax environments with one: "
                f"{', '.join(sorted(EXPERTS))}"
            )

    def without_reward(self, params: GymnaxParams) -> GymnaxParams:
        """What a learner may see of an instance: rewards are NaN."""
        weight = jnp.full_like(params.reward_weight, jnp.nan)
        return params.replace(reward_weight=weight)  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def default_params(self) -> GymnaxParams:
        """The environment's own parameters and time limit."""
        horizon = int(self.inner_params.max_steps_in_episode)
        return self.sample_params(jax.random.key(0), jnp.int32(horizon), jnp.int32(1), horizon)

    def reset_env(self, key: jax.Array, params: GymnaxParams):
        """The environment's own."""
        return self.inner.reset_env(key, params.inner)

    def step_env(self, key: jax.Array, state: Any, action, params: GymnaxParams):
        """The environment's own raw transition; the reward is NaN for a learner."""
        obs, state, reward, terminated, info = self.inner.step_env(key, state, action, params.inner)
        return obs, state, params.reward_weight * reward, terminated, info

    def observe(self, key: jax.Array, state: Any, action, params: GymnaxParams):
        """The environment's own."""
        return self.inner.observe(key, state, action, params.inner)

    def get_obs(self, state: Any, params: GymnaxParams | None = None, key=None):
        """The environment's own."""
        return self.inner.get_obs(state, params=self._inner_params(params), key=key)

    def is_terminated(self, state: Any, params: GymnaxParams) -> jax.Array:
        """The environment's own; says nothing of the horizon."""
        return self.inner.is_terminated(state, params.inner)

    @property
    def name(self) -> str:
        """The registered id."""
        return self.family

    @property
    def num_actions(self) -> int:
        """The environment's own."""
        return self.inner.num_actions

    def action_space(self, params: GymnaxParams | None = None):
        """The environment's own."""
        return self.inner.action_space(self._inner_params(params))

    def observation_space(self, params: GymnaxParams | None = None):
        """The environment's own."""
        return self.inner.observation_space(self._inner_params(params))

    def state_space(self, params: GymnaxParams | None = None):
        """The environment's own."""
        return self.inner.state_space(self._inner_params(params))

    def _inner_params(self, params: GymnaxParams | None) -> Any:
        return self.inner_params if params is None else params.inner
