"""One compiled program: every seed, horizon, number of demonstrations and float setting of a pair.

A pair is an environment and the structure of an algorithm's config. `jit(shard_map(vmap(...)))` of
the pure function `experiment` is compiled ahead of time, once; everything that a sweep varies is
an argument, so that nothing is ever traced again. Where a device computes its seeds in blocks, a
`lax.map` over the blocks stands between `shard_map` and `vmap`.
"""

import gc
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from imitax.bench.programs import cache_counts, curves, executables
from imitax.core.family import Family
from imitax.core.types import Algorithm, Capacity, Metrics
from imitax.tasks.evaluate import Outcome, evaluate
from imitax.tasks.experiment import learn
from imitax.tasks.pose import Instance, pose
from imitax.tasks.reward_metrics import RewardMetrics, reward_metrics

AXIS = "seed"

_TRACING = threading.Lock()
"""Programs are traced one after the other, so that the first is not held up by the others."""


class Row(NamedTuple):
    """What one experiment reports; its scalars are the numbers of a row of results."""

    outcome: Outcome
    metrics: Metrics
    reward: RewardMetrics
    """NaN where no reward is recovered."""
    iterations: jax.Array
    """Algorithm steps, int32."""
    converged: jax.Array
    """bool."""


class RewardMap(NamedTuple):
    """Rewards per state, mean over actions, [S]."""

    true: jax.Array
    recovered: jax.Array


class Setup(NamedTuple):
    """What is static in a program."""

    env: Family
    factory: Callable[[Any, Any], Algorithm]
    """`(env, config) -> Algorithm`."""
    capacity: Capacity
    evaluation_episodes: int
    checkpoints: int = 0
    """Points of a learning curve; 0 for none."""


class Output(NamedTuple):
    """What one experiment yields."""

    row: Row
    reward_metrics: RewardMap | None
    """Where the environment is a grid and the learner recovers its reward."""
    curve: curves.Point | None
    """[K] for K checkpoints, where there are any."""


def experiment(
    setup: Setup, seed: jax.Array, horizon: jax.Array, num_demos: jax.Array, config: Any
) -> Output:
    """One seed, start to finish: pose, train, evaluate.

    Args:
        setup: static.
        seed: int32 scalar.
        horizon: int32 scalar, at most the capacity's.
        num_demos: int32 scalar, at most the capacity's.
        config: of the algorithm; its floats may be traced.
    """
    env, capacity = setup.env, setup.capacity
    algorithm = setup.factory(env, config)
    instance = pose(env, seed, horizon, num_demos, capacity, algorithm.demand)
    policy, trained = _learn(setup, instance, algorithm)
    outcome = evaluate(env, instance, policy, num_episodes=setup.evaluation_episodes)
    difference, distance, found = _judge_reward(env, instance, algorithm, trained.state)
    row = Row(
        outcome=outcome,
        metrics=trained.metrics,
        reward=RewardMetrics(difference, distance),
        iterations=trained.num_steps,
        converged=trained.state.converged,
    )
    return Output(row, found, trained.curve)


def _learn(setup: Setup, instance: Instance, algorithm: Algorithm):
    if setup.checkpoints == 0:
        return learn(algorithm, instance)
    num_episodes = min(curves.EPISODES, setup.evaluation_episodes)
    return learn(
        algorithm,
        instance,
        num_checkpoints=setup.checkpoints,
        observe=curves.observer(setup.env, instance, algorithm, num_episodes),
    )


def _judge_reward(env: Family, instance: Instance, algorithm: Algorithm, state: Any):
    """Expected value difference, EPIC distance and, on a grid, both rewards."""
    nothing = jnp.float32(jnp.nan)
    if algorithm.reward is None or not env.is_tabular:
        return nothing, nothing, None
    recovered = algorithm.reward(instance.problem, state)
    difference, distance = reward_metrics(env, instance, recovered)
    if env.grid_size is None:
        return difference, distance, None
    true = jnp.mean(instance.params.mdp.step_reward, axis=-1)
    return difference, distance, RewardMap(true, jnp.mean(recovered, axis=-1))


def seed_mesh(num_devices: int) -> Mesh:
    """A mesh of this process's first devices over the axis of seeds, with automatic axis types."""
    devices = jax.local_devices()[:num_devices]
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def as_arguments(config: Any) -> Any:
    """A config whose floats are arrays of the working precision, so that none is traced anew."""
    dtype = jax.dtypes.canonicalize_dtype(float)
    return jax.tree.map(lambda value: np.asarray(value, dtype), config)


def compiler_options() -> dict[str, str | bool]:
    """XLA options of the harness's programs.

    On a CPU, LLVM's level 2 compiles our programs about twice as fast as the default level 3, and
    they run as fast (measured on the exact suite); vectors of 512 bits, where there are such, train
    small networks faster than the default 256.
    """
    if jax.default_backend() != "cpu":
        return {}
    return {"xla_backend_optimization_level": "2", "xla_cpu_prefer_vector_width": "512"}


class Program:
    """A pair's compiled program.

    Args:
        setup: static parts.
        config: any config of the structure; its floats are not read.
        width: seeds per call, a multiple of the mesh's devices.
        mesh: from `seed_mesh`.
        block: seeds that a device computes at once, a divisor of its share of the width; by
            default all of them.
    """

    def __init__(self, setup: Setup, config: Any, width: int, mesh: Mesh, block: int | None = None):
        self.width = width
        self.block = block or width // mesh.size
        self.num_compilations = 0
        """Traces of the experiment, counted in the traced function itself; none where an earlier
        start's program was found (`imitax.bench.programs.executables`)."""
        started = time.perf_counter()
        scalar = jax.ShapeDtypeStruct((), jnp.int32)
        seeds = jax.ShapeDtypeStruct((width,), jnp.int32)
        arguments = (seeds, scalar, scalar, as_arguments(config))
        structure = jax.tree.structure(config)
        place = executables.place_of(mesh, setup, type(config), str(structure), width, self.block)
        found = executables.load(place, arguments) if place else None
        self.cache = cache_counts.Counts(hits=1)
        if found is None:
            with _TRACING:
                lowered = self._lower(setup, mesh, arguments)
            with cache_counts.counting() as self.cache:
                found = lowered.compile(compiler_options=compiler_options())
        self.compiled = found
        self.compile_seconds = time.perf_counter() - started
        if place and self.num_compilations:
            executables.save(place, found)

    def _lower(self, setup: Setup, mesh: Mesh, arguments: tuple[Any, ...]) -> jax.stages.Lowered:
        def counted(seed, horizon, num_demos, config):
            self.num_compilations += 1
            return experiment(setup, seed, horizon, num_demos, config)

        return lower(sharded(counted, mesh, self.block), *arguments)

    @property
    def bytes_per_device(self) -> int | None:
        """Memory that a call needs on each device, by XLA's analysis; None where it has none."""
        found = self.compiled.memory_analysis()
        if found is None:
            return None
        parts = ("temp", "argument", "output")
        return sum(int(getattr(found, f"{part}_size_in_bytes")) for part in parts)

    def __call__(
        self, first_seed: int, num_seeds: int, horizon: int, num_demos: int, config: Any
    ) -> Output:
        """Dispatch a chunk of seeds; returns at once, with arrays that are still being computed.

        Padding repeats the last seed; cut the result to `num_seeds`.
        """
        offsets = np.minimum(np.arange(self.width), num_seeds - 1)
        seeds = (first_seed + offsets).astype(np.int32)
        return self.compiled(seeds, np.int32(horizon), np.int32(num_demos), as_arguments(config))


def lower(jitted: Any, *arguments: Any) -> jax.stages.Lowered:
    """`jitted.lower(*arguments)`, meanwhile without Python's search for cyclic garbage.

    Tracing allocates so many objects, nearly all to stay, that the search takes a good part of it.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return jitted.lower(*arguments)
    finally:
        if was_enabled:
            gc.enable()


def sharded(function: Callable, mesh: Mesh, block: int) -> Any:
    """A jitted function of many seeds, from one of a seed and arguments that all seeds share.

    Args:
        function: `(seed, horizon, num_demos, config) -> Output`.
        mesh: from `seed_mesh`.
        block: seeds that a device computes at once, a divisor of the seeds that it gets.
    """
    batched = jax.vmap(function, in_axes=(0, None, None, None))

    def in_blocks(seeds, *shared):
        if seeds.shape[0] == block:
            return batched(seeds, *shared)
        outputs = jax.lax.map(lambda own: batched(own, *shared), seeds.reshape(-1, block))
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), outputs)

    mapped = jax.shard_map(
        in_blocks,
        mesh=mesh,
        in_specs=(P(AXIS), P(), P(), P()),
        out_specs=P(AXIS),
        check_vma=False,
    )
    shardings = (NamedSharding(mesh, P(AXIS)), *[NamedSharding(mesh, P())] * 3)
    return jax.jit(mapped, in_shardings=shardings)
