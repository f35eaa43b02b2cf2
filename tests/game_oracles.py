"""Slow float64 oracles of PPO and the sampled games: nothing here imports or copies the library.

Arrays of a rollout are [T, B]: T steps of B environments. A network is the list of its layers,
(kernel [inputs, outputs], bias [outputs]) each.
"""

import itertools

import numpy as np
from scipy.special import log_expit, logsumexp
from scipy.stats import norm

# --- PPO: Schulman et al. 2016 (advantages), 2017 (clipped surrogate) ------------------------


def episodes(over):
    """(environment, first row, row after the last) of every stretch of an episode, [T, B] ends."""
    T, B = over.shape
    for b in range(B):
        cuts = [0, *(np.flatnonzero(over[:, b]) + 1), T]
        yield from ((b, i, j) for i, j in itertools.pairwise(cuts) if i < j)


def advantages(reward, value, next_value, terminated, truncated, discount, trace_decay):
    """A_t = sum_l (discount trace_decay)^l delta_{t+l} up to the end of the episode's stretch.

    Where an episode terminates nothing follows; where it is truncated, or where the rollout ends,
    the value of the next observation does.
    """
    reward, value, next_value = (np.asarray(x, np.float64) for x in (reward, value, next_value))
    follows = np.where(terminated, 0.0, next_value)
    delta, out = reward + discount * follows - value, np.zeros(reward.shape)
    for b, i, j in episodes(np.asarray(terminated) | np.asarray(truncated)):
        for t in range(i, j):
            steps = np.arange(j - t)
            out[t, b] = ((discount * trace_decay) ** steps * delta[t:j, b]).sum()
    return out


def advantages_by_returns(reward, value, next_value, terminated, truncated, discount, trace_decay):
    """The same as a mixture of n-step advantages, weights (1 - lambda) lambda^(n-1), the last the
    rest: A^(n) = r_t + .. + g^(n-1) r_{t+n-1} + g^n V(s_{t+n}) - V(s_t).
    """
    follows = np.where(terminated, 0.0, np.asarray(next_value, np.float64))
    out = np.zeros(np.shape(reward))
    for b, i, j in episodes(np.asarray(terminated) | np.asarray(truncated)):
        for t in range(i, j):
            gains = []
            for n in range(1, j - t + 1):
                powers = discount ** np.arange(n)
                tail = discount**n * follows[t + n - 1, b]
                gains.append(powers @ reward[t : t + n, b] + tail - value[t, b])
            weights = (1.0 - trace_decay) * trace_decay ** np.arange(len(gains))
            weights[-1] = trace_decay ** (len(gains) - 1)
            out[t, b] = weights @ gains
    return out


def discounted_so_far(reward, over, discount):
    """sum_k discount^k r_{t-k} since the episode's start, [T, B]."""
    reward, out = np.asarray(reward, np.float64), np.zeros(np.shape(reward))
    for b, i, j in episodes(np.asarray(over)):
        for t in range(i, j):
            out[t, b] = (discount ** np.arange(t - i, -1, -1)) @ reward[i : t + 1, b]
    return out


def forward(layers, x):
    """Tanh layers, the last one linear."""
    x = np.asarray(x, np.float64)
    for kernel, bias in layers[:-1]:
        x = np.tanh(x @ np.asarray(kernel, np.float64) + np.asarray(bias, np.float64))
    kernel, bias = layers[-1]
    return x @ np.asarray(kernel, np.float64) + np.asarray(bias, np.float64)


def softmax_log(logits):
    """Log probabilities."""
    return logits - logsumexp(logits, axis=-1, keepdims=True)


def categorical(logits, action):
    """(log probability of the actions, entropy), [B]."""
    log_p = softmax_log(np.asarray(logits, np.float64))
    return log_p[np.arange(len(action)), action], -(np.exp(log_p) * log_p).sum(-1)


def gaussian(mean, log_scale, z):
    """(log density of z, differential entropy), independent coordinates, [B]."""
    scale = np.exp(np.asarray(log_scale, np.float64))
    log_p = norm.logpdf(np.asarray(z, np.float64), mean, scale).sum(-1)
    return log_p, np.broadcast_to(norm.entropy(scale=scale).sum(), log_p.shape)


def clipped_surrogate(log_prob, old_log_prob, advantage, clip):
    """L^CLIP, to be maximised: E min(ratio A, clip(ratio, 1 - c, 1 + c) A)."""
    ratio = np.exp(log_prob - old_log_prob)
    return np.minimum(ratio * advantage, np.clip(ratio, 1.0 - clip, 1.0 + clip) * advantage).mean()


def standardised(x):
    """Mean zero, deviation one."""
    return (x - np.mean(x)) / np.std(x)


# --- Reward players: theory 4, Ho and Ermon 2016, Gulrajani et al. 2017 ----------------------


def reward_form(name, logit):
    """From D = e^l / (1 + e^l): -log(1 - D), log D, their sum, and FAIRL's -l e^l at l <= 5."""
    logit = np.asarray(logit, np.float64)
    log_d, log_not_d = log_expit(logit), log_expit(-logit)
    cut = np.minimum(logit, 5.0)
    forms = {"softplus": -log_not_d, "log": log_d, "logit": log_d - log_not_d}
    return forms[name] if name in forms else -cut * np.exp(cut)


def cross_entropy(real, fake, entropy_bonus=0.0):
    """-E_expert log D - E_learner log(1 - D) - bonus E H(D), the last over both sides."""
    both = np.concatenate([np.asarray(real, np.float64), np.asarray(fake, np.float64)])
    d = np.exp(log_expit(both))
    entropy = -(d * log_expit(both) + (1.0 - d) * log_expit(-both)).mean()
    return -log_expit(real).mean() - log_expit(-np.asarray(fake)).mean() - entropy_bonus * entropy


def slopes(function, x, width=1e-5):
    """Norms of the gradient of a scalar function at points [B, D], by central differences."""
    x, gradient = np.asarray(x, np.float64), []
    for coordinate in np.eye(x.shape[-1]):
        change = function(x + width * coordinate) - function(x - width * coordinate)
        gradient.append(change / (2.0 * width))
    return np.sqrt((np.array(gradient) ** 2).sum(0))


def gradient_penalty(function, real, fake, mix, target):
    """E (|grad f(mix real + (1 - mix) fake)| - target)^2."""
    mix = np.asarray(mix, np.float64)[:, None]
    return ((slopes(function, mix * real + (1.0 - mix) * fake) - target) ** 2).mean()


def spectral(kernel, limit=1.0):
    """W / max(1, sigma / limit) with the exact largest singular value."""
    kernel = np.asarray(kernel, np.float64)
    sigma = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]
    return kernel / max(1.0, sigma / limit), sigma


def discrete_features(x, action, num_actions):
    """[x, x^2, 1] in the block of the action, zeros in the others."""
    x = np.asarray(x, np.float64)
    out = np.zeros((len(x), num_actions, 2 * x.shape[-1] + 1))
    for row, (observation, a) in enumerate(zip(x, action, strict=True)):
        out[row, a] = [*observation, *observation**2, 1.0]
    return out.reshape(len(x), -1)


def continuous_features(x, z):
    """[x, x^2, z, z^2, x z, 1]."""
    x, z = np.asarray(x, np.float64), np.asarray(z, np.float64)
    cross = [
        np.outer(observation, action).ravel() for observation, action in zip(x, z, strict=True)
    ]
    return np.concatenate([x, x**2, z, z**2, cross, np.ones((len(x), 1))], axis=-1)


def annuity(discount, steps):
    """Discount + discount^2 + .. over so many steps."""
    return sum(discount**k for k in range(1, steps + 1))


def return_of_quitting(reward, step, discount=1.0, horizon=None, after_end=0.0):
    """Quit at `step` (from 0): step + 1 equal rewards, then, to the horizon, those after an end."""
    total = sum(discount**t * reward for t in range(step + 1))
    return total + sum(discount**t * after_end for t in range(step + 1, horizon or 0))


def airl_logit(g, h, h_next, terminated, log_prob, discount):
    """F - log pi with f = g + discount (1 - terminated) h(s') - h(s)."""
    return g + discount * np.where(terminated, 0.0, h_next) - h - log_prob
