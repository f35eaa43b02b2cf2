"""The nouns that several files share. Shapes: N episodes, T time steps, S states, A actions."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike

from imitax.core.border import check_instance, check_whole
from imitax.core.config import is_concrete
from imitax.core.errors import DataError, SpecError
from imitax.core.policies import Policy


@dataclasses.dataclass(frozen=True)
class Capacity:
    """Sizes of the buffers of a program, static: the largest values a sweep will ask for.

    Raises:
        SpecError: a size that is no whole number from 1 on.
    """

    horizon: int
    num_demos: int

    def __post_init__(self):
        """Check both; they are kept as Python numbers."""
        for name in ("horizon", "num_demos"):
            value = getattr(self, name)
            if not is_concrete(value):
                raise SpecError(f"Capacity: {name} is traced; sizes of buffers are static numbers")
            check_whole("Capacity", name, value)
            object.__setattr__(self, name, int(value))


class Transition(NamedTuple):
    """One step of an environment, before any reset."""

    obs: jax.Array
    action: jax.Array
    reward: jax.Array
    next_obs: jax.Array
    """The observation after the step, also where the episode ended with it."""
    terminated: jax.Array
    """The environment ended by itself."""
    truncated: jax.Array
    """The time limit was reached."""


class Demonstrations(NamedTuple):
    """What the expert showed. There is no reward in it.

    Tabular learners read `counts`; learners with a network read the padded episodes. The half
    that an algorithm does not read is None.
    """

    obs: jax.Array | None
    """[N, T, ...]; rows at and after `length` are padding and mean nothing. T is the capacity's
    horizon, or its `subsample`-th part, rounded up."""
    action: jax.Array | None
    """[N, T] int32 below A, or [N, T, D] float32; as recorded, with the environment's
    `label_noise`."""
    length: jax.Array | None
    """Pairs shown per episode, int32 [N]; zero for episodes beyond `num_episodes`."""
    counts: jax.Array | None
    """How often action a was shown in state s at step t, [T, S, A]."""
    num_episodes: jax.Array
    """Number of episodes shown, int32."""

    def require_counts(self) -> jax.Array:
        """The counts; raises `ValueError` where the problem was posed without them."""
        if self.counts is None:
            raise ValueError("a table learns from counts: pose the problem with its demand")
        return self.counts

    def require_episodes(self) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Observations, actions and lengths; raises `ValueError` where there are counts only."""
        if self.obs is None or self.action is None or self.length is None:
            raise ValueError("there are no episodes here: pose the problem with its demand")
        return self.obs, self.action, self.length


class Demand(NamedTuple):
    """Which demonstrations an algorithm reads. Static."""

    form: str
    """`counts`, `episodes` or `none`."""
    at_most: int | None = None
    """Number of episodes it reads at most; None for all of them."""
    labels: int = 0
    """Number of pairs it reads at most: whole episodes as far as they go, then the beginning of
    one; 0 for all of them."""
    shortest: int = 1
    """Steps that an episode must have to hold anything for it."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Problem:
    """Everything a learner may see of one seed's task."""

    params: Any
    """Environment parameters without reward: dynamics, initial states, features."""
    horizon: jax.Array
    """Number of actions in an episode, int32."""
    num_demos: jax.Array
    """Number of expert-labelled episodes the learner may use, int32."""
    demonstrations: Demonstrations
    expert: Policy
    """The expert, for learners that may query it."""
    source_params: Any
    """As `params`, of the environment that the demonstrations come from; the same without a
    shift."""
    capacity: Capacity = dataclasses.field(metadata={"static": True})
    subsample: int = dataclasses.field(default=1, metadata={"static": True})
    """k, where every k-th pair of each episode was shown."""


class Metrics(NamedTuple):
    """What a learner reports of its last step; scalars. NaN or -1 where it has no meaning.

    A learner names what it has to say, `Metrics(expert_labels=labels)`; `train` makes arrays of the
    defaults. A field becomes a column by a line of `imitax.bench.schema.RESULTS`.
    """

    expert_labels: ArrayLike = 0
    """Actions asked of the expert, demonstrations included, int32."""
    environment_steps: ArrayLike = 0
    """Steps the learner itself took in the environment, int32."""
    moment_gap: ArrayLike = math.nan
    """Euclidean norm of (expert - learner) feature counts divided by the horizon."""
    equilibrium_gap: ArrayLike = math.nan
    """Duality gap of the two-player game, per step of the horizon."""
    gradient_updates: ArrayLike = 0
    """Gradient steps of the policy so far, int32; 0 where it is computed without any."""
    training_loss: ArrayLike = math.nan
    """Mean loss of the fitted policy over all samples that it was trained on, without penalties."""
    held_out_loss: ArrayLike = math.nan
    """The same over the samples that were held out."""
    fit_converged: ArrayLike = -1
    """Whether the fit of the policy is done: 1, or 0 where its loss still fell; int32."""


class Algorithm(NamedTuple):
    """A learner, for one seed: pure functions, to be vmapped from outside.

    `train` runs any of them: `num_steps` calls of `step`, or fewer once `state.converged`, or
    `state.stalled` where a state has it: nothing further to gain, without having converged.
    """

    init: Callable[[jax.Array, Problem], Any]
    """`init(key, problem) -> state`; the state has a boolean field `converged`."""
    step: Callable[[jax.Array, Problem, Any], tuple[Any, Metrics]]
    """`step(key, problem, state) -> (state, metrics)`."""
    policy: Callable[[Problem, Any], Policy]
    """`policy(problem, state) -> Policy`."""
    num_steps: Callable[[Problem], jax.Array]
    """Largest number of calls of `step`, int32."""
    demand: Demand
    knows_dynamics: bool
    """Whether it reads the transition probabilities."""
    reward: Callable[[Problem, Any], jax.Array] | None = None
    """`reward(problem, state) -> [S, A]`, for learners that recover one."""
    conclude: Callable[[Problem, Any, Metrics], Metrics] | None = None
    """`conclude(problem, state, metrics) -> metrics`: what is computed once, after the last step,
    for learners that fit a policy."""
    stride: int = 1
    """Iterations that one call of `step` makes, static: those are what `train` reports."""
    reward_form: str = ""
    """The form of a learned reward that ends of episodes make matter, and what was known of them:
    see `imitax.games.reward_form`. Empty where there is none."""


def check_problem(owner: str, problem: Problem) -> None:
    """Refuse a problem whose numbers and demonstrations contradict each other.

    Shapes are checked always, values where they are concrete.

    Args:
        owner: who asks, for the message.
        problem: from `pose`, or made by hand.

    Raises:
        SpecError: no problem, or a number out of range.
        DataError: demonstrations of shapes that differ, that do not fit the capacity, with lengths
            out of range, or with negative counts.
    """
    remedy = "it is the field `problem` of what imitax.pose returns"
    check_instance(owner, "problem", problem, Problem, remedy)
    capacity, shown = problem.capacity, problem.demonstrations
    check_whole(owner, "problem.horizon", problem.horizon, 1, capacity.horizon)
    check_whole(owner, "problem.num_demos", problem.num_demos, 1, capacity.num_demos)
    check_instance(owner, "problem.demonstrations", shown, Demonstrations, "make one")
    most = capacity.num_demos if shown.obs is None else shown.obs.shape[0]
    name = "demonstrations.num_episodes"
    check_whole(owner, name, shown.num_episodes, 0, most, "there are no more episodes")
    if shown.obs is not None:
        _check_episodes(owner, shown, capacity)
    counts = shown.counts
    if counts is not None and is_concrete(counts) and not np.all(np.asarray(counts) >= 0):
        raise DataError(
            f"{owner}: demonstrations.counts are negative or NaN; give numbers of pairs"
        )


def _check_episodes(owner: str, shown: Demonstrations, capacity: Capacity) -> None:
    obs, action, length = shown.require_episodes()
    sizes = obs.shape[:2], action.shape[:2], (*length.shape, *obs.shape[1:2])
    if len(set(sizes)) > 1 or len(sizes[0]) < 2:
        raise DataError(
            f"{owner}: demonstrations differ in size: obs {list(obs.shape)}, action "
            f"{list(action.shape)}, length {list(length.shape)}; give [N, T, ...], [N, T, ...], [N]"
        )
    (number, steps), most = sizes[0], (capacity.num_demos, capacity.horizon)
    if number > most[0] or steps > most[1]:
        raise DataError(
            f"{owner}: {number} demonstrations of {steps} steps are more than {capacity} holds; "
            "pose the problem with a larger capacity"
        )
    if not is_concrete((length, shown.num_episodes)):
        return
    lengths = np.asarray(length)
    later = np.arange(number) >= np.asarray(shown.num_episodes)
    bad = np.flatnonzero((lengths < 0) | (lengths > np.where(later, 0, steps)))
    if len(bad):
        raise DataError(
            f"{owner}: demonstrations.length[{bad[0]}] is {lengths[bad[0]]}; give 0 to {steps} "
            "steps, and 0 for episodes from num_episodes on"
        )
