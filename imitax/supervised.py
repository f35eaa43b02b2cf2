"""The supervised training that behavioural cloning and DAgger share."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from imitax import losses
from imitax.network_settings import NetworkSettings
from imitax.networks import Head
from imitax.normalisation import normaliser
from imitax.policies import Policy
from imitax.samples import Dataset, Rows, add_up, draw, draw_next, split

ORDER = 2**32 - 3
"""Fold of a fit's key for the order of samples."""


class Best(NamedTuple):
    """The best parameters on held-out samples so far."""

    params: Any
    loss: jax.Array
    """Their mean loss; infinite before the first look."""
    stale: jax.Array
    """Looks since, int32."""


class Fit(NamedTuple):
    """A network under training."""

    params: Any
    optimiser: Any
    normaliser: Any = None
    """`imitax.normalisation.Normaliser`, or None."""
    best: Best | None = None
    """With validation."""
    order: jax.Array | None = None
    """Key of the order of samples, with `minibatches=epochs`."""


def start(key: jax.Array, head: Head, settings: NetworkSettings, data: Dataset) -> Fit:
    """Fresh parameters and optimiser, and the statistics of the data's observations."""
    params = head.init(key, data.obs[0])
    optimiser = optax.adam(settings.learning_rate).init(params)
    statistics = normaliser(head, data) if settings.normalise else None
    order = jax.random.fold_in(key, ORDER) if settings.minibatches == "epochs" else None
    return reset_best(settings, Fit(params, optimiser, statistics, order=order))


def num_taken(fit: Fit) -> jax.Array:
    """Gradient steps since the optimiser was fresh, int32: Adam's own count."""
    return fit.optimiser[0].count


def reset_best(settings: NetworkSettings, fit: Fit) -> Fit:
    """The best parameters so far are the present ones, of unknown loss: the data are new."""
    if not settings.validation:
        return fit
    return fit._replace(best=Best(fit.params, jnp.asarray(jnp.inf), jnp.int32(0)))


def policy(head: Head, fit: Fit) -> Policy:
    """The policy of the parameters, of the best ones with validation."""
    return Policy(_with_statistics(_kept(fit), fit), head)


def _kept(fit: Fit) -> Any:
    return fit.params if fit.best is None else fit.best.params


def _with_statistics(params: Any, fit: Fit) -> Any:
    return params if fit.normaliser is None else {**params, "normaliser": fit.normaliser}


def update(
    key: jax.Array,
    head: Head,
    settings: NetworkSettings,
    fit: Fit,
    data: Dataset,
    *,
    rows: Rows | None = None,
    progress: jax.Array | float = 0.0,
) -> tuple[Fit, jax.Array]:
    """One Adam step (Kingma and Ba 2015) on a minibatch.

    Args:
        key: consumed.
        head: the policy.
        settings: of the training.
        fit: before.
        data: all samples.
        rows: those to draw from; None for all of them.
        progress: share of the fit's gradient steps already taken; read where the rate decays.

    Returns:
        The new fit and the minibatch's mean loss, weight penalty included.
    """
    draw_key, noise_key = (key, None) if settings.augment == "none" else jax.random.split(key)
    size = data.size if rows is None else rows.size
    if fit.order is None:
        number = draw(draw_key, size, settings.batch_size)
    else:
        number = draw_next(fit.order, num_taken(fit), size, settings.batch_size)
    number = number if rows is None else rows.index[number]
    loss, gradient = jax.value_and_grad(_objective)(
        fit.params, noise_key, head, settings, fit, data, number
    )
    optimiser = optax.adam(rate(settings, progress))
    updates, state = optimiser.update(gradient, fit.optimiser)
    return fit._replace(params=optax.apply_updates(fit.params, updates), optimiser=state), loss


def _objective(params, key, head, settings, fit, data, number):
    """Mean loss of a minibatch, randomised as the settings say, and the weights' penalty."""
    params = _with_statistics(params, fit)
    inputs = jax.vmap(lambda obs: head.inputs(params, obs))(data.obs[number])
    noise_key = drop_key = key
    if settings.augment == "both":
        noise_key, drop_key = jax.random.split(key)
    if settings.augment in ("noise", "both"):
        noise = jax.random.normal(noise_key, inputs.shape, inputs.dtype)
        inputs = inputs + (settings.input_noise * noise).astype(inputs.dtype)
    if settings.augment in ("dropout", "both"):
        outputs, log_scale = head.outputs(params, inputs, drop_key, settings.dropout)
    else:
        outputs, log_scale = head.outputs(params, inputs)
    action, more = data.action[number], (settings.huber_width, settings.entropy)
    each = losses.losses(head, outputs, log_scale, action, *more)
    return jnp.mean(each) + settings.l2 * losses.weight_penalty(params["params"])


def rate(settings: NetworkSettings, progress: jax.Array | float) -> jax.Array | float:
    """The learning rate after a share p of the steps: times 1 - p, or (1 + cos(pi p)) / 2."""
    if settings.decay == "linear":
        return settings.learning_rate * (1.0 - progress)
    if settings.decay == "cosine":
        return settings.learning_rate * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
    return settings.learning_rate


def train_on(
    key: jax.Array,
    head: Head,
    settings: NetworkSettings,
    fit: Fit,
    data: Dataset,
    num_updates: jax.Array | int,
) -> Fit:
    """Take `num_updates` gradient steps, or fewer where validation stops them.

    With validation, `fit.params` are the best ones at the end; Adam's moments are the last ones.

    Args:
        key: folded with the number of each step.
        head: the policy.
        settings: of the training.
        fit: before.
        data: all samples.
        num_updates: int32.
    """
    if settings.validation:
        return _train_and_check(key, head, settings, fit, data, num_updates)

    def body(index, fit):
        progress = index / num_updates
        step_key = jax.random.fold_in(key, index)
        return update(step_key, head, settings, fit, data, progress=progress)[0]

    return jax.lax.fori_loop(0, num_updates, body, fit)


def _train_and_check(key, head, settings, fit, data, num_updates):
    def unfinished(loop):
        first, fit = loop
        return (first < num_updates) & ~stopped(settings, fit)

    def body(loop):
        first, fit = loop
        fit = train_and_look(key, head, settings, fit, data, first, num_updates)
        return first + settings.check_every, fit

    loop = (jnp.int32(0), reset_best(settings, fit))
    fit = jax.lax.while_loop(unfinished, body, loop)[1]
    return fit._replace(params=_kept(fit))


def train_and_look(
    key: jax.Array,
    head: Head,
    settings: NetworkSettings,
    fit: Fit,
    data: Dataset,
    first: jax.Array,
    num_updates: jax.Array | int,
) -> Fit:
    """The gradient steps from number `first` to the next look at the held-out samples, and it.

    Args:
        key: folded with the number of each step.
        head: the policy.
        settings: of the training.
        fit: before.
        data: all samples; `held_out` says which are only looked at.
        first: int32.
        num_updates: of the whole fit, int32; no step is taken beyond.
    """
    rows, held_out = split(data)

    def body(index, fit):
        progress = index / num_updates
        step_key = jax.random.fold_in(key, index)
        return update(step_key, head, settings, fit, data, rows=rows, progress=progress)[0]

    last = jnp.minimum(first + settings.check_every, num_updates)
    return look(head, settings, jax.lax.fori_loop(first, last, body, fit), data, held_out)


def look(head: Head, settings: NetworkSettings, fit: Fit, data: Dataset, held_out: Rows) -> Fit:
    """Keep the parameters if their held-out loss is the lowest so far, or nothing is held out."""
    assert fit.best is not None
    loss = validation_loss(head, settings, fit, data, held_out).astype(fit.best.loss.dtype)
    better = (loss < fit.best.loss) | (held_out.size == 0)
    found = Best(fit.params, loss, jnp.int32(0))
    kept = fit.best._replace(stale=fit.best.stale + 1)
    best = jax.tree.map(lambda new, old: jnp.where(better, new, old), found, kept)
    return fit._replace(best=best)


def validation_loss(
    head: Head, settings: NetworkSettings, fit: Fit, data: Dataset, held_out: Rows
) -> jax.Array:
    """Mean loss of the present parameters on rows of the data, without noise or penalty."""
    params = _with_statistics(fit.params, fit)

    def term(number, inside):
        rows = held_out.index[number]
        inputs = jax.vmap(lambda obs: head.inputs(params, obs))(data.obs[rows])
        outputs, log_scale = head.outputs(params, inputs)
        more = (settings.huber_width, settings.entropy)
        each = losses.losses(head, outputs, log_scale, data.action[rows], *more)
        return jnp.sum(jnp.where(inside, each, 0.0))

    return add_up(term, held_out.size) / jnp.maximum(held_out.size, 1)


def stopped(settings: NetworkSettings, fit: Fit) -> jax.Array:
    """Whether patience has run out."""
    if not settings.patience or fit.best is None:
        return jnp.bool_(False)
    return fit.best.stale >= settings.patience
