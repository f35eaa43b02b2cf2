"""When a fit is done: a plateau of the loss within a budget, and then a decay of the step size.

A fit that ends after a count of gradient steps compares counts and not learners. Here it goes on at
a constant step size until `PATIENCE` gradient steps in a row have not lowered the loss by the part
`TOLERANCE` (early stopping; Prechelt 1998, "Early stopping - but when?", with the training loss in
the place of the held-out one unless samples are held out), or until a budget of

    LEAST + EPOCHS * (samples / batch size)

gradient steps is used up. Then the step size falls linearly to zero over `DECAY` times the steps
taken so far, which removes what the noise of minibatches had left (a constant phase and a decay
whose lengths need not be known beforehand; Hägele et al. 2024, arXiv 2405.18392). The loss that is
watched is the mean over a window of minibatches, so watching costs nothing.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

WINDOW = 100
"""Gradient steps whose mean loss is compared with earlier ones."""
PATIENCE = 500
"""Gradient steps without a fall of the loss until it counts as a plateau."""
TOLERANCE = 0.1
"""A fall by a smaller part of the loss is none."""
LEAST = 4000
"""Budget of gradient steps at a constant step size, to which the data add."""
EPOCHS = 20
"""Passes over the data that the budget adds."""
DECAY = 0.25
"""Gradient steps of the decay, as a part of those before it."""


class Plateau(NamedTuple):
    """What is known of the fall of a loss; scalars."""

    total: jax.Array
    """Sum of the losses of the present window."""
    count: jax.Array  # pyright: ignore[reportIncompatibleMethodOverride]
    """Number of them, int32."""
    lowest: jax.Array
    """The loss that has to be undercut; infinite at first."""
    stale: jax.Array
    """Gradient steps since it was set, int32."""
    steps: jax.Array
    """Gradient steps watched, int32."""
    turned: jax.Array
    """Of them, those before the decay began, int32; 0 while it has not begun."""
    reached: jax.Array
    """Whether the loss has stopped falling, bool."""


def fresh() -> Plateau:
    """Nothing is known yet."""
    zero, number = jnp.float32(0.0), jnp.int32(0)
    lowest = jnp.asarray(jnp.inf, jnp.float32)
    return Plateau(zero, number, lowest, number, number, number, jnp.bool_(False))


def watch(plateau: Plateau, loss: jax.Array) -> Plateau:
    """Count a gradient step and its minibatch loss; a full window is judged."""
    plateau = plateau._replace(
        total=plateau.total + loss.astype(jnp.float32),
        count=plateau.count + 1,
        steps=plateau.steps + 1,
    )
    judged = judge(plateau, plateau.total / WINDOW, plateau.count)
    judged = judged._replace(total=jnp.float32(0.0), count=jnp.int32(0))
    is_full = plateau.count >= WINDOW
    return jax.tree.map(lambda new, old: jnp.where(is_full, new, old), judged, plateau)


def count_step(plateau: Plateau) -> Plateau:
    """Count a gradient step whose loss is not looked at, because another one is judged."""
    return plateau._replace(count=plateau.count + 1, steps=plateau.steps + 1)


def judge(plateau: Plateau, loss: jax.Array, steps: jax.Array) -> Plateau:
    """Compare a loss with the lowest one before.

    Args:
        plateau: before.
        loss: scalar; it has to be below (1 - TOLERANCE) times the lowest one, or below it by as
            much where that is negative (a log density may be).
        steps: gradient steps since the last comparison, int32.
    """
    margin = TOLERANCE * jnp.abs(plateau.lowest)
    is_first = ~jnp.isfinite(plateau.lowest)
    falls = is_first | (loss < plateau.lowest - jnp.where(is_first, 0.0, margin))
    stale = jnp.where(falls, 0, plateau.stale + steps)
    lowest = jnp.where(falls, loss, plateau.lowest).astype(plateau.lowest.dtype)
    reached = plateau.reached | (stale >= PATIENCE)
    return plateau._replace(lowest=lowest, stale=stale, reached=reached)


def turn(plateau: Plateau, budget: jax.Array) -> Plateau:
    """Let the decay begin, once, where the loss has stopped falling or the budget is used up."""
    is_over = plateau.reached | (plateau.steps >= budget)
    begins = is_over & (plateau.turned == 0)
    return plateau._replace(turned=jnp.where(begins, plateau.steps, plateau.turned))


def budget(size: jax.Array, batch_size: int) -> jax.Array:
    """Gradient steps at a constant step size, at most, for so many samples; int32."""
    return LEAST + EPOCHS * jax.lax.div(size, jnp.int32(batch_size))


def most_legs(size: jax.Array, batch_size: int, leg: int) -> jax.Array:
    """Legs of `leg` gradient steps that a fit takes at most, its decay included; int32."""
    constant = jax.lax.div(budget(size, batch_size) - 1, jnp.int32(leg)) + 1
    decay = (DECAY * constant).astype(jnp.int32) + 1
    return constant + decay


def num_decay(plateau: Plateau) -> jax.Array:
    """Gradient steps of the decay, int32; at least one."""
    return jnp.maximum((DECAY * plateau.turned).astype(jnp.int32), 1)


def step_size(plateau: Plateau) -> jax.Array:
    """Factor on the step size of the next gradient step: 1, or what the decay leaves of it."""
    taken = plateau.steps - plateau.turned
    rest = jnp.maximum(1.0 - taken / num_decay(plateau), 0.0)
    return jnp.where(plateau.turned > 0, rest, 1.0)


def is_done(plateau: Plateau) -> jax.Array:
    """Whether the decay has ended."""
    ended = plateau.steps - plateau.turned >= num_decay(plateau)
    return (plateau.turned > 0) & ended
