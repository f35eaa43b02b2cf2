"""Apprenticeship learning with linear rewards: feature expectation matching and its game."""

from imitax.core.border import chosen_config
from imitax.core.config import config
from imitax.core.family import Family
from imitax.core.types import Algorithm
from imitax.games.checks import checked, play
from imitax.games.game import GameSettings
from imitax.games.linear_player import LinearSettings, linear_player


@config
class FEMConfig(GameSettings, LinearSettings):
    """Feature expectation matching."""


@config
class GTALConfig(GameSettings, LinearSettings):
    """Game-theoretic apprenticeship learning."""


def fem(env: Family, config: FEMConfig | None = None) -> Algorithm:
    """Feature expectation matching: a linear reward in the unit ball, played best.

    Args:
        env: an environment family, from `imitax.make`.
        config: settings.

    Returns:
        An `Algorithm`.

    Raises:
        SpecError: a setting out of range or without meaning here.
    """
    config = chosen_config("fem", env, config, None, FEMConfig)
    settings, choice = checked(env, config, "fem")
    return play(env, settings, linear_player(settings, "l2-ball"), choice)


def gtal(env: Family, config: GTALConfig | None = None) -> Algorithm:
    """Game-theoretic apprenticeship learning: a linear reward on the simplex, played best.

    Args:
        env: an environment family, from `imitax.make`.
        config: settings.

    Returns:
        An `Algorithm`.

    Raises:
        SpecError: a setting out of range or without meaning here.
    """
    config = chosen_config("gtal", env, config, None, GTALConfig)
    settings, choice = checked(env, config, "gtal")
    return play(env, settings, linear_player(settings, "simplex"), choice)
