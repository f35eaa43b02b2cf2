"""Training an expert by its recipe: PPO runs side by side, the best policy, three weaker ones."""

import dataclasses
import functools
import importlib.metadata
import os
import platform
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from imitax.core import policies
from imitax.core.errors import SpecError
from imitax.core.keys import family_hash
from imitax.core.policies import Policy
from imitax.core.version import __version__
from imitax.experts.files import SNAPSHOTS
from imitax.experts.network import Actor, Weights
from imitax.networks.normalisation import Normaliser
from imitax.rl import actor_critic, ppo
from imitax.rl.measure import Measured, make, measure, play
from imitax.rl.recipes import Recipe

SHARES = (0.25, 0.5, 0.75)
"""Where the weaker snapshots lie between the random and the final policy's return."""

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "gymnax", "numpy")
_LARGEST = 2**31 - 1
_METHOD = (
    "PPO runs side by side from different keys. Of each, the policies after the rounds listed as "
    "kept were judged by their mean return over common selection episodes. final: the last policy "
    "of the run whose last policy is best; it plays its mean or most probable action. 1, 2, 3: the "
    "policies of any run whose return is nearest to a quarter, a half and three quarters of the "
    "way from the uniformly random to the final policy's; they sample, as in training. Returns: "
    "over fresh episodes that took no part in the choice, with a normal 95% interval of the mean."
)


Places = dict[str, tuple[int, int]]
"""Run and checkpoint of each snapshot."""

Found = dict[str, Measured]
"""Reported returns of each snapshot, and of the random policy."""


class Curve(NamedTuple):
    """The kept policies of R runs at C rounds."""

    weights: Weights
    """Leaves [R, C, ...]."""
    best: jax.Array
    """Mean return over the selection episodes of the best action, [R, C]."""
    drawn: jax.Array
    """The same as a weaker snapshot plays, [R, C]."""


class Trained(NamedTuple):
    """What `imitax.experts.files.write` takes."""

    manifest: dict[str, Any]
    policies: dict[str, Policy]


def train(recipe: Recipe, seed: int) -> Trained:
    """Train an expert and its weaker snapshots.

    Args:
        recipe: what to do.
        seed: from 0 to 2^31 - 1; the same seed gives the same weights on the same machine.

    Raises:
        SpecError: a seed out of range, or sizes in the recipe that do not fit.
    """
    check(recipe, seed)
    begun = time.monotonic()
    root = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), family_hash(recipe.env_id))
    run_key, selection_key, report_key = jax.random.split(root, 3)
    actor = actor_critic.actor(make(recipe.env_id)[0], recipe.settings.hidden)
    curve = jax.block_until_ready(_curves(run_key, selection_key, recipe, actor))
    judge = functools.partial(measure, env_id=recipe.env_id, horizon=recipe.horizon)
    nobody = _nobody(actor)
    random = judge(selection_key, policy=nobody, num_episodes=recipe.selection_episodes)
    places = choose(np.asarray(curve.best), np.asarray(curve.drawn), random.mean)
    policies = {
        name: Policy(
            jax.tree.map(lambda leaf, at=at: np.asarray(leaf[at]), curve.weights),
            playing(actor, "mode" if name == SNAPSHOTS[-1] else "sample"),
        )
        for name, at in places.items()
    }
    found = {
        name: judge(report_key, policy=policy, num_episodes=recipe.episodes)
        for name, policy in (policies | {"random": nobody}).items()
    }
    manifest = _manifest(recipe, seed, places, found, time.monotonic() - begun)
    return Trained(manifest, policies)


def check(recipe: Recipe, seed: int) -> None:
    """Refuse a seed out of range, and sizes that do not fit; raises `SpecError`."""
    if not 0 <= seed <= _LARGEST:
        raise SpecError(f"--seed {seed} is out of range; allowed: 0 to {_LARGEST}")
    ppo.check(recipe.settings, recipe.env_id)


def kept(recipe: Recipe) -> tuple[int, ...]:
    """Numbers of rounds after which a run's policy is judged, in geometric progression."""
    rounds = np.geomspace(1, recipe.rounds, min(recipe.checkpoints, recipe.rounds))
    return tuple(np.unique(np.round(rounds).astype(int)).tolist())


def choose(best: np.ndarray, drawn: np.ndarray, random: float) -> Places:
    """Run and checkpoint of each snapshot; see `Curve` for the arrays.

    Args:
        best: [R, C]; its last column decides on the final policy.
        drawn: [R, C]; the weaker snapshots are chosen by it.
        random: mean return of the random policy.

    Raises:
        SpecError: the returns of all runs are NaN.
    """
    if not np.isfinite(best[:, -1]).any():
        raise SpecError("every run diverged; try another --seed")
    run = int(np.nanargmax(best[:, -1]))
    final = best[run, -1]
    places = {}
    for name, share in zip(SNAPSHOTS, SHARES, strict=False):
        distance = np.abs(drawn - (random + share * (final - random)))
        places[name] = np.unravel_index(np.nanargmin(distance), drawn.shape)
    places[SNAPSHOTS[-1]] = run, best.shape[1] - 1
    return {name: (int(run), int(checkpoint)) for name, (run, checkpoint) in places.items()}


def playing(actor: actor_critic.Actor, act: str) -> Actor:
    """How a finished policy plays."""
    if actor.centre is None:
        return Actor(act)
    low, high = np.array(actor.centre) + np.outer((-1.0, 1.0), actor.half_width)
    return Actor(act, tuple(low.tolist()), tuple(high.tolist()))


@functools.partial(jax.jit, static_argnames=("recipe", "actor"))
def _curves(run_key, selection_key, recipe: Recipe, actor: actor_critic.Actor) -> Curve:
    keys = jax.random.split(run_key, recipe.runs)
    return jax.vmap(lambda key: _curve(key, selection_key, recipe, actor))(keys)


def _curve(key, selection_key, recipe: Recipe, actor: actor_critic.Actor) -> Curve:
    """One run: weights and selection returns after each of the kept rounds."""
    settings, (env, params) = recipe.settings, make(recipe.env_id)
    scaling = _scaling(recipe, actor)
    horizon = jnp.int32(recipe.horizon)
    start_key, round_key = jax.random.split(key)

    def advance(index, player):
        collect_key, improve_key = jax.random.split(jax.random.fold_in(round_key, index))
        player, rollout = ppo.collect(collect_key, actor, settings, env, params, horizon, player)
        reward = shaped(recipe, scaling, rollout)
        share = 1.0 - index / recipe.rounds
        return ppo.improve(improve_key, actor, settings, player, rollout, reward, share)

    def keep(player, bounds):
        begin, end = bounds
        player = jax.lax.fori_loop(begin, end, advance, player)
        weights = exported(actor, scaling, player.weights)
        scores = []
        for act in ("mode", "sample"):
            policy = Policy(weights, playing(actor, act))
            returns, _ = play(
                selection_key, env, params, policy, recipe.horizon, recipe.selection_episodes
            )
            scores.append(jnp.mean(returns))
        return player, Curve(weights, *scores)

    player = ppo.start(start_key, actor, settings, env, params, scaling)
    ends = jnp.array(kept(recipe))
    starts = jnp.concatenate([jnp.zeros_like(ends[:1]), ends[:-1]])
    return jax.lax.scan(keep, player, (starts, ends))[1]


def shaped(recipe: Recipe, scaling: Normaliser, rollout: ppo.Rollout) -> jax.Array:
    """The reward that PPO sees, [T, B].

    Potential-based shaping (Ng, Harada and Russell 1999) adds discount Phi(s') - Phi(s), with
    Phi = 0 after termination, which leaves the optimal policies of the discounted problem what
    they are. A time limit is no termination: the potential counts there, as the value does.
    """
    if recipe.potential is None:
        return rollout.reward
    here, there = (
        recipe.potential_weight * recipe.potential(inputs * scaling.scale + scaling.mean)
        for inputs in (rollout.inputs, rollout.next_inputs)
    )
    gain = recipe.settings.discount * jnp.where(rollout.terminated, 0.0, there) - here
    return rollout.reward + gain


def exported(
    actor: actor_critic.Actor, scaling: Normaliser, weights: actor_critic.Weights
) -> Weights:
    """PPO's policy network as an expert's: a box's centre and half width go into the last layer."""
    layers = weights.policy["params"]
    kernels, biases = (
        [layers[f"Dense_{index}"][part] for index in range(len(layers))]
        for part in ("kernel", "bias")
    )
    log_scale = jnp.clip(weights.log_scale, actor_critic.LOG_SCALE_LOW, actor_critic.LOG_SCALE_HIGH)
    if actor.centre is not None:
        half = jnp.array(actor.half_width)
        kernels[-1], biases[-1] = kernels[-1] * half, biases[-1] * half + jnp.array(actor.centre)
        log_scale = log_scale + jnp.log(half)
    return Weights(scaling.mean, scaling.scale, tuple(kernels), tuple(biases), log_scale)


def _scaling(recipe: Recipe, actor: actor_critic.Actor) -> Normaliser:
    size = _inputs(recipe, actor)
    mean, scale = (
        jnp.broadcast_to(jnp.array(part, jnp.float32), size) for part in (recipe.mean, recipe.scale)
    )
    return Normaliser(mean, scale)


def _inputs(recipe: Recipe, actor: actor_critic.Actor) -> int:
    """Numbers in one observation."""
    env, params = make(recipe.env_id)
    like = jax.eval_shape(lambda: env.reset_env(jax.random.key(0), params)[0][None])
    return jax.eval_shape(actor.encode, like).shape[-1]


def _nobody(actor: actor_critic.Actor) -> Policy:
    """The uniformly random policy."""
    if actor.centre is None:
        probs = jnp.full(actor.num_actions, 1.0 / actor.num_actions)
        return Policy(probs, policies.uniform_actions)
    box = playing(actor, "mode")
    return Policy((jnp.array(box.low), jnp.array(box.high)), policies.uniform_box)


def _manifest(
    recipe: Recipe, seed: int, places: Places, found: Found, seconds: float
) -> dict[str, Any]:
    rounds, settings = kept(recipe), recipe.settings
    per_round = settings.num_envs * settings.rollout
    snapshots = {
        name: {**found[name]._asdict(), "run": run, "environment_steps": rounds[at] * per_round}
        for name, (run, at) in places.items()
    }
    device = jax.devices()[0]
    return {
        "name": recipe.env_id,
        "kind": "ppo",
        "method": _METHOD,
        "recipe": _described(recipe),
        "kept": rounds,
        "seed": seed,
        "environment_steps": recipe.runs * recipe.rounds * per_round,
        "random": found["random"]._asdict(),
        "snapshots": snapshots,
        "wall_seconds": round(seconds, 1),
        "hardware": f"{device.platform} ({device.device_kind}), {os.cpu_count()} cores",
        "versions": {
            "python": platform.python_version(),
            "imitax": __version__,
            **{package: importlib.metadata.version(package) for package in _PACKAGES},
        },
    }


def _described(recipe: Recipe) -> dict[str, Any]:
    """All settings, as JSON holds them; the potential by its name and first line."""
    potential = recipe.potential
    text = potential and f"{potential.__name__}: {(potential.__doc__ or '').splitlines()[0]}"
    return {**dataclasses.asdict(recipe), "potential": text}
