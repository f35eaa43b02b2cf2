"""A grid with one goal, walls around it, and moves that slip.

Conventions, frozen, since every number depends on them:

- State row * columns + column; row 0 is the top.
- Actions: up, down, left, right; with `diagonal` then up-left, up-right, down-left, down-right;
  with `stay` last of all the action that stays.
- A move that would leave the grid, even in one coordinate only, stays.
- With probability `slip`, whatever the action (staying included), the agent makes one of the
  moves instead, each with the same probability, the intended one among them; a slip never
  chooses the `stay` action. With M moves the intended one has 1 - slip + slip / M.
- A step earns `scale` where the state it is taken from is the goal, at each of the horizon's
  steps. Nothing ends at the goal: it can be left, and it keeps paying.
- `shift` changes the grid and leaves the demonstrations behind: they come from the grid as its
  other settings describe it, and its expert. The learner's grid, the evaluation and the expert
  that both refer to have `SHIFTED_SLIP` added to the slip (at most 1) with `dynamics`, begin in
  the cell opposite `start` on its row with `start`, or both. The expert plans anew there.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from imitax.core.config import config, setting, show
from imitax.core.errors import SpecError
from imitax.core.family import subsampling
from imitax.envs.tabular import Planner, TabularFamily, working_precision
from imitax.numerics.sums import HIGHEST
from imitax.tabular.mdp import TabularMDP

MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
DIAGONALS = ((-1, -1), (-1, 1), (1, -1), (1, 1))
STAY = ((0, 0),)

SPARSE_FROM = 64
"""Grids with so many states or more list successors instead of dense rows."""
LARGEST = 4096
"""Most states of a grid."""
SHIFTED_SLIP = 0.2
"""Added to the slip by `shift=dynamics`."""


@config
class GridworldSettings:
    """Settings of `gridworld`."""

    size: tuple[int, ...] = setting((5, 5), "rows x columns, at most 4096 cells", low=1)
    start: tuple[int, ...] | str = setting(
        (0, 0), "first row x column, or any cell alike", low=0, choices=("uniform",)
    )
    goal: tuple[int, ...] = setting((4, 4), "row x column that pays", low=0)
    slip: float = setting(0.1, "probability of a random move", low=0.0, high=1.0)
    stay: bool = setting(True, "whether there is an action that stays")
    diagonal: bool = setting(False, "whether there are diagonal moves")
    scale: float = setting(1.0, "reward of a step from the goal", above=0.0)
    temperature: float = setting(0.0, "expert's temperature, in reward; 0: optimal", low=0.0)
    features: str = setting(
        "indicator",
        "of a reward: one per state; or row, column and proximity to the goal",
        choices=("indicator", "coordinates"),
    )
    shift: str = setting(
        "none",
        "since the demonstrations: 0.2 more slip; start at the row's other end; both",
        choices=("none", "dynamics", "start", "both"),
    )
    subsample: int = subsampling()


def shifted(settings: GridworldSettings) -> GridworldSettings:
    """The settings of the grid that `shift` leads to; its own shift is `none`.

    Raises:
        SpecError: a shift that changes nothing.
    """
    kind, slip, start = settings.shift, settings.slip, settings.start
    if kind in ("dynamics", "both"):
        slip = min(slip + SHIFTED_SLIP, 1.0)
    if kind in ("start", "both") and not isinstance(start, str):
        start = (start[0], settings.size[1] - 1 - start[1])
    unchanged = {"dynamics": slip == settings.slip, "start": start == settings.start}
    for part in ("dynamics", "start"):
        if kind in (part, "both") and unchanged[part]:
            key = "slip" if part == "dynamics" else "start"
            raise SpecError(
                f"gridworld: shift={kind} changes nothing where {key}="
                f"{show(getattr(settings, key))}; choose another {key} or another shift"
            )
    return dataclasses.replace(settings, slip=slip, start=start, shift="none")


def moves_of(settings: GridworldSettings) -> np.ndarray:
    """Row and column that each action adds, int [A, 2]; staying comes last."""
    moves = MOVES + DIAGONALS * settings.diagonal + STAY * settings.stay
    return np.array(moves)


def followers(size: tuple[int, ...], moves: np.ndarray) -> np.ndarray:
    """The state after each state and move, walls included, int32 [S, A]."""
    cells = coordinates(size)[:, None]
    target = cells + moves
    inside = np.all((target >= 0) & (target < np.array(size)), axis=-1, keepdims=True)
    target = np.where(inside, target, cells)
    return (target[..., 0] * size[1] + target[..., 1]).astype(np.int32)


def coordinates(size: tuple[int, ...]) -> np.ndarray:
    """Row and column of each state, int [S, 2]."""
    return np.stack(np.divmod(np.arange(size[0] * size[1]), size[1]), axis=-1)


class Gridworld(TabularFamily):
    """The grid; see the head of the file. The same MDP for every seed."""

    family = "gridworld"
    says = "A goal that keeps paying, and moves that slip: the reward can be recovered."
    varies = False

    def __init__(self, settings: GridworldSettings | None = None):
        settings = settings or GridworldSettings()
        self.moves = moves_of(settings)
        super().__init__(settings, int(np.prod(settings.size)), len(self.moves))
        if len(settings.size) != 2 or not 2 <= self.num_states <= LARGEST:
            raise SpecError(
                f"{self.family}: size={show(settings.size)} is not a grid; give rows x columns "
                f"with 2 to {LARGEST} cells, such as size=5x5"
            )
        for key in ("start", "goal"):
            self._check_cell(key, getattr(settings, key))
        self.grid_size = settings.size
        self.actual = shifted(settings)
        """The settings of this grid, the shift carried out."""
        if settings.shift != "none":
            self.source = Gridworld(dataclasses.replace(settings, shift="none"))

    def _check_cell(self, key: str, cell: tuple[int, ...] | str) -> None:
        size = self.settings.size
        if cell == "uniform":
            return
        if len(cell) != 2 or cell[0] >= size[0] or cell[1] >= size[1]:
            raise SpecError(
                f"{self.family}: {key}={show(cell)} is no cell of size={show(size)}; give {key} a "
                f"row up to {size[0] - 1} and a column up to {size[1] - 1}, "
                f"such as {key}={size[0] - 1}x{size[1] - 1}"
            )

    def dynamics(self, sparse: bool) -> tuple[jax.Array, jax.Array | None]:
        """Transition probabilities, [S, A, A] with successors int32 [S, A, A], or [S, A, S]."""
        num_actions = self.num_actions
        num_moves = num_actions - self.settings.stay
        dtype = working_precision()
        slip = jnp.asarray(self.actual.slip, dtype)
        slipped = (jnp.arange(num_actions) < num_moves) * (slip / num_moves)
        chances = (1.0 - slip) * jnp.eye(num_actions, dtype=dtype) + slipped
        after = jnp.array(followers(self.settings.size, self.moves))
        if not sparse:
            arrival = jax.nn.one_hot(after, self.num_states, dtype=dtype)
            return jnp.einsum("ak,skx->sax", chances, arrival, precision=HIGHEST), None
        shape = (self.num_states, num_actions, num_actions)
        return jnp.broadcast_to(chances, shape), jnp.broadcast_to(after[:, None], shape)

    def state_features(self) -> jax.Array:
        """Features of each state, [S, F], in [0, 1].

        `indicator`: F = S, one-hot. `coordinates`: row and column over their largest values (0
        on a side of length 1), and 1 - d / d_max with d the number of moves to the goal without
        slips and d_max the largest on this grid.
        """
        if self.settings.features == "indicator":
            return jnp.eye(self.num_states, dtype=working_precision())
        cells = coordinates(self.settings.size)
        apart = np.abs(cells - np.array(self.settings.goal))
        distance = apart.max(-1) if self.settings.diagonal else apart.sum(-1)
        proximity = 1.0 - distance / distance.max()
        scaled = cells / np.maximum(np.array(self.settings.size) - 1, 1)
        return jnp.array(np.column_stack([scaled, proximity]), working_precision())

    def instance(self, key, horizon, num_demos, max_horizon):
        """The grid, and an expert that plans in it."""
        settings, num_states = self.actual, self.num_states
        shape = (num_states, self.num_actions)
        transition, successor = self.dynamics(num_states >= SPARSE_FROM)
        features = self.state_features()
        at_goal = self._only(settings.goal)
        initial = jnp.full(num_states, 1.0 / num_states, working_precision())
        if not isinstance(settings.start, str):
            initial = self._only(settings.start)
        mdp = TabularMDP(
            transition=transition,
            step_reward=jnp.broadcast_to((settings.scale * at_goal)[:, None], shape),
            final_reward=None,
            initial=initial,
            features=jnp.broadcast_to(features[:, None], (*shape, features.shape[1])),
            successor=successor,
        )
        return mdp, Planner(settings.temperature or None)

    def _only(self, cell: tuple[int, ...]) -> jax.Array:
        state = cell[0] * self.settings.size[1] + cell[1]
        return jax.nn.one_hot(state, self.num_states, dtype=working_precision())
