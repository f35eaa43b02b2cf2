"""What may be changed about the gymnax environments: parameters and first states.

`length` is CartPole's. A shift is a change between the place where demonstrations are collected
and the one where a learner lives and is judged:

    CartPole-v1    dynamics: a pole twice as long; start: uniform in +-0.15 instead of +-0.05,
                   every coordinate in its own unit
    Pendulum-v1    dynamics: a mass 1.3 times as large; start: within pi/4 of hanging down, with
                   the speeds of the ordinary start
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp


class Shift(NamedTuple):
    """What a shift changes in one environment."""

    dynamics: Callable[[Any], Any]
    """Parameters -> parameters."""
    start: Callable[[Any], Any]
    """First state -> first state."""


def with_length(params: Any, length: float) -> Any:
    """CartPole's parameters with half the pole's length in metres; its mass stays."""
    return params.replace(length=length, polemass_length=params.masspole * length)


def _longer_pole(params: Any) -> Any:
    return with_length(params, 2.0 * params.length)


def _wider_start(state: Any) -> Any:
    coordinates = ("x", "x_dot", "theta", "theta_dot")
    return state.replace(**{name: 3.0 * getattr(state, name) for name in coordinates})


def _heavier(params: Any) -> Any:
    return params.replace(m=1.3 * params.m)


def _hanging(state: Any) -> Any:
    return state.replace(theta=jnp.pi + 0.25 * state.theta)


SHIFTS = {
    "CartPole-v1": Shift(_longer_pole, _wider_start),
    "Pendulum-v1": Shift(_heavier, _hanging),
}
"""The gymnax ids that have a shift."""
