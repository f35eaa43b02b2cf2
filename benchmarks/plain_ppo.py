"""A plain PPO in JAX, the peer of GAIL's policy player where a package cannot run.

Ours, and written in the layout that is customary for PPO in pure JAX: one function `train(key)`, a
scan over updates; inside, a scan over environment steps with gymnax's own auto-resetting `step` and
a key split at every step, then advantages backwards, then epochs of minibatches from a
`permutation`, with optax. Separate tanh networks for policy and value. Nothing of `imitax` is in
it; the reward is the environment's own.

The settings are those of GAIL's generator in the benchmark: 8 environments, 128 steps, 5 epochs of
minibatches of 64, constant learning rate 4e-4, discount and lambda 0.95, clip 0.2, value weight
0.5, gradient norm 0.5, no entropy bonus, Adam's eps 1e-5, advantages normalised per minibatch, the
value of the last state where the time limit ends an episode.

    jax.jit(jax.vmap(plain_ppo.make_train()))(jax.random.split(jax.random.key(0), 32))
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import gymnax
import jax
import jax.numpy as jnp
import optax


class Settings(NamedTuple):
    """Of one run."""

    env: str = "CartPole-v1"
    num_updates: int = 97
    num_envs: int = 8
    num_steps: int = 128
    epochs: int = 5
    num_minibatches: int = 16
    learning_rate: float = 4e-4
    discount: float = 0.95
    trace_decay: float = 0.95
    clip: float = 0.2
    value_weight: float = 0.5
    max_gradient: float = 0.5
    hidden: tuple[int, ...] = (64, 64)


class ActorCritic(nn.Module):
    """Logits [B, A] and values [B]."""

    num_actions: int
    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, obs):
        actor, critic = obs, obs
        for width in self.hidden:
            actor = nn.tanh(nn.Dense(width)(actor))
            critic = nn.tanh(nn.Dense(width)(critic))
        # Not orthogonal: a batched QR inside shard_map hangs on several CPU devices.
        small = nn.initializers.variance_scaling(1e-4, "fan_in", "truncated_normal")
        logits = nn.Dense(self.num_actions, kernel_init=small)(actor)
        return logits, nn.Dense(1)(critic)[..., 0]


class Step(NamedTuple):
    """One step of all environments."""

    obs: Any
    action: Any
    log_prob: Any
    value: Any
    reward: Any
    """With the discounted value of the last state where the time limit ended the episode."""
    done: Any


class Result(NamedTuple):
    """The end of a run."""

    params: Any
    mean_length: jax.Array
    """Steps per ended episode in each update's rollout, [num_updates]."""


def make_train(settings: Settings | None = None) -> Callable[[jax.Array], Result]:
    """The training of one seed, a function of a key."""
    settings = settings or Settings()
    env, env_params = gymnax.make(settings.env)
    network = ActorCritic(env.num_actions, settings.hidden)
    optimiser = optax.chain(
        optax.clip_by_global_norm(settings.max_gradient),
        optax.adam(settings.learning_rate, eps=1e-5),
    )

    def train(key):
        key, init_key, reset_key = jax.random.split(key, 3)
        reset_keys = jax.random.split(reset_key, settings.num_envs)
        obs, state = jax.vmap(env.reset, in_axes=(0, None))(reset_keys, env_params)
        params = network.init(init_key, obs)
        start = (params, optimiser.init(params), obs, state, key)

        def update(carry, _):
            params, moments, obs, state, key = carry
            moved = collect(params, obs, state, key)
            (obs, state, key), steps = moved
            data = prepare(params, obs, steps)
            (params, moments, key), _ = jax.lax.scan(
                lambda carry, _: epoch(carry, data), (params, moments, key), None, settings.epochs
            )
            length = steps.done.size / jnp.maximum(jnp.sum(steps.done), 1)
            return (params, moments, obs, state, key), length

        last, lengths = jax.lax.scan(update, start, None, settings.num_updates)
        return Result(last[0], lengths)

    def collect(params, obs, state, key):
        def advance(carry, _):
            obs, state, key = carry
            key, action_key, step_key = jax.random.split(key, 3)
            logits, value = network.apply(params, obs)
            action = jax.random.categorical(action_key, logits)
            step_keys = jax.random.split(step_key, settings.num_envs)
            step = jax.vmap(env.step, in_axes=(0, 0, 0, None))
            moved = step(step_keys, state, action, env_params)
            after, state, reward, terminated, truncated, info = moved
            _, last_value = network.apply(params, info["final_observation"])
            cut = truncated & ~terminated
            reward = reward + settings.discount * jnp.where(cut, last_value, 0.0)
            done = terminated | truncated
            log_prob = log_probs(logits, action)
            return (after, state, key), Step(obs, action, log_prob, value, reward, done)

        return jax.lax.scan(advance, (obs, state, key), None, settings.num_steps)

    def prepare(params, obs, steps):
        _, last = network.apply(params, obs)

        def backward(carry, step):
            advantage, next_value = carry
            alive = 1.0 - step.done
            delta = step.reward + settings.discount * next_value * alive - step.value
            advantage = delta + settings.discount * settings.trace_decay * alive * advantage
            return (advantage, step.value), advantage

        start = (jnp.zeros_like(last), last)
        _, advantages = jax.lax.scan(backward, start, steps, reverse=True, unroll=16)
        data = (steps.obs, steps.action, steps.log_prob, advantages, advantages + steps.value)
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), data)

    def epoch(carry, data):
        params, moments, key = carry
        key, order_key = jax.random.split(key)
        order = jax.random.permutation(order_key, settings.num_envs * settings.num_steps)
        batches = jax.tree.map(
            lambda x: x[order].reshape(settings.num_minibatches, -1, *x.shape[1:]), data
        )

        def descend(carry, batch):
            params, moments = carry
            gradient = jax.grad(loss)(params, batch)
            change, moments = optimiser.update(gradient, moments)
            return (optax.apply_updates(params, change), moments), None

        (params, moments), _ = jax.lax.scan(descend, (params, moments), batches)
        return (params, moments, key), None

    def loss(params, batch):
        obs, action, old, advantage, target = batch
        logits, value = network.apply(params, obs)
        ratio = jnp.exp(log_probs(logits, action) - old)
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        cut = jnp.clip(ratio, 1.0 - settings.clip, 1.0 + settings.clip)
        surrogate = jnp.minimum(ratio * advantage, cut * advantage).mean()
        return -surrogate + settings.value_weight * jnp.mean((value - target) ** 2)

    return train


def log_probs(logits: jax.Array, action: jax.Array) -> jax.Array:
    """Of actions [B] under logits [B, A]."""
    return jnp.take_along_axis(jax.nn.log_softmax(logits), action[..., None], axis=-1)[..., 0]
