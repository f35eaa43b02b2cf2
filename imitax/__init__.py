"""imitax: imitation learning as pure functions of a key.

    env, _ = imitax.make("reset-cliff:num_states=21")
    algorithm = imitax.bc(env)
    instance = imitax.pose(env, seed, horizon, num_demos, capacity, algorithm.demand)
    trained = imitax.train(instance.learner_key, algorithm, instance.problem)
    outcome = imitax.evaluate(env, instance, algorithm.policy(instance.problem, trained.state))

Everything below a seed is traced: jit, vmap and shard it from outside.
"""

from imitax.algorithm import Trained, train
from imitax.bc import NetworkBCConfig, TabularBCConfig, bc
from imitax.catalogue import ALGORITHMS, ENVIRONMENTS, NotApplicable, algorithm, environment, make
from imitax.config import SpecError
from imitax.controls import NoisyExpertConfig, expert, noisy_expert, random
from imitax.dagger import NetworkDaggerConfig, TabularDaggerConfig, dagger
from imitax.gail import GAILConfig, gail
from imitax.maxent_irl import MaxEntConfig, maxent_irl
from imitax.mdp import TabularMDP
from imitax.policies import Policy, tabulate
from imitax.pose import Instance, pose
from imitax.regret import Outcome, evaluate, regret
from imitax.sampled_games import (
    AIRLConfig,
    FEMConfig,
    GTALConfig,
    NetworkGAILConfig,
    NetworkMaxEntConfig,
    WAILConfig,
    airl,
    fem,
    gtal,
    wail,
)
from imitax.types import Algorithm, Capacity, Demand, Demonstrations, Metrics, Problem, Transition
from imitax.version import __version__

__all__ = [
    "ALGORITHMS",
    "ENVIRONMENTS",
    "AIRLConfig",
    "Algorithm",
    "Capacity",
    "Demand",
    "Demonstrations",
    "FEMConfig",
    "GAILConfig",
    "GTALConfig",
    "Instance",
    "MaxEntConfig",
    "Metrics",
    "NetworkBCConfig",
    "NetworkDaggerConfig",
    "NetworkGAILConfig",
    "NetworkMaxEntConfig",
    "NoisyExpertConfig",
    "NotApplicable",
    "Outcome",
    "Policy",
    "Problem",
    "SpecError",
    "TabularBCConfig",
    "TabularDaggerConfig",
    "TabularMDP",
    "Trained",
    "Transition",
    "WAILConfig",
    "__version__",
    "airl",
    "algorithm",
    "bc",
    "dagger",
    "environment",
    "evaluate",
    "expert",
    "fem",
    "gail",
    "gtal",
    "make",
    "maxent_irl",
    "noisy_expert",
    "pose",
    "random",
    "regret",
    "tabulate",
    "train",
    "wail",
]
