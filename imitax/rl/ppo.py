"""Proximal policy optimisation: the expert trainer, and the policy player of the sampled games.

Schulman et al. 2017 with generalised advantage estimation (Schulman et al. 2016):

    delta_t = r_t + discount (1 - terminated_t) V(s_{t+1}) - V(s_t)
    A_t     = delta_t + discount trace_decay (1 - terminated_t - truncated_t) A_{t+1}

so an episode cut by the time limit is continued by the value of the state it was cut in, and one
that ended by itself is not. The reward of a rollout is an argument of `improve`: the environment's
own for an expert, a learned one for imitation. Departures: rewards are divided by a running
deviation of discounted returns (`rescale`), advantages are normalised per minibatch, the value loss
is not clipped, and minibatches come from a pseudo-random bijection instead of a sort
(`imitax.numerics.permutations`).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from imitax.core.config import config, setting
from imitax.core.errors import SpecError
from imitax.core.family import Family
from imitax.networks.normalisation import Normaliser
from imitax.numerics.blocks import over_rollout
from imitax.numerics.packing import pack_on_gpu, unpack
from imitax.numerics.permutations import shuffled
from imitax.rl import ppo_kernel
from imitax.rl.actor_critic import Actor, Weights
from imitax.rl.advantages import Spread, advantages, centred, rescaled


@config
class PPOSettings:
    """Settings of one PPO player."""

    hidden: tuple[int, ...] = setting((64, 64), "widths of policy and value network", low=1)
    num_envs: int = setting(16, "environments side by side", low=1)
    rollout: int = setting(128, "steps of each between updates", low=1)
    batch_size: int = setting(256, "samples per policy gradient step", low=1)
    epochs: int = setting(4, "passes over a rollout", low=1)
    learning_rate: float = setting(1e-3, "Adam step size of the policy", above=0.0)
    decay: str = setting(
        "linear", "of the learning rate to 0 over the rounds", choices=("linear", "none")
    )
    discount: float = setting(0.99, "of rewards", low=0.0, high=1.0)
    trace_decay: float = setting(0.95, "lambda of the advantages", low=0.0, high=1.0)
    clip: float = setting(0.2, "largest change of a probability ratio", above=0.0)
    entropy: float = setting(1e-3, "weight of the policy's entropy in the loss", low=0.0)
    value_weight: float = setting(0.5, "weight of the value loss", low=0.0)
    max_gradient: float = setting(0.5, "norm at which gradients are cut", above=0.0)
    rescale: bool = setting(True, "whether rewards are divided by the deviation of returns")
    centred: bool = setting(False, "whether values are learned around their mean in a rollout")


class Rollout(NamedTuple):
    """What all environments did in one round, T steps of B environments."""

    inputs: jax.Array
    """Scaled network inputs of the observations, [T, B, ...]."""
    next_inputs: jax.Array
    """Of the observations after the step and before any reset, [T, B, ...]."""
    action: jax.Array
    """As the network has them, [T, B] int32 or [T, B, D]."""
    log_prob: jax.Array
    """Under the policy that acted, [T, B]."""
    reward: jax.Array
    """The environment's own; NaN for a learner. [T, B]."""
    terminated: jax.Array
    """bool [T, B]."""
    truncated: jax.Array
    """bool [T, B]; the horizon was reached and the episode did not end by itself."""
    time: jax.Array
    """Steps since the episode's start before the action, int32 [T, B]."""


class Places(NamedTuple):
    """Where the environments stand."""

    obs: Any
    state: Any
    time: jax.Array
    """int32 [B]."""


class Player(NamedTuple):
    """A PPO player between two rounds."""

    weights: Weights
    moments: Any
    """Of Adam."""
    places: Places
    spread: Spread
    scaling: Normaliser
    """Of observations; fixed."""


def check(settings: PPOSettings, name: str) -> None:
    """Refuse sizes that do not fit; raises `SpecError`."""
    total = settings.num_envs * settings.rollout
    if total & (total - 1) or total % settings.batch_size or total < 4:
        raise SpecError(
            f"{name}: num_envs={settings.num_envs} times rollout={settings.rollout} must be a "
            f"power of two that batch_size={settings.batch_size} divides; "
            "for instance 16 times 128 with batch_size=256"
        )


def _optimiser(settings: PPOSettings) -> optax.GradientTransformation:
    clip = optax.clip_by_global_norm(settings.max_gradient)
    return optax.chain(clip, optax.scale_by_adam(eps=1e-5))


def start(
    key: jax.Array,
    actor: Actor,
    settings: PPOSettings,
    env: Family,
    params: Any,
    scaling: Normaliser,
) -> Player:
    """A player with fresh networks whose environments have just been reset.

    Args:
        key: consumed.
        actor: from `imitax.rl.actor_critic.actor`.
        settings: of the player.
        env: a gymnax environment.
        params: its parameters.
        scaling: of encoded observations.
    """
    weight_key, reset_key = jax.random.split(key)
    keys = jax.random.split(reset_key, settings.num_envs)
    obs, state = jax.vmap(env.reset_env, in_axes=(0, None))(keys, params)
    weights = actor.init(weight_key, actor.encode(obs))
    places = Places(obs, state, jnp.zeros(settings.num_envs, jnp.int32))
    zero = jnp.float32(0.0)
    spread = Spread(jnp.zeros(settings.num_envs), jnp.float32(1e-4), zero, zero)
    return Player(weights, _optimiser(settings).init(weights), places, spread, scaling)


def collect(
    key: jax.Array,
    actor: Actor,
    settings: PPOSettings,
    env: Family,
    params: Any,
    horizon: jax.Array,
    player: Player,
) -> tuple[Player, Rollout]:
    """Let the player act for one round; an ended episode begins anew in its place.

    Noise, step keys and the states of new episodes are drawn for the whole round at once, outside
    the loop.

    Args:
        key: consumed.
        actor: static networks.
        settings: of the player.
        env: a gymnax environment; `step_env` and `reset_env` are used.
        params: its parameters.
        horizon: time limit in steps, int32.
        player: who acts.

    Returns:
        The player in its new places, and the rollout.
    """
    shape = (settings.rollout, settings.num_envs)
    noise_key, step_key, reset_key = jax.random.split(key, 3)
    noise = actor.noise(noise_key, shape)
    step_keys = jax.random.split(step_key, shape)
    reset = jax.vmap(jax.vmap(env.reset_env, in_axes=(0, None)), in_axes=(0, None))
    fresh = reset(jax.random.split(reset_key, shape), params)
    move = jax.vmap(env.step_env, in_axes=(0, 0, 0, None))

    def advance(packed: Any, drawn):
        places: Places = unpack(packed)
        noise, keys, (new_obs, new_state) = drawn
        inputs = player.scaling(actor.encode(places.obs))
        outputs = actor.outputs(player.weights, inputs)
        action = actor.draw(outputs, noise)
        obs, state, reward, terminated, _ = move(keys, places.state, actor.play(action), params)
        truncated = (places.time + 1 >= horizon) & ~terminated
        seen = Rollout(
            inputs=inputs,
            next_inputs=player.scaling(actor.encode(obs)),
            action=action,
            log_prob=actor.log_prob(outputs, action),
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            time=places.time,
        )
        over = terminated | truncated
        obs, state = _choose(over, (new_obs, new_state), (obs, state))
        places = Places(obs, state, jnp.where(over, 0, places.time + 1))
        return pack_on_gpu(places), pack_on_gpu(seen)

    places, seen = jax.lax.scan(advance, pack_on_gpu(player.places), (noise, step_keys, fresh))
    return player._replace(places=unpack(places)), unpack(seen)


def _choose(over: jax.Array, new: Any, old: Any) -> Any:
    def leaf(one, other):
        return jnp.where(over.reshape(-1, *(1,) * (other.ndim - 1)), one, other).astype(other.dtype)

    return jax.tree.map(leaf, new, old)


class Batch(NamedTuple):
    """Samples of a gradient step; N rows."""

    inputs: jax.Array
    action: jax.Array
    log_prob: jax.Array
    advantage: jax.Array
    target: jax.Array
    """Of the value."""


def improve(
    key: jax.Array,
    actor: Actor,
    settings: PPOSettings,
    player: Player,
    rollout: Rollout,
    reward: jax.Array,
    rate_share: jax.Array | float = 1.0,
) -> Player:
    """Several epochs of gradient steps on one rollout.

    Args:
        key: consumed.
        actor: static networks.
        settings: of the player.
        player: who is improved.
        rollout: its own, from `collect`.
        reward: [T, B], in any unit.
        rate_share: factor on the learning rate, where it decays.
    """
    over = rollout.terminated | rollout.truncated
    spread = player.spread
    if settings.rescale:
        spread, reward = rescaled(spread, reward, over, settings.discount)
    if settings.centred:
        reward = centred(reward, rollout.terminated, settings.discount)
    value, next_value = values_of(actor, player.weights, rollout)
    ends = (rollout.terminated, rollout.truncated)
    gain = advantages(reward, value, next_value, *ends, settings.discount, settings.trace_decay)
    data = Batch(rollout.inputs, rollout.action, rollout.log_prob, gain, gain + value)
    size = settings.num_envs * settings.rollout
    data = jax.tree.map(lambda x: x.reshape(size, *x.shape[2:]), data)
    player = player._replace(spread=spread)
    rate = settings.learning_rate * (rate_share if settings.decay == "linear" else 1.0)
    return _epochs(key, actor, settings, player, data, rate)


def values_of(actor: Actor, weights: Weights, rollout: Rollout) -> tuple[jax.Array, jax.Array]:
    """Values [T, B] of the observations before and after each step."""
    shape = rollout.reward.shape
    value = over_rollout(lambda inputs: actor.values(weights, inputs), (rollout.inputs,), shape)
    later = over_rollout(
        lambda inputs: actor.values(weights, inputs), (rollout.next_inputs,), shape
    )
    return value, later


def _epochs(key, actor, settings, player, data: Batch, rate) -> Player:
    size = data.advantage.shape[0]
    per_epoch = size // settings.batch_size
    keys = jax.random.split(key, settings.epochs)
    order = jax.vmap(lambda one: shuffled(one, size))(keys)
    order = order.reshape(settings.epochs * per_epoch, settings.batch_size)
    if ppo_kernel.fits(actor, settings, data.inputs):
        rows = jax.tree.map(lambda x: x[order], data)
        learned = ppo_kernel.descend(actor, settings, player.weights, player.moments, rows, rate)
        return player._replace(weights=learned[0], moments=learned[1])
    optimiser = _optimiser(settings)

    def descend(carry, index):
        weights, moments = carry
        batch = jax.tree.map(lambda x: x[index], data)
        gradient = jax.grad(lambda weights: loss(actor, settings, weights, batch))(weights)
        step, moments = optimiser.update(gradient, moments)
        weights = jax.tree.map(lambda x, y: x - rate * y, weights, step)
        return (weights, moments), None

    start = (player.weights, player.moments)
    (weights, moments), _ = jax.lax.scan(descend, start, order)
    return player._replace(weights=weights, moments=moments)


def loss(actor: Actor, settings: PPOSettings, weights: Weights, batch: Batch) -> jax.Array:
    """Clipped surrogate, half squared value error and entropy bonus; a scalar."""
    outputs = actor.outputs(weights, batch.inputs)
    ratio = jnp.exp(actor.log_prob(outputs, batch.action) - batch.log_prob)
    gain = batch.advantage - jnp.mean(batch.advantage)
    gain = gain / (jnp.std(batch.advantage) + 1e-8)
    cut = jnp.clip(ratio, 1.0 - settings.clip, 1.0 + settings.clip)
    surrogate = jnp.mean(jnp.minimum(ratio * gain, cut * gain))
    error = actor.values(weights, batch.inputs) - batch.target
    entropy = jnp.mean(actor.entropy(outputs))
    value_loss = settings.value_weight * 0.5 * jnp.mean(error**2)
    return -surrogate + value_loss - settings.entropy * entropy
