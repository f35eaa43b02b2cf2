"""Every environment and algorithm by name, and what a spec means.

An algorithm has one public name; its representation, table or network, is chosen from the
environment (`policy=tabular|mlp` overrides), and settings of the other one are refused.
"""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import gymnax

from imitax.algorithms import baselines
from imitax.algorithms.adversarial.gail import GAILConfig, gail
from imitax.algorithms.cloning.bc import NetworkBCConfig, TabularBCConfig, bc
from imitax.algorithms.interactive.dagger import NetworkDaggerConfig, TabularDaggerConfig, dagger
from imitax.algorithms.inverse.maxent_irl import MaxEntConfig, maxent_irl
from imitax.core import spec
from imitax.core.config import SpecError
from imitax.core.policies import Policy
from imitax.core.types import Algorithm
from imitax.envs import (
    chains,
    cliffs,
    gridworld,
    gymnax_family,
    lane,
    obstacle,
    random_mdp,
    sine_path,
)
from imitax.envs.tabular import TabularFamily
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

ENVIRONMENTS: dict[str, tuple[Callable[..., Any], type]] = {
    "reset-cliff": (cliffs.ResetCliff, cliffs.CliffSettings),
    "recoverable-cliff": (cliffs.RecoverableCliff, cliffs.CliffSettings),
    "standard-imitation": (cliffs.StandardImitation, cliffs.CliffSettings),
    "three-state": (chains.ThreeState, chains.ChainSettings),
    "ross-bagnell": (chains.RossBagnell, chains.ChainSettings),
    "gridworld": (gridworld.Gridworld, gridworld.GridworldSettings),
    "random-mdp": (random_mdp.RandomMDP, random_mdp.RandomMDPSettings),
    "lane": (lane.Lane, lane.LaneSettings),
    "sine-path": (sine_path.SinePath, sine_path.SinePathSettings),
    "obstacle": (obstacle.Obstacle, obstacle.ObstacleSettings),
}
"""Our families: name -> (class, settings)."""


class Entry(NamedTuple):
    """One public algorithm."""

    factory: Callable[..., Algorithm]
    tabular: type | None
    """Config of the representation for tabular environments."""
    general: type | None
    """Config of the representation for every environment."""
    missing: str = ""
    """Why it is not applicable where its representation is missing."""


_TABLE_ONLY = "defined here for tabular environments only"

ALGORITHMS: dict[str, Entry] = {
    "bc": Entry(bc, TabularBCConfig, NetworkBCConfig),
    "dagger": Entry(dagger, TabularDaggerConfig, NetworkDaggerConfig),
    "maxent-irl": Entry(maxent_irl, MaxEntConfig, NetworkMaxEntConfig),
    "gail": Entry(gail, GAILConfig, NetworkGAILConfig),
    "fem": Entry(fem, None, FEMConfig),
    "gtal": Entry(gtal, None, GTALConfig),
    "wail": Entry(wail, None, WAILConfig),
    "airl": Entry(airl, None, AIRLConfig),
    "expert": Entry(baselines.expert, None, baselines.ControlConfig),
    "random": Entry(baselines.random, None, baselines.ControlConfig),
    "noisy-expert": Entry(baselines.noisy_expert, baselines.NoisyExpertConfig, None, _TABLE_ONLY),
}
"""Every public algorithm: name -> entry. The contract test covers exactly these."""


class NotApplicable(Exception):
    """An algorithm that is not defined for an environment; the message says why."""


@dataclasses.dataclass(frozen=True)
class Chosen:
    """An algorithm spec resolved for one environment."""

    spec: str
    """Normalised."""
    factory: Callable[..., Algorithm]
    config: Any

    def build(self, env: Any, config: Any = None) -> Algorithm:
        """The algorithm, with this or another (for instance traced) config."""
        return self.factory(env, self.config if config is None else config)


def environment(text: str, experts: Mapping[str, Policy] = MappingProxyType({})) -> Any:
    """The environment family of a spec.

    Args:
        text: `name` or `name:key=value,...`; a name of ours or any gymnax id.
        experts: gymnax id -> policy that takes the place of the shipped expert.

    Returns:
        A gymnax `Environment` with `sample_params`, `expert` and `spec`. Make it once: instances
        hash by identity, and another instance is another program.

    Raises:
        SpecError: an unknown name or key, or a value out of range.
    """
    name, raw = spec.split(text)
    if name in ENVIRONMENTS:
        family, settings_class = ENVIRONMENTS[name]
        return family(spec.build(settings_class, name, raw))
    if name not in gymnax.registered_envs:
        raise spec.unknown("environment", name, [*ENVIRONMENTS, *gymnax.registered_envs])
    settings = spec.build(gymnax_family.GymnaxSettings, name, raw)
    return gymnax_family.GymnaxFamily(name, settings, experts.get(name))


def make(text: str) -> tuple[Any, Any]:
    """The environment of a spec and its default parameters, as `gymnax.make` returns them."""
    env = environment(text)
    return env, env.default_params


def algorithm(text: str, env: Any) -> Chosen:
    """Resolve an algorithm spec for an environment.

    Raises:
        SpecError: an unknown name or key, a value out of range, a setting of the other
            representation, or one without meaning on this environment.
        NotApplicable: the algorithm is not defined for this environment.
    """
    name, raw = spec.split(text)
    if name not in ALGORITHMS:
        raise spec.unknown("algorithm", name, ALGORITHMS)
    entry = ALGORITHMS[name]
    cls, other = _representation(name, entry, raw, env)
    if cls is None:
        _check_some(name, entry, raw)
        raise NotApplicable(f"{name} on {env.spec}: {entry.missing}")
    _refuse_other(name, cls, other, raw, env)
    config = spec.build(cls, name, raw)
    chosen = Chosen(spec.write(name, config), entry.factory, config)
    chosen.build(env)  # checks what depends on the environment
    return chosen


def _representation(name: str, entry: Entry, raw: dict[str, str], env: Any):
    is_table = isinstance(env, TabularFamily)
    wanted = raw.get("policy", "auto")
    if wanted == "tabular" and not is_table and entry.tabular is not None:
        raise SpecError(
            f"{name}: policy=tabular needs finitely many states, and {env.spec} has not"
        )
    if wanted == "mlp" and entry.general is not None:
        return entry.general, entry.tabular
    if is_table and entry.tabular is not None:
        return entry.tabular, entry.general
    return entry.general, entry.tabular


def _refuse_other(name: str, cls: type, other: type | None, raw: dict[str, str], env: Any) -> None:
    known = {field.name for field in dataclasses.fields(cls)}
    elsewhere = {field.name for field in dataclasses.fields(other)} if other else set()
    for key in raw:
        aliased = any(alias[0] == key for alias in getattr(cls, "ALIASES", {}))
        if key not in known and not aliased and key in elsewhere:
            raise SpecError(
                f"{name}: {key}={raw[key]} belongs to the other representation and has no meaning "
                f"on {env.spec}; allowed: {', '.join(sorted(known))}"
            )


def _check_some(name: str, entry: Entry, raw: dict[str, str]) -> None:
    """Refuse bad settings also where the algorithm does not apply."""
    spec.build(entry.tabular or entry.general, name, raw)  # pyright: ignore[reportArgumentType]
