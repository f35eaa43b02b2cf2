"""Soft and hard planning and evaluation in numpy's long doubles, written from the definitions.

Nothing here imports the library or `oracles`. P [S, A, S'], r [S, A], rho [S]; rows of P, rho and
policies count as divided by their sums.
"""

import numpy as np

WIDE = np.longdouble


def rows(x):
    x = np.asarray(x, WIDE)
    return x / x.sum(-1, keepdims=True)


def soft(P, r, H, discount, temperature):
    """Log policy [H, S, A] and soft values [H, S]: V = T log sum exp(Q / T), backward."""
    P, r = rows(P), np.asarray(r, WIDE)
    discount, temperature = WIDE(discount), WIDE(temperature)
    log_policy, values = np.empty((H, *r.shape), WIDE), np.empty((H, r.shape[0]), WIDE)
    after = np.zeros(r.shape[0], WIDE)
    for t in range(H - 1, -1, -1):
        # A common number taken out of the next values comes back in full: P's rows sum to one.
        common = after.max()
        scores = (r + discount * (P @ (after - common))) / temperature
        top = scores.max(1, keepdims=True)
        log_sum = top + np.log(np.exp(scores - top).sum(1, keepdims=True))
        log_policy[t] = scores - log_sum
        values[t] = after = temperature * log_sum[:, 0] + discount * common
    return log_policy, values


def optimum(P, rho, r, H, discount):
    """The largest return."""
    P, value = rows(P), np.zeros(len(rho), WIDE)
    for _ in range(H):
        value = (np.asarray(r, WIDE) + WIDE(discount) * (P @ value)).max(1)
    return rows(rho) @ value


def flows(P, rho, policy, H):
    """Distribution over pairs at each step, [H, S, A], forward."""
    P, here = rows(P), rows(rho)
    policy = rows(np.broadcast_to(policy, (H, *P.shape[:2])))
    shown = np.empty(policy.shape, WIDE)
    flat = P.reshape(-1, P.shape[2])
    for t in range(H):
        shown[t] = here[:, None] * policy[t]
        here = shown[t].reshape(-1) @ flat
    return shown


def visits(shown, discount):
    """Discounted number of visits, [S, A]."""
    weights = WIDE(discount) ** np.arange(len(shown))
    return np.tensordot(weights, shown, 1)


def earned(shown, r, discount):
    """Return of a policy from its flows."""
    return (visits(shown, discount) * np.asarray(r, WIDE)).sum()


def grid(size, slip, goal, stay=True):
    """A square grid's rows [S, A, S] and reward [S, A]: one for each step from the goal.

    Up, down, left, right, then staying; a wall holds; with probability `slip` any of the four
    moves instead, each alike.
    """
    S = size * size
    sure = np.zeros((S, 5, S))
    for s, (row, column) in enumerate(np.ndindex(size, size)):
        for a, (down, right) in enumerate(((-1, 0), (1, 0), (0, -1), (0, 1), (0, 0))):
            y, x = row + down, column + right
            inside = 0 <= y < size and 0 <= x < size
            sure[s, a, y * size + x if inside else s] = 1.0
    P = (1.0 - slip) * sure + slip * sure[:, :4].mean(1, keepdims=True)
    reward = np.zeros((S, 5))
    reward[goal] = 1.0
    return (P, reward) if stay else (P[:, :4], reward[:, :4])
