"""One compiled program: every seed, horizon, number of demonstrations and float setting of a pair.

A pair is an environment and the structure of an algorithm's config. `jit(shard_map(vmap(...)))` of
the pure function `experiment` is compiled ahead of time, once; everything that a sweep varies is
an argument, so that nothing is ever traced again. Where a device computes its seeds in blocks, a
`lax.map` over the blocks stands between `shard_map` and `vmap`.
"""

import functools
import gc
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from imitax.bench.programs import cache_counts, executables, instances
from imitax.bench.programs.experiment import Output, Setup, experiment, experiment_on
from imitax.envs.tabular import stand_in

AXIS = "seed"

_TRACING = threading.Lock()
"""Programs are traced one after the other, so that the first is not held up by the others."""


def seed_mesh(num_devices: int) -> Mesh:
    """A mesh of this process's first devices over the axis of seeds, with automatic axis types."""
    devices = jax.local_devices()[:num_devices]
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def as_arguments(config: Any) -> Any:
    """A config whose floats are arrays of the working precision, so that none is traced anew."""
    dtype = jax.dtypes.canonicalize_dtype(float)
    return jax.tree.map(lambda value: np.asarray(value, dtype), config)


SMALL_TABLE = 64
"""Pairs of state and action up to which XLA's older code generator is used on a CPU."""


def compiler_options(num_pairs: int | None = None) -> dict[str, str | bool]:
    """XLA options of the harness's programs.

    On a CPU, LLVM's level 2 compiles our programs about twice as fast as the default level 3, and
    they run as fast (measured on the exact suite); vectors of 512 bits, where there are such, train
    small networks faster than the default 256. Of small tables the generator before MLIR's makes
    the same bits, as fast to run, in two thirds of the time; of larger ones slower programs
    (benchmarks/throughput.md has the numbers).

    Args:
        num_pairs: S A of a program of tables; None for others.
    """
    if jax.default_backend() != "cpu":
        return {}
    options: dict[str, str | bool] = {
        "xla_backend_optimization_level": "2",
        "xla_cpu_prefer_vector_width": "512",
    }
    if num_pairs is not None and num_pairs <= SMALL_TABLE and _is_known(OLDER_GENERATOR):
        options[OLDER_GENERATOR] = False
    return options


OLDER_GENERATOR = "xla_cpu_use_fusion_emitters"


@functools.cache
def _is_known(option: str) -> bool:
    """Whether this XLA has a boolean option; versions come and go with them."""
    try:
        jax.jit(lambda x: x).lower(0).compile(compiler_options={option: False})
    except jax.errors.JaxRuntimeError:
        return False
    return True


class Made(NamedTuple):
    """A function that was compiled, or found."""

    compiled: jax.stages.Compiled
    num_traces: int
    """Counted in the traced function itself; none where an earlier start's program was found
    (`imitax.bench.programs.executables`)."""
    cache: cache_counts.Counts


class Pool:
    """Programs that several pairs share; each is made once, by whoever asks first."""

    def __init__(self):
        self._lock, self._made = threading.Lock(), {}

    def get(self, key: Hashable, make: Callable[[], Made]) -> tuple[Made, bool]:
        """What was made for the key, and whether it was now."""
        with self._lock:
            is_new = key not in self._made
            future = self._made.setdefault(key, Future())
        if is_new:
            try:
                future.set_result(make())
            except BaseException as error:
                future.set_exception(error)
        return future.result(), is_new


class Program:
    """A pair's compiled program.

    A tabular environment has none of its own: `imitax.bench.programs.instances` draws what the
    program of all environments of its shapes is given.

    Args:
        setup: static parts.
        config: any config of the structure; its floats are not read.
        width: seeds per call, a multiple of the mesh's devices.
        mesh: from `seed_mesh`.
        block: seeds that a device computes at once, a divisor of its share of the width; by
            default all of them.
        pool: of the programs that pairs share.
    """

    def __init__(
        self,
        setup: Setup,
        config: Any,
        width: int,
        mesh: Mesh,
        block: int | None = None,
        pool: Pool | None = None,
    ):
        self.width, self.block = width, block or width // mesh.size
        self.num_compilations, self.cache = 0, cache_counts.Counts()
        """Of the experiment; the drawing of instances is not counted."""
        self._mesh, self._pool = mesh, pool or Pool()
        self._num_pairs: int | None = None
        self._traces = 0
        started = time.perf_counter()
        scalar = jax.ShapeDtypeStruct((), jnp.int32)
        seeds = jax.ShapeDtypeStruct((width,), jnp.int32)
        shared = (scalar, scalar, as_arguments(config))
        self._draw, given = None, (seeds, *shared)
        both = stand_in(setup.env)
        if both is not None:
            (env, other), longest = both, setup.capacity.horizon
            drawing = instances.drawing(env, longest, mesh, AXIS)
            self._draw = self._make((env, longest), drawing, given[:3])
            given = (*jax.eval_shape(drawing, *given[:3]), *shared)
            setup = setup._replace(env=other)
            self._num_pairs = other.num_states * other.num_actions
        run = functools.partial(experiment if both is None else experiment_on, setup)

        def counted(*of_a_seed):
            self._traces += 1
            return run(*of_a_seed)

        jitted = sharded(counted, mesh, self.block, len(given) - 1)
        self.compiled = self._make((setup, type(config), self.block), jitted, given)
        self.compile_seconds = time.perf_counter() - started

    def _make(self, parts: tuple[Any, ...], jitted: Any, given: tuple[Any, ...]) -> Any:
        """The compiled function, from the pool, from an earlier start, or new."""
        leaves, structure = jax.tree.flatten(given)
        shapes = tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
        named = (*parts, str(structure), shapes)
        make = functools.partial(self._made, named, jitted, given)
        made, is_new = self._pool.get((self._mesh, *named), make)
        self.num_compilations = made.num_traces if is_new else 0
        self.cache = made.cache if is_new else cache_counts.Counts()
        return made.compiled

    def _made(self, named: tuple[Any, ...], jitted: Any, given: tuple[Any, ...]) -> Made:
        place = executables.place_of(self._mesh, *named)
        found = executables.load(place, given) if place else None
        if found is not None:
            return Made(found, 0, cache_counts.Counts(hits=1))
        before = self._traces
        with _TRACING:
            lowered = lower(jitted, *given)
        options = compiler_options(self._num_pairs)
        with cache_counts.counting() as cache:
            found = lowered.compile(compiler_options=options)
        if place:
            executables.save(place, found)
        return Made(found, self._traces - before, cache)

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
        """Dispatch seeds; returns at once, with arrays that are still being computed, unless there
        are more than the width.

        Padding repeats the last seed; cut the result to `num_seeds`.
        """
        shared = np.int32(horizon), np.int32(num_demos), as_arguments(config)
        starts = range(0, num_seeds, self.width)
        parts = [self._call(first_seed + at, num_seeds - at, shared) for at in starts]
        return parts[0] if len(parts) == 1 else jax.tree.map(_joined, *parts)

    def _call(self, first_seed: int, num_seeds: int, shared: tuple[Any, ...]) -> Output:
        offsets = np.minimum(np.arange(self.width), num_seeds - 1)
        given: tuple[Any, ...] = ((first_seed + offsets).astype(np.int32),)
        if self._draw is not None:
            given = self._draw(*given, *shared[:2])
        return self.compiled(*given, *shared)


def _joined(*parts: jax.Array) -> np.ndarray:
    return np.concatenate([np.asarray(part) for part in parts])


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


def sharded(function: Callable, mesh: Mesh, block: int, num_shared: int = 3) -> Any:
    """A jitted function of many seeds, from one of a seed and arguments that all seeds share.

    Args:
        function: `(seed, *shared) -> Output`; `seed` is a pytree.
        mesh: from `seed_mesh`.
        block: seeds that a device computes at once, a divisor of the seeds that it gets.
        num_shared: number of shared arguments.
    """
    none = [None] * num_shared
    batched = jax.vmap(function, in_axes=(0, *none))

    def in_blocks(seeds, *shared):
        if jax.tree.leaves(seeds)[0].shape[0] == block:
            return batched(seeds, *shared)
        own = jax.tree.map(lambda leaf: leaf.reshape(-1, block, *leaf.shape[1:]), seeds)
        outputs = jax.lax.map(lambda own: batched(own, *shared), own)
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), outputs)

    mapped = jax.shard_map(
        in_blocks,
        mesh=mesh,
        in_specs=(P(AXIS), *[P()] * num_shared),
        out_specs=P(AXIS),
        check_vma=False,
    )
    shardings = (NamedSharding(mesh, P(AXIS)), *[NamedSharding(mesh, P())] * num_shared)
    return jax.jit(mapped, in_shardings=shardings)
