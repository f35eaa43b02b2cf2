"""Wasserstein adversarial imitation learning (Xiao et al. 2019)."""

from imitax.core.border import chosen_config
from imitax.core.config import among, config, setting
from imitax.core.family import Family
from imitax.core.types import Algorithm
from imitax.games.checks import checked, play
from imitax.games.critic import CriticSettings
from imitax.games.game import GameSettings
from imitax.games.network_player import network_player
from imitax.games.reward_form import SignSettings


@config
class WAILConfig(GameSettings, CriticSettings, SignSettings):
    """Wasserstein adversarial imitation."""

    penalty: float = setting(
        10.0, "weight of the gradient penalty", low=0.0, when=among("slope", "penalised")
    )


def wail(env: Family, config: WAILConfig | None = None) -> Algorithm:
    """Wasserstein adversarial imitation: the reward is a critic with gradients of norm near one.

    Args:
        env: an environment family, from `imitax.make`.
        config: settings.

    Returns:
        An `Algorithm`.

    Raises:
        SpecError: a setting out of range or without meaning here.
    """
    config = chosen_config("wail", env, config, None, WAILConfig)
    settings, choice = checked(env, config, "wail")
    return play(env, settings, network_player(env, settings, "wasserstein", "logit"), choice)
