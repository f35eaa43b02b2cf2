"""The public names of `imitax` for a type checker; `__init__.py` loads them when they are used."""

from imitax.algorithms import ALGORITHMS as ALGORITHMS
from imitax.algorithms.adversarial.airl import AIRLConfig as AIRLConfig
from imitax.algorithms.adversarial.airl import airl as airl
from imitax.algorithms.adversarial.gail import GAILConfig as GAILConfig
from imitax.algorithms.adversarial.gail import gail as gail
from imitax.algorithms.adversarial.gail_networks import NetworkGAILConfig as NetworkGAILConfig
from imitax.algorithms.adversarial.wail import WAILConfig as WAILConfig
from imitax.algorithms.adversarial.wail import wail as wail
from imitax.algorithms.baselines import (
    NoisyExpertConfig as NoisyExpertConfig,
)
from imitax.algorithms.baselines import (
    expert as expert,
)
from imitax.algorithms.baselines import (
    noisy_expert as noisy_expert,
)
from imitax.algorithms.baselines import (
    random as random,
)
from imitax.algorithms.cloning.bc import (
    NetworkBCConfig as NetworkBCConfig,
)
from imitax.algorithms.cloning.bc import (
    TabularBCConfig as TabularBCConfig,
)
from imitax.algorithms.cloning.bc import (
    bc as bc,
)
from imitax.algorithms.interactive.dagger import (
    NetworkDaggerConfig as NetworkDaggerConfig,
)
from imitax.algorithms.interactive.dagger import (
    TabularDaggerConfig as TabularDaggerConfig,
)
from imitax.algorithms.interactive.dagger import (
    dagger as dagger,
)
from imitax.algorithms.interactive.dart import NetworkDartConfig as NetworkDartConfig
from imitax.algorithms.interactive.dart import TabularDartConfig as TabularDartConfig
from imitax.algorithms.interactive.dart import dart as dart
from imitax.algorithms.inverse.apprenticeship import (
    FEMConfig as FEMConfig,
)
from imitax.algorithms.inverse.apprenticeship import (
    GTALConfig as GTALConfig,
)
from imitax.algorithms.inverse.apprenticeship import (
    fem as fem,
)
from imitax.algorithms.inverse.apprenticeship import (
    gtal as gtal,
)
from imitax.algorithms.inverse.maxent_irl import (
    MaxEntConfig as MaxEntConfig,
)
from imitax.algorithms.inverse.maxent_irl import (
    maxent_irl as maxent_irl,
)
from imitax.algorithms.inverse.maxent_networks import NetworkMaxEntConfig as NetworkMaxEntConfig
from imitax.catalogue import algorithm as algorithm
from imitax.catalogue import environment as environment
from imitax.catalogue import make as make
from imitax.core.errors import NotApplicable as NotApplicable
from imitax.core.errors import SpecError as SpecError
from imitax.core.policies import Policy as Policy
from imitax.core.policies import tabulate as tabulate
from imitax.core.train import Trained as Trained
from imitax.core.train import train as train
from imitax.core.types import (
    Algorithm as Algorithm,
)
from imitax.core.types import (
    Capacity as Capacity,
)
from imitax.core.types import (
    Demand as Demand,
)
from imitax.core.types import (
    Demonstrations as Demonstrations,
)
from imitax.core.types import (
    Metrics as Metrics,
)
from imitax.core.types import (
    Problem as Problem,
)
from imitax.core.types import (
    Transition as Transition,
)
from imitax.core.version import __version__ as __version__
from imitax.envs import ENVIRONMENTS as ENVIRONMENTS
from imitax.tabular.mdp import TabularMDP as TabularMDP
from imitax.tasks.evaluate import Outcome as Outcome
from imitax.tasks.evaluate import evaluate as evaluate
from imitax.tasks.evaluate import regret as regret
from imitax.tasks.experiment import experiment as experiment
from imitax.tasks.pose import Instance as Instance
from imitax.tasks.pose import pose as pose
