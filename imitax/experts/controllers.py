"""Controllers: pure functions `(params, observation, time) -> distribution`, and their constants.

They stand at module level, so that a `Policy` made of one compares by value and compiles once.
"""

import jax
import jax.numpy as jnp

from imitax.distributions import Categorical, Point

CARTPOLE_GAINS = (7.883, 13.580, 85.446, 23.457)
"""Force in newtons per metre, metre per second, radian and radian per second.

Recipe: linearise gymnax's CartPole-v1 at rest with the pole up (gravity 9.8, cart 1.0, pole 0.1,
half length l 0.5, in SI units; total mass M),

    theta'' = (g theta - u / M) / (l (4/3 - m / M)),   x'' = u / M - m l / M theta''

make Euler steps of 0.02 s, and take the linear quadratic regulator u = K s with Q = I and R = 0.01
(`scipy.linalg.solve_discrete_are`). Only the sign of K s is played, so a common factor of the
gains means nothing.
"""

SINE_PATH = (0.2, 0.3)
"""Step along x, and the largest step along y."""


def linear(params: jax.Array, obs: jax.Array, time: jax.Array) -> Point:
    """The action -gain * observation.

    Args:
        params: the gain, scalar.
        obs: [D].
        time: not used.

    Returns:
        A point [D].
    """
    del time
    return Point(-params * obs)


def sine_path(params: jax.Array, obs: jax.Array, time: jax.Array) -> Point:
    """One step on and towards the curve y = sin 2x: (speed, clip(sin 2x - y, +-limit)).

    Args:
        params: (speed, limit), [2]; see `SINE_PATH`.
        obs: (x, y), [2].
        time: not used.

    Returns:
        A point [2].
    """
    del time
    speed, limit = params
    aside = jnp.clip(jnp.sin(2.0 * obs[0]) - obs[1], -limit, limit)
    return Point(jnp.stack([speed, aside]))


def cartpole(params: jax.Array, obs: jax.Array, time: jax.Array) -> Categorical:
    """Push right (action 1) where the linear feedback is positive, else left (action 0).

    Args:
        params: gains [4]; see `CARTPOLE_GAINS`.
        obs: (x, x_dot, theta, theta_dot), [4].
        time: not used.

    Returns:
        One-hot probabilities, float32 [2].
    """
    del time
    right = (jnp.sum(params * obs) > 0.0).astype(jnp.float32)
    return Categorical(jnp.stack([1.0 - right, right]))
