"""Apprenticeship learning with linear rewards: feature expectation matching and its game."""

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
    settings, choice = checked(env, config or FEMConfig(), "fem")
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
    settings, choice = checked(env, config or GTALConfig(), "gtal")
    return play(env, settings, linear_player(settings, "simplex"), choice)
