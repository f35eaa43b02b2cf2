"""Every environment and algorithm by name, and what a spec means.

An algorithm has one public name; its representation, table or network, is chosen from the
environment (`policy=tabular|mlp` overrides), and settings of the other one are refused.
"""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import gymnax
from gymnax.environments.environment import Environment

from imitax.algorithms import ALGORITHMS, Entry
from imitax.core import spec
from imitax.core.border import OWN, check_family, is_family, shown
from imitax.core.config import show
from imitax.core.errors import NotApplicable, SpecError
from imitax.core.family import Family
from imitax.core.policies import Policy
from imitax.core.types import Algorithm
from imitax.envs import ENVIRONMENTS, gymnax_family


@dataclasses.dataclass(frozen=True)
class Chosen:
    """An algorithm spec resolved for one environment."""

    spec: str
    """Normalised."""
    factory: Callable[..., Algorithm]
    config: Any

    def build(self, env: Family, config: Any = None) -> Algorithm:
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
        SpecError: no text, an unknown name or key, or a value out of range.
    """
    _check_text(text)
    name, raw = spec.split(text)
    if name in ENVIRONMENTS:
        family, settings_class = ENVIRONMENTS[name]
        return family(spec.build(settings_class, name, raw))
    if name not in gymnax.registered_envs:
        raise spec.unknown("environment", name, [*ENVIRONMENTS, *gymnax.registered_envs])
    settings = spec.build(gymnax_family.GymnaxSettings, name, raw)
    return gymnax_family.GymnaxFamily(name, settings, experts.get(name))


def make(text: str, **settings: Any) -> tuple[Any, Any]:
    """The environment of a spec and its default parameters, as `gymnax.make` returns them.

    Args:
        text: see `environment`.
        **settings: refused; gymnax takes keyword arguments here, we the spec.

    Raises:
        SpecError: see `environment`; or keyword arguments.
    """
    if settings:
        words = ",".join(f"{key}={show(value)}" for key, value in settings.items())
        whole = f"{text},{words}" if ":" in str(text) else f"{text}:{words}"
        raise SpecError(f"make: settings stand in the spec; use make({whole!r})")
    env = environment(text)
    return env, env.default_params


def algorithm(text: str, env: Family) -> Chosen:
    """Resolve an algorithm spec for an environment.

    Raises:
        SpecError: an unknown name or key, a value out of range, a setting of the other
            representation, or one without meaning on this environment; no text, or no environment
            family.
        NotApplicable: the algorithm is not defined for this environment.
    """
    if not isinstance(text, str):
        raise SpecError(
            f"algorithm: takes a spec such as 'bc:stationary=true', got {shown(text)}; with a "
            "config use imitax.bc(env, config), or another factory"
        )
    check_family("algorithm", env)
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


def _check_text(text: Any) -> None:
    """Refuse what is no spec of an environment."""
    if isinstance(text, str):
        return
    if isinstance(text, Environment):
        known = str(text.name) in gymnax.registered_envs
        remedy = f"use imitax.environment({str(text.name)!r})" if known else OWN
        remedy = "it is a family already: use it as it is" if is_family(text) else remedy
    else:
        remedy = "give its name"
    raise SpecError(
        "environment: takes a spec such as 'reset-cliff:num_states=21', "
        f"got {shown(text)}; {remedy}"
    )


def settings_of(text: str, *, is_tabular: bool = True) -> Any:
    """The config that a spec names, its defaults filled in; nothing is built.

    Args:
        text: of an environment or an algorithm.
        is_tabular: which representation of an algorithm, where the spec does not say.

    Returns:
        A config, or None for a gymnax id, an unknown name, a representation that there is not, and
        settings of another version.
    """
    try:
        name, raw = spec.split(text)
        if name in ENVIRONMENTS:
            return spec.build(ENVIRONMENTS[name][1], name, raw)
        entry = ALGORITHMS.get(name)
        if entry is None:
            return None
        in_table = is_tabular and raw.get("policy") != "mlp"
        cls = entry.tabular if in_table else entry.general
        return None if cls is None else spec.build(cls, name, raw)
    except SpecError:
        return None


def _representation(name: str, entry: Entry, raw: dict[str, str], env: Family):
    is_table = env.is_tabular
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


def _refuse_other(
    name: str, cls: type, other: type | None, raw: dict[str, str], env: Family
) -> None:
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
