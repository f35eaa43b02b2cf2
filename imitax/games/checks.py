"""What every sampled game refuses, and how its settings are resolved."""

import dataclasses
from typing import Any

from imitax.core.config import check_settings
from imitax.core.errors import SpecError
from imitax.core.family import Family
from imitax.core.types import Algorithm
from imitax.games import game, reward_form
from imitax.games.game import RewardPlayer
from imitax.games.reward_form import Choice, SignSettings
from imitax.rl import actor_critic, ppo


def checked(env: Family, settings: Any, name: str) -> tuple[Any, Choice]:
    """Check the settings; them as they are played, and the reward's form or sign.

    Raises:
        SpecError: a setting out of range or without meaning here.
    """
    check_settings(settings, name)
    ppo.check(settings, name)
    is_image = actor_critic.actor(env, settings.hidden).policy.image
    if settings.absorbing and is_image:
        raise SpecError(f"{name}: absorbing=true has no meaning over images; leave it out")
    known = {"absorbing": settings.absorbing, "is_image": is_image}
    if isinstance(settings, SignSettings):
        choice = reward_form.reward_sign(env, settings.sign, **known)
    else:
        choice = reward_form.reward_form(env, settings.reward, **known)
    return dataclasses.replace(settings, absorbing=choice.absorbing), choice


def play(
    env: Family, settings: Any, rewards: RewardPlayer, choice: Choice, temperature: Any = 0.0
) -> Algorithm:
    """The game of checked settings against a reward player; see `imitax.games.game.game`."""
    return game.game(env, settings, rewards, temperature, choice.sign, choice.text)
