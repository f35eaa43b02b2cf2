"""Two MDPs of three states, on which the price of a slip can be computed by hand.

States 0, 1, 2; an episode starts in 0, which a1 (action 0) leaves for 1 and a2 (action 1) for 2.

    three-state    1: a2 stays, a1 leads to 2. 2: a1 leads back to 1, a2 stays.
                   Reward 1 for each step spent in 1; expert a1, a2, a1.
    ross-bagnell   1: a1 stays, a2 leads to 2. 2: a1 leads back to 1, a2 stays.
                   Reward -1 for each step spent in 2; expert a1 everywhere.

The reward belongs to the state a step is taken from, so the first step, from 0, earns nothing in
either, and an expert's return is horizon - 1 or 0. A learner that is in state 1 with probability
on_t at step t therefore has regret sum over 1 <= t < horizon of 1 - on_t in `three-state`.
`ross-bagnell` is after Ross and Bagnell 2010, "Efficient reductions for imitation learning".
"""

import jax.numpy as jnp
import numpy as np

from imitax.core.config import config
from imitax.core.family import subsampling
from imitax.envs.tabular import TabularFamily, one_hot_policy, working_precision
from imitax.tabular.mdp import TabularMDP


@config
class ChainSettings:
    """Settings of both families."""

    subsample: int = subsampling()


class Chain(TabularFamily):
    """Shared parts of the two families; see the head of the file."""

    varies = False
    moves: tuple[tuple[int, int], ...] = ()
    """State after each state and action."""
    state_reward: tuple[float, ...] = ()
    """Reward of a step from each state."""
    labels: tuple[int, ...] = ()
    """The expert's action in each state."""

    def __init__(self, settings: ChainSettings | None = None):
        super().__init__(settings or ChainSettings(), num_states=3, num_actions=2)

    def instance(self, key, horizon, num_demos, max_horizon):
        """The same MDP for every seed."""
        dtype = working_precision()
        reward = jnp.array(self.state_reward, dtype)
        mdp = TabularMDP(
            transition=jnp.array(np.eye(3)[np.array(self.moves)], dtype),
            step_reward=jnp.broadcast_to(reward[:, None], (3, 2)),
            final_reward=None,
            initial=jnp.array([1.0, 0.0, 0.0], dtype),
        )
        return mdp, one_hot_policy(jnp.array(self.labels, jnp.int32), 2)


class ThreeState(Chain):
    """One good state to hold, one bad state to come back from."""

    family = "three-state"
    moves = ((1, 2), (2, 1), (1, 2))
    state_reward = (0.0, 1.0, 0.0)
    labels = (0, 1, 0)


class RossBagnell(Chain):
    """The same, with one action that is right everywhere, and a cost."""

    family = "ross-bagnell"
    moves = ((1, 2), (1, 2), (1, 2))
    state_reward = (0.0, 0.0, -1.0)
    labels = (0, 0, 0)
