"""From result rows to curves, fitted exponents and verdicts: the table `summary.csv`.

How a verdict is reached. The fit uses the points that are neither saturated (regret/H above
`SATURATION`) nor without a positive mean. At a thousand seeds the pure power law itself is
rejected (H(H+1)/2 fits 1.96 on 8..128), so where a closed form exists the measured interval is
compared with the exponent of the closed form *over the same points*, within `EXACT_TOLERANCE`;
else with the predicted exponent, within `LAW_TOLERANCE`, the curvature left inside the window.

What is fitted is the mean regret. Of a soft expert, which mixes actions of unequal value, maximum
likelihood loses as often as it wins, and its mean regret is soon zero: what is fitted, drawn and
predicted there is the root mean square.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from imitax.bench.analysis.statistics import (
    FEW_SEEDS,
    MIN_POINTS,
    Exponent,
    Interval,
    fit_exponent,
    fit_rms_exponent,
    mean_interval,
    root_mean_square,
    slope,
)
from imitax.bench.spec_facts import has_soft_expert
from imitax.bench.theory.closed_forms import closed_form
from imitax.bench.theory.predictions import AXES, Prediction, predicted_exponent
from imitax.core.spec import split

COLUMNS = (
    "environment",
    "algorithm",
    "axis",
    "fixed_value",
    "exponent",
    "low",
    "high",
    "predicted",
    "verdict",
    "statistic",
    "rms_regret",
    "rms_low",
    "rms_high",
    "unconverged",
)
"""`statistic` is what exponent, interval, prediction and verdict are about: `mean` regret, or its
`rms` (root mean square) where the expert is soft. The three after it are the root mean square at
the largest value of the axis, with its interval, whatever the statistic; `unconverged` counts fits
of all points that were not done."""

SATURATION = 0.1
"""Largest regret per step inside the window of a power law (theory 1.2)."""

EXACT_TOLERANCE = 0.02
"""Distance allowed between the interval and the closed form's exponent over the same points."""

LAW_TOLERANCE = 0.1
"""Distance allowed between the interval and a power law: the local slope at u H = 0.2 is 1.90."""

WINDOW = 0.25
"""Beyond this distance the closed form over these points is nearer to another exponent (3/2, 2)."""

WIDEST = 0.5
"""A wider interval cannot tell neighbouring predictions apart, whatever it contains."""


class Curve(NamedTuple):
    """Regret along one axis for one environment and algorithm, the other axis fixed."""

    environment: str
    algorithm: str
    axis: str
    fixed: int
    x: np.ndarray
    """[P] int, increasing."""
    samples: np.ndarray
    """[P, K] regret; NaN where a seed diverged or is absent."""
    mean: np.ndarray
    """[P] the statistic of each point: the mean, or the root mean square; with its interval."""
    low: np.ndarray
    high: np.ndarray
    saturated: np.ndarray
    """[P] bool: the statistic per step is above `SATURATION`."""
    diverged: int
    """Rows of this curve whose status is not `ok`."""
    unconverged: int | None = None
    """Rows whose fit is not done; None where that is not recorded."""

    @property
    def statistic(self) -> str:
        """`rms` where the expert is soft, else `mean`."""
        return statistic_of(self.environment)

    @property
    def num_seeds(self) -> int:
        """Seeds with a finite regret at any point."""
        return int(np.isfinite(self.samples).any(axis=0).sum())

    @property
    def positive(self) -> np.ndarray:
        """[P] bool: the mean can be drawn on a logarithmic axis."""
        return np.nan_to_num(self.mean, nan=0.0) > 0

    @property
    def usable(self) -> np.ndarray:
        """[P] bool: points that enter the fit."""
        return self.positive & ~self.saturated

    def exact(self, x: np.ndarray) -> np.ndarray | None:
        """Closed form of the mean regret at the given values of the axis, or None."""
        if self.statistic != "mean":
            return None
        values = [
            closed_form(self.environment, self.algorithm, *_cell(self.axis, int(at), self.fixed))
            for at in x
        ]
        found = [value for value in values if value is not None]
        return np.array(found) if values and len(found) == len(values) else None

    def prediction(self) -> Prediction | None:
        """The exponent that theory predicts over the usable points (all, where none is usable)."""
        points = self.x[self.usable] if self.usable.any() else self.x
        found = predicted_exponent(
            self.environment, self.algorithm, self.axis, points.tolist(), self.fixed
        )
        return found if found and found.statistic == self.statistic else None

    def fit(self, include: np.ndarray | None = None, seed: int = 0) -> Exponent:
        """The exponent of the statistic."""
        fit = fit_exponent if self.statistic == "mean" else fit_rms_exponent
        return fit(self.x, self.samples, include=include, seed=seed)


def statistic_of(environment: str) -> str:
    """What tells how far a learner is from an environment's expert: `mean` or `rms` regret."""
    return "rms" if has_soft_expert(environment) else "mean"


def interval_of(statistic: str, values: np.ndarray) -> Interval:
    """The statistic of regrets [K] with its interval."""
    return root_mean_square(values) if statistic == "rms" else mean_interval(values)


def curves(rows: pd.DataFrame) -> Iterator[Curve]:
    """Every curve with at least two points, in the order of the rows' first appearance.

    Args:
        rows: results, one row per (environment, algorithm, horizon, num_demos, seed).
    """
    for axis, other in (AXES, AXES[::-1]):
        keys = ["environment", "algorithm", other]
        for (environment, algorithm, fixed), group in groups(rows, keys):
            if len(group[axis].unique()) >= 2:
                yield _curve(environment, algorithm, axis, int(fixed), group)


def groups(rows: pd.DataFrame, keys: str | list[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Key (a tuple for a list of keys) and rows of each group, in order of first appearance."""
    grouped: Any = rows.groupby(keys, sort=False)
    yield from grouped


def unconverged(rows: pd.DataFrame) -> int | None:
    """How many fits are not done; None where the rows are from before that was recorded."""
    if "fit_converged" not in rows or np.any(rows["gradient_updates"].isna().to_numpy()):
        return None
    return int(np.sum(rows["fit_converged"].eq(False).to_numpy(bool)))


def summarise(all_curves: list[Curve], *, seed: int = 0) -> pd.DataFrame:
    """The exponents table, with the columns `COLUMNS`; `predicted` is NaN where there is none.

    Args:
        all_curves: from `curves`.
        seed: of the bootstrap.
    """
    records = []
    for curve in all_curves:
        fit = curve.fit(~curve.saturated, seed)
        prediction = curve.prediction()
        predicted = np.nan if prediction is None else prediction.exponent
        records.append(
            (
                *(curve.environment, curve.algorithm, curve.axis, curve.fixed),
                *(fit.exponent, fit.low, fit.high, predicted),
                *(verdict(curve, fit, prediction), curve.statistic),
                *root_mean_square(curve.samples[-1])[:3],
                curve.unconverged,
            )
        )
    return pd.DataFrame(records, columns=list(COLUMNS)).astype({"unconverged": "Int64"})


def verdict(curve: Curve, fit: Exponent, prediction: Prediction | None) -> str:
    """A word, then what must be known with it, separated by semicolons.

    Words: `agrees`, `differs`, `inconclusive` (no interval, or one wider than `WIDEST`),
    `outside window` (the measurement follows the closed form, which itself is far from the power
    law over these points), `no prediction`, and, without a fit, `zero regret`, `saturated`,
    `too few points`.
    """
    exact_slope = None
    if np.isfinite(fit.exponent):
        exact_slope = _exact_slope(curve, fit.used)
    return "; ".join([_word(curve, fit, prediction, exact_slope), *_flags(curve, fit, exact_slope)])


def tolerance(algorithm: str, exact_slope: float | None) -> float:
    """The tolerance that applies; GAIL approaches its closed form, which is that of the limit."""
    limit = split(algorithm)[0] == "gail"
    return LAW_TOLERANCE if exact_slope is None or limit else EXACT_TOLERANCE


def _word(
    curve: Curve, fit: Exponent, prediction: Prediction | None, exact_slope: float | None
) -> str:
    if not np.isfinite(fit.exponent):
        return _without_fit(curve, fit)
    if prediction is None:
        return "no prediction"
    if not fit.high - fit.low <= WIDEST:
        return "inconclusive"
    reference = prediction.exponent if exact_slope is None else exact_slope
    margin = tolerance(curve.algorithm, exact_slope)
    if not fit.low - margin <= reference <= fit.high + margin:
        return "differs"
    return "agrees" if abs(reference - prediction.exponent) <= WINDOW else "outside window"


def _without_fit(curve: Curve, fit: Exponent) -> str:
    values = curve.samples[np.isfinite(curve.samples)]
    if values.size and np.all(values == 0):
        return "zero regret"
    enough = fit.used.sum() + curve.saturated.sum() >= MIN_POINTS
    return "saturated" if enough and curve.saturated.any() else "too few points"


def _flags(curve: Curve, fit: Exponent, exact_slope: float | None) -> list[str]:
    flags = []
    if exact_slope is not None:
        flags.append(f"closed form {exact_slope:.3f} on these points")
    total = len(curve.x)
    if curve.saturated.any():
        flags.append(f"{curve.saturated.sum()} of {total} points saturated")
        flags.extend(_all_points(curve))
    if not curve.positive.all() and np.any(np.nan_to_num(curve.samples) != 0):
        flags.append(f"{(~curve.positive).sum()} of {total} means not positive")
    if curve.diverged:
        flags.append(f"{curve.diverged} diverged rows left out")
    if curve.unconverged:
        flags.append(f"{curve.unconverged} of {curve.samples.size} fits unconverged")
    if np.isfinite(fit.exponent):
        flags.extend(_doubts(curve, fit))
    return flags


def _doubts(curve: Curve, fit: Exponent) -> list[str]:
    """Why there is no interval, or why it may be too short."""
    if curve.num_seeds == 1:
        return ["no interval: one seed"]
    if not np.isfinite(fit.low):
        return ["no interval: regret too rare among the seeds"]
    few = curve.num_seeds < FEW_SEEDS["exponent"]
    return [f"{curve.num_seeds} seeds, too few for its interval"] if few else []


def _all_points(curve: Curve) -> list[str]:
    """The exponent with the saturated points too: not a power law, but a number to compare."""
    fit = curve.fit()
    if not np.isfinite(fit.exponent):
        return []
    interval = f" [{fit.low:.3f}, {fit.high:.3f}]" if np.isfinite(fit.low) else ""
    text = f"over all {fit.used.sum()} points {fit.exponent:.3f}{interval}"
    exact_slope = _exact_slope(curve, fit.used)
    return [text if exact_slope is None else f"{text} (closed form {exact_slope:.3f})"]


def _exact_slope(curve: Curve, used: np.ndarray) -> float | None:
    """Exponent of the closed form over the points marked in `used`, or None."""
    exact = curve.exact(curve.x[used])
    if exact is None or not np.all(exact > 0):
        return None
    return round(float(slope(curve.x[used], exact)), 6) + 0.0


def _curve(environment: str, algorithm: str, axis: str, fixed: int, group: pd.DataFrame) -> Curve:
    ok = (group["status"] == "ok") & np.isfinite(group["regret"])
    table = group.assign(regret=group["regret"].where(ok)).pivot(
        index=axis, columns="seed", values="regret"
    )
    x, samples = table.index.to_numpy(int), table.to_numpy(float)
    intervals = [interval_of(statistic_of(environment), row) for row in samples]
    mean = np.array([interval.mean for interval in intervals])
    horizons = x if axis == "horizon" else np.full(len(x), fixed)
    return Curve(
        environment=environment,
        algorithm=algorithm,
        axis=axis,
        fixed=fixed,
        x=x,
        samples=samples,
        mean=mean,
        low=np.array([interval.low for interval in intervals]),
        high=np.array([interval.high for interval in intervals]),
        saturated=np.nan_to_num(mean / horizons, nan=0.0) > SATURATION,
        diverged=int(np.sum(~ok.to_numpy())),
        unconverged=unconverged(group),
    )


def _cell(axis: str, at: int, fixed: int) -> tuple[int, int]:
    return (at, fixed) if axis == "horizon" else (fixed, at)
