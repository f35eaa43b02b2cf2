"""How long a policy is fitted: until the fit is done, for a count of gradient steps, or not at all.

Without a count `imitax.networks.plateau` says when a fit is done. A linear network under squared
error is solved by `imitax.networks.least_squares`, in no gradient step.
"""

from typing import Any

import jax
import jax.numpy as jnp

from imitax.core.types import Metrics
from imitax.networks import least_squares, plateau
from imitax.networks.dataset import Dataset, every_row, split
from imitax.networks.fit import (
    Fit,
    kept,
    look,
    mean_loss,
    renewed,
    stopped,
    update,
    with_statistics,
)
from imitax.networks.head import Head
from imitax.networks.settings import NetworkSettings


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
    fit = renewed(settings, fit)
    if not settings.validation:
        return train_leg(key, head, settings, fit, data, 0, num_updates, num_updates)

    def unfinished(loop):
        first, fit = loop
        return (first < num_updates) & ~stopped(settings, fit)

    def body(loop):
        first, fit = loop
        length = jnp.minimum(settings.check_every, num_updates - first)
        fit = train_leg(key, head, settings, fit, data, first, length, num_updates)
        return first + settings.check_every, fit

    fit = jax.lax.while_loop(unfinished, body, (jnp.int32(0), fit))[1]
    return fit._replace(params=kept(fit))


def train_until_done(
    key: jax.Array,
    head: Head,
    settings: NetworkSettings,
    fit: Fit,
    data: Dataset,
    *,
    is_last: jax.Array | bool = True,
    few: jax.Array | int = 0,
) -> Fit:
    """Train until the fit is done; see `imitax.networks.plateau`.

    With validation, `fit.params` are the best ones at the end; Adam's moments are the last ones.

    Args:
        key: folded with the number of each step.
        head: the policy.
        settings: of the training.
        fit: before.
        data: all samples.
        is_last: whether to; where it is false the fit takes about `few` gradient steps.
        few: int32; rounded up to whole legs.
    """

    def unfinished(fit):
        return jnp.where(is_last, ~is_done(settings, fit, data), fit.plateau.steps < few)

    def body(fit):
        return next_leg(key, head, settings, fit, data, is_last=is_last)

    fit = jax.lax.while_loop(unfinished, body, renewed(settings, fit))
    return fit._replace(params=kept(fit))


def next_leg(
    key: jax.Array,
    head: Head,
    settings: NetworkSettings,
    fit: Fit,
    data: Dataset,
    *,
    is_last: jax.Array | bool = True,
) -> Fit:
    """The next window of gradient steps of a fit that goes on until it is done.

    Args:
        key: folded with the number of each step.
        head: the policy.
        settings: of the training; with a `decay` of its own the fit takes its whole budget.
        fit: before.
        data: all samples.
        is_last: whether the step size may decay once the loss has stopped falling.
    """
    budget = plateau.budget(data.size, settings.batch_size)
    first, length = fit.plateau.steps, leg_length(settings)
    if settings.decay != "none":
        return train_leg(key, head, settings, fit, data, first, length, budget)
    fit = train_leg(key, head, settings, fit, data, first, length, None)
    turned = jnp.where(is_last, plateau.turn(fit.plateau, budget).turned, fit.plateau.turned)
    return fit._replace(plateau=fit.plateau._replace(turned=turned))


def leg_length(settings: NetworkSettings) -> int:
    """Gradient steps between two judgements of a fit."""
    return settings.check_every if settings.validation else plateau.WINDOW


def is_done(settings: NetworkSettings, fit: Fit, data: Dataset) -> jax.Array:
    """Whether a fit that is not counted has ended."""
    if settings.decay != "none":
        ended = fit.plateau.steps >= plateau.budget(data.size, settings.batch_size)
    else:
        ended = plateau.is_done(fit.plateau)
    return ended | stopped(settings, fit)


def train_leg(
    key: jax.Array,
    head: Head,
    settings: NetworkSettings,
    fit: Fit,
    data: Dataset,
    first: jax.Array | int,
    length: jax.Array | int,
    num_updates: jax.Array | int | None,
) -> Fit:
    """The gradient steps `first`, ..., `first + length - 1`, and a look at what is held out.

    Args:
        key: folded with the number of each step.
        head: the policy.
        settings: of the training.
        fit: before.
        data: all samples; `held_out` says which are only looked at.
        first: int32.
        length: int32.
        num_updates: of the whole fit, int32, where the rate decays over them; None lets the
            plateau say when and over how many.
    """
    rows, held_out = split(data) if settings.validation else (None, None)

    def body(index, fit):
        step_key = jax.random.fold_in(key, first + index)
        schedule: dict[str, Any] = {"factor": plateau.step_size(fit.plateau)}
        if num_updates is not None:
            schedule = {"progress": (first + index) / num_updates}
        return update(step_key, head, settings, fit, data, rows=rows, **schedule)[0]

    fit = jax.lax.fori_loop(0, length, body, fit)
    return fit if held_out is None else look(head, settings, fit, data, held_out)


def solved(head: Head, settings: NetworkSettings, fit: Fit, data: Dataset) -> Fit:
    """The fit of a linear network under squared error; it takes no gradient step."""
    params = least_squares.solve(head, with_statistics(fit.params, fit), data, settings.l2)
    found = {name: leaf for name, leaf in params.items() if name != "normaliser"}
    return fit._replace(params=found, plateau=fit.plateau._replace(reached=jnp.bool_(True)))


def conclude(
    head: Head, settings: NetworkSettings, fit: Fit, data: Dataset, metrics: Metrics
) -> Metrics:
    """What a row says of a fit: its gradient steps, its losses, and whether it is done."""
    rows, held_out = split(data) if settings.validation else (every_row(data), None)
    nothing = jnp.asarray(jnp.nan)
    unseen = nothing
    if held_out is not None:
        found = mean_loss(head, settings, fit, kept(fit), data, held_out)
        unseen = jnp.where(held_out.size > 0, found, nothing)
    reached = fit.plateau.reached | stopped(settings, fit)
    return metrics._replace(
        gradient_updates=fit.num_updates,
        training_loss=mean_loss(head, settings, fit, kept(fit), data, rows),
        held_out_loss=unseen,
        fit_converged=reached.astype(jnp.int32),
    )
