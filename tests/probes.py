"""Tiny environments with known answers, and hand-made problems over them."""

import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces

import imitax
from imitax.algorithms.adversarial import airl, gail_networks, wail
from imitax.algorithms.inverse import apprenticeship, maxent_networks
from imitax.core.family import FamilyDefaults
from imitax.core.policies import Policy
from imitax.core.types import Capacity, Demonstrations, Problem

REWARDS = ("one", "start", "last", "action", "both")
"""1; what the episode began with; 1 in the last step; 1 for action 1 (or minus the squared distance
of a continuous action to one half); 1 for action 1 where the start is positive, else for action 0.
"""

GAMES = {
    "gail": (imitax.gail, gail_networks.NetworkGAILConfig),
    "wail": (imitax.wail, wail.WAILConfig),
    "airl": (imitax.airl, airl.AIRLConfig),
    "fem": (imitax.fem, apprenticeship.FEMConfig),
    "gtal": (imitax.gtal, apprenticeship.GTALConfig),
    "maxent-irl": (imitax.maxent_irl, maxent_networks.NetworkMaxEntConfig),
}
"""Every sampled game: its factory and its config."""


@struct.dataclass
class ProbeParams(environment.EnvParams):
    length: Any = 0
    """Steps after which an episode ends by itself; 0 is never."""
    weights: Any = None
    """Of the rewards, [5]."""
    clock: Any = 1.0
    """0 where the observation does not tell the time."""
    max_steps_in_episode: Any = 1


@struct.dataclass
class ProbeState(environment.EnvState):
    start: Any
    """Drawn at the reset, uniform in [-1, 1]."""
    time: Any


def probe_params(reward="one", length=0, clock=1.0):
    weights = jnp.asarray([float(name == reward) for name in REWARDS])
    return ProbeParams(length=jnp.int32(length), weights=weights, clock=jnp.float32(clock))


class Probe(FamilyDefaults, environment.Environment):
    """Two actions or one control in [0, 2]; the observation is [start, clock * steps so far]."""

    family = spec = "probe"

    def __init__(self, *, continuous=False, subsample=1):
        super().__init__()
        self.continuous, self.ending = continuous, "none"
        self.settings = types.SimpleNamespace(subsample=subsample)

    @property
    def default_params(self):
        return probe_params()

    def action_space(self, params=None):
        return spaces.Box(0.0, 2.0, (1,)) if self.continuous else spaces.Discrete(2)

    def observation_space(self, params=None):
        return spaces.Box(-np.inf, np.inf, (2,))

    def observe(self, state, params):
        return jnp.stack([state.start, params.clock * state.time])

    def reset_env(self, key, params):
        state = ProbeState(time=jnp.int32(0), start=jax.random.uniform(key, (), minval=-1.0))
        return self.observe(state, params), state

    def step_env(self, key, state, action, params):
        after = state.replace(time=state.time + 1)
        terminated = after.time == params.length
        liked = -jnp.sum((action - 0.5) ** 2) if self.continuous else 1.0 * (action == 1)
        both = 1.0 * ((jnp.sum(action) > 0.5) == (state.start > 0.0))
        kinds = jnp.stack([1.0, state.start, 1.0 * terminated, liked, both])
        return self.observe(after, params), after, kinds @ params.weights, terminated, {}


def _by_sign(params, obs, time):
    raise NotImplementedError("nobody asks the expert of a hand-made problem")


def problem(obs, action, length, horizon, params=None):
    """Demonstrations obs [N, T, D], action [N, T] and length [N] as a problem."""
    shown = Demonstrations(
        jnp.asarray(obs, jnp.float32),
        jnp.asarray(action),
        jnp.asarray(length, jnp.int32),
        None,
        jnp.int32(len(length)),
    )
    return Problem(
        params=probe_params() if params is None else params,
        horizon=jnp.int32(horizon),
        num_demos=jnp.int32(len(length)),
        demonstrations=shown,
        expert=Policy(jnp.zeros(()), _by_sign),
        source_params=None,
        capacity=Capacity(shown.obs.shape[1], len(length)),
    )


def clone_problem(horizon=4, num_demos=8, params=None, seed=0):
    """Whole episodes of an expert that plays 1 where the start is positive."""
    start = np.random.default_rng(seed).uniform(-1.0, 1.0, (num_demos, 1)) * np.ones(horizon)
    obs = np.stack([start, np.ones((num_demos, 1)) * np.arange(horizon)], axis=-1)
    return problem(obs, (start > 0).astype(np.int32), [horizon] * num_demos, horizon, params)


def layers(params):
    """The dense layers of a network as the oracles read them."""
    found = params["params"]
    names = sorted((x for x in found if x.startswith("Dense")), key=lambda x: int(x.split("_")[1]))
    return [(np.asarray(found[x]["kernel"]), np.asarray(found[x]["bias"])) for x in names]
