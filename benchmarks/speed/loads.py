"""A workload as a compiled program of many seeds."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from benchmarks import plain_ppo
from benchmarks.speed.workloads import Workload, resolve
from imitax.bench.programs.experiment import Setup
from imitax.bench.programs.program import AXIS, Program, as_arguments, compiler_options
from imitax.bench.programs.seed_blocks import NETWORK_BLOCK, block_on_cpu
from imitax.core.keys import seed_keys
from imitax.core.train import train
from imitax.networks.settings import head
from imitax.tasks.pose import pose

COMPILING = "/jax/core/compile/backend_compile_duration"
"""JAX's own event; `Program` tells no more than lowering and compilation together."""


@dataclasses.dataclass(frozen=True)
class Load:
    """A compiled program, ready to be called."""

    width: int
    """Seeds of a call, over all devices."""
    block: int
    """Seeds that a device computes at once."""
    call: Callable[[int, int], Any]
    """`call(first_seed, num_seeds)`: arrays still being computed."""
    compiled: jax.stages.Compiled
    lower_seconds: float
    compile_seconds: float
    summary: Callable[[Any, int], dict[str, float]]
    """What the last call found, of its first so many seeds: medians and means."""

    @property
    def device_bytes(self) -> int:
        """Memory of a call on one device, by XLA's analysis."""
        found = self.compiled.memory_analysis()
        parts = ("temp_size", "argument_size", "output_size")
        return sum(int(getattr(found, f"{part}_in_bytes")) for part in parts)


def load(workload: Workload, width: int, mesh: Mesh, block: int) -> Load:
    """Compile a workload.

    Args:
        workload: what.
        width: seeds of a call, a multiple of the mesh's devices.
        mesh: from `imitax.bench.programs.program.seed_mesh`.
        block: seeds that a device computes at once, a divisor of its share of the width.
    """
    if workload.kind == "experiment":
        return _experiment(workload, width, mesh, block)
    make = _training if workload.kind == "training" else _ppo
    return make(workload, width, mesh, block)


def _experiment(workload: Workload, width: int, mesh: Mesh, block: int) -> Load:
    env, chosen, capacity = resolve(workload)
    setup = Setup(env, chosen.factory, capacity, workload.evaluation_episodes)
    backend = _Backend()
    program = Program(setup, chosen.config, width, mesh, block)
    compile_seconds = backend.stop()

    def call(first, number):
        place = (workload.horizon, workload.num_demos)
        return program(first, number, *place, chosen.config).row

    def summary(row, number):
        row = jax.tree.map(lambda leaf: np.asarray(leaf)[:number], row)
        return {
            "median_return": float(np.median(row.outcome.learner_return)),
            "mean_regret": float(np.mean(row.outcome.regret)),
            "finite": float(np.mean(row.outcome.finite)),
            "iterations": float(np.mean(row.iterations)),
            "environment_steps": float(np.mean(row.metrics.environment_steps)),
        }

    return Load(
        width,
        block,
        call,
        program.compiled,
        program.compile_seconds - compile_seconds,
        compile_seconds,
        summary,
    )


def _training(workload: Workload, width: int, mesh: Mesh, block: int) -> Load:
    """The learner alone; seed 0's demonstrations are everybody's."""
    env, chosen, capacity = resolve(workload)
    demand = chosen.build(env).demand
    shown = jax.jit(
        lambda: pose(env, jnp.int32(0), workload.horizon, workload.num_demos, capacity, demand)
    )()
    network = head(chosen.config, env, "bc")

    def one(seed, problem, config):
        algorithm = chosen.build(env, config)
        trained = train(seed_keys(env.family, seed).learner, algorithm, problem)
        return algorithm.policy(problem, trained.state).params

    arguments = (shown.problem, as_arguments(chosen.config))
    compiled, seconds = _compile(one, width, mesh, block, arguments)

    def agreement(params):
        episodes = shown.problem.demonstrations
        obs, action, length = episodes.require_episodes()
        inputs = jax.vmap(jax.vmap(functools.partial(network.inputs, params)))(obs)
        said = jnp.argmax(network.outputs(params, inputs)[0], axis=-1)
        valid = jnp.arange(obs.shape[1]) < length[:, None]
        return jnp.sum((said == action) & valid) / jnp.sum(length)

    def summary(params, number):
        few = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf[: min(number, 16)])), params)
        return {"median_agreement": float(np.median(jax.jit(jax.vmap(agreement))(few)))}

    def call(first, number):
        return compiled(_seeds(first, number, width), *arguments)

    return Load(width, block, call, compiled, *seconds, summary)


def _ppo(workload: Workload, width: int, mesh: Mesh, block: int) -> Load:
    settings = plain_ppo.Settings(workload.environment, int(workload.algorithm))
    learn = plain_ppo.make_train(settings)

    def one(seed):
        return learn(jax.random.fold_in(jax.random.key(0), seed))

    compiled, seconds = _compile(one, width, mesh, block, ())
    steps = settings.num_updates * settings.num_envs * settings.num_steps

    def summary(result, number):
        lengths = np.asarray(result.mean_length)[:number, -10:].mean(axis=1)
        return {"environment_steps": float(steps), "last_mean_length": float(np.median(lengths))}

    def call(first, number):
        return compiled(_seeds(first, number, width))

    return Load(width, block, call, compiled, *seconds, summary)


def _seeds(first: int, number: int, width: int) -> np.ndarray:
    """Padding repeats the last seed, as in the harness."""
    return (first + np.minimum(np.arange(width), number - 1)).astype(np.int32)


def _compile(one: Callable, width: int, mesh: Mesh, block: int, shared: tuple):
    """`shard_map` of a loop over blocks of vmapped seeds; and seconds to lower and to compile."""

    def blocks(seeds, *shared):
        batched = jax.vmap(lambda seed: one(seed, *shared))
        if len(seeds) == block:
            return batched(seeds)
        found = jax.lax.map(batched, seeds.reshape(-1, block))
        return jax.tree.map(lambda leaf: leaf.reshape(len(seeds), *leaf.shape[2:]), found)

    specs = (P(AXIS), *[P()] * len(shared))
    mapped = jax.shard_map(blocks, mesh=mesh, in_specs=specs, out_specs=P(AXIS), check_vma=False)
    shardings = tuple(NamedSharding(mesh, spec) for spec in specs)
    started = time.perf_counter()
    seeds = jax.ShapeDtypeStruct((width,), jnp.int32)
    lowered = jax.jit(mapped, in_shardings=shardings).lower(seeds, *shared)
    between = time.perf_counter()
    compiled = lowered.compile(compiler_options=compiler_options())
    return compiled, (between - started, time.perf_counter() - between)


def wanted_block(workload: Workload) -> int:
    """The harness's own block on a CPU."""
    if workload.kind != "experiment":
        return NETWORK_BLOCK
    env, chosen, capacity = resolve(workload)
    return block_on_cpu(env, chosen.config, capacity)


def divided(width: int, devices: int, block: int) -> int:
    """The largest divisor of a device's share of the seeds that is at most `block`; 0: all."""
    share = width // devices
    return (
        share
        if block == 0
        else next(size for size in range(min(block, share), 0, -1) if share % size == 0)
    )


def rounded_up(number: int, devices: int) -> int:
    """The next multiple of the devices."""
    return math.ceil(number / devices) * devices


class _Backend:
    """The longest compilation by XLA from now until `stop`, in seconds: that of the program."""

    def __init__(self):
        self._seconds, self._open = 0.0, True
        jax.monitoring.register_event_duration_secs_listener(self._note)

    def _note(self, event: str, seconds: float, **_: Any) -> None:
        if self._open and event == COMPILING:
            self._seconds = max(self._seconds, seconds)

    def stop(self) -> float:
        self._open = False
        return self._seconds
