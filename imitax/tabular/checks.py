"""What exact solvers refuse: arrays that are no Markov decision process."""

from typing import Any

import numpy as np

from imitax.core.config import is_concrete
from imitax.core.errors import DataError
from imitax.core.policies import check_distributions


def check_mdp(mdp: Any, owner: str = "TabularMDP") -> None:
    """Refuse an MDP whose arrays do not belong together or hold no probabilities and rewards.

    Shapes are checked always; values where they are concrete, since a traced array has none.

    Args:
        mdp: a `TabularMDP`.
        owner: for the message.

    Raises:
        DataError: a shape, a row of probabilities, a reward or feature that is not finite, or a
            successor that is no state.
    """
    _check_shapes(mdp, owner)
    for name in ("transition", "initial"):
        probabilities = getattr(mdp, name)
        if is_concrete(probabilities):
            rows = np.asarray(probabilities)
            check_distributions(
                rows,
                np.zeros(rows.shape[:-1], bool),
                lambda place, name=name: f"{owner}: {name}{place or ''} is no distribution",
            )
    for name in ("step_reward", "final_reward", "features"):
        values = getattr(mdp, name)
        if values is not None and is_concrete(values) and not np.all(np.isfinite(values)):
            place = np.argwhere(~np.isfinite(values))[0].tolist()
            raise DataError(
                f"{owner}: {name}{place} is {np.asarray(values)[tuple(place)]}; give finite numbers"
            )
    states = mdp.initial.shape[0]
    if mdp.successor is None or not is_concrete(mdp.successor):
        return
    successor = np.asarray(mdp.successor)
    if np.any((successor < 0) | (successor >= states)):
        raise DataError(
            f"{owner}: successor holds {successor.min()} to {successor.max()}; give states from 0 "
            f"to {states - 1}"
        )


def _check_shapes(mdp: Any, owner: str) -> None:
    shape, states = mdp.transition.shape, mdp.initial.shape
    is_table = len(shape) == 3 and states == shape[:1]
    if not is_table or (mdp.successor is None and shape[0] != shape[2]):
        raise DataError(
            f"{owner}: transition is {list(shape)} and initial {list(states)}; give [S, A, S] and "
            "[S], or with successor [S, A, K] and [S]"
        )
    pairs = shape[:2]
    wanted = {"step_reward": pairs, "final_reward": pairs, "successor": shape}
    for name, size in wanted.items():
        value = getattr(mdp, name)
        if value is not None and value.shape != size:
            raise DataError(f"{owner}: {name} is {list(value.shape)}; give {list(size)}")
    if mdp.features is not None and (mdp.features.ndim != 3 or mdp.features.shape[:2] != pairs):
        raise DataError(f"{owner}: features are {list(mdp.features.shape)}; give {[*pairs, 'F']}")
