"""Bytes per seed of one workload: by XLA's memory analysis, and by counting arrays.

    python -m benchmarks.speed.memory '{"workload": "bc", "quick": false}'

The analysis is of the program at two widths: the slope is what one more seed costs, the rest is
shared by all. Demonstrations that all seeds share are in the rest. The count is of what a seed has
to keep: parameters, moments of the optimiser, demonstrations, one rollout.
"""

import json
import math
import sys
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.speed import MARK, loads, workloads
from imitax.bench.programs.program import seed_mesh
from imitax.rl import actor_critic, ppo
from imitax.tasks import rollout
from imitax.tasks.pose import pose

WIDTHS = (8, 24)
WORDS = {
    "moments": ("optimiser", "moments"),
    "parameters": ("params", "weights", "theta", "table", "log_policy"),
    "data": ("data", "expert", "demonstrations", "counts", "past"),
}
"""Which array of a learner's state is what, by the names on the way to it, in this order."""


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Slope, intercept and counted bytes of a workload; one device, all seeds at once."""
    quick = request["quick"]
    workload = workloads.find(request["workload"], quick=quick)
    mesh, widths = seed_mesh(1), (1, 2) if quick else WIDTHS
    needed = [loads.load(workload, width, mesh, width).device_bytes for width in widths]
    slope = (needed[1] - needed[0]) / (widths[1] - widths[0])
    return {
        "workload": workload.name,
        "platform": jax.default_backend(),
        "widths": widths,
        "program_bytes": needed,
        "bytes_per_seed": slope,
        "shared_bytes": needed[0] - slope * widths[0],
        "counted": {} if workload.kind == "ppo" else counted(workload),
    }


def counted(workload: workloads.Workload) -> dict[str, int]:
    """Bytes of a seed's arrays by what they are for, from their shapes alone."""
    env, chosen, capacity = workloads.resolve(workload)
    algorithm, seed = chosen.build(env), jnp.int32(0)

    def begin(seed):
        sizes = (jnp.int32(workload.horizon), jnp.int32(workload.num_demos))
        instance = pose(env, seed, *sizes, capacity, algorithm.demand)
        state = algorithm.init(instance.learner_key, instance.problem)
        return instance.problem.demonstrations, state, _rollout(workload, chosen, instance, state)

    demonstrations, state, played = jax.eval_shape(begin, seed)
    found = {"demonstrations": _bytes(demonstrations), "rollout": _bytes(played)}
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        kind = _kind(jax.tree_util.keystr(path))
        found[kind] = found.get(kind, 0) + _bytes(leaf)
    return found


def _rollout(workload: workloads.Workload, chosen: Any, instance: Any, state: Any) -> Any:
    """What a learner plays in one round, or nothing."""
    config, problem = chosen.config, instance.problem
    env = workloads.resolve(workload)[0]
    if workload.name == "gail":
        actor = actor_critic.actor(env, config.hidden, config.act)
        where = (actor, config, env, problem.params, problem.horizon, state.player)
        return ppo.collect(instance.learner_key, *where)[1]
    if workload.name != "dagger":
        return None
    keys = jax.random.split(instance.learner_key, config.episodes_per_round)
    where = (env, problem.params, problem.expert, problem.horizon, workload.horizon)
    return jax.vmap(lambda key: rollout.rollout(key, *where))(keys)


def _kind(path: str) -> str:
    names = path.replace("[", ".").replace("]", ".").replace("'", "").split(".")
    for kind, words in WORDS.items():
        if any(word in names for word in words):
            return kind
    return "rest"


def _bytes(tree: Any) -> int:
    """Keys count as what they are made of."""
    leaves = jax.tree.leaves(tree)
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)


if __name__ == "__main__":
    print(MARK + json.dumps(measure(json.loads(sys.argv[1]))))
