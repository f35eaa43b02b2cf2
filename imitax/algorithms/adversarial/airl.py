"""Adversarial inverse reinforcement learning, AIRL (Fu, Luo and Levine 2018)."""

from imitax.core.border import chosen_config
from imitax.core.config import config, setting
from imitax.core.errors import SpecError
from imitax.core.family import Family
from imitax.core.types import Algorithm
from imitax.games import shaped_player
from imitax.games.checks import checked, play
from imitax.games.critic import DiscriminatorSettings
from imitax.games.game import GameSettings
from imitax.games.reward_form import SignSettings


@config
class AIRLConfig(GameSettings, DiscriminatorSettings, SignSettings):
    """Adversarial inverse reinforcement learning."""

    inputs: str = setting(
        "state", "what the reward sees, the shaping apart", choices=("state-action", "state")
    )


def airl(env: Family, config: AIRLConfig | None = None) -> Algorithm:
    """Adversarial inverse RL: D is built from a reward g plus potential shaping and the policy.

    Args:
        env: an environment family, from `imitax.make`, whose demonstrations are whole.
        config: settings.

    Returns:
        An `Algorithm`; with `retrain_rounds` a fresh policy is trained on g alone.

    Raises:
        SpecError: a setting out of range or without meaning here, or sub-sampled demonstrations.
    """
    config = chosen_config("airl", env, config, None, AIRLConfig)
    settings, choice = checked(env, config, "airl")
    every = env.subsample
    if every > 1:
        raise SpecError(
            f"airl: subsample={every} takes away the successors that its shaping compares; "
            "use subsample=1"
        )
    _check_shaped(settings)
    return play(env, settings, shaped_player.shaped_player(env, settings), choice)


def _check_shaped(config: AIRLConfig) -> None:
    """Refuse what the shaped reward player does not have."""
    if config.slope == "free":
        raise SpecError("airl: slope=free has no meaning, its reward is penalised; use penalty=0")
    if config.spectral:
        raise SpecError("airl: spectral=true has no meaning, its reward is penalised; leave it out")
