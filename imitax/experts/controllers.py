"""Controllers: pure functions `(params, observation, time) -> distribution`, and their constants.

They stand at module level, so that a `Policy` made of one compares by value and compiles once.
"""

import jax
import jax.numpy as jnp

from imitax.core.distributions import Point

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
