"""The supervised update that behavioural cloning and DAgger share."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from gymnax.environments import spaces

from imitax.config import SpecError, config, setting
from imitax.networks import MLP, Head
from imitax.types import Demonstrations


@config
class NetworkSettings:
    """Settings of a policy network and its training."""

    policy: str = setting("auto", "representation", choices=("auto", "mlp"))
    loss: str = setting(
        "auto",
        "auto: cross-entropy for discrete actions, mse for continuous ones",
        choices=("auto", "cross-entropy", "mse", "gaussian"),
    )
    hidden: tuple[int, ...] = setting((64, 64), "hidden layer widths; none is linear", low=1)
    learning_rate: float = setting(1e-3, "Adam step size per gradient step", above=0.0)
    batch_size: int = setting(64, "samples per gradient step, with replacement", low=1)
    act: str = setting("mode", "how the trained policy acts", choices=("mode", "sample"))


class Dataset(NamedTuple):
    """Samples in one preallocated buffer of M rows, of which the first `size` count."""

    obs: jax.Array
    """[M, ...]"""
    action: jax.Array
    """[M, ...]"""
    size: jax.Array
    """int32."""


class Fit(NamedTuple):
    """A network under training."""

    params: Any
    optimiser: Any


def resolve_loss(settings: NetworkSettings, env: Any, name: str) -> str:
    """The loss for the environment's actions.

    Raises:
        SpecError: the loss has no meaning for them.
    """
    discrete = isinstance(env.action_space(env.default_params), spaces.Discrete)
    meaningful = ("cross-entropy",) if discrete else ("mse", "gaussian")
    if settings.loss == "auto":
        return meaningful[0]
    if settings.loss not in meaningful:
        kind = "discrete" if discrete else "continuous"
        raise SpecError(
            f"{name}: loss={settings.loss} has no meaning for the {kind} actions of {env.name}; "
            f"allowed: auto, {', '.join(meaningful)}"
        )
    return settings.loss


def head(settings: NetworkSettings, env: Any, name: str) -> Head:
    """The policy network for an environment's spaces."""
    loss = resolve_loss(settings, env, name)
    params = env.default_params
    action_space, obs_space = env.action_space(params), env.observation_space(params)
    discrete = isinstance(action_space, spaces.Discrete)
    num_outputs = action_space.n if discrete else math.prod(action_space.shape)
    num_states = obs_space.n if isinstance(obs_space, spaces.Discrete) else None
    network = MLP(tuple(settings.hidden), num_outputs, free_scale=loss == "gaussian")
    return Head(network, loss, num_states, settings.act)


def losses(head: Head, params: Any, obs: jax.Array, action: jax.Array) -> jax.Array:
    """Loss per sample, [B].

    cross-entropy: -log pi(a|s); mse: squared error summed over the action's coordinates;
    gaussian: negative log-likelihood with one free scale per coordinate.
    """
    outputs, log_scale = head.outputs(params, jax.vmap(head.inputs)(obs))
    if head.loss == "cross-entropy":
        return optax.softmax_cross_entropy_with_integer_labels(outputs, action)
    error = outputs - action.reshape(outputs.shape)
    if head.loss == "mse":
        return jnp.sum(error**2, axis=-1)
    scaled = error * jnp.exp(-log_scale)
    constant = 0.5 * math.log(2 * math.pi)
    return jnp.sum(0.5 * scaled**2 + log_scale + constant, axis=-1)


def start(key: jax.Array, head: Head, learning_rate: jax.Array | float, obs: jax.Array) -> Fit:
    """Fresh parameters and optimiser; `obs` is one observation."""
    params = head.init(key, obs)
    return Fit(params, optax.adam(learning_rate).init(params))


def update(
    key: jax.Array, head: Head, settings: NetworkSettings, fit: Fit, data: Dataset
) -> tuple[Fit, jax.Array]:
    """One Adam step on a minibatch drawn with replacement from the valid samples.

    The index is floor(u * size): a permutation of a padded axis would depend on the padding.

    Returns:
        The new fit and the minibatch's mean loss.
    """
    uniform = jax.random.uniform(key, (settings.batch_size,))
    index = jnp.minimum((uniform * data.size).astype(jnp.int32), data.size - 1)
    obs, action = data.obs[index], data.action[index]
    loss, gradient = jax.value_and_grad(lambda params: jnp.mean(losses(head, params, obs, action)))(
        fit.params
    )
    optimiser = optax.adam(settings.learning_rate)
    updates, state = optimiser.update(gradient, fit.optimiser)
    return Fit(optax.apply_updates(fit.params, updates), state), loss


def dataset(demonstrations: Demonstrations, num_rows: int) -> Dataset:
    """Lay padded episodes end to end in a buffer of `num_rows` rows; padding is dropped.

    Raises:
        ValueError: the demonstrations hold counts only.
    """
    if demonstrations.obs is None or demonstrations.action is None:
        raise ValueError("a network learns from episodes: pose the problem with its demand")
    num_episodes, max_horizon = demonstrations.obs.shape[:2]
    obs = demonstrations.obs.reshape(num_episodes * max_horizon, *demonstrations.obs.shape[2:])
    action = demonstrations.action.reshape(
        num_episodes * max_horizon, *demonstrations.action.shape[2:]
    )
    empty = Dataset(
        jnp.zeros((num_rows, *obs.shape[1:]), obs.dtype),
        jnp.zeros((num_rows, *action.shape[1:]), action.dtype),
        jnp.int32(0),
    )
    valid = jnp.arange(max_horizon) < demonstrations.length[:, None]  # pyright: ignore
    return append(empty, obs, action, valid.ravel())


def append(data: Dataset, obs: jax.Array, action: jax.Array, valid: jax.Array) -> Dataset:
    """Write the valid rows behind what is there; the others fall outside the buffer.

    Args:
        data: the buffer, with room for all valid rows.
        obs: [n, ...].
        action: [n, ...].
        valid: bool [n].
    """
    offset = jnp.cumsum(valid.astype(jnp.int32))
    index = jnp.where(valid, data.size + offset - 1, data.obs.shape[0])
    return Dataset(
        data.obs.at[index].set(obs, mode="drop"),
        data.action.at[index].set(action, mode="drop"),
        data.size + offset[-1],
    )
