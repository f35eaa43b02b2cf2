"""The supervised update that cloning, DAgger and DART share: a gradient step on labels.

How many of them a fit takes is the business of `imitax.networks.training`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from imitax.core.policies import Policy
from imitax.networks import losses, plateau
from imitax.networks.dataset import Dataset, Rows, add_up, draw, draw_next
from imitax.networks.head import Head
from imitax.networks.normalisation import normaliser
from imitax.networks.plateau import Plateau
from imitax.networks.settings import NetworkSettings, normalises

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
    plateau: Plateau
    """Whether the loss on the present data still falls."""
    num_updates: jax.Array
    """Gradient steps in all, on these data and on earlier ones, int32."""
    normaliser: Any = None
    """`imitax.networks.normalisation.Normaliser`, or None."""
    best: Best | None = None
    """With validation."""
    order: jax.Array | None = None
    """Key of the order of samples, with `minibatches=epochs`."""


def start(key: jax.Array, head: Head, settings: NetworkSettings, data: Dataset) -> Fit:
    """Fresh parameters and optimiser, and the statistics of the data's observations."""
    params = head.init(key, data.obs[0])
    optimiser = optax.adam(settings.learning_rate).init(params)
    statistics = normaliser(head, data) if normalises(settings, head) else None
    order = jax.random.fold_in(key, ORDER) if settings.minibatches == "epochs" else None
    fit = Fit(params, optimiser, plateau.fresh(), jnp.int32(0), statistics, order=order)
    return renewed(settings, fit)


def num_taken(fit: Fit) -> jax.Array:
    """Gradient steps since the optimiser was fresh, int32: Adam's own count."""
    return fit.optimiser[0].count


def renewed(settings: NetworkSettings, fit: Fit) -> Fit:
    """The same parameters on new data, of whose loss nothing is known."""
    fit = fit._replace(plateau=plateau.fresh())
    if not settings.validation:
        return fit
    return fit._replace(best=Best(fit.params, jnp.asarray(jnp.inf), jnp.int32(0)))


def policy(head: Head, fit: Fit) -> Policy:
    """The policy of the parameters, of the best ones with validation."""
    return Policy(with_statistics(kept(fit), fit), head)


def kept(fit: Fit) -> Any:
    """The parameters that count: the best ones with validation, else the last ones."""
    return fit.params if fit.best is None else fit.best.params


def with_statistics(params: Any, fit: Fit) -> Any:
    """Parameters beside the statistics of the observations, as `Head` reads them."""
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
    factor: jax.Array | float = 1.0,
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
        factor: on the rate.

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
    optimiser = optax.adam(rate(settings, progress) * factor)
    updates, state = optimiser.update(gradient, fit.optimiser)
    if settings.validation:
        seen = plateau.count_step(fit.plateau)
    else:
        seen = plateau.watch(fit.plateau, loss)
    params = optax.apply_updates(fit.params, updates)
    return fit._replace(
        params=params, optimiser=state, plateau=seen, num_updates=fit.num_updates + 1
    ), loss


def _objective(params, key, head, settings, fit, data, number):
    """Mean loss of a minibatch, randomised as the settings say, and the weights' penalty."""
    params = with_statistics(params, fit)
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


def look(head: Head, settings: NetworkSettings, fit: Fit, data: Dataset, held_out: Rows) -> Fit:
    """Keep the parameters if their held-out loss is the lowest so far, or nothing is held out."""
    assert fit.best is not None
    loss = mean_loss(head, settings, fit, fit.params, data, held_out).astype(fit.best.loss.dtype)
    better = (loss < fit.best.loss) | (held_out.size == 0)
    found = Best(fit.params, loss, jnp.int32(0))
    older = fit.best._replace(stale=fit.best.stale + 1)
    best = jax.tree.map(lambda new, old: jnp.where(better, new, old), found, older)
    judged = plateau.judge(fit.plateau, loss, fit.plateau.count)
    return fit._replace(best=best, plateau=judged._replace(count=jnp.int32(0)))


def mean_loss(
    head: Head, settings: NetworkSettings, fit: Fit, params: Any, data: Dataset, rows: Rows
) -> jax.Array:
    """Mean loss of parameters on some rows of the data, without noise or penalty of the weights."""
    params = with_statistics(params, fit)

    def term(number, inside):
        chosen = rows.index[number]
        inputs = jax.vmap(lambda obs: head.inputs(params, obs))(data.obs[chosen])
        outputs, log_scale = head.outputs(params, inputs)
        more = (settings.huber_width, settings.entropy)
        each = losses.losses(head, outputs, log_scale, data.action[chosen], *more)
        return jnp.sum(jnp.where(inside, each, 0.0))

    return add_up(term, rows.size) / jnp.maximum(rows.size, 1)


def stopped(settings: NetworkSettings, fit: Fit) -> jax.Array:
    """Whether patience has run out."""
    if not settings.patience or fit.best is None:
        return jnp.bool_(False)
    return fit.best.stale >= settings.patience
