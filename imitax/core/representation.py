"""Table or network: which representation of an algorithm its config asks for."""

from collections.abc import Callable
from typing import Any

from imitax.core.border import chosen_config
from imitax.core.family import Family
from imitax.core.types import Algorithm

Representation = tuple[type, Callable[[Family, Any], Algorithm]]
"""The class of its config, and what makes the learner of one."""


def represented(
    env: Family, config: Any, name: str, table: Representation, network: Representation
) -> Algorithm:
    """The learner that a config describes.

    Args:
        env: an environment family.
        config: of one of the two classes; None stands for the defaults of the table where the
            environment is tabular, of the network elsewhere.
        name: of the algorithm, for messages.
        table: the representation for tabular environments.
        network: the representation for every environment.

    Raises:
        SpecError: a setting out of range, or not read beside the others.
    """
    chosen = chosen_config(name, env, config, table[0], network[0])
    build = table[1] if isinstance(chosen, table[0]) else network[1]
    return build(env, chosen)
