"""Our side of a comparison: one workload, compiled, then run for many seeds.

    python -m benchmarks.peer.ours bc --seeds 256

Ends with one line of JSON: seconds of compilation, of the run after it, and the scores. Every core
is a device of its own; on each, blocks of seeds run in turn. Where a setting differs from the
peer's, `DIFFERENCES` says so and the table repeats it.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

import imitax
from benchmarks.peer import grid, ours_irl, workload
from imitax.bench.programs.program import AXIS, compiler_options, lower, seed_mesh
from imitax.core.distributions import Certain, certain
from imitax.core.keys import seed_keys
from imitax.core.policies import mode_of
from imitax.core.types import Demand, Metrics
from imitax.networks.normalisation import Normaliser
from imitax.rl import actor_critic, ppo
from imitax.tasks import rollout

CLONING = {
    "hidden": workload.HIDDEN,
    "learning_rate": workload.CLONING_RATE,
    "batch_size": workload.BATCH,
    "minibatches": "epochs",
    "normalise": "false",
    "entropy": workload.ENTROPY,
}
PLAYER = workload.PPO | {
    "value_weight": 2.0 * workload.PPO["value_weight"],  # ours is halved
    "hidden": workload.HIDDEN,
    "num_envs": workload.GAIL_ENVS,
    "rollout": workload.GAIL_ROLLOUT,
    "decay": "none",
    "rescale": False,
    "centred": False,
}

ORDER = "minibatches in the order of a pseudo-random bijection"
START = "weights start normal, not orthogonal"
DIFFERENCES = {
    "bc": [ORDER, START],
    "dagger": [ORDER, START],
    "gail": [
        ORDER,
        START,
        "inputs of all networks scaled by fixed statistics, of the demonstrations and one more "
        "round (98 x 1024 steps in all), instead of a running normalisation of the discriminator's",
        "rewards divided by the running deviation of returns",
        "the discriminator draws with replacement, and answers before the policy's update",
    ],
    "ppo": [ORDER],
    "mce-irl": [
        "L-BFGS instead of Adam",
        "occupancies of the horizon's states, without the one after the last action",
    ],
}
DIFFERENCES["bc-prebatched"] = DIFFERENCES["bc"]


class Job(NamedTuple):
    """A workload as a function of the seed."""

    one: Callable[[jax.Array, Any], jax.Array]
    """`one(seed, given) -> result`, traced."""
    given: Any
    """Arrays that all seeds share."""
    block: int
    """Seeds side by side on a device."""
    precision: str
    judge: Callable[[np.ndarray], float] = float
    """A seed's score, from what `one` returned."""


def push_right(params: jax.Array, obs: jax.Array, time: jax.Array) -> Certain:
    """`apply` of the linear controller of CartPole."""
    del time
    return certain((jnp.dot(obs, params) > 0).astype(jnp.int32), 2)


def cartpole(
    build: Callable[[Any], imitax.Algorithm], num_demos: int, block: int, *, shared: bool = True
) -> Job:
    """A learner on CartPole.

    Args:
        build: `env -> algorithm`.
        num_demos: labelled episodes that the learner may use.
        block: see `Job`.
        shared: whether the demonstrations are made once for all seeds, outside the program.
    """
    expert = imitax.Policy(jnp.array(workload.EXPERT_GAIN), push_right)
    env = imitax.environment("CartPole-v1", {"CartPole-v1": expert})
    algorithm = build(env)
    capacity = imitax.Capacity(workload.HORIZON, num_demos)

    def pose(seed):
        demand = algorithm.demand
        return imitax.pose(env, seed, workload.HORIZON, num_demos, capacity, demand)

    def one(seed, given):
        instance, own = given if shared else pose(seed), seed_keys(env.family, seed)
        horizon, labels = jnp.int32(workload.HORIZON), jnp.int32(num_demos)
        problem = dataclasses.replace(instance.problem, horizon=horizon, num_demos=labels)
        trained = imitax.train(own.learner, algorithm, problem)
        policy = imitax.Policy(algorithm.policy(problem, trained.state), mode_of)

        def episode(index):
            key = jax.random.fold_in(own.evaluation, index)
            return rollout.total_reward(key, env, instance.params, policy, horizon)

        return jnp.mean(jax.vmap(episode)(jnp.arange(workload.EVALUATION_EPISODES)))

    given = jax.jit(pose)(workload.DEMO_SEED) if shared else jnp.zeros(())
    return Job(one, given, block, "float32")


def bc_job() -> Job:
    config = imitax.NetworkBCConfig(**CLONING, num_steps=workload.BC_STEPS)
    return cartpole(lambda env: imitax.bc(env, config), workload.NUM_DEMOS, 8)


def dagger_job() -> Job:
    """The expert's own episodes are the first round."""
    config = imitax.NetworkDaggerConfig(
        **CLONING,
        schedule="linear",
        rampdown=workload.DAGGER_RAMPDOWN,
        first_episodes=workload.DAGGER_ENVS,
        episodes_per_round=workload.DAGGER_ENVS,
        first_updates=workload.DAGGER_STEPS,
        updates_per_round=workload.DAGGER_STEPS,
        act="sample",
    )
    num_demos = workload.DAGGER_ROUNDS * workload.DAGGER_ENVS
    return cartpole(lambda env: imitax.dagger(env, config), num_demos, 8, shared=False)


def gail_job() -> Job:
    config = imitax.NetworkGAILConfig(
        **PLAYER | {"rescale": True},
        rounds=workload.GAIL_ROUNDS,
        discriminator_hidden=workload.DISCRIMINATOR_HIDDEN,
        discriminator_rate=workload.DISCRIMINATOR_RATE,
        discriminator_steps=workload.DISCRIMINATOR_STEPS,
        discriminator_batch=workload.DISCRIMINATOR_BATCH,
        discriminator_activation="relu",
        slope="free",
    )
    return cartpole(lambda env: imitax.gail(env, config), workload.NUM_DEMOS, 8)


def ppo_job() -> Job:
    """The policy player of the games alone, on the environment's own reward."""
    settings = ppo.PPOSettings(**PLAYER)

    def build(env: Any) -> imitax.Algorithm:
        actor = actor_critic.actor(env, settings.hidden)
        params, horizon = env.default_params, jnp.int32(workload.HORIZON)

        def init(key, problem):
            del problem
            plain = Normaliser(jnp.zeros(4), jnp.ones(4))
            return Learner(ppo.start(key, actor, settings, env, params, plain), jnp.bool_(False))

        def step(key, problem, state):
            del problem
            keys = jax.random.split(key)
            place = (env, params, horizon)
            player, seen = ppo.collect(keys[0], actor, settings, *place, state.player)
            player = ppo.improve(keys[1], actor, settings, player, seen, seen.reward)
            return Learner(player, state.converged), Metrics()

        def policy(problem, state):
            del problem
            return actor.as_policy(state.player.weights, state.player.scaling)

        rounds = jnp.int32(workload.GAIL_ROUNDS)
        return imitax.Algorithm(init, step, policy, lambda _: rounds, Demand("none"), False)

    return cartpole(build, 1, 8)


class Learner(NamedTuple):
    """A player as an algorithm's state."""

    player: ppo.Player
    converged: jax.Array


def job(name: str) -> Job:
    """The job of a workload's name; `mce-irl-HORIZON` for the tabular ones."""
    if name.startswith("mce-irl-"):
        horizon = int(name.removeprefix("mce-irl-"))
        return Job(*ours_irl.job(horizon), lambda found: grid.gap(found, horizon))
    return JOBS[name]()


JOBS = {
    "bc": bc_job,
    "bc-prebatched": bc_job,
    "dagger": dagger_job,
    "gail": gail_job,
    "ppo": ppo_job,
}


def compiled(job: Job, num_seeds: int) -> tuple[Callable, int]:
    """The program of a job for seeds int32 [width], and its width: seeds in whole blocks."""
    num_devices = jax.device_count()
    step = num_devices * min(job.block, -(-num_seeds // num_devices))
    width = -(-num_seeds // step) * step

    def on_device(seeds, given):
        block = step // num_devices
        return jax.lax.map(lambda seed: job.one(seed, given), seeds, batch_size=block)

    mapped = jax.shard_map(
        on_device,
        mesh=seed_mesh(num_devices),
        in_specs=(P(AXIS), P()),
        out_specs=P(AXIS),
        check_vma=False,
    )
    seeds = jax.ShapeDtypeStruct((width,), jnp.int32)
    lowered = lower(jax.jit(mapped), seeds, job.given)
    return lowered.compile(compiler_options=compiler_options()), width


def measure(name: str, num_seeds: int, block: int | None) -> dict[str, Any]:
    """Compile a workload, run it once, and say what it took."""
    found = job(name)
    found = found._replace(block=block or found.block)
    started = time.perf_counter()
    program, width = compiled(found, num_seeds)
    built, worked = time.perf_counter(), time.process_time()
    results = np.asarray(program(np.arange(width, dtype=np.int32), found.given))
    done = time.perf_counter()
    return {
        "compile_seconds": built - started,
        "seconds": done - built,
        "cpu_seconds": time.process_time() - worked,
        "num_seeds": width,
        "devices": jax.device_count(),
        "block": found.block,
        "precision": found.precision,
        "differences": DIFFERENCES["mce-irl" if name.startswith("mce-irl") else name],
        "scores": [found.judge(result) for result in results],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="one workload of imitax, many seeds at once")
    parser.add_argument("workload")
    parser.add_argument("--seeds", type=int, default=64)
    parser.add_argument("--block", type=int, help="seeds side by side on a device")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", options.workload.startswith("mce-irl"))
    print(json.dumps(measure(options.workload, options.seeds, options.block)), flush=True)


if __name__ == "__main__":
    main()
