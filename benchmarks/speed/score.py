"""Wall time until the median seed reaches a return, from the start of the process.

    python -m benchmarks.speed.score '{"workload": "bc", "started": 1700000000.0, ...}'

Three programs: begin (draw the task and the learner), advance (some algorithm steps), judge
(evaluate). They alternate until the median return of the seeds is high enough. The steps are those
of `imitax.train`. The parent gives the time at which it started the process, so import, tracing and
compilation count; then everything is done once more with what is compiled by then.
"""

import json
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from benchmarks.speed import MARK, workloads
from imitax.bench.programs.program import AXIS, compiler_options, seed_mesh
from imitax.tasks.evaluate import evaluate
from imitax.tasks.pose import pose

LEGS = 10
"""How often the seeds are judged at most."""


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Seconds to the score, of the whole process and once more compiled.

    Args:
        request: `workload`, `quick`, `seeds`, `target`, `started` (Unix time).
    """
    workload = workloads.find(request["workload"], quick=request["quick"])
    programs, limit = _programs(workload)
    whole = _climb(programs, limit, request)
    seconds = time.time() - request["started"]
    started = time.perf_counter()
    again = _climb(programs, limit, request)
    return {
        "workload": workload.name,
        "seeds": request["seeds"],
        "target": request["target"],
        "reached": whole[0] >= request["target"],
        "median_return": whole[0],
        "steps": whole[1],
        "steps_at_most": limit,
        "seconds_from_start": seconds,
        "seconds_compiled": time.perf_counter() - started,
        "same_again": again == whole,
    }


def _programs(workload: workloads.Workload):
    """Begin, advance and judge, jitted over seeds; and the number of algorithm steps."""
    env, chosen, capacity = workloads.resolve(workload)
    algorithm = chosen.build(env)

    def begin(seed):
        sizes = (workload.horizon, workload.num_demos)
        instance = pose(env, seed, *sizes, capacity, algorithm.demand)
        first = jax.random.fold_in(instance.learner_key, 0)
        return instance, algorithm.init(first, instance.problem)

    def advance(instance, state, start, stop):
        def step(index, state):
            key = jax.random.fold_in(instance.learner_key, index + 1)
            return algorithm.step(key, instance.problem, state)[0]

        return jax.lax.fori_loop(start, stop, step, state)

    def judge(instance, state):
        policy = algorithm.policy(instance.problem, state)
        episodes = max(workload.evaluation_episodes, 1)
        return evaluate(env, instance, policy, num_episodes=episodes).learner_return

    mesh = seed_mesh(len(jax.devices()))
    limit = int(jax.jit(lambda: _limit(workload, env, capacity, algorithm))())
    programs = (_over(mesh, begin, 1), _over(mesh, advance, 2, 2), _over(mesh, judge, 2))
    return programs, limit


def _limit(workload, env, capacity, algorithm):
    sizes = (workload.horizon, workload.num_demos)
    instance = pose(env, jnp.int32(0), *sizes, capacity, algorithm.demand)
    return algorithm.num_steps(instance.problem)


def _over(mesh, function, num_split: int, num_shared: int = 0):
    """`jit(shard_map(vmap(...)))`: the first arguments have an axis of seeds, the others none."""
    axes, specs = (0,) * num_split + (None,) * num_shared, (P(AXIS),) * num_split
    mapped = jax.shard_map(
        jax.vmap(function, in_axes=axes),
        mesh=mesh,
        in_specs=(*specs, *[P()] * num_shared),
        out_specs=P(AXIS),
        check_vma=False,
    )
    return jax.jit(mapped, compiler_options=compiler_options())


def _climb(programs, limit: int, request: dict[str, Any]) -> tuple[float, int]:
    """Train until the median return is high enough; it, and the steps taken."""
    begin, advance, judge = programs
    width = -(-request["seeds"] // len(jax.devices())) * len(jax.devices())
    instance, state = begin(jnp.arange(width, dtype=jnp.int32))
    stops = sorted({-(-limit * leg // LEGS) for leg in range(1, LEGS + 1)})
    done, median = 0, -np.inf
    for stop in stops:
        state = advance(instance, state, jnp.int32(done), jnp.int32(stop))
        median = float(np.median(np.asarray(judge(instance, state))[: request["seeds"]]))
        done = stop
        if median >= request["target"]:
            break
    return median, done


if __name__ == "__main__":
    print(MARK + json.dumps(measure(json.loads(sys.argv[1]))))
