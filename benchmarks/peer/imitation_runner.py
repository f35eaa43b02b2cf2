"""The peer `imitation` at one workload; runs in its own environment, `python -m` from the root.

    python -m benchmarks.peer.imitation_runner bc --seeds 0 1 2 3

Says `ready` on standard output after its imports and its demonstrations, waits for a line, and ends
with one line of JSON: seconds and scores of each seed. One thread; seeds one after another. A seed
is set-up, training and evaluation. A short run before `ready` is not timed, and what the library
only prints is switched off: both favour it.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import time
import warnings

os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"

import gymnasium
import numpy as np
import torch
from imitation.algorithms import bc, dagger, mce_irl
from imitation.algorithms.adversarial.gail import GAIL
from imitation.data import rollout, types
from imitation.rewards.reward_nets import BasicRewardNet
from imitation.util import logger as imitation_logger
from imitation.util.networks import RunningNorm
from seals.base_envs import TabularModelPOMDP
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.vec_env import DummyVecEnv

from benchmarks.peer import grid, workload


def make_envs(count: int, seed: int) -> DummyVecEnv:
    envs = DummyVecEnv([lambda: gymnasium.make("CartPole-v1")] * count)
    envs.seed(seed)
    return envs


def silent() -> imitation_logger.HierarchicalLogger:
    """A logger that writes nowhere."""
    return imitation_logger.configure(tempfile.mkdtemp(prefix="peer-"), format_strs=[])


class Expert(BasePolicy):
    """The linear controller, for a whole batch at once."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return (observation @ np.array(workload.EXPERT_GAIN) > 0).astype(np.int64), state

    def _predict(self, observation, deterministic=False):
        raise NotImplementedError  # abstract in the base class; `predict` above never comes here


def demonstrate() -> list[types.Trajectory]:
    env, shown = gymnasium.make("CartPole-v1"), []
    for episode in range(workload.NUM_DEMOS):
        obs, _ = env.reset(seed=workload.DEMO_SEED + episode)
        rows, actions, over = [obs], [], False
        while not over:
            actions.append(int(np.dot(obs, workload.EXPERT_GAIN) > 0))
            obs, _, terminated, truncated, _ = env.step(actions[-1])
            rows.append(obs)
            over = terminated or truncated
        shown.append(types.Trajectory(np.array(rows), np.array(actions), None, terminal=True))
    return shown


class Prebatched:
    """Ready tensors of the demonstrations, in another order at each pass; the last part dropped."""

    def __init__(self, transitions: types.Transitions, seed: int):
        self.obs = torch.as_tensor(transitions.obs)
        self.acts = torch.as_tensor(transitions.acts)
        self.generator = torch.Generator().manual_seed(seed)

    def __iter__(self):
        order = torch.randperm(len(self.acts), generator=self.generator)
        whole = len(order) - len(order) % workload.BATCH
        for rows in order[:whole].reshape(-1, workload.BATCH):
            yield {"obs": self.obs[rows], "acts": self.acts[rows]}


def score(policy: BasePolicy, seed: int) -> float:
    """Mean return over the evaluation episodes, most probable actions."""
    episodes = workload.EVALUATION_EPISODES
    envs = make_envs(episodes, 1_000_000 + seed)
    return float(evaluate_policy(policy, envs, n_eval_episodes=episodes, warn=False)[0])


def cloner(space_of: DummyVecEnv, seed: int, demonstrations, value_layers=workload.HIDDEN) -> bc.BC:
    spaces = space_of.observation_space, space_of.action_space
    layers = {"pi": list(workload.HIDDEN), "vf": list(value_layers)}
    policy = ActorCriticPolicy(*spaces, lambda _: workload.CLONING_RATE, net_arch=layers)
    return bc.BC(
        observation_space=spaces[0],
        action_space=spaces[1],
        rng=np.random.default_rng(seed),
        policy=policy,
        demonstrations=demonstrations,
        batch_size=workload.BATCH,
        optimizer_kwargs={"lr": workload.CLONING_RATE},
        ent_weight=workload.ENTROPY,
        device="cpu",
        custom_logger=silent(),
    )


def run_bc(seed: int, shown: list[types.Trajectory], num_steps: int) -> BasePolicy:
    """As the documentation has it: `Transitions`, and a value network that nothing uses."""
    trainer = cloner(make_envs(1, seed), seed, rollout.flatten_trajectories(shown))
    trainer.train(n_batches=num_steps, progress_bar=False)
    return trainer.policy


def run_prebatched(seed: int, shown: list[types.Trajectory], num_steps: int) -> BasePolicy:
    batches = Prebatched(rollout.flatten_trajectories(shown), seed)
    trainer = cloner(make_envs(1, seed), seed, batches, value_layers=())
    trainer.train(n_batches=num_steps, progress_bar=False)
    return trainer.policy


def run_dagger(seed: int, shown: list[types.Trajectory], rounds: int) -> BasePolicy:
    del shown
    envs = make_envs(workload.DAGGER_ENVS, seed)
    with tempfile.TemporaryDirectory(prefix="peer-") as scratch:
        trainer = dagger.SimpleDAggerTrainer(
            venv=envs,
            scratch_dir=scratch,
            expert_policy=Expert(envs.observation_space, envs.action_space),
            rng=np.random.default_rng(seed),
            beta_schedule=dagger.LinearBetaSchedule(workload.DAGGER_RAMPDOWN),
            bc_trainer=cloner(envs, seed, None),
            custom_logger=silent(),
        )
        settings = {
            "n_batches": workload.DAGGER_STEPS,
            "progress_bar": False,
            "log_rollouts_venv": None,
        }
        trainer.train(
            rounds * workload.DAGGER_ENVS * workload.HORIZON,
            rollout_round_min_episodes=workload.DAGGER_ENVS,
            rollout_round_min_timesteps=workload.HORIZON,
            bc_train_kwargs=settings,
        )
        return trainer.policy


def run_gail(seed: int, shown: list[types.Trajectory], rounds: int) -> BasePolicy:
    envs = make_envs(workload.GAIL_ENVS, seed)
    player = PPO(
        "MlpPolicy",
        envs,
        seed=seed,
        device="cpu",
        n_steps=workload.GAIL_ROLLOUT,
        batch_size=workload.PPO["batch_size"],
        n_epochs=workload.PPO["epochs"],
        learning_rate=workload.PPO["learning_rate"],
        gamma=workload.PPO["discount"],
        gae_lambda=workload.PPO["trace_decay"],
        clip_range=workload.PPO["clip"],
        ent_coef=workload.PPO["entropy"],
        vf_coef=workload.PPO["value_weight"],
        max_grad_norm=workload.PPO["max_gradient"],
    )
    spaces = envs.observation_space, envs.action_space
    hidden = workload.DISCRIMINATOR_HIDDEN
    trainer = GAIL(
        demonstrations=rollout.flatten_trajectories(shown),
        demo_batch_size=workload.DISCRIMINATOR_BATCH,
        venv=envs,
        gen_algo=player,
        reward_net=BasicRewardNet(*spaces, hid_sizes=hidden, normalize_input_layer=RunningNorm),
        n_disc_updates_per_round=workload.DISCRIMINATOR_STEPS,
        disc_opt_kwargs={"lr": workload.DISCRIMINATOR_RATE},
        log_dir=tempfile.mkdtemp(prefix="peer-"),
        allow_variable_horizon=True,
        custom_logger=silent(),
    )
    trainer.train(rounds * workload.GAIL_ENVS * workload.GAIL_ROLLOUT)
    return player.policy


RUNS = {
    "bc": (run_bc, workload.BC_STEPS, 20),
    "bc-prebatched": (run_prebatched, workload.BC_STEPS, 20),
    "dagger": (run_dagger, workload.DAGGER_ROUNDS, 1),
    "gail": (run_gail, workload.GAIL_ROUNDS, 1),
}
"""The workload, its length, and the length of the run before the clock starts."""


def recover(seed: int, horizon: int) -> tuple[float, float]:
    """Seconds and gap of a seed of the inverse RL workload."""
    env = TabularModelPOMDP(
        transition_matrix=grid.transition(),
        observation_matrix=np.eye(grid.NUM_STATES, dtype=np.float32),
        reward_matrix=grid.reward(),
        horizon=horizon,
        initial_state_dist=grid.initial(),
    )
    wanted = mce_irl.mce_occupancy_measures(env)[1]
    torch.manual_seed(seed)
    started = time.perf_counter()
    spaces = env.observation_space, env.action_space
    net = BasicRewardNet(*spaces, hid_sizes=(), use_action=False)
    trainer = mce_irl.MCEIRL(
        wanted,
        env,
        net,
        np.random.default_rng(seed),
        optimizer_kwargs={"lr": workload.IRL_RATE},
        linf_eps=workload.IRL_GAP,
        grad_l2_eps=workload.IRL_GRADIENT,
        log_interval=None,
        custom_logger=silent(),
    )
    visits = trainer.train(workload.IRL_STEPS)
    return time.perf_counter() - started, float(np.abs(visits - wanted).max())


def one_seed(name: str, seed: int, shown: list[types.Trajectory]) -> tuple[float, float]:
    """Seconds and score of a seed."""
    if name.startswith("mce-irl-"):
        return recover(seed, int(name.removeprefix("mce-irl-")))
    run, length, _ = RUNS[name]
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # the library's buffers draw from it
    started = time.perf_counter()
    result = score(run(seed, shown, length), seed)
    return time.perf_counter() - started, result


def main() -> None:
    parser = argparse.ArgumentParser(description="one workload of imitation, seeds in turn")
    tabular = [f"mce-irl-{horizon}" for horizon in workload.IRL_HORIZONS]
    parser.add_argument("workload", choices=[*RUNS, *tabular])
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    shown = demonstrate()
    if options.workload in RUNS:
        run, _, short = RUNS[options.workload]
        run(0, shown, short)
    print("ready", flush=True)
    sys.stdin.readline()
    worked = time.process_time()
    found = [one_seed(options.workload, seed, shown) for seed in options.seeds]
    worked = time.process_time() - worked
    seconds, scores = ([pair[i] for pair in found] for i in (0, 1))
    precision = "float32" if options.workload in RUNS else "float64, rewards float32"
    said = {"seconds": seconds, "cpu_seconds": worked, "scores": scores, "precision": precision}
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
