"""Slow float64 oracles of the theory: nothing here imports or copies the library.

Conventions: transition P[S, A, S'], step reward r[S, A], final reward f[S, A] or None (added at the
last of H actions), initial rho[S], policies [H, S, A] or [S, A]. Rows of transitions, policies and
initial distributions are renormalised in float64 first. Return = sum_t g^t (r_t + 1{t=H-1} f).
Section numbers refer to the project's theory notes.
"""

import itertools

import numpy as np
from scipy.special import logsumexp
from scipy.stats import binom


def rows(x):
    """Distributions along the last axis, in float64 and summing to one."""
    x = np.asarray(x, np.float64)
    return x / x.sum(-1, keepdims=True)


def table(policy, H):
    """A stationary or longer non-stationary policy as rows for t < H."""
    policy = np.asarray(policy, np.float64)
    return rows(np.broadcast_to(policy, (H, *policy.shape)) if policy.ndim == 2 else policy[:H])


def rewards(r, f, H):
    """r_t(s, a) for t < H, with the final reward added at t = H - 1."""
    r = np.asarray(r, np.float64)
    out = np.array(np.broadcast_to(r, (H, *r.shape)) if r.ndim == 2 else r[:H])
    if f is not None:
        out[-1] += np.asarray(f, np.float64)
    return out


def hard_plan(P, r, f, H, discount=1.0):
    """Bellman optimality V_t = max_a r_t + g E V_{t+1}: (policy one-hot, V [H, S], Q [H, S, A])."""
    P, r = rows(P), rewards(r, f, H)
    Q, after = np.zeros(r.shape), np.zeros(P.shape[0])
    for t in reversed(range(H)):
        Q[t] = r[t] + discount * P @ after
        after = Q[t].max(-1)
    return np.eye(P.shape[1])[Q.argmax(-1)], Q.max(-1), Q


def soft_plan(P, r, H, discount=1.0, temperature=1.0):
    """Maximum causal entropy, 3.1: V_t = T logsumexp(Q_t / T): (policy [H, S, A], V [H, S])."""
    P, r = rows(P), rewards(r, None, H)
    policy, V, after = np.zeros(r.shape), np.zeros(r.shape[:2]), np.zeros(P.shape[0])
    for t in reversed(range(H)):
        Q = (r[t] + discount * P @ after) / temperature
        after = V[t] = temperature * logsumexp(Q, axis=-1)
        policy[t] = np.exp(Q - V[t][:, None] / temperature)
    return policy, V


def occupancy(P, rho, policy, H):
    """3.1: d_0 = rho, d_{t+1}(s') = sum_{s,a} d_t(s) pi_t(a|s) P(s'|s,a), as [H, S]."""
    P, policy, d = rows(P), table(policy, H), [rows(rho)]
    for t in range(H - 1):
        d.append(np.einsum("s,sa,sax->x", d[t], policy[t], P))
    return np.array(d)


def policy_value(P, r, f, policy, H, discount=1.0):
    """V^pi_t(s) backward, [H, S]."""
    P, r, policy = rows(P), rewards(r, f, H), table(policy, H)
    V, after = np.zeros(r.shape[:2]), np.zeros(P.shape[0])
    for t in reversed(range(H)):
        after = V[t] = (policy[t] * (r[t] + discount * P @ after)).sum(-1)
    return V


def policy_return(P, r, f, rho, policy, H, discount=1.0):
    """J(pi) forward: sum_t g^t sum_{s,a} d_t(s) pi_t(a|s) r_t(s,a)."""
    d, gain = occupancy(P, rho, policy, H), table(policy, H) * rewards(r, f, H)
    return sum(discount**t * (d[t] @ gain[t].sum(-1)) for t in range(H))


def regret(P, r, f, rho, expert, policy, H, discount=1.0):
    """J(pi_E) - J(pi) as a difference of float64 returns."""
    returns = [policy_return(P, r, f, rho, table, H, discount) for table in (expert, policy)]
    return returns[0] - returns[1]


def regret_by_advantages(P, r, f, rho, expert, policy, H, discount=1.0):
    """Performance difference: sum_t g^t E_{d_t^pi} sum_a (pi_E - pi)(Q^E - V^E), without the
    cancellation of large returns.
    """
    V, after = policy_value(P, r, f, expert, H, discount), np.zeros(np.shape(P)[0])
    d, lost = occupancy(P, rho, policy, H), np.zeros(H)
    change, gain = table(expert, H) - table(policy, H), rewards(r, f, H)
    for t in reversed(range(H)):
        advantage = gain[t] + discount * rows(P) @ after - V[t][:, None]
        lost[t], after = discount**t * (d[t] @ (change[t] * advantage).sum(-1)), V[t]
    return lost.sum()


def causal_entropy(P, rho, policy, H, discount=1.0):
    """3.1: sum_t g^t E_{d_t} H(pi_t(.|s))."""
    d, pi = occupancy(P, rho, policy, H), table(policy, H)
    entropy = -(pi * np.log(np.where(pi > 0, pi, 1.0))).sum(-1)
    return sum(discount**t * (d[t] @ entropy[t]) for t in range(H))


def paths(P, rho, H):
    """Every (states, actions, probability of the dynamics, rho included) of a tiny MDP."""
    P, rho = rows(P), rows(rho)
    S, A, _ = P.shape
    for states in itertools.product(range(S), repeat=H):
        for actions in itertools.product(range(A), repeat=H):
            steps = zip(states[:-1], actions[:-1], states[1:], strict=True)
            weight = rho[states[0]] * np.prod([P[step] for step in steps])
            if weight > 0:
                yield states, actions, weight


def path_weights(P, r, rho, H):
    """3.2.1, P(tau | s0) = P(dyn) exp(sum r) / Z(s0): log Z, visits, first policy, entropy.

    With deterministic dynamics this is the causal answer; with stochastic ones it is Ziebart's
    non-causal distribution, which differs (3.2.2).
    """
    rho, (S, A, _) = rows(rho), np.shape(P)
    mass, every = np.zeros((S, A)), []
    for states, actions, weight in paths(P, rho, H):
        weight *= np.exp(sum(np.float64(r[s][a]) for s, a in zip(states, actions, strict=True)))
        mass[states[0], actions[0]] += weight / rho[states[0]]
        every.append((states, actions, weight))
    Z, visits, entropy = mass.sum(-1), np.zeros((H, S, A)), 0.0
    for states, actions, weight in every:
        weight /= Z[states[0]]
        visits[range(H), states, actions] += weight
        entropy -= weight * np.log(weight / rho[states[0]])
    return np.log(Z), visits, mass / Z[:, None], entropy


def epic_distance(R1, R2, discount):
    """3.4: sqrt((1 - Pearson) / 2) of canonical rewards [S, A, S'], uniform D_S and D_A."""

    def canonical(R):
        R = np.asarray(R, np.float64)
        mean = R.mean((1, 2))  # E R(s, A, S') for each s
        shaped = R + discount * mean[None, None, :] - mean[:, None, None] - discount * mean.mean()
        return shaped.ravel()

    correlation = np.corrcoef(canonical(R1), canonical(R2))[0, 1]
    return np.sqrt(np.clip((1.0 - correlation) / 2.0, 0.0, 1.0))


def initial_distribution(initial, G, N):
    """1.2 and 1.4: uniform, dyadic 2^-k or Rajaraman's zeta_N over G good states."""
    if initial == "uniform":
        return np.full(G, 1.0 / G)
    rho = 0.5 ** np.arange(1, G + 1) if initial == "dyadic" else np.full(G, 1.0 / (N + 1))
    rho[-1] = 1.0 - rho[:-1].sum()
    return rho


def labelled_mdp(kind, rho, label, A):
    """1.2, 1.3, 1.7: P and the reward of playing the expert's action, for a label per state."""
    S, G = len(label), len(rho)
    right = np.eye(A)[label].astype(bool)
    if kind == "standard-imitation":
        return np.repeat(np.eye(S)[:, None], A, 1), 1.0 * right
    P, back = np.zeros((S, A, S)), np.append(rho, 0.0)
    P[..., G] = 1.0
    P[:G][right[:G]] = back
    if kind == "recoverable-cliff":
        P[G, label[G]] = back
    return P, right * (np.arange(S) < G)[:, None]


def missing_mass(rho, n):
    """q_n(rho) = sum_s rho (1 - rho)^n."""
    return (rho * (1.0 - rho) ** n).sum()


def cliff_regret(u, kappa, H, reward):
    """1.2, 1.7: off' = off (1 - kappa) + (1 - off) u; a reward is lost when off or erring."""
    off, total = np.zeros(np.shape(u)), np.zeros(np.shape(u))
    for _ in range(H):
        lost = off + (1.0 - off) * u
        total = total + lost
        off = off * (1.0 - kappa) + (1.0 - off) * u
    return total if reward == "dense" else lost


def subset_sums(values):
    """Sum of the values over each of the 2^n subsets (bit i = member i)."""
    out = np.zeros(1)
    for value in values:
        out = np.concatenate([out, out + value])
    return out


def errors(rho, A, labels, unseen, N):
    """Per-step error probabilities u of NS-BC and their weights over the drawn labels."""
    q = rho * (1.0 - rho) ** N
    if unseen == "uniform":
        return np.array([(1.0 - 1.0 / A) * q.sum()]), np.ones(1)
    if labels == "first":
        return np.zeros(1), np.ones(1)
    wrong = subset_sums(np.ones(len(rho)))  # states whose label is not action 0
    return subset_sums(q), (1.0 - 1.0 / A) ** wrong * A ** (wrong - len(rho))


def recovery(kind, A, labels, unseen):
    """(kappa, probability) pairs of the chance to leave the bad state per step, 1.7."""
    if kind == "reset-cliff":
        return [(0.0, 1.0)]
    if unseen == "uniform":
        return [(1.0 / A, 1.0)]
    return [(1.0, 1.0)] if labels == "first" else [(1.0, 1.0 / A), (0.0, 1.0 - 1.0 / A)]


def bc_regret_expected(
    kind, num_states, num_actions, initial, reward, labels, unseen, horizon, num_demos, recover=None
):
    """Exact E[regret] of non-stationary tabular BC, 1.2, 1.3, 1.7; `recover` overrides kappa."""
    good = num_states - (kind != "standard-imitation")
    rho = initial_distribution(initial, good, num_demos)
    u, weight = errors(rho, num_actions, labels, unseen, num_demos)
    if kind == "standard-imitation":
        return (weight @ u) * (horizon if reward == "dense" else 1)
    kappas = recovery(kind, num_actions, labels, unseen) if recover is None else [(recover, 1.0)]
    return sum(p * (weight @ cliff_regret(u, k, horizon, reward)) for k, p in kappas)


def stationary_bc_regret_expected(num_states, num_actions, initial, reward, horizon, num_demos):
    """1.2 ST-BC on the reset cliff, uniform on unseen: E over the set unseen in N H draws.

    P(exactly U unseen) = sum_{T >= U} (-1)^|T - U| (1 - rho(T))^{N H}, by Moebius inversion.
    """
    rho = initial_distribution(initial, num_states - 1, num_demos)
    miss = subset_sums(rho)
    probability = np.clip(1.0 - miss, 0.0, 1.0) ** (num_demos * horizon)
    for state in range(len(rho)):
        halves = probability.reshape(-1, 2, 2**state)
        halves[:, 0] -= halves[:, 1]
    return probability @ cliff_regret((1.0 - 1.0 / num_actions) * miss, 0.0, horizon, reward)


def tv_expected(rho, N):
    """1.5: E TV(dhat, rho) = sum_s E|X/N - rho| / 2, X ~ Bin(N, rho)."""
    X = np.arange(N + 1)
    return sum((binom.pmf(X, N, p) * np.abs(X / N - p)).sum() / 2.0 for p in rho)


def max_entropy_gap(rho, N, A):
    """1.5: sum_s E (rho - max(X/N, rho/A))_+, X ~ Bin(N, rho)."""
    X = np.arange(N + 1)
    gap = [np.maximum(p - np.maximum(X / N, p / A), 0.0) for p in rho]
    return sum(binom.pmf(X, N, p) @ g for p, g in zip(rho, gap, strict=True))


def noisy_expert_regret_three_state(epsilon, H, off_support):
    """1.9: sum_{t=1}^{H-1} (1 - on_t), off' = (1 - off) eps + off {recover: 0, stay: 1}."""
    off = total = 0.0
    for _ in range(1, H):
        off = (1.0 - off) * epsilon + off * (off_support == "stay")
        total += off
    return total
