"""GAIL with networks: the Jensen-Shannon game against PPO (Ho and Ermon 2016)."""

from typing import ClassVar

from imitax.core.config import among, config, setting
from imitax.core.family import Family
from imitax.core.types import Algorithm
from imitax.games.checks import checked, play
from imitax.games.critic import DiscriminatorSettings, critic_fields
from imitax.games.game import GameSettings
from imitax.games.network_player import network_player


@config
class NetworkGAILConfig(GameSettings, DiscriminatorSettings):
    """GAIL with networks."""

    WHEN: ClassVar = dict.fromkeys(
        (*critic_fields(), "entropy_bonus"), among("discriminator", "network")
    )
    reward: str = setting(
        "auto",
        "form of the reward; auto: softplus where ends are bad or none, log where they are good",
        choices=("auto", "softplus", "log", "logit", "fairl"),
    )
    discriminator: str = setting(
        "network", "constant: D = 1/2 everywhere, a control", choices=("network", "constant")
    )


def network_gail(env: Family, settings: NetworkGAILConfig) -> Algorithm:
    """GAIL with networks; see `imitax.gail`."""
    settings, choice = checked(env, settings, "gail")
    is_constant = settings.discriminator == "constant"
    rewards = network_player(env, settings, "jensen-shannon", choice.form, is_constant)
    return play(env, settings, rewards, choice)
