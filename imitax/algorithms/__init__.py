"""Every algorithm by its public name."""

from collections.abc import Callable
from typing import NamedTuple

from imitax.algorithms import baselines
from imitax.algorithms.adversarial.airl import AIRLConfig, airl
from imitax.algorithms.adversarial.gail import GAILConfig, gail
from imitax.algorithms.adversarial.gail_networks import NetworkGAILConfig
from imitax.algorithms.adversarial.wail import WAILConfig, wail
from imitax.algorithms.cloning.bc import NetworkBCConfig, TabularBCConfig, bc
from imitax.algorithms.interactive.dagger import NetworkDaggerConfig, TabularDaggerConfig, dagger
from imitax.algorithms.interactive.dart import NetworkDartConfig, TabularDartConfig, dart
from imitax.algorithms.inverse.apprenticeship import FEMConfig, GTALConfig, fem, gtal
from imitax.algorithms.inverse.maxent_irl import MaxEntConfig, maxent_irl
from imitax.algorithms.inverse.maxent_networks import NetworkMaxEntConfig
from imitax.core.border import TABLE_ONLY
from imitax.core.types import Algorithm


class Entry(NamedTuple):
    """One public algorithm."""

    factory: Callable[..., Algorithm]
    tabular: type | None
    """Config of the representation for tabular environments."""
    general: type | None
    """Config of the representation for every environment."""
    missing: str = ""
    """Why it is not applicable where its representation is missing."""


ALGORITHMS: dict[str, Entry] = {
    "bc": Entry(bc, TabularBCConfig, NetworkBCConfig),
    "dagger": Entry(dagger, TabularDaggerConfig, NetworkDaggerConfig),
    "dart": Entry(dart, TabularDartConfig, NetworkDartConfig),
    "maxent-irl": Entry(maxent_irl, MaxEntConfig, NetworkMaxEntConfig),
    "gail": Entry(gail, GAILConfig, NetworkGAILConfig),
    "fem": Entry(fem, None, FEMConfig),
    "gtal": Entry(gtal, None, GTALConfig),
    "wail": Entry(wail, None, WAILConfig),
    "airl": Entry(airl, None, AIRLConfig),
    "expert": Entry(baselines.expert, None, baselines.ControlConfig),
    "random": Entry(baselines.random, None, baselines.ControlConfig),
    "noisy-expert": Entry(baselines.noisy_expert, baselines.NoisyExpertConfig, None, TABLE_ONLY),
}
"""Every public algorithm: name -> entry. The contract test covers exactly these."""
