"""Reward players with a network: what tells the expert's pairs from the learner's.

With f(x) the network's output at a pair x = (scaled observation, action), expert pairs e and
learner pairs d, the player descends

    jensen-shannon   E_e softplus(-f) + E_d softplus(f) - entropy_bonus E H(sigmoid f)
                     (Ho and Ermon 2016; f is the logit l of D, the probability of the expert)
    wasserstein      E_d f - E_e f                                          (Xiao et al. 2019)
    likelihood       E_d f - E_e f + l2 |weights|^2         (MaxEnt IRL with a network reward)

plus penalty E (|grad_x f(x_mix)| - target)^2 on points between a pair of each kind (Gulrajani et
al. 2017, here as DAC has it). Rewards of the policy from f:

    softplus  -log(1 - D) = log(1 + e^f)       log    log D = -log(1 + e^-f)
    logit     f                                fairl  -f e^f, f cut at 5 (Ghasemipour et al. 2020)
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from imitax.core.config import among, config, setting
from imitax.games.pairs import Pairs
from imitax.networks import spectral
from imitax.networks.mlp import MLP, apply
from imitax.numerics.blocks import gradient
from imitax.rl.actor_critic import Actor

LARGEST_FAIRL = 5.0
"""Where the logit is cut before the exponential of FAIRL."""


@config
class CriticSettings:
    """Settings of a network that plays the reward."""

    discriminator_hidden: tuple[int, ...] = setting((64, 64), "widths of its layers", low=1)
    discriminator_rate: float = setting(5e-3, "Adam step size of the discriminator", above=0.0)
    discriminator_steps: int = setting(4, "its gradient steps per round", low=1)
    discriminator_batch: int = setting(256, "pairs of each kind per step", low=1)
    discriminator_activation: str = setting("tanh", "between its layers", choices=("tanh", "relu"))
    slope: str = setting(
        "penalised", "of the output in its inputs: penalised or free", choices=("penalised", "free")
    )
    penalty: float = setting(
        1.0, "weight of the gradient penalty", low=0.0, when=among("slope", "penalised")
    )
    penalty_target: float = setting(
        1.0, "gradient norm that is not penalised", low=0.0, when=among("slope", "penalised")
    )
    spectral: bool = setting(False, "whether layers have spectral norm at most 1")
    inputs: str = setting("state-action", "what it sees", choices=("state-action", "state"))


def critic_fields() -> tuple[str, ...]:
    """Names of the settings of a reward player with a network."""
    return tuple(field.name for field in dataclasses.fields(CriticSettings))  # pyright: ignore


@config
class DiscriminatorSettings(CriticSettings):
    """Settings of a network that tells the expert's pairs from the learner's."""

    entropy_bonus: float = setting(0.0, "weight of the entropy of D", low=0.0)


@dataclasses.dataclass(frozen=True)
class Critic:
    """Static description of a reward player with a network; compares by value."""

    network: MLP
    loss: str
    """`jensen-shannon`, `wasserstein` or `likelihood`."""
    num_actions: int
    """Categories, or coordinates."""
    discrete: bool
    sees_action: bool
    absorbing: bool
    """Whether a flag for the state after an end is among the inputs."""
    spectral: bool


class CriticState(NamedTuple):
    """A reward player between two steps."""

    params: Any
    moments: Any
    """Of Adam."""
    vectors: Any
    """Of the power method; None without spectral norm."""


def critic(actor: Actor, settings: CriticSettings, loss: str, *, absorbing: bool) -> Critic:
    """A reward player for an actor's spaces.

    Over images and categories the network has one output per action; else the action is an input.
    """
    sees_action, image = settings.inputs == "state-action", actor.policy.image
    num_outputs = actor.num_actions if image and sees_action else 1
    activation = settings.discriminator_activation
    network = MLP(settings.discriminator_hidden, num_outputs, image, activation=activation)
    count, discrete = actor.num_actions, actor.discrete
    return Critic(network, loss, count, discrete, sees_action, absorbing, settings.spectral)


def start(key: jax.Array, critic: Critic, pairs: Pairs) -> CriticState:
    """Fresh weights for pairs of this shape."""
    params = critic.network.init(key, points(critic, pairs)[0])
    vectors = spectral.vectors(params) if critic.spectral else None
    return CriticState(params, optax.scale_by_adam().init(params), vectors)


def points(critic: Critic, pairs: Pairs) -> tuple[jax.Array, jax.Array]:
    """The network's inputs, and weights [B, A] of its outputs (ones [B, 1] for a single one)."""
    played = pairs.action
    if critic.discrete:
        played = jax.nn.one_hot(pairs.action, critic.num_actions)
    if critic.network.image:
        weights = played if critic.sees_action else jnp.ones((len(played), 1))
        return pairs.inputs, weights
    parts = [pairs.inputs]
    parts += [pairs.absorbed[:, None]] if critic.absorbing else []
    parts += [played] if critic.sees_action else []
    return jnp.concatenate(parts, axis=-1), jnp.ones((len(played), 1))


def evaluate(critic: Critic, params: Any, inputs: jax.Array, weights: jax.Array) -> jax.Array:
    """The output f at inputs and output weights from `points`, [B]."""
    return jnp.sum(apply(critic.network, params, inputs) * weights, axis=-1)


def effective(critic: Critic, state: CriticState) -> tuple[Any, Any]:
    """Weights that count, after spectral norm if there is any, and the vectors."""
    if not critic.spectral:
        return state.params, None
    return spectral.normalise(state.params, state.vectors)


def output(critic: Critic, state: CriticState, pairs: Pairs) -> jax.Array:
    """The output f at pairs, [B]."""
    return evaluate(critic, effective(critic, state)[0], *points(critic, pairs))


def reward_form(name: str, logit: jax.Array) -> jax.Array:
    """The policy's reward from f; see the head of the file."""
    if name == "softplus":
        return jax.nn.softplus(logit)
    if name == "log":
        return -jax.nn.softplus(-logit)
    if name == "fairl":
        cut = jnp.minimum(logit, LARGEST_FAIRL)
        return -cut * jnp.exp(cut)
    return logit


def step(
    key: jax.Array,
    critic: Critic,
    settings: Any,
    state: CriticState,
    expert: Pairs,
    learner: Pairs,
) -> CriticState:
    """One gradient step on as many pairs of each kind.

    Args:
        key: for the points between the pairs.
        critic: static.
        settings: a `CriticSettings`, with `l2` where the loss is `likelihood`; a
            `DiscriminatorSettings` where it is `jensen-shannon`.
        state: before.
        expert: B pairs of the demonstrations.
        learner: B pairs of the policy.
    """
    mix = jax.random.uniform(key, (len(expert.action),))
    summands = losses(critic, settings, state.vectors)
    slope = gradient(summands, state.params, (expert, learner, mix))
    vectors = effective(critic, state)[1]
    move, moments = optax.scale_by_adam().update(slope, state.moments)
    rate = settings.discriminator_rate
    params = jax.tree.map(lambda x, y: x - rate * y, state.params, move)
    return CriticState(params, moments, vectors)


def losses(critic: Critic, settings: Any, vectors: Any) -> tuple[Callable[..., jax.Array], ...]:
    """Summands of what `step` descends; each a mean over pairs.

    Args:
        critic: static.
        settings: as in `step`.
        vectors: of the power method.

    Returns:
        Functions of weights, the expert's and the learner's pairs, and shares [B] as in `slopes`.
    """

    def apart(params, expert, learner, mix):
        del mix
        used, _ = effective(critic, CriticState(params, None, vectors))
        outputs = (evaluate(critic, used, *points(critic, one)) for one in (expert, learner))
        total = contrast(critic, settings, *outputs)
        if critic.loss == "likelihood":
            total += settings.l2 * sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))
        return total

    def steep(params, expert, learner, mix):
        used, _ = effective(critic, CriticState(params, None, vectors))
        return penalty(critic, settings, used, expert, learner, mix)

    return (apart,) if settings.slope == "free" else (apart, steep)


def penalty(critic: Critic, settings: Any, params: Any, expert: Pairs, learner: Pairs, mix):
    """The gradient penalty, a scalar; arguments as in `slopes`, but for the pairs themselves."""
    norms = slopes(critic, params, points(critic, expert), points(critic, learner), mix)
    return settings.penalty * jnp.mean((norms - settings.penalty_target) ** 2)


def contrast(critic: Critic, settings: Any, real: jax.Array, fake: jax.Array) -> jax.Array:
    """The first part of the loss, from outputs [B] at the expert's and the learner's pairs."""
    if critic.loss != "jensen-shannon":
        return jnp.mean(fake) - jnp.mean(real)
    both = jnp.concatenate([real, fake])
    # H(sigmoid f) = softplus(f) - f sigmoid(f)
    entropy = jnp.mean(jax.nn.softplus(both) - both * jax.nn.sigmoid(both))
    cross = jnp.mean(jax.nn.softplus(-real)) + jnp.mean(jax.nn.softplus(fake))
    return cross - settings.entropy_bonus * entropy


def slopes(critic: Critic, params: Any, real, fake, mix: jax.Array) -> jax.Array:
    """Norms of the gradient of f in its inputs, between pairs, [B].

    Args:
        critic: static.
        params: effective weights.
        real: from `points`.
        fake: from `points`.
        mix: share of the expert's point, [B].
    """

    def between(one, other):
        share = mix.reshape(-1, *(1,) * (one.ndim - 1))
        return share * one + (1.0 - share) * other

    inputs, weights = between(real[0], fake[0]), between(real[1], fake[1])
    slope = jax.grad(lambda x: jnp.sum(evaluate(critic, params, x, weights)))(inputs)
    return jnp.sqrt(jnp.sum(slope.reshape(len(mix), -1) ** 2, axis=-1) + 1e-12)
