"""The experts that come with the library, by environment and snapshot."""

import jax.numpy as jnp

from imitax.config import SpecError
from imitax.experts import controllers
from imitax.policies import Policy

_CONTROLLERS = {"CartPole-v1": (controllers.CARTPOLE_GAINS, controllers.cartpole)}
"""Parameters and controller."""


def names() -> tuple[str, ...]:
    """The gymnax ids that have an expert."""
    return tuple(sorted(_CONTROLLERS))


def policy(env_id: str, snapshot: str) -> Policy:
    """The expert of an environment.

    Args:
        env_id: a gymnax id.
        snapshot: `final`, or a weaker one.

    Raises:
        SpecError: there is no such expert.
    """
    if env_id not in _CONTROLLERS:
        raise SpecError(
            f"{env_id}: no expert exists for it yet; gymnax environments with one: "
            f"{', '.join(names())}"
        )
    if snapshot != "final":
        raise SpecError(
            f"{env_id}: expert={snapshot} does not exist, its expert is a controller without "
            "snapshots; leave expert out"
        )
    constants, controller = _CONTROLLERS[env_id]
    return Policy(jnp.array(constants, jnp.float32), controller)
