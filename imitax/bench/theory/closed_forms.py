"""Exact expected regret, as a function of the two specs: of tabular learners on the cliffs.

The linear system is in `linear_system`. The expectation is over the seed: expert labels and
demonstrations. With u the probability that
the learner errs in a fresh good state, and κ that it leaves the bad state, the chance of being in
a good state obeys

    p_1 = 1,    p_{h+1} = p_h (1 - u) + (1 - p_h) κ,    reward_h = p_h (1 - u)

(`reset-cliff`: κ = 0, whose regret is H - Σ_{h=1..H} (1-u)^h). u is a number where every step has
demonstrations of its own and unseen states are played uniformly, (1 - 1/A) Σ_s ρ(s)(1-ρ(s))^N;
otherwise it is random, shared by the steps of a seed, with a law over subsets of the good states
that is summed exactly. On `standard-imitation` a state never changes, and the regret is H E[u].

Sources: Rajaraman et al. 2020 (arXiv 2009.05990) for the instances; the derivations are
elementary (theory sections 1.2, 1.3, 1.5, 1.7 and 1.9).
"""

import functools
from typing import NamedTuple

import numpy as np
from scipy import stats

from imitax.algorithms.adversarial.gail import GAILConfig
from imitax.algorithms.baselines import NoisyExpertConfig
from imitax.algorithms.cloning.bc import TabularBCConfig
from imitax.bench.theory.linear_system import cloned_regret, is_least_squares
from imitax.catalogue import settings_of
from imitax.core.spec import split
from imitax.envs.cliffs import CliffSettings
from imitax.envs.linear import LinearSettings

MAX_GOOD_STATES = 20
"""Above this the sums over subsets of the good states (2^G terms) are not attempted."""


class Cliff(NamedTuple):
    """A cliff environment, read from its spec."""

    name: str
    num_good: int
    num_actions: int
    initial: str
    terminal: bool
    labels: str


def read_cliff(environment: str) -> Cliff | None:
    """The cliff that a normalised spec names, or None for any other environment."""
    settings = settings_of(environment)
    if not isinstance(settings, CliffSettings) or settings.subsample != 1:
        return None
    name, num_states = split(environment)[0], settings.num_states
    return Cliff(
        name=name,
        num_good=num_states if name == "standard-imitation" else num_states - 1,
        num_actions=settings.num_actions,
        initial=settings.initial,
        terminal=settings.reward == "terminal",
        labels=settings.labels,
    )


def initial_distribution(cliff: Cliff, num_demos: int) -> np.ndarray | None:
    """ρ over the good states [G], or None where it does not exist.

    dyadic: ρ(k) = 2^-k, rajaraman: 1/(N+1), the last state taking the remainder in both.
    """
    if cliff.initial == "uniform":
        return np.full(cliff.num_good, 1.0 / cliff.num_good)
    if cliff.initial == "dyadic":
        first = 0.5 ** np.arange(1, cliff.num_good)
    else:
        first = np.full(cliff.num_good - 1, 1.0 / (num_demos + 1))
    last = 1.0 - first.sum()
    return np.append(first, last) if last >= 0 else None


@functools.lru_cache(maxsize=4096)
def closed_form(environment: str, algorithm: str, horizon: int, num_demos: int) -> float | None:
    """Expected regret, in units of reward, or None where there is no closed form.

    Covered: tabular `bc` on the three cliffs; `gail:divergence=tv` with exact players on
    `reset-cliff` and `standard-imitation`, as the optimum with the maximum-entropy tie-break (a
    limit that a learner approaches); `noisy-expert` on `three-state`; `bc:hidden=none` on `linear`
    without process noise.

    Args:
        environment: normalised spec.
        algorithm: normalised spec.
        horizon: number of steps H.
        num_demos: number of demonstrations N, each of H steps.
    """
    settings = settings_of(algorithm)
    if environment == "three-state" and isinstance(settings, NoisyExpertConfig):
        return _three_state(settings, horizon)
    place = settings_of(environment)
    if isinstance(place, LinearSettings):
        cloned = is_least_squares(settings_of(algorithm, is_tabular=False))
        return cloned_regret(place, horizon, num_demos) if cloned else None
    cliff = read_cliff(environment)
    rho = initial_distribution(cliff, num_demos) if cliff else None
    if cliff is None or rho is None:
        return None
    if isinstance(settings, TabularBCConfig):
        return _cloning(cliff, rho, settings, horizon, num_demos)
    if isinstance(settings, GAILConfig) and is_tie_broken(settings):
        return _total_variation(cliff, rho, horizon, num_demos)
    return None


def is_cheap(algorithm: str) -> bool:
    """Whether a closed form costs microseconds: no sum over subsets of states, no quadrature."""
    return not any(dear in algorithm for dear in ("unseen=first", "stationary=true", "hidden=none"))


def missing_mass(rho: np.ndarray, num_draws: int) -> float:
    """q_n(ρ) = Σ_s ρ(s) (1 - ρ(s))^n, the expected mass of the states not among n draws."""
    return float(np.sum(rho * (1 - rho) ** num_draws))


def _cloning(
    cliff: Cliff, rho: np.ndarray, settings: TabularBCConfig, horizon: int, num_demos: int
) -> float | None:
    if settings.labels:
        return None
    first = settings.unseen == "first"
    if first and cliff.labels == "first":
        return 0.0
    wrong = 1 - 1 / cliff.num_actions
    if cliff.name == "standard-imitation":
        return wrong * missing_mass(rho, num_demos) * (1 if cliff.terminal else horizon)
    shared = settings.stationary
    if (first or shared) and cliff.num_good > MAX_GOOD_STATES:
        return None
    if shared:
        errors, weights = _shared_errors(rho, wrong, num_demos * horizon, first)
    elif first:
        errors, weights = _label_errors(rho * (1 - rho) ** num_demos, wrong)
    else:
        errors, weights = np.array([wrong * missing_mass(rho, num_demos)]), np.ones(1)
    recoveries = [(0.0, 1.0)]
    if cliff.name == "recoverable-cliff":
        recoveries = [(1.0, 1 - wrong), (0.0, wrong)] if first else [(1 - wrong, 1.0)]
    regret = terminal_regret if cliff.terminal else dense_regret
    return sum(chance * float(weights @ regret(errors, k, horizon)) for k, chance in recoveries)


def dense_regret(error: np.ndarray, recovery: float, horizon: int) -> np.ndarray:
    """Regret with a reward in every step, u H + (1-u) u/(u+κ) Σ_{j<H} (1 - (1-u-κ)^j).

    Args:
        error: u, any shape.
        recovery: κ.
        horizon: H.
    """
    total = error + recovery
    share = np.divide(error, total, out=np.zeros_like(error), where=total > 0)
    return error * horizon + (1 - error) * share * _lost(total, horizon)


def terminal_regret(error: np.ndarray, recovery: float, horizon: int) -> np.ndarray:
    """Regret with a reward in the last step alone, 1 - p_H (1-u); arguments as `dense_regret`."""
    total = error + recovery
    share = np.divide(error, total, out=np.zeros_like(error), where=total > 0)
    return error + (1 - error) * share * (1 - (1 - total) ** (horizon - 1))


def _lost(x: np.ndarray, horizon: int) -> np.ndarray:
    """Σ_{j<H} (1 - (1-x)^j) = H - (1 - (1-x)^H)/x, by its series where that would cancel."""
    n = float(horizon)
    pairs = n * (n - 1) / 2
    series = x * pairs * (1 - x * (n - 2) / 3 * (1 - x * (n - 3) / 4))
    small = x * n < 1e-3
    safe = np.where(small, 1.0, x)
    return np.where(small, series, n - (1 - (1 - safe) ** horizon) / safe)


def _label_errors(mass: np.ndarray, wrong: float) -> tuple[np.ndarray, np.ndarray]:
    """Values of u, with probabilities, over the 2^G patterns of labels unlike the first action."""
    errors, weights = np.zeros(1), np.ones(1)
    for part in mass:
        errors = np.concatenate([errors, errors + part])
        weights = np.concatenate([weights * (1 - wrong), weights * wrong])
    return errors, weights


def _shared_errors(
    rho: np.ndarray, wrong: float, num_draws: int, first: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Values of u, with probabilities, over all sets of states in which one shared table errs.

    P(all of V unseen) = (1 - ρ(V))^n, times (1-1/A)^|V| where the error is one of labels; Möbius
    inversion over supersets gives the probability of exactly V.
    """
    mass, factor = np.zeros(1), np.ones(1)
    for part in rho:
        mass = np.concatenate([mass, mass + part])
        factor = np.concatenate([factor, factor * (wrong if first else 1.0)])
    weights = factor * np.maximum(1 - mass, 0.0) ** num_draws
    for bit in range(len(rho)):
        pairs = weights.reshape(-1, 2, 2**bit)
        pairs[:, 0] -= pairs[:, 1]
    return mass * (1.0 if first else wrong), weights


def is_tie_broken(settings: GAILConfig) -> bool:
    """Whether settings of `gail` ask for exact total-variation matching with a small entropy.

    Without entropy the optimum is a set; with much of it, or other players, it is another game.
    """
    exact = settings.rollouts == "exact" and settings.inputs == "tsa"
    return settings.divergence == "tv" and exact and 0 < settings.entropy <= 0.01


def _total_variation(cliff: Cliff, rho: np.ndarray, horizon: int, num_demos: int) -> float | None:
    """Regret of the total-variation minimiser of largest entropy (theory 1.5)."""
    if cliff.name == "recoverable-cliff":
        return None
    gap = entropy_gap(rho, cliff.num_actions, num_demos)
    every_step = cliff.name == "standard-imitation" and not cliff.terminal
    return gap * horizon if every_step else gap


def entropy_gap(rho: np.ndarray, num_actions: int, num_demos: int) -> float:
    """Σ_s E[(ρ(s) - max(X_s/N, ρ(s)/A))_+] with X_s ~ Bin(N, ρ(s)): reward lost in one step."""
    counts = np.arange(num_demos + 1)[:, None]
    played = np.maximum(counts / num_demos, rho / num_actions)
    law = stats.binom.pmf(counts, num_demos, rho)
    return float(np.sum(law * np.maximum(rho - played, 0.0)))


def _three_state(settings: NoisyExpertConfig, horizon: int) -> float | None:
    """Σ_{t=1..H-1} (1 - on_t), with a slip of probability ε in each step on the expert's states."""
    if settings.slip != "every":
        return None
    stays, epsilon = settings.off_support == "stay", settings.epsilon
    on, lost = 1.0, 0.0
    for _ in range(horizon - 1):
        on = on * (1 - epsilon) + (0.0 if stays else 1 - on)
        lost += 1 - on
    return lost
