"""How each trained expert came about: everything that `imitax experts train NAME` needs."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from imitax.core import spec
from imitax.core.errors import SpecError
from imitax.rl.ppo import PPOSettings


def mountain_energy(obs: jax.Array) -> jax.Array:
    """Mechanical energy of the car per unit of mass, less that of rest on the crest.

    The slope pulls with 0.0025 cos(3 x) per step, so the height counts 0.0025 / 3 sin(3 x).

    Args:
        obs: (position, velocity), [..., 2].

    Returns:
        [...], in units of velocity squared.
    """
    position, velocity = obs[..., 0], obs[..., 1]
    return 0.5 * velocity**2 + 0.0025 / 3.0 * (jnp.sin(3.0 * position) - 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training run; compares by value."""

    env_id: str
    horizon: int
    """Time limit in steps, of training and of evaluation: the environment's own."""
    required: float | None
    """Mean return that the expert must reach."""
    settings: PPOSettings
    rounds: int
    """Rollouts of each run."""
    mean: tuple[float, ...]
    """Input = (observation - mean) / scale; one number, or one for each of an observation."""
    scale: tuple[float, ...]
    runs: int = 4
    """Runs side by side; the best one is kept."""
    checkpoints: int = 64
    """Policies of a run that are judged, at rounds in geometric progression."""
    selection_episodes: int = 128
    """On which they are judged; the same ones for all."""
    episodes: int = 1000
    """Fresh ones, for the returns that are reported."""
    potential: Callable[[jax.Array], jax.Array] | None = None
    """Phi of potential-based shaping, a module-level function of observations."""
    potential_weight: float = 0.0


RECIPES = {
    recipe.env_id: recipe
    for recipe in (
        Recipe(
            env_id="CartPole-v1",
            horizon=500,
            required=500.0,
            settings=PPOSettings(hidden=(32, 32)),
            rounds=128,
            mean=(0.0,),
            scale=(1.0, 1.0, 0.2, 1.0),
        ),
        Recipe(
            env_id="Acrobot-v1",
            horizon=500,
            required=-80.0,
            settings=PPOSettings(num_envs=64, discount=0.995),
            rounds=256,
            mean=(0.0,),
            scale=(1.0, 1.0, 1.0, 1.0, 4.0, 9.0),
        ),
        Recipe(
            env_id="MountainCar-v0",
            horizon=200,
            required=-105.0,
            settings=PPOSettings(hidden=(32, 32), num_envs=64, discount=0.999),
            rounds=192,
            mean=(-0.3, 0.0),
            scale=(0.5, 0.04),
            potential=mountain_energy,
            potential_weight=2e4,
        ),
        Recipe(
            env_id="MountainCarContinuous-v0",
            horizon=999,
            required=92.0,
            settings=PPOSettings(hidden=(32, 32), rollout=32, learning_rate=5e-4, discount=0.999),
            rounds=1024,
            mean=(-0.3, 0.0),
            scale=(0.5, 0.04),
            potential=mountain_energy,
            potential_weight=2e4,
        ),
        Recipe(
            env_id="Pendulum-v1",
            horizon=200,
            required=-150.0,
            settings=PPOSettings(
                num_envs=128, batch_size=1024, epochs=8, learning_rate=4e-3, entropy=0.0
            ),
            rounds=256,
            selection_episodes=512,
            mean=(0.0,),
            scale=(1.0, 1.0, 4.0),
        ),
        Recipe(
            env_id="FourRooms-misc",
            horizon=500,
            required=None,
            settings=PPOSettings(rollout=64),
            rounds=384,
            selection_episodes=512,
            mean=(6.0,),
            scale=(3.0,),
        ),
        Recipe(
            env_id="Catch-bsuite",
            horizon=9,
            required=None,
            settings=PPOSettings(hidden=(32, 32)),
            rounds=128,
            mean=(0.0,),
            scale=(1.0,),
        ),
    )
}
"""Recipes by environment. Catch ends by itself after nine steps."""


def recipe(env_id: str) -> Recipe:
    """The recipe of an environment's expert; raises `SpecError` where there is none."""
    if env_id not in RECIPES:
        hint = spec.nearest(env_id, RECIPES)
        raise SpecError(f"{env_id}: no recipe for an expert{hint}; allowed: {', '.join(RECIPES)}")
    return RECIPES[env_id]
