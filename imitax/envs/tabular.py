"""The gymnax environment of any tabular MDP, and what an environment family adds to it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from imitax.core.config import check_settings, config, setting
from imitax.core.distributions import inverse_cdf
from imitax.core.family import FamilyDefaults, subsampling
from imitax.core.policies import Policy, check_table, tabular
from imitax.core.spec import write
from imitax.experts.planning import planned
from imitax.tabular import mdp as exact
from imitax.tabular.checks import check_mdp
from imitax.tabular.mdp import TabularMDP


@struct.dataclass(kw_only=True)
class TabularState(environment.EnvState):
    """Where an episode stands."""

    state: jax.Array
    """int32."""
    time: Any
    """Actions taken so far, int32."""


@struct.dataclass(kw_only=True)
class TabularParams(environment.EnvParams):
    """One instance of a tabular family."""

    mdp: TabularMDP
    expert_policy: jax.Array | None
    """[T, S, A] or [S, A]; None in the parameters that a learner sees."""
    max_steps_in_episode: Any = 1
    """The horizon, int32."""


class Planner(NamedTuple):
    """An expert that plans with the true reward of its instance: `imitax.experts.planning`."""

    temperature: Any = None
    """In units of the reward; None for the optimal plan."""


class Drawn(NamedTuple):
    """What an environment itself says of an instance; everything after it is the same for all."""

    mdp: TabularMDP
    expert: jax.Array | Planner
    """Its table, [T, S, A] or [S, A], or how it is planned."""


class TabularFamily(FamilyDefaults, environment.Environment[TabularState, TabularParams]):
    """A family of tabular MDPs: a gymnax environment that also draws its own instances.

    A member of the family is a plain gymnax environment over int32 states. `sample_params` and
    `expert` are called inside the per-seed program, so what depends on the key is data of the
    seed. Subclasses define `instance`.
    """

    family = "tabular"
    """Name in specs; part of every key path."""
    is_tabular = True
    ending = "none"
    """What an early end says; see `imitax.envs.endings`."""
    varies = True
    """Whether instances depend on the seed; where they do not, a batch holds a single one."""

    def __init__(self, settings: Any, num_states: int, num_actions: int):
        super().__init__()
        check_settings(settings, self.family)
        self.settings = settings
        self.spec = write(self.family, settings)
        self.source: Any = self
        """The family in which demonstrations are collected."""
        self.num_states = num_states
        self._num_actions = num_actions

    @classmethod
    def has_soft_expert(cls, settings: Any) -> bool:
        """Whether the expert mixes actions of unequal value, so that regret has either sign.

        Maximum likelihood is then unbiased, and its mean regret says nothing of its error.
        """
        return getattr(settings, "temperature", 0.0) > 0

    def instance(
        self, key: jax.Array, horizon: jax.Array, num_demos: jax.Array, max_horizon: int
    ) -> tuple[TabularMDP, jax.Array | Planner]:
        """Draw an MDP and its expert, a table [T, S, A] or [S, A] or a `Planner`, in
        `working_precision`.
        """
        raise NotImplementedError

    def draw(
        self, key: jax.Array, horizon: jax.Array, num_demos: jax.Array, max_horizon: int
    ) -> Drawn:
        """The part of `sample_params` that is this environment's own; arguments as there."""
        drawn = self.instance(key, horizon, num_demos, max_horizon)
        check_mdp(drawn[0], self.family)
        if not isinstance(drawn[1], Planner):
            check_table(self.family, drawn[1], self.num_states, self._num_actions, max_horizon)
        return Drawn(*jax.tree.map(_in_working_precision, drawn))

    def sample_params(
        self, key: jax.Array, horizon: jax.Array, num_demos: jax.Array, max_horizon: int
    ) -> TabularParams:
        """Draw the instance of a seed.

        Args:
            key: consumed.
            horizon: actions per episode, int32.
            num_demos: expert episodes, int32; only `initial=rajaraman` depends on it.
            max_horizon: rows of the expert's table, static.

        Raises:
            DataError: `instance` returned what is no MDP or no expert of these sizes.
        """
        return params_of(self.draw(key, horizon, num_demos, max_horizon), horizon, max_horizon)

    def expert(self, params: TabularParams) -> Policy:
        """The expert of an instance."""
        if params.expert_policy is None:
            raise ValueError("these parameters are a learner's: the expert stands in its Problem")
        return tabular(params.expert_policy)

    def without_reward(self, params: TabularParams) -> TabularParams:
        """What a learner may see of an instance: no reward, no expert."""
        mdp = params.mdp._replace(step_reward=None, final_reward=None)
        return params.replace(mdp=mdp, expert_policy=None)  # pyright: ignore

    @property
    def default_params(self) -> TabularParams:
        """The instance of seed 0 with 32 steps and 100 demonstrations."""
        return self.sample_params(jax.random.key(0), jnp.int32(32), jnp.int32(100), 32)

    def reset_env(self, key: jax.Array, params: TabularParams):
        """Draw the first state; the observation is the state, int32."""
        uniform = jax.random.uniform(key, ())
        first = inverse_cdf(jnp.cumsum(params.mdp.initial), uniform)
        return first, TabularState(state=first, time=jnp.int32(0))

    def step_env(self, key: jax.Array, state: TabularState, action, params: TabularParams):
        """One transition; the reward is NaN where the parameters carry none."""
        mdp = params.mdp
        column = inverse_cdf(
            jnp.cumsum(mdp.transition[state.state, action]), jax.random.uniform(key, ())
        )
        reward = jnp.float32(jnp.nan)
        if mdp.step_reward is not None:
            horizon = params.max_steps_in_episode
            reward = exact.rewards_at(mdp, state.time, horizon)[state.state, action]
        follower = column if mdp.successor is None else mdp.successor[state.state, action, column]
        after = TabularState(state=follower, time=state.time + 1)
        return follower, after, reward, jnp.bool_(False), {"discount": jnp.float32(1.0)}

    def get_obs(self, state: TabularState, params=None, key=None) -> jax.Array:
        """The state itself, int32."""
        return state.state

    def is_terminated(self, state: TabularState, params: TabularParams) -> jax.Array:
        """Never: an episode ends at its horizon only."""
        return jnp.bool_(False)

    @property
    def name(self) -> str:
        """The family's name."""
        return self.family

    @property
    def num_actions(self) -> int:
        """Number of actions A."""
        return self._num_actions

    def action_space(self, params: TabularParams | None = None) -> spaces.Discrete:
        """A actions."""
        return spaces.Discrete(self._num_actions)

    def observation_space(self, params: TabularParams | None = None) -> spaces.Discrete:
        """S states."""
        return spaces.Discrete(self.num_states)

    def state_space(self, params: TabularParams | None = None) -> spaces.Dict:
        """State and time."""
        return spaces.Dict({"state": spaces.Discrete(self.num_states)})


def params_of(drawn: Drawn, horizon: jax.Array, max_horizon: int) -> TabularParams:
    """The parameters of an instance, its expert's plan made.

    Args:
        drawn: from `TabularFamily.draw`.
        horizon: actions per episode, int32.
        max_horizon: rows of a plan, static.
    """
    policy = drawn.expert
    if isinstance(policy, Planner):
        policy = planned(drawn.mdp, policy.temperature, horizon, max_horizon)
    return TabularParams(mdp=drawn.mdp, expert_policy=policy, max_steps_in_episode=horizon)


@config
class SizeSettings:
    """Settings of `AnyTabular`."""

    num_states: int = setting(2, "states", low=1)
    num_actions: int = setting(2, "actions", low=1)
    subsample: int = subsampling()


class AnyTabular(TabularFamily):
    """Stands for every tabular environment of a size: programs that it is built into serve all.

    It draws nothing; instances are given as `Drawn`. Equal where the sizes are, and whether maps
    are drawn of states.
    """

    def __init__(self, like: TabularFamily):
        sizes = like.num_states, like.num_actions
        every = like.source.subsample
        settings = SizeSettings(num_states=sizes[0], num_actions=sizes[1], subsample=every)
        super().__init__(settings, *sizes)
        if like.grid_size is not None:
            self.grid_size = (like.num_states, 1)  # whatever the rows and columns

    @property
    def default_params(self) -> Any:
        """None: spaces are read without any."""
        return None

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, AnyTabular) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self):
        return self.settings, self.grid_size


def stand_in(env: Any) -> tuple[TabularFamily, AnyTabular] | None:
    """The environment, and what a program is built for in its place; None where it has its own.

    An environment that draws its parameters, or makes its expert of them, in a way of its own is
    no data.
    """
    if not isinstance(env, TabularFamily):
        return None
    is_data = all(
        getattr(kind, name) is getattr(TabularFamily, name)
        for kind in (type(env), type(env.source))
        for name in ("sample_params", "draw", "expert", "without_reward")
    )
    return (env, AnyTabular(env)) if is_data else None


def _in_working_precision(leaf: jax.Array) -> jax.Array:
    """Floats of the working precision, for families that are not ours; integers as they are."""
    leaf = jnp.asarray(leaf)
    is_float = jnp.issubdtype(leaf.dtype, jnp.floating)
    return leaf.astype(working_precision()) if is_float else leaf


def working_precision() -> jnp.dtype:
    """The precision of tables: float32, or float64 with x64 on, from the first number."""
    return jnp.result_type(float)


def one_hot_policy(labels: jax.Array, num_actions: int) -> jax.Array:
    """The table [S, A] of a deterministic policy given by its actions, int32 [S]."""
    return jax.nn.one_hot(labels, num_actions, dtype=working_precision())
