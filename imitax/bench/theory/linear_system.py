"""Cloning a linear system by least squares: the law of the fit, and its expected regret.

Without process noise the N demonstrations visit the same states s_0, ..., s_{H-1}, and their labels
are gain s_t + tau z. So the fit of slope k and intercept b is exactly normal, with x the mean of
the states and

    k = gain + d,       d ~ N(0, tau^2 / (N sum_t (s_t - x)^2))
    b = e - d x,        e ~ N(0, tau^2 / (N H)),      d and e independent

(ordinary least squares; theory-2, section 2, has the fit without an intercept, where the sum is of
s_t^2). The expected regret is an integral over d and e, each closed loop of which is rolled out.
The sum over t saturates in H, so the share of unstable loops has a floor.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from imitax.algorithms.cloning.bc import NetworkBCConfig
from imitax.envs.linear import BOUND, LIMIT, LinearSettings

SLOPES, INTERCEPTS = np.linspace(-8.0, 8.0, 1601), np.linspace(-6.0, 6.0, 97)
"""Nodes of the integral, in standard deviations of d and of e.

The regret has kinks in d, so that the rule is of second order there.
"""


class Fit(NamedTuple):
    """The law of a least-squares fit."""

    slope: float
    """Standard deviation of d, in units of the action per unit of the state."""
    level: float
    """Standard deviation of e, in units of the action."""
    centre: float
    """x, in units of the state."""


def is_least_squares(settings: Any) -> bool:
    """Whether a config of `bc` asks for least squares and nothing else."""
    if not isinstance(settings, NetworkBCConfig):
        return False
    plain = NetworkBCConfig(hidden=())
    same = {name: getattr(plain, name) for name in ("policy", "network", "normalise")}
    same["loss"] = plain.loss if settings.loss == "mse" else settings.loss
    same["solver"] = plain.solver if settings.solver == "exact" else settings.solver
    return dataclasses.replace(settings, **same) == plain


def fit_law(settings: LinearSettings, horizon: int, num_demos: int) -> Fit | None:
    """The law of the fit to N episodes of H steps.

    None with process noise or sub-sampling, and for a single step, which leaves the slope free.
    """
    if settings.noise or settings.subsample != 1 or horizon < 2:
        return None
    states = np.array(list(_states(settings, settings.gain, 0.0, horizon)))
    spread = float(np.sum((states - states.mean()) ** 2))
    tau = settings.label_noise
    return Fit(
        tau / math.sqrt(num_demos * spread),
        tau / math.sqrt(num_demos * horizon),
        float(states.mean()),
    )


def cloned_regret(settings: LinearSettings, horizon: int, num_demos: int) -> float | None:
    """Expected regret of the fit, in units of cost; None as for `fit_law`."""
    law = fit_law(settings, horizon, num_demos)
    if law is None:
        return None
    d, e = law.slope * SLOPES[:, None], law.level * INTERCEPTS
    learner = _cost(_states(settings, settings.gain + d, e - d * law.centre, horizon))
    expert = _cost(_states(settings, settings.gain, 0.0, horizon))
    return float(_weights(SLOPES) @ (learner - expert) @ _weights(INTERCEPTS))


def unstable_share(settings: LinearSettings, horizon: int, num_demos: int) -> float | None:
    """P(|rho + k| > 1), the share of seeds whose closed loop is unstable; None as for `fit_law`."""
    law = fit_law(settings, horizon, num_demos)
    if law is None:
        return None
    if law.slope == 0:
        return 0.0
    loop = settings.rho + settings.gain
    above, below = (1.0 - loop) / law.slope, (-1.0 - loop) / law.slope
    return float(stats.norm.sf(above) + stats.norm.cdf(below))


def _states(settings: LinearSettings, slope: Any, intercept: Any, horizon: int):
    """The states s_0, ..., s_{H-1} of a policy slope s + intercept, one after the other."""
    state = np.full(np.broadcast_shapes(np.shape(slope), np.shape(intercept)), settings.start)
    for _ in range(horizon):
        yield state
        action = np.clip(slope * state + intercept, -LIMIT, LIMIT)
        state = np.clip(settings.rho * state + action, -BOUND, BOUND)


def _cost(states: Any) -> np.ndarray:
    """Of an episode."""
    return sum((np.minimum(1.0, np.abs(state)) for state in states), np.zeros(()))


def _weights(nodes: np.ndarray) -> np.ndarray:
    """Of the trapezoidal rule for a standard normal law; they add up to one."""
    density = stats.norm.pdf(nodes)
    return density / density.sum()
