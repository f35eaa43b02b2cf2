"""Adversarial imitation with networks: each method is a choice of reward player against PPO.

    gail        network, Jensen-Shannon                       Ho and Ermon 2016
    wail        network, Wasserstein                          Xiao et al. 2019
    airl        network reward plus shaping, Jensen-Shannon   Fu, Luo and Levine 2018
    fem         linear in features, l2 ball                   Abbeel and Ng 2004; Ho et al. 2016
    gtal        linear in features, simplex                   Syed and Schapire 2008; Ho et al. 2016
    maxent-irl  linear or network, likelihood, soft policy    Ziebart et al. 2010; Finn et al. 2016

`imitax.gail` and `imitax.maxent_irl` also have exact players for tables.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from imitax.core.config import SpecError, check_ranges, config, setting
from imitax.core.types import Algorithm
from imitax.games import critic as critics
from imitax.games import critic_kernel, game, reward_form, shaped_player
from imitax.games.critic import CriticSettings
from imitax.games.game import GameSettings, RewardPlayer
from imitax.games.linear_player import LinearSettings, linear_player
from imitax.games.pairs import draw_pairs, expert_pairs
from imitax.games.reward_form import Choice, SignSettings
from imitax.networks.settings import check_meaning
from imitax.rl import actor_critic, ppo


@config
class NetworkGAILConfig(GameSettings, CriticSettings):
    """GAIL with networks."""

    reward: str = setting(
        "auto",
        "form of the reward; auto: softplus where ends are bad or none, log where they are good",
        choices=("auto", "softplus", "log", "logit", "fairl"),
    )
    discriminator: str = setting(
        "network", "constant: D = 1/2 everywhere, a control", choices=("network", "constant")
    )


@config
class WAILConfig(GameSettings, CriticSettings, SignSettings):
    """Wasserstein adversarial imitation."""

    penalty: float = setting(10.0, "weight of the gradient penalty, slope=penalised", low=0.0)


@config
class AIRLConfig(GameSettings, CriticSettings, SignSettings):
    """Adversarial inverse reinforcement learning."""

    inputs: str = setting(
        "state", "what the reward sees, the shaping apart", choices=("state-action", "state")
    )


@config
class FEMConfig(GameSettings, LinearSettings):
    """Feature expectation matching."""


@config
class GTALConfig(GameSettings, LinearSettings):
    """Game-theoretic apprenticeship learning."""


@config
class NetworkMaxEntConfig(GameSettings, CriticSettings, LinearSettings):
    """Maximum causal entropy inverse reinforcement learning from samples."""

    reward: str = setting("network", "class of rewards", choices=("linear", "network"))
    reward_rate: float = setting(1e-2, "Adam step size of a linear reward", above=0.0)
    l2: float = setting(1e-3, "penalty on the reward's weights", low=0.0)
    rounds: int = setting(36, "rounds; 0 leaves the reward untrained, a control", low=0)
    temperature: float = setting(1.0, "weight of causal entropy, in units of reward", low=0.0)
    policy_updates: int = setting(4, "soft policy updates per round", low=1)
    replay: bool = setting(True, "whether half of the learner's pairs are of earlier rounds")


def _checked(env: Any, settings: Any, name: str) -> tuple[Any, Choice]:
    """Check the settings; them as they are played, and the reward's form or sign.

    Raises:
        SpecError: a setting out of range or without meaning here.
    """
    check_ranges(settings, name)
    ppo.check(settings, name)
    check_meaning(settings, critics.CONDITIONS, name)
    is_image = actor_critic.actor(env, settings.hidden).policy.image
    if settings.absorbing and is_image:
        raise SpecError(f"{name}: absorbing=true has no meaning over images; leave it out")
    known = {"absorbing": settings.absorbing, "is_image": is_image}
    if isinstance(settings, SignSettings):
        choice = reward_form.reward_sign(env, settings.sign, **known)
    else:
        choice = reward_form.reward_form(env, settings.reward, **known)
    return dataclasses.replace(settings, absorbing=choice.absorbing), choice


def _game(env: Any, settings: Any, rewards: RewardPlayer, choice: Choice, temperature=0.0):
    return game.game(env, settings, rewards, temperature, choice.sign, choice.text)


def network_gail(env: Any, settings: NetworkGAILConfig) -> Algorithm:
    """GAIL with networks; see `imitax.gail`."""
    settings, choice = _checked(env, settings, "gail")
    is_constant = settings.discriminator == "constant"
    rewards = network_player(env, settings, "jensen-shannon", choice.form, is_constant)
    return _game(env, settings, rewards, choice)


def wail(env: Any, config: WAILConfig | None = None) -> Algorithm:
    """Wasserstein adversarial imitation: the reward is a critic with gradients of norm near one.

    Args:
        env: an environment family, from `imitax.make`.
        config: settings.

    Returns:
        An `Algorithm`.

    Raises:
        SpecError: a setting out of range or without meaning here.
    """
    settings, choice = _checked(env, config or WAILConfig(), "wail")
    return _game(env, settings, network_player(env, settings, "wasserstein", "logit"), choice)


def airl(env: Any, config: AIRLConfig | None = None) -> Algorithm:
    """Adversarial inverse RL: D is built from a reward g plus potential shaping and the policy.

    Args:
        env: an environment family, from `imitax.make`, whose demonstrations are whole.
        config: settings.

    Returns:
        An `Algorithm`; with `retrain_rounds` a fresh policy is trained on g alone.

    Raises:
        SpecError: a setting out of range or without meaning here, or sub-sampled demonstrations.
    """
    settings, choice = _checked(env, config or AIRLConfig(), "airl")
    every = getattr(env.settings, "subsample", 1)
    if every > 1:
        raise SpecError(
            f"airl: subsample={every} takes away the successors that its shaping compares; "
            "use subsample=1"
        )
    _check_shaped(settings)
    return _game(env, settings, shaped_player.shaped_player(env, settings), choice)


def _check_shaped(config: AIRLConfig) -> None:
    """Refuse what the shaped reward player does not have."""
    if config.slope == "free":
        raise SpecError("airl: slope=free has no meaning, its reward is penalised; use penalty=0")
    if config.spectral:
        raise SpecError("airl: spectral=true has no meaning, its reward is penalised; leave it out")


def fem(env: Any, config: FEMConfig | None = None) -> Algorithm:
    """Feature expectation matching: a linear reward in the unit ball, played best.

    Args:
        env: an environment family, from `imitax.make`.
        config: settings.

    Returns:
        An `Algorithm`.

    Raises:
        SpecError: a setting out of range or without meaning here.
    """
    settings, choice = _checked(env, config or FEMConfig(), "fem")
    return _game(env, settings, linear_player(settings, "l2-ball"), choice)


def gtal(env: Any, config: GTALConfig | None = None) -> Algorithm:
    """Game-theoretic apprenticeship learning: a linear reward on the simplex, played best.

    Args:
        env: an environment family, from `imitax.make`.
        config: settings.

    Returns:
        An `Algorithm`.

    Raises:
        SpecError: a setting out of range or without meaning here.
    """
    settings, choice = _checked(env, config or GTALConfig(), "gtal")
    return _game(env, settings, linear_player(settings, "simplex"), choice)


def network_maxent(env: Any, settings: NetworkMaxEntConfig) -> Algorithm:
    """MaxEnt IRL from samples; see `imitax.maxent_irl`."""
    settings, choice = _checked(env, settings, "maxent-irl")
    if settings.reward == "linear":
        rewards = linear_player(settings, "likelihood")
    else:
        rewards = network_player(env, settings, "likelihood", "logit")
    return _game(env, settings, rewards, choice, settings.temperature)


def network_player(
    env: Any, settings: Any, loss: str, form: str, is_constant: bool = False
) -> RewardPlayer:
    """A reward player with a network.

    Args:
        env: an environment family.
        settings: a `CriticSettings` and `GameSettings`.
        loss: see `imitax.games.critic`.
        form: of the policy's reward.
        is_constant: whether f is zero everywhere, whatever the network says.
    """
    actor = actor_critic.actor(env, settings.hidden)
    critic = critics.critic(actor, settings, loss, absorbing=settings.absorbing)

    def start(key, actor, expert):
        pairs = expert_pairs(expert, jnp.zeros(2), jnp.ones(2))
        return critics.start(key, critic, pairs)

    def respond(key, actor, weights, state, expert, seen):
        del weights

        def one(state, key):
            draw_key, mix_key = jax.random.split(key)
            real, fake = draw_pairs(draw_key, settings, expert, seen)
            return critics.step(mix_key, critic, settings, state, real, fake), None

        if is_constant:
            return state
        keys = jax.random.split(key, settings.discriminator_steps)
        if critic_kernel.fits(critic, settings, expert):
            draw_keys = jax.vmap(jax.random.split)(keys)[:, 0]
            pairs = jax.vmap(lambda key: draw_pairs(key, settings, expert, seen))(draw_keys)
            return critic_kernel.descend(critic, settings, state, *pairs)
        return jax.lax.scan(one, state, keys)[0]

    def reward(state, actor, pairs):
        output = critics.output(critic, state, pairs)
        return critics.reward_form(form, jnp.zeros_like(output) if is_constant else output)

    return RewardPlayer(start, respond, reward, reward)
