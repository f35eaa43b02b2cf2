"""Any registered gymnax environment as a family, with its own reward."""

import dataclasses
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from imitax.core import policies, spec
from imitax.core.config import check_settings, config, setting
from imitax.core.errors import SpecError
from imitax.core.family import FamilyDefaults, subsampling
from imitax.core.policies import Policy
from imitax.envs import endings, fixed_horizon
from imitax.envs.continuous import weighed
from imitax.envs.shifts import SHIFTS, with_length
from imitax.experts import shipped


@config
class GymnaxSettings:
    """Settings of every gymnax id."""

    fixed: bool = setting(False, "never end early: where it would end it freezes, unpaid")
    demos: str = setting(
        "expert",
        "shown: the expert's episodes; random actions; the expert's, its actions shuffled",
        choices=("expert", "random", "shuffled"),
    )
    expert: str = setting(
        "final",
        "snapshot that demonstrates and is compared against, 1 the weakest",
        choices=("final", "1", "2", "3"),
    )
    length: float = setting(0.5, "CartPole-v1: half the pole's length, metres", above=0.0)
    shift: str = setting(
        "none",
        "since the demonstrations; CartPole-v1: pole twice as long, start 3 times as wide; "
        "Pendulum-v1: mass times 1.3, start near the bottom",
        choices=("none", "dynamics", "start", "both"),
    )
    subsample: int = subsampling()


@struct.dataclass(kw_only=True)
class GymnaxParams(environment.EnvParams):
    """Parameters of a gymnax environment, and what a family adds to them."""

    inner: Any
    """The environment's own parameters; its own time limit is not read."""
    reward_weight: jax.Array
    """1; NaN in the parameters that a learner sees, and every reward is multiplied by it."""
    max_steps_in_episode: Any = 1
    """The horizon, int32; it takes the place of the environment's own time limit."""


class GymnaxFamily(FamilyDefaults, environment.Environment):
    """A registered gymnax environment, the same instance for every seed.

    Transitions, termination and rewards are the environment's own; rewards are multiplied by
    `reward_weight`, and an episode is truncated at our horizon. gymnax 1.0.1 keeps its own time
    limits out of termination (`is_truncated` alone reads them), so they play no part. Rewards are
    float32 and observations of a box float32, whatever the environment returns.

    `fixed`: episodes never terminate. After the environment's own termination the state is
    frozen, the observation repeats and nothing is earned, so returns are those of the ordinary
    variant and lengths say nothing. After `AbsorbAfterDoneWrapper` of HumanCompatibleAI/seals,
    which its MountainCar has; seals' CartPole does otherwise, it goes on with its physics and
    pays 1 at each step at which the pole stands.

    `demos` changes demonstrations and nothing else: what a learner asks the expert, and what
    regret is measured against, is the expert. `random` plays uniformly random actions; `shuffled`
    is `imitax.tasks.demonstrations.shuffled`.

    `shift`: demonstrations come from the environment without it; the learner's own environment
    and the evaluation are the shifted one (see `imitax.envs.shifts`). The expert stays the same
    policy, which need not be optimal there, so a learner may beat it.

    Args:
        env_id: the registered id, e.g. `CartPole-v1`; also the family's name.
        settings: see `GymnaxSettings`.
        expert: takes the place of the shipped expert; it observes what `reset_env` returns.

    Raises:
        SpecError: gymnax has no environment of this id, or cannot make it without a network; or
            a setting without meaning for it.
    """

    def __init__(
        self, env_id: str, settings: GymnaxSettings | None = None, expert: Policy | None = None
    ):
        super().__init__()
        if env_id not in gymnax.registered_envs:
            raise spec.unknown("environment", env_id, gymnax.registered_envs)
        settings = settings or GymnaxSettings()
        self.family, self.settings, self._expert = env_id, settings, expert
        self.spec = spec.write(env_id, settings)
        self._check_settings()
        try:
            self.inner, params = gymnax.make(env_id)
        except OSError as error:  # MNISTBandit-bsuite downloads its images
            raise SpecError(f"{env_id}: gymnax cannot make it here: {error}") from error
        self.inner_params: Any = self._changed(params)
        self.shuffles = settings.demos == "shuffled"
        self.source: Any = self._source()
        """The family in which demonstrations are collected, by its expert."""

    def _check_settings(self) -> None:
        settings, name = self.settings, self.family
        check_settings(settings, name)
        if settings.length != GymnaxSettings.length and name != "CartPole-v1":
            raise SpecError(
                f"{name}: length={settings.length} has no meaning here, it is of CartPole-v1's "
                "pole; leave length out"
            )
        if settings.shift != "none" and name not in SHIFTS:
            raise SpecError(
                f"{name}: shift={settings.shift} is not defined for it; leave shift out, or take "
                f"one of {', '.join(SHIFTS)}, gridworld"
            )
        if settings.expert == "final":
            return
        if self._expert is not None:
            raise SpecError(
                f"{name}: expert={settings.expert} is a shipped snapshot, and another expert is "
                "given; leave one of them out"
            )
        shipped.policy(name, settings.expert)

    def _changed(self, params: Any) -> Any:
        """The environment's parameters after `length` and `shift`."""
        if self.settings.length != GymnaxSettings.length:
            params = with_length(params, self.settings.length)
        if self.settings.shift in ("dynamics", "both"):
            params = SHIFTS[self.family].dynamics(params)
        return params

    def _source(self) -> Any:
        settings = dataclasses.replace(self.settings, shift="none")
        if settings.demos == "random":
            settings = dataclasses.replace(settings, demos="expert", expert="final")
            nobody = policies.uniform(self.action_space(), self.family)
            return GymnaxFamily(self.family, settings, nobody)
        if settings == self.settings:
            return self
        return GymnaxFamily(self.family, settings, self._expert)

    @property
    def ending(self) -> str:
        """What an early end says; see `imitax.envs.endings`."""
        return "none" if self.settings.fixed else endings.GYMNAX.get(self.family, "unknown")

    @property
    def has_expert(self) -> bool:
        """Whether `expert` has an answer."""
        return self._expert is not None or self.family in shipped.names()

    def check_grid(self, horizons: tuple[int, ...], num_demos: tuple[int, ...]) -> None:
        """Refuse an environment that nobody can demonstrate; raises `SpecError`."""
        super().check_grid(horizons, num_demos)
        self._find_expert()

    def sample_params(
        self, key: jax.Array, horizon: jax.Array, num_demos: jax.Array, max_horizon: int
    ) -> GymnaxParams:
        """The parameters of every seed, truncated at `horizon`; nothing else is read."""
        del key, num_demos, max_horizon
        return GymnaxParams(
            inner=self.inner_params,
            reward_weight=jnp.float32(1.0),
            max_steps_in_episode=horizon,
        )

    def expert(self, params: GymnaxParams) -> Policy:
        """The given expert, or the shipped one.

        Raises:
            SpecError: there is none.
        """
        return self._find_expert()

    def _find_expert(self) -> Policy:
        if self._expert is not None:
            return self._expert
        return shipped.policy(self.family, self.settings.expert)

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
        """The environment's own, and what `shift` makes of it."""
        obs, state = self.inner.reset_env(key, params.inner)
        if self.settings.shift in ("start", "both"):
            state = SHIFTS[self.family].start(state)
            obs = self.inner.get_obs(state, params=params.inner, key=key)
        obs = self._as_observed(obs)
        return obs, fixed_horizon.begin(obs, state) if self.settings.fixed else state

    def step_env(self, key: jax.Array, state: Any, action, params: GymnaxParams):
        """The environment's own raw transition; the reward is NaN for a learner."""
        own = state.inner if self.settings.fixed else state
        obs, after, reward, terminated, info = self.inner.step_env(key, own, action, params.inner)
        reward = jnp.asarray(reward, jnp.float32).reshape(())
        terminated = jnp.asarray(terminated, bool).reshape(())
        moved = self._as_observed(obs), after, reward, terminated, info
        if self.settings.fixed:
            moved = fixed_horizon.held(state, moved)
        obs, after, reward, terminated, info = moved
        return obs, after, weighed(params.reward_weight, reward), terminated, info

    def _as_observed(self, obs: Any) -> Any:
        is_box = isinstance(self.inner.observation_space(self.inner_params), spaces.Box)
        return jnp.asarray(obs, jnp.float32) if is_box else obs

    def observe(self, key: jax.Array, state: Any, action, params: GymnaxParams):
        """The environment's own."""
        if self.settings.fixed:
            return state.obs
        return self._as_observed(self.inner.observe(key, state, action, params.inner))

    def get_obs(self, state: Any, params: GymnaxParams | None = None, key=None):
        """The environment's own."""
        if self.settings.fixed:
            return state.obs
        obs = self.inner.get_obs(state, params=self._inner_params(params), key=key)
        return self._as_observed(obs)

    def is_terminated(self, state: Any, params: GymnaxParams) -> jax.Array:
        """The environment's own; says nothing of the horizon. Never, where that is fixed."""
        if self.settings.fixed:
            return jnp.bool_(False)
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
        """The environment's own; a box is one of float32."""
        space = self.inner.observation_space(self._inner_params(params))
        if isinstance(space, spaces.Box):
            return spaces.Box(space.low, space.high, space.shape, jnp.float32)
        return space

    def state_space(self, params: GymnaxParams | None = None):
        """The environment's own."""
        return self.inner.state_space(self._inner_params(params))

    def _inner_params(self, params: GymnaxParams | None) -> Any:
        return self.inner_params if params is None else params.inner
