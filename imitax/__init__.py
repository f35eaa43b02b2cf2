"""imitax: imitation learning as pure functions of a key.

    env, _ = imitax.make("reset-cliff:num_states=21")
    algorithm = imitax.bc(env)
    instance = imitax.pose(env, seed, horizon, num_demos, capacity, algorithm.demand)
    trained = imitax.train(instance.learner_key, algorithm, instance.problem)
    outcome = imitax.evaluate(env, instance, algorithm.policy(instance.problem, trained.state))

Everything below a seed is traced: jit, vmap and shard it from outside.
"""

from imitax.algorithms.adversarial.gail import GAILConfig, gail
from imitax.algorithms.baselines import NoisyExpertConfig, expert, noisy_expert, random
from imitax.algorithms.cloning.bc import NetworkBCConfig, TabularBCConfig, bc
from imitax.algorithms.interactive.dagger import NetworkDaggerConfig, TabularDaggerConfig, dagger
from imitax.algorithms.inverse.maxent_irl import MaxEntConfig, maxent_irl
from imitax.catalogue import ALGORITHMS, ENVIRONMENTS, NotApplicable, algorithm, environment, make
from imitax.core.config import SpecError
from imitax.core.policies import Policy, tabulate
from imitax.core.train import Trained, train
from imitax.core.types import (
    Algorithm,
    Capacity,
    Demand,
    Demonstrations,
    Metrics,
    Problem,
    Transition,
)
from imitax.core.version import __version__
from imitax.games.network_player import (
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
from imitax.tabular.mdp import TabularMDP
from imitax.tasks.evaluate import Outcome, evaluate, regret
from imitax.tasks.pose import Instance, pose

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
