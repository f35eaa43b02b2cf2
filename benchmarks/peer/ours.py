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
from imitax import actor_critic, ppo, rollout
from imitax.algorithm import blank_metrics
from imitax.bench.program import AXIS, compiler_options, seed_mesh
from imitax.distributions import Categorical
from imitax.keys import seed_keys
from imitax.normalisation import Normaliser
from imitax.policies import mode_of
from imitax.types import Demand

NETWORK = {"hidden": workload.HIDDEN, "learning_rate": workload.CLONING_RATE}
CLONING = NETWORK | {"batch_size": workload.BATCH}
PLAYER = workload.PPO | {
    "value_weight": 2.0 * workload.PPO["value_weight"],  # ours is halved
    "hidden": workload.HIDDEN,
    "num_envs": workload.GAIL_ENVS,
    "rollout": workload.GAIL_ROLLOUT,
}

DIFFERENCES = {
    "bc": ["minibatches with replacement", "no entropy in the loss"],
    "dagger": [
        "minibatches with replacement",
        "no entropy in the loss",
        "one demonstration and one gradient step before the rounds",
        "the expert's share is 1 - r/10 in round r, from 1",
    ],
    "gail": [
        "one more round, which scales the inputs of both networks",
        "gradient penalty of weight 0, computed all the same",
        "tanh in the discriminator",
        "learning rate decays to 0",
        "rewards in units of their returns' running deviation",
        "the discriminator answers before the policy's update",
    ],
    "ppo": ["rewards in units of their returns' running deviation"],
    "mce-irl": [
        "L-BFGS instead of Adam",
        "stops on the norm of the gradient, which bounds the gap",
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


def push_right(params: jax.Array, obs: jax.Array, time: jax.Array) -> Categorical:
    """`apply` of the linear controller of CartPole."""
    del time
    return Categorical(jax.nn.one_hot((jnp.dot(obs, params) > 0).astype(jnp.int32), 2))


def cartpole(build: Callable[[Any], imitax.Algorithm], num_demos: int, block: int) -> Job:
    """A learner on CartPole; the demonstrations are made once, for all seeds.

    Args:
        build: `env -> algorithm`.
        num_demos: labelled episodes that the learner may use.
        block: see `Job`.
    """
    expert = imitax.Policy(jnp.array(workload.EXPERT_GAIN), push_right)
    env = imitax.environment("CartPole-v1", {"CartPole-v1": expert})
    algorithm = build(env)
    capacity = imitax.Capacity(workload.HORIZON, num_demos)
    instance = jax.jit(
        lambda: imitax.pose(
            env, workload.DEMO_SEED, workload.HORIZON, num_demos, capacity, algorithm.demand
        )
    )()

    def one(seed, instance):
        own, problem = seed_keys(env.family, seed), instance.problem
        horizon, labels = jnp.int32(workload.HORIZON), jnp.int32(num_demos)
        problem = dataclasses.replace(problem, horizon=horizon, num_demos=labels)
        trained = imitax.train(own.learner, algorithm, problem)
        policy = imitax.Policy(algorithm.policy(problem, trained.state), mode_of)

        def episode(index):
            key = jax.random.fold_in(own.evaluation, index)
            return rollout.total_reward(key, env, instance.params, policy, horizon)

        return jnp.mean(jax.vmap(episode)(jnp.arange(workload.EVALUATION_EPISODES)))

    return Job(one, instance, block, "float32")


def bc_job() -> Job:
    config = imitax.NetworkBCConfig(**CLONING, num_steps=workload.BC_STEPS)
    return cartpole(lambda env: imitax.bc(env, config), workload.NUM_DEMOS, 16)


def dagger_job() -> Job:
    config = imitax.NetworkDaggerConfig(
        **CLONING,
        schedule="linear",
        episodes_per_round=workload.DAGGER_ENVS,
        updates_per_round=workload.DAGGER_STEPS,
        first_updates=1,
        act="sample",
    )
    num_demos = 1 + workload.DAGGER_ROUNDS * workload.DAGGER_ENVS
    return cartpole(lambda env: imitax.dagger(env, config), num_demos, 16)


def gail_job() -> Job:
    config = imitax.NetworkGAILConfig(
        **PLAYER,
        rounds=workload.GAIL_ROUNDS,
        discriminator_hidden=workload.DISCRIMINATOR_HIDDEN,
        discriminator_rate=workload.DISCRIMINATOR_RATE,
        discriminator_steps=workload.DISCRIMINATOR_STEPS,
        discriminator_batch=workload.DISCRIMINATOR_BATCH,
        penalty=0.0,
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
            return Learner(player, state.converged), blank_metrics()

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
    lowered = jax.jit(mapped).lower(seeds, job.given)
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
