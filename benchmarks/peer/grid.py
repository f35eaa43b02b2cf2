"""The gridworld of the inverse RL workload, and its exact answers in float64; numpy alone.

State row * SIDE + column; up, down, left, right, stay; walls hold. With probability SLIP the agent
makes one of the five moves instead, each alike. Uniform start, discount 1, reward by state: 1 in
the last corner and 0 elsewhere.
"""

import numpy as np

SIDE, SLIP = 10, 0.1
NUM_STATES, NUM_ACTIONS = SIDE * SIDE, 5
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1), (0, 0))


def followers() -> np.ndarray:
    """The state after each state and move without a slip, int [S, A]."""
    rows, columns = np.divmod(np.arange(NUM_STATES), SIDE)
    after = [
        np.clip(rows + down, 0, SIDE - 1) * SIDE + np.clip(columns + right, 0, SIDE - 1)
        for down, right in MOVES
    ]
    return np.stack(after, axis=1)


def chances() -> np.ndarray:
    """Probability of each move after each action, [A, A]."""
    return (1.0 - SLIP) * np.eye(NUM_ACTIONS) + SLIP / NUM_ACTIONS


def transition() -> np.ndarray:
    """[S, A, S]."""
    arrival = np.eye(NUM_STATES)[followers()]
    return np.einsum("ak,skx->sax", chances(), arrival)


def initial() -> np.ndarray:
    """[S]."""
    return np.full(NUM_STATES, 1.0 / NUM_STATES)


def reward() -> np.ndarray:
    """The expert's, [S]."""
    return np.eye(NUM_STATES)[-1]


def soft_policy(reward: np.ndarray, horizon: int) -> np.ndarray:
    """The soft-optimal policy of a reward by state, [T, S, A]."""
    dynamics, value = transition(), np.zeros(NUM_STATES)
    rows = []
    for _ in range(horizon):
        scores = reward[:, None] + dynamics @ value
        top = scores.max(axis=1)
        value = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
        rows.append(np.exp(scores - value[:, None]))
    return np.stack(rows[::-1])


def flows(policy: np.ndarray) -> np.ndarray:
    """Distribution over pairs at each step, [T, S, A]."""
    dynamics, now, rows = transition(), initial(), []
    for acting in policy:
        rows.append(now[:, None] * acting)
        now = np.einsum("sa,sax->x", rows[-1], dynamics)
    return np.stack(rows)


def visits(policy: np.ndarray) -> np.ndarray:
    """Expected visits of each state in the T + 1 states of an episode, [S]; the peer's measure."""
    by_step = flows(policy)
    last = np.einsum("sa,sax->x", by_step[-1], transition())
    return by_step.sum(axis=(0, 2)) + last


def gap(found: np.ndarray, horizon: int) -> float:
    """Largest difference in visits between the soft policy of a reward [S] and the expert's."""
    wanted = visits(soft_policy(reward(), horizon))
    return float(np.abs(visits(soft_policy(found, horizon)) - wanted).max())
