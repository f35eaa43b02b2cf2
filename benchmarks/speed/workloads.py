"""What is measured: each workload as specs, and what a seed of it costs on paper."""

from typing import Any, NamedTuple

CARTPOLE = "CartPole-v1"
GRID = "gridworld:size=10x10,start=uniform,temperature=1"
CLIFF = "reset-cliff:num_states=10,num_actions=5"
DAGGER = (
    "dagger:normalise=false,schedule=linear,episodes_per_round={episodes},first_updates=1,"
    "updates_per_round={n}"
)
GAIL = (
    "gail:num_envs=8,rollout=128,batch_size=64,epochs=5,learning_rate=4e-4,discount=0.95,"
    "trace_decay=0.95,entropy=0,discriminator_hidden=32x32,discriminator_rate=1e-3,"
    "discriminator_steps=4,discriminator_batch=512,slope=free,rounds={n}"
)


class Workload(NamedTuple):
    """One thing that is measured for many seeds."""

    name: str
    title: str
    kind: str
    """`experiment`: pose, train and evaluate, through `imitax.bench.programs.program.Program`;
    `training`: only the learner, on demonstrations that all seeds share; `ppo`: the plain one."""
    environment: str
    algorithm: str
    horizon: int
    num_demos: int
    evaluation_episodes: int


FULL = (
    Workload("bc-training", "BC, 1000 steps, training alone", "training",
             CARTPOLE, "bc:normalise=false,num_steps=1000", 500, 10, 0),
    Workload("bc", "BC, 1000 steps, whole experiment", "experiment",
             CARTPOLE, "bc:normalise=false,num_steps=1000", 500, 10, 10),
    Workload("bc-exact", "BC in a table, 10 states, 5 actions, horizon 64", "experiment",
             CLIFF, "bc", 64, 100, 1),
    Workload("dagger", "DAgger, 10 rounds of 8 episodes", "experiment",
             CARTPOLE, DAGGER.format(episodes=8, n=200), 500, 81, 10),
    Workload("maxent-irl", "MaxEnt IRL, exact, 100 states, 5 actions, horizon 100", "experiment",
             GRID, "maxent-irl:num_steps=200", 100, 10, 1),
    Workload("gail", "GAIL, 97 rounds of 8 x 128 steps", "experiment",
             CARTPOLE, GAIL.format(n=97), 500, 10, 10),
    Workload("plain-ppo", "plain PPO, 97 rounds of 8 x 128 steps", "ppo",
             CARTPOLE, "97", 500, 0, 0),
)  # fmt: skip
"""The workloads of a real run; on CartPole-v1 with 64-64 tanh networks."""

QUICK = (
    Workload("bc-training", "BC, 20 steps, training alone", "training",
             CARTPOLE, "bc:normalise=false,num_steps=20", 20, 2, 0),
    Workload("bc", "BC, 20 steps, whole experiment", "experiment",
             CARTPOLE, "bc:normalise=false,num_steps=20", 20, 2, 1),
    Workload("bc-exact", "BC in a table, horizon 8", "experiment", CLIFF, "bc", 8, 4, 1),
    Workload("dagger", "DAgger, 1 round of 2 episodes", "experiment",
             CARTPOLE, DAGGER.format(episodes=2, n=5), 20, 3, 1),
    Workload("maxent-irl", "MaxEnt IRL, exact, horizon 8", "experiment",
             GRID, "maxent-irl:num_steps=5", 8, 4, 1),
    Workload("gail", "GAIL, 1 round of 8 x 128 steps", "experiment",
             CARTPOLE, GAIL.format(n=1), 20, 2, 1),
    Workload("plain-ppo", "plain PPO, 1 round of 8 x 128 steps", "ppo", CARTPOLE, "1", 20, 0, 0),
)  # fmt: skip
"""The same programs, small: to see that everything works. Their figures mean nothing."""

OF_ALGORITHM = {
    "bc": ("bc-training", "bc", "bc-exact"),
    "dagger": ("dagger",),
    "maxent-irl": ("maxent-irl",),
    "gail": ("gail", "plain-ppo"),
}
"""What `--algorithms` means."""


def find(name: str, *, quick: bool) -> Workload:
    """A workload by name."""
    return {workload.name: workload for workload in (QUICK if quick else FULL)}[name]


def resolve(workload: Workload) -> tuple[Any, Any, Any]:
    """Environment, `imitax.catalogue.Chosen` algorithm and buffer sizes."""
    # Imported late: gymnax starts JAX, and the process that starts the others must not.
    from imitax import catalogue
    from imitax.core.types import Capacity

    env = catalogue.environment(workload.environment)
    capacity = Capacity(workload.horizon, workload.num_demos)
    return env, catalogue.algorithm(workload.algorithm, env), capacity
