"""Our side of the inverse RL workload: exact MaxEnt IRL on the grid of `benchmarks.peer.grid`.

Every seed starts from its own random reward, as the peer's do. The gap of what it recovers is
measured outside, in float64 and by the peer's rule.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import imitax
from benchmarks.peer import grid, workload
from imitax.algorithms.inverse.maxent_irl import likelihood
from imitax.core.config import config, setting
from imitax.core.keys import seed_keys
from imitax.core.types import Demonstrations, Problem
from imitax.envs.tabular import TabularFamily
from imitax.numerics import lbfgs
from imitax.tabular.mdp import TabularMDP

SPREAD = 0.1
"""Starting weights are uniform in +- this, as those of the peer's linear layer for 100 inputs."""
MARGIN = 0.9
"""Part of the allowed gap at which we stop: the check outside counts one state more."""
BLOCK = 8


@config
class GridSettings:
    """Nothing to choose."""

    subsample: int = setting(1, "every pair is shown", low=1)


class Grid(TabularFamily):
    """The grid, with one feature per state."""

    family = "peers-grid"

    def __init__(self):
        super().__init__(GridSettings(), grid.NUM_STATES, grid.NUM_ACTIONS)

    def instance(self, key, horizon, num_demos, max_horizon):
        """The same MDP for every seed; nobody asks its expert."""
        shape = (grid.NUM_STATES, grid.NUM_ACTIONS)
        after = jnp.asarray(grid.followers(), jnp.int32)
        features = jnp.eye(grid.NUM_STATES)[:, None]
        mdp = TabularMDP(
            transition=jnp.broadcast_to(jnp.asarray(grid.chances()), (*shape, shape[1])),
            step_reward=jnp.broadcast_to(jnp.asarray(grid.reward())[:, None], shape),
            final_reward=None,
            initial=jnp.asarray(grid.initial()),
            features=jnp.broadcast_to(features, (*shape, grid.NUM_STATES)),
            successor=jnp.broadcast_to(after[:, None], (*shape, shape[1])),
        )
        return mdp, jnp.full(shape, 1.0 / shape[1])


def problem_of(env: Grid, horizon: int) -> Problem:
    """What a learner sees: the dynamics, and the expert's exact flows in place of counts."""
    steps, one = jnp.int32(horizon), jnp.int32(1)
    params = env.sample_params(jax.random.key(0), steps, one, horizon)
    flows = grid.flows(grid.soft_policy(grid.reward(), horizon))
    counts = jnp.asarray(flows, params.mdp.transition.dtype)
    return Problem(
        params=env.without_reward(params),
        horizon=steps,
        num_demos=one,
        demonstrations=Demonstrations(None, None, None, counts, one),
        expert=env.expert(params),
        source_params=env.without_reward(params),
        capacity=imitax.Capacity(horizon, 1),
    )


def job(horizon: int) -> tuple[Callable[[jax.Array, Any], jax.Array], Any, int, str]:
    """The fields of `benchmarks.peer.ours.Job`; a result is the recovered reward by state, [S]."""
    env = Grid()
    tolerance = workload.IRL_GRADIENT / horizon
    settings = imitax.MaxEntConfig(l2=0.0, tolerance=tolerance, num_steps=workload.IRL_STEPS)
    algorithm = imitax.maxent_irl(env, settings)

    def stopping(state):
        """The peer's rule; without a penalty, the gradient is the gap in visits per step."""
        gap = jnp.max(jnp.abs(state.here.gradient)) * horizon
        return state._replace(converged=state.converged | (gap <= MARGIN * workload.IRL_GAP))

    def start(key, problem):
        state = algorithm.init(key, problem)
        shape, dtype = state.theta.shape, state.theta.dtype
        theta = jax.random.uniform(key, shape, dtype, -SPREAD, SPREAD)
        here = likelihood(problem, settings, theta)
        direction = lbfgs.direction(state.memory, here.gradient)
        return stopping(state._replace(theta=theta, here=here, direction=direction))

    def step(key, problem, state):
        state, metrics = algorithm.step(key, problem, state)
        return stopping(state), metrics

    def one(seed, problem):
        problem = dataclasses.replace(problem, horizon=jnp.int32(horizon))
        key = seed_keys(env.family, seed).learner
        trained = imitax.train(key, algorithm._replace(init=start, step=step), problem)
        return trained.state.theta

    precision = str(jax.dtypes.canonicalize_dtype(float))
    return one, problem_of(env, horizon), BLOCK, precision
