"""What an environment is to everything else: a gymnax environment with instances and an expert."""

from typing import Any, Protocol

import jax

from imitax.core.config import setting
from imitax.core.errors import SpecError
from imitax.core.policies import Policy


class Family(Protocol):
    """An environment family: a gymnax environment that also draws its own instances.

    A user's own is a `gymnax.environments.environment.Environment` with `FamilyDefaults` mixed in,
    which answers whatever is optional here. `key`, `horizon` and `num_demos` are traced, the
    parameters a pytree; everything else is a fact of the instance, read outside a trace.
    """

    family: str
    """Name in specs; part of every key path."""
    spec: str
    """The name and the settings that differ from their defaults."""
    settings: Any
    """A `config` dataclass."""
    source: Any
    """The family in which demonstrations are collected; usually itself."""

    @property
    def name(self) -> str:
        """Of the environment, as gymnax has it."""
        ...

    @property
    def is_tabular(self) -> bool:
        """Whether states are int32 below `num_states` and `params.mdp` is a `TabularMDP`."""
        ...

    @property
    def num_states(self) -> int:
        """Number of states S of a tabular environment."""
        ...

    @property
    def grid_size(self) -> tuple[int, int] | None:
        """Rows and columns where states are the cells of a grid, of which maps are drawn."""
        ...

    @property
    def ending(self) -> str:
        """What an end before the horizon says; see `imitax.envs.endings`."""
        ...

    @property
    def subsample(self) -> int:
        """Every k-th pair of each demonstrated episode is kept."""
        ...

    @property
    def label_noise(self) -> float:
        """Standard deviation of the noise on recorded actions; see `imitax.tasks.rollout.noisy`."""
        ...

    @property
    def shuffles(self) -> bool:
        """Whether demonstrated actions are shuffled; see `imitax.tasks.demonstrations.shuffled`."""
        ...

    @property
    def is_shifted(self) -> bool:
        """Whether demonstrations come from another instance than the learner's."""
        ...

    @property
    def has_expert(self) -> bool:
        """Whether `expert` has an answer."""
        ...

    @property
    def default_params(self) -> Any:
        """Parameters of one instance, as gymnax has them."""
        ...

    @property
    def num_actions(self) -> int:
        """Number of actions, or their length where they are continuous."""
        ...

    def check_grid(self, horizons: tuple[int, ...], num_demos: tuple[int, ...]) -> None:
        """Refuse a sweep that this family has no meaning for; raises `SpecError`."""
        ...

    def sample_params(
        self, key: jax.Array, horizon: jax.Array, num_demos: jax.Array, max_horizon: int
    ) -> Any:
        """Draw the instance of a seed; `max_horizon` is the static size of its tables."""
        ...

    def expert(self, params: Any) -> Policy:
        """The expert of an instance."""
        ...

    def without_reward(self, params: Any) -> Any:
        """What a learner may see of an instance: no reward, no expert."""
        ...

    def action_space(self, params: Any = None) -> Any:
        """A gymnax space."""
        ...

    def observation_space(self, params: Any = None) -> Any:
        """A gymnax space."""
        ...

    def reset_env(self, key: jax.Array, params: Any) -> Any:
        """(observation, state)."""
        ...

    def step_env(self, key: jax.Array, state: Any, action: Any, params: Any) -> Any:
        """(observation, state, reward, terminated, info); nothing is reset."""
        ...

    def get_obs(self, state: Any, params: Any = None, key: Any = None) -> Any:
        """The observation of a state."""
        ...

    def is_terminated(self, state: Any, params: Any) -> jax.Array:
        """Whether an episode has ended by itself."""
        ...


class FamilyDefaults:
    """Mixed into a family: what it says where it does not say otherwise."""

    settings: Any
    says = ""
    """What the environment is there to show, a sentence that figures carry."""
    is_tabular = False
    grid_size: tuple[int, int] | None = None
    ending = "unknown"
    shuffles = False
    has_expert = True

    @property
    def subsample(self) -> int:
        """The setting `subsample`, 1 without one."""
        return getattr(self.settings, "subsample", 1)

    @property
    def label_noise(self) -> float:
        """The setting `label_noise`, 0 without one."""
        return getattr(self.settings, "label_noise", 0.0)

    @property
    def is_shifted(self) -> bool:
        """Whether the setting `shift` asks for it."""
        return getattr(self.settings, "shift", "none") != "none"

    def check_grid(self, horizons: tuple[int, ...], num_demos: tuple[int, ...]) -> None:
        """Every sweep whose episodes are as long as what is kept of them."""
        del num_demos
        check_subsample(self.family, self.subsample, horizons)  # pyright: ignore


def subsampling() -> Any:
    """The setting `subsample`, a field of the settings of every environment family."""
    return setting(1, "keep every k-th pair of each demonstrated episode", low=1)


def check_subsample(family: str, every: int, horizons: tuple[int, ...]) -> None:
    """Refuse to keep every k-th pair of episodes of fewer than k steps; raises `SpecError`."""
    if every > min(horizons):
        raise SpecError(
            f"{family}: subsample={every} is a sub-sampling factor above the episode length "
            f"{min(horizons)}; lower subsample or give horizons of {every} or more"
        )
