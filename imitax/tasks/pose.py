"""From a seed to a task: its instance, its expert and its demonstrations, inside the trace."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from imitax.core import keys
from imitax.core.border import LARGEST, check_family, check_instance, check_mesh, check_whole
from imitax.core.config import is_concrete
from imitax.core.family import Family
from imitax.core.policies import Policy, tabulate
from imitax.core.types import Capacity, Demand, Demonstrations, Problem
from imitax.tabular import walks
from imitax.tasks import rollout
from imitax.tasks.demonstrations import (
    check_shortest,
    limited,
    num_whole,
    offsets,
    shuffled,
    subsampled,
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Instance:
    """One seed's task: what the learner sees, and the truth it is judged by."""

    params: Any
    """Environment parameters with reward."""
    expert: Policy
    problem: Problem
    learner_key: jax.Array
    evaluation_key: jax.Array
    valid: Any = True
    """Whether seed, horizon and num_demos are in range, bool; where it is False an `Outcome` is
    NaN."""


def pose(
    env: Family,
    seed: jax.Array | int,
    horizon: jax.Array | int,
    num_demos: jax.Array | int,
    capacity: Capacity,
    demand: Demand,
) -> Instance:
    """Draw the task of a seed.

    Every algorithm of a seed gets the same instance, and the demonstrations of a smaller number
    begin those of a larger one (`initial=rajaraman` apart, whose instance changes with N). They
    are collected in `env.source`: the environment itself, unless its settings say otherwise
    (`shift`, `demos`). Learner, evaluation and the expert that both refer to are those of `env`.

    Numbers out of range are refused where they are concrete. Where they are traced, the instance is
    that of the nearest ones in range, `valid` is False, and `imitax.evaluate` answers with NaN.

    Args:
        env: an environment family, from `imitax.make`.
        seed: int32 scalar from 0 on.
        horizon: actions per episode, int32, from 1 to `capacity.horizon`.
        num_demos: expert-labelled episodes, int32, from 1 to `capacity.num_demos`.
        capacity: buffer sizes, static.
        demand: what the algorithm reads, static: `algorithm.demand`.

    Returns:
        An `Instance`.

    Raises:
        SpecError: a number that is not whole or out of range; no family, capacity or demand; seeds
            on a mesh with explicit axes, across which JAX batches no loop; or episodes too short
            for the algorithm, where their length is known: within a trace it is the capacity's
            horizon at most.
    """
    _check(env, seed, horizon, num_demos, capacity, demand)
    steps = int(horizon) if is_concrete(horizon) else capacity.horizon
    check_shortest("pose", demand, steps)
    own = keys.seed_keys(env.family, seed)
    valid = _in_range(seed, horizon, num_demos, capacity)
    sizes = _clamped(horizon, capacity.horizon), _clamped(num_demos, capacity.num_demos)
    params = env.sample_params(own.instance, *sizes, capacity.horizon)
    shown_in = None
    if env.source is not env:
        shown_in = env.source.sample_params(own.instance, *sizes, capacity.horizon)
    return posed(own, env, params, shown_in, *sizes, capacity, demand, valid)


def posed(
    own: keys.Keys,
    env: Family,
    params: Any,
    shown_in: Any,
    horizon: jax.Array,
    num_demos: jax.Array,
    capacity: Capacity,
    demand: Demand,
    valid: jax.Array | bool = True,
) -> Instance:
    """The task of a seed whose instance is drawn: see `pose`.

    Args:
        own: the seed's keys.
        env: an environment family, or what stands for it.
        params: of the instance.
        shown_in: of the instance that demonstrations are collected in; None for the same.
        horizon: as for `pose`, as are the others.
        num_demos: likewise.
        capacity: likewise.
        demand: likewise.
        valid: whether seed, horizon and num_demos are in range.
    """
    expert = env.expert(params)
    source, shown_by = env.source, expert
    if shown_in is None:
        shown_in = params
    else:
        shown_by = source.expert(shown_in)
    demonstrations = demonstrate(
        own.demonstrations, source, shown_in, shown_by, horizon, num_demos, capacity, demand
    )
    problem = Problem(
        params=env.without_reward(params),
        horizon=horizon,
        num_demos=num_demos,
        demonstrations=demonstrations,
        expert=expert,
        source_params=source.without_reward(shown_in),
        capacity=capacity,
        subsample=source.subsample,
    )
    return Instance(params, expert, problem, own.learner, own.evaluation, valid)


def _check(env, seed, horizon, num_demos, capacity, demand) -> None:
    check_family("pose", env)
    check_instance("pose", "capacity", capacity, Capacity, "give imitax.Capacity(64, 100)")
    check_instance("pose", "demand", demand, Demand, "give algorithm.demand")
    check_whole("pose", "seed", seed, 0)
    larger = f"more needs a larger capacity than {capacity}"
    check_whole("pose", "horizon", horizon, 1, capacity.horizon, larger)
    check_whole("pose", "num_demos", num_demos, 1, capacity.num_demos, larger)
    check_mesh("pose", seed)


def _in_range(seed, horizon, num_demos, capacity) -> jax.Array:
    """Whether all three are in range; what is concrete has been checked."""
    valid = jnp.bool_(True)
    ranges = (
        (seed, 0, LARGEST),
        (horizon, 1, capacity.horizon),
        (num_demos, 1, capacity.num_demos),
    )
    for value, low, high in ranges:
        if not is_concrete(value):
            value = _widened(value)
            valid = valid & (low <= value) & (value <= high)
    return valid


def _widened(value: Any) -> jax.Array:
    """A traced integer as one of at least 32 bits, which can be compared with any int32."""
    return value if value.dtype.itemsize >= 4 else value.astype(jnp.int32)


def _clamped(value: jax.Array | int, high: int) -> jax.Array:
    """The number as int32, a traced one no larger than `high` and no smaller than 1."""
    if is_concrete(value):
        return jnp.int32(value)
    return jnp.clip(_widened(value), 1, high).astype(jnp.int32)


def demonstrate(
    key: jax.Array,
    env: Family,
    params: Any,
    expert: Policy,
    horizon: jax.Array,
    num_demos: jax.Array,
    capacity: Capacity,
    demand: Demand,
) -> Demonstrations:
    """Collect what `demand` asks for; see `pose` for the arguments."""
    limit = capacity.num_demos if demand.at_most is None else demand.at_most
    num_rows = min(limit, capacity.num_demos)
    num_episodes = jnp.minimum(num_demos, num_rows)
    if demand.form == "none":
        return Demonstrations(None, None, None, None, jnp.zeros_like(num_episodes))
    if env.is_tabular:
        return _tabular(key, env, params, expert, horizon, num_episodes, capacity, demand, num_rows)

    def run(index):
        episode_key = jax.random.fold_in(key, index)
        return rollout.rollout(episode_key, env, params, expert, horizon, capacity.horizon)

    episodes = jax.vmap(run)(jnp.arange(num_rows))
    length = jnp.where(jnp.arange(num_rows) < num_episodes, episodes.length, 0)
    shown = Demonstrations(episodes.obs, episodes.label, length, None, num_episodes)
    shown = shuffled(key, shown) if env.shuffles else shown
    return limited(subsampled(key, shown, env.subsample), demand.labels)


def _tabular(key, env, params, expert, horizon, num_episodes, capacity, demand, num_rows):
    acting = tabulate(expert, env.num_states, capacity.horizon)
    walker, every = walks.walkers(params.mdp), env.subsample
    if demand.form == "counts":
        first = None if every == 1 else _first_steps(key, horizon, num_rows, every)
        if demand.labels:
            num_episodes = jnp.minimum(num_episodes, num_whole(demand.labels, horizon))
        counts = walks.count(
            key,
            walker,
            acting,
            horizon,
            num_episodes,
            capacity.horizon,
            every=every,
            first=first,
            labels=demand.labels,
        )
        return Demonstrations(None, None, None, counts, num_episodes)
    shape = (num_rows, capacity.horizon)
    states, actions = walks.record(key, walker, acting, horizon, num_episodes, shape)
    length = jnp.where(jnp.arange(num_rows) < num_episodes, horizon, 0)
    shown = Demonstrations(states, actions, length, None, num_episodes)
    return limited(subsampled(key, shown, every), demand.labels)


def _first_steps(key, horizon, num_rows, every):
    """The offsets of whole blocks of episodes."""
    padded = -(-num_rows // walks.BLOCK) * walks.BLOCK
    return offsets(key, jnp.broadcast_to(horizon, (padded,)), every)
