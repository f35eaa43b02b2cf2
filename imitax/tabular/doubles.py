"""Float64 inside programs of either precision, for what is summed over a long horizon.

A loop over time adds a rounding error at every step. In float32 a horizon of some thousand steps
costs the values their differences between states, of which a policy is made, and a distribution
its mass. So the loops of `imitax.tabular.mdp` and `imitax.tabular.soft` carry float64, read tables
of the working precision, and round what they return, once.

Rows of probabilities that sum to one only nearly, as rounded ones do, stand for the same rows
divided by their sum.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np

from imitax.numerics.sums import HIGHEST, add_rows, add_up, rounded, total, weighted
from imitax.tabular.checks import check_mdp

F = TypeVar("F", bound=Callable[..., Any])

UNROLLED = 40
"""Largest number of successors whose sum is written out; beyond it, a matrix product."""

SPLIT = 2.0**24 + 1.0
"""Veltkamp's factor: leaves 29 of 53 bits, so that a product with a float32 number is exact."""


class Dynamics(NamedTuple):
    """A tabular MDP in float64; static in a trace, never carried by a loop."""

    mdp: Any
    """A `TabularMDP`; its first distribution sums to one."""
    scale: jax.Array
    """[S, A], one over the sum of each row of transitions."""
    is_single: bool
    """Whether its tables hold float32 numbers."""


def in_double(function: F) -> F:
    """The function with float64 at hand; numpy's arrays come in the precision around it."""

    @functools.wraps(function)
    def run(*args, **kwargs):
        here, named = jax.tree.map(_canonical, (args, kwargs))
        with jax.enable_x64(True):
            return function(*here, **named)

    return cast(F, run)


def _canonical(leaf):
    return jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf


def widened(tree: Any, dtype: Any) -> Any:
    """Floats as float64; Python numbers are rounded to the working precision first, as tables."""
    return jax.tree.map(lambda leaf: _widened(leaf, dtype), tree)


def _widened(leaf, dtype):
    leaf = jnp.asarray(leaf, dtype) if isinstance(leaf, int | float) else jnp.asarray(leaf)
    return leaf.astype(jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def normalised(rows: jax.Array) -> jax.Array:
    """Probabilities along the last axis in float64, divided by their sum; rows of zeros stay."""
    rows = rows.astype(jnp.float64)
    mass = total(rows)
    return rounded(rows * (1.0 / jnp.where(mass == 0, 1.0, mass))[..., None])


def dynamics(mdp: Any) -> Dynamics:
    """Everything of an MDP in float64; call it within `in_double`.

    Raises:
        DataError: what `check_mdp` refuses.
    """
    check_mdp(mdp)
    dtype = mdp.transition.dtype
    wide = widened(mdp, dtype)
    scale = 1.0 / total(wide.transition)
    return Dynamics(wide._replace(initial=normalised(mdp.initial)), scale, dtype == jnp.float32)


def expect_change(dynamics: Dynamics, value: jax.Array) -> jax.Array:
    """Expected change of a function of the state in one step: value [S] -> [S, A].

    Differences are taken before they are weighted, so that a constant added to the function
    changes nothing, and rounding is relative to how much states differ.
    """
    mdp, columns = dynamics.mdp, dynamics.mdp.transition.shape[-1]
    if mdp.successor is not None:
        change = weighted(mdp.transition, value[mdp.successor] - value[:, None, None])
    elif columns > UNROLLED:
        after = jnp.einsum("sak,k->sa", mdp.transition, value, precision=HIGHEST)
        return rounded(after * dynamics.scale) - value[:, None]
    else:
        change = _short(dynamics, value - value[:, None])[:, None]
        terms = [_times(dynamics, mdp.transition[..., k], change[..., k]) for k in range(columns)]
        change = add_up(terms)
    return rounded(change * dynamics.scale)


def push(dynamics: Dynamics, flow: jax.Array) -> jax.Array:
    """Distribution of the next state from one over pairs: flow [S, A] -> [S], summing to one."""
    mdp, (num_states, num_actions) = dynamics.mdp, flow.shape
    flow = rounded(flow * dynamics.scale)
    if mdp.successor is not None:
        mass = rounded(mdp.transition * flow[..., None])
        return normalised(jnp.zeros_like(mdp.initial).at[mdp.successor].add(mass))
    if num_states * num_actions > 4 * UNROLLED:
        return normalised(jnp.einsum("sak,sa->k", mdp.transition, flow, precision=HIGHEST))
    rows = mdp.transition.reshape(flow.size, -1)
    return normalised(add_rows(_times(dynamics, rows, _short(dynamics, flow).reshape(-1, 1))))


def _short(dynamics: Dynamics, values: jax.Array) -> jax.Array:
    """The leading 29 bits of factors of float32 numbers; of float64 numbers all of them."""
    if not dynamics.is_single:
        return values
    large = rounded(values * SPLIT)
    return large - (large - values)


def _times(dynamics: Dynamics, left: jax.Array, right: jax.Array) -> jax.Array:
    """A product that no compiler can round in two ways; exact of what `_short` returns."""
    return left * right if dynamics.is_single else rounded(left * right)
