"""Maximum causal entropy inverse RL from samples, with a soft PPO policy."""

from typing import ClassVar

from imitax.core.config import among, config, setting
from imitax.core.family import Family
from imitax.core.types import Algorithm
from imitax.games.checks import checked, play
from imitax.games.critic import CriticSettings, critic_fields
from imitax.games.game import GameSettings
from imitax.games.linear_player import LinearSettings, linear_player
from imitax.games.network_player import network_player


@config
class NetworkMaxEntConfig(GameSettings, CriticSettings, LinearSettings):
    """Maximum causal entropy inverse reinforcement learning from samples."""

    WHEN: ClassVar = dict.fromkeys(critic_fields(), among("reward", "network")) | dict.fromkeys(
        ("gap_rate", "reward_rate"), among("reward", "linear")
    )
    reward: str = setting("network", "class of rewards", choices=("linear", "network"))
    reward_rate: float = setting(1e-2, "Adam step size of a linear reward", above=0.0)
    l2: float = setting(1e-3, "penalty on the reward's weights", low=0.0)
    rounds: int = setting(36, "rounds; 0 leaves the reward untrained, a control", low=0)
    temperature: float = setting(1.0, "weight of causal entropy, in units of reward", low=0.0)
    policy_updates: int = setting(4, "soft policy updates per round", low=1)
    replay: bool = setting(True, "whether half of the learner's pairs are of earlier rounds")


def network_maxent(env: Family, settings: NetworkMaxEntConfig) -> Algorithm:
    """MaxEnt IRL from samples; see `imitax.maxent_irl`."""
    settings, choice = checked(env, settings, "maxent-irl")
    if settings.reward == "linear":
        rewards = linear_player(settings, "likelihood")
    else:
        rewards = network_player(env, settings, "likelihood", "logit")
    return play(env, settings, rewards, choice, settings.temperature)
