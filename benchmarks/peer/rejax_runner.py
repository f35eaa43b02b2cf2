"""The pure-JAX peer `rejax`: PPO on CartPole's own reward; runs in its own environment.

    python -m benchmarks.peer.rejax_runner ppo --seeds 0 1 2 3

The same protocol as `benchmarks.peer.imitation_runner`, but the seeds of a process are one program,
`jit(vmap(train))`, compiled before `ready`. Where rejax differs: gradients are clipped by element,
values are clipped, and the time limit counts as an end.
"""

import argparse
import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from rejax import PPO
from rejax.evaluate import evaluate

from benchmarks.peer import workload


def score(algorithm, state, key):
    """Mean return over the evaluation episodes, most probable actions."""

    def act(obs, key):
        del key
        params, rows = state.actor_ts.params, obs[None]
        return algorithm.actor.apply(params, rows, method="_action_dist").mode()[0]

    episodes, limit = workload.EVALUATION_EPISODES, workload.HORIZON
    env, params = algorithm.env, algorithm.env_params
    return evaluate(act, key, env, params, episodes, limit)[1].mean()


def learner() -> PPO:
    settings = workload.PPO
    steps = workload.GAIL_ENVS * workload.GAIL_ROLLOUT
    algorithm = PPO.create(
        env="CartPole-v1",
        agent_kwargs={"activation": "tanh", "hidden_layer_sizes": workload.HIDDEN},
        num_envs=workload.GAIL_ENVS,
        num_steps=workload.GAIL_ROLLOUT,
        num_epochs=settings["epochs"],
        num_minibatches=steps // settings["batch_size"],
        learning_rate=settings["learning_rate"],
        gamma=settings["discount"],
        gae_lambda=settings["trace_decay"],
        clip_eps=settings["clip"],
        ent_coef=settings["entropy"],
        vf_coef=2.0 * settings["value_weight"],  # theirs is halved
        max_grad_norm=settings["max_gradient"],
        total_timesteps=workload.GAIL_STEPS,
        eval_freq=workload.GAIL_STEPS,
        skip_initial_evaluation=True,
    )
    return algorithm.replace(eval_callback=score)


def main() -> None:
    parser = argparse.ArgumentParser(description="PPO of rejax, all seeds in one program")
    parser.add_argument("workload", choices=["ppo"])
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    options = parser.parse_args()
    algorithm = learner()
    keys = jax.vmap(jax.random.PRNGKey)(jnp.array(options.seeds))
    train = jax.jit(jax.vmap(lambda key: algorithm.train(key)[1]))
    program = train.lower(keys).compile()
    print("ready", flush=True)
    sys.stdin.readline()
    started, worked = time.perf_counter(), time.process_time()
    scores = np.asarray(program(keys)).reshape(len(options.seeds), -1)[:, -1]
    seconds = (time.perf_counter() - started) / len(options.seeds)
    found = {
        "seconds": [seconds] * len(scores),
        "cpu_seconds": time.process_time() - worked,
        "scores": scores.tolist(),
        "precision": "float32",
    }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
