"""What a spec alone says: of an environment, its kind and its task; of an algorithm, its settings.

A report is made from stored rows, perhaps on another machine, so nothing is built here.
"""

import dataclasses

from imitax.algorithms import ALGORITHMS
from imitax.catalogue import settings_of
from imitax.core.config import show
from imitax.core.errors import SpecError
from imitax.core.spec import split
from imitax.envs import ENVIRONMENTS, endings

ENDS_EARLY = frozenset(name for name, kind in endings.GYMNAX.items() if kind != "none")
"""gymnax environments in which a better policy's episodes are longer, or shorter, than others'."""

DEMONSTRATIONS = ("subsample", "demos", "label_noise")
"""Settings of an environment that change what is recorded, and nothing that is done or earned."""


def is_tabular(environment: str) -> bool:
    """Whether regret is exact there, so that nothing has to be normalised."""
    family = ENVIRONMENTS.get(split(environment)[0], (None,))[0]
    return family is not None and family.is_tabular


def says(environment: str) -> str:
    """The environment's sentence on what it shows; empty where it has none."""
    family = ENVIRONMENTS.get(split(environment)[0], (None,))[0]
    return getattr(family, "says", "")


def has_soft_expert(environment: str) -> bool:
    """Whether a tabular environment's expert is soft: see `TabularFamily.has_soft_expert`."""
    settings = settings_of(environment)
    if settings is None or not is_tabular(environment):  # a gymnax id, or a row of another version
        return False
    return ENVIRONMENTS[split(environment)[0]][0].has_soft_expert(settings)


def is_variable_horizon(environment: str) -> bool:
    """Whether the length of an episode says how good a policy is."""
    name, raw = split(environment)
    if name == "lane":
        return raw.get("absorbing") != "false"
    if name == "obstacle":  # into which one may run
        return True
    return name in ENDS_EARLY and raw.get("fixed") != "true"


def task_of(environment: str) -> tuple[str, frozenset]:
    """What an environment is apart from the demonstrations it shows; equal tasks, equal returns."""
    name, raw = split(environment)
    return name, frozenset(item for item in raw.items() if item[0] not in DEMONSTRATIONS)


def settings(algorithm: str) -> dict[str, str]:
    """The settings of an algorithm with a network, as a spec writes them, defaults included."""
    name, raw = split(algorithm)
    entry = ALGORITHMS.get(name)
    general = entry.general if entry else None
    fields = dataclasses.fields(general) if general else ()
    return {field.name: show(field.default) for field in fields if field.metadata} | raw


def is_constant(algorithm: str) -> bool:
    """Whether the discriminator learns nothing: the reward is the same for every step."""
    return settings(algorithm).get("discriminator") == "constant"


def name_of(spec: str) -> str:
    """The name before the settings; the whole text where it is no spec."""
    try:
        return split(spec)[0]
    except SpecError:
        return spec
