"""Seeded statistics over seeds: intervals, interquartile mean, exponents, paired comparisons.

Everything here takes arrays whose last axis is the seed. An entry that is not finite is a seed that
diverged or is missing: it is left out, and the number left out is returned, never averaged in
silence.

Letters: K seeds, P points of a curve, R bootstrap resamples.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

MIN_POINTS = 3
"""Points needed for an exponent: a line through two leaves no residual to show curvature."""

FEW_SEEDS = {"interquartile mean": 12, "exponent": 32}
"""Below so many seeds a bootstrap interval of 95% covers less than 92%.

From `benchmarks/coverage.py`, whose table is in `benchmarks/results/coverage`.
"""

_BLOCK = 4_000_000
"""Largest number of resampled entries held at once (32 MB of float64)."""


class Interval(NamedTuple):
    """A mean with its confidence interval, in the units of the values."""

    mean: float
    low: float
    high: float
    count: int  # pyright: ignore[reportIncompatibleMethodOverride]
    """Finite values that entered."""


class Exponent(NamedTuple):
    """A fitted exponent; all NaN where fewer than `MIN_POINTS` points could be used."""

    exponent: float
    low: float
    high: float
    used: np.ndarray
    """[P] bool, the points that entered the fit."""
    missing: int
    """Entries that are not finite (diverged or absent seeds) among the used points."""
    undefined: float
    """Fraction of resamples without a logarithm at some used point; they are left out."""


class Paired(NamedTuple):
    """A paired comparison with a baseline over common seeds; negative differences are better."""

    difference: Interval
    probability: float
    """Probability that a seed's value is below the baseline's, a tie counting one half."""


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Mean over seeds with Student's t interval.

    Args:
        values: [K], any units; NaN and infinite entries are left out.
        level: coverage of the interval, in (0, 1).

    Returns:
        The mean; both ends are NaN for a single value, all are NaN for none.
    """
    values = _finite(values)
    count = len(values)
    if count == 0:
        return Interval(np.nan, np.nan, np.nan, 0)
    mean = float(values.mean())
    if count == 1:
        return Interval(mean, np.nan, np.nan, 1)
    from scipy import stats  # takes longer to import than anything else here, and only reports do

    error = float(values.std(ddof=1)) / np.sqrt(count)
    half = float(stats.t.ppf(0.5 + level / 2, count - 1)) * error
    return Interval(mean, mean - half, mean + half, count)


def root_mean_square(values: ArrayLike, level: float = 0.95) -> Interval:
    """Root mean square over seeds, for what is as often above zero as below: its mean is zero.

    The interval is Student's t for the logarithm of the mean square, whose standard error is that
    of the mean square divided by it (delta method): squares are skewed, and of normal values it
    covers .91 to .94 from 3 to 64 seeds where the t interval of the squares covers .81 to .93. Of a
    lognormal it covers .66 to .79: heavy tails need more seeds.

    Args:
        values: [K], any units; NaN and infinite entries are left out.
        level: coverage of the interval, in (0, 1).

    Returns:
        As `mean_interval`; all three are 0 where all values are.
    """
    square = mean_interval(_finite(values) ** 2, level)
    root = float(np.sqrt(square.mean))
    if square.count < 2 or root == 0:
        return Interval(root, square.low, square.high, square.count)
    factor = float(np.exp((square.high - square.mean) / square.mean / 2))
    return Interval(root, root / factor, root * factor, square.count)


def interquartile_mean(
    values: ArrayLike, *, seed: int = 0, num_resamples: int = 2000, level: float = 0.95
) -> Interval:
    """Mean of the middle half of the seeds, with a percentile bootstrap interval.

    As rliable's IQM (`scipy.stats.trim_mean` with a quarter cut at each end), but with resampling
    that obeys its seed.

    Args:
        values: [K], any units; NaN and infinite entries are left out.
        seed: of the resampling.
        num_resamples: bootstrap resamples.
        level: coverage of the interval, in (0, 1).

    Returns:
        As `mean_interval`. The interval of few values is too short, see `FEW_SEEDS`.
    """
    return stratified_interquartile_mean(
        [values], seed=seed, num_resamples=num_resamples, level=level
    )


def stratified_interquartile_mean(
    strata: Sequence[ArrayLike],
    *,
    seed: int = 0,
    num_resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Mean of the middle half of the values of all strata together, as rliable aggregates tasks.

    Args:
        strata: an array [K_i] of each task, in units that all share; NaN and infinite entries are
            left out.
        seed: of the resampling, which draws seeds within each stratum.
        num_resamples: bootstrap resamples.
        level: coverage of the interval, in (0, 1).

    Returns:
        The mean; both ends are NaN where a task has a single value, whose spread nobody knows.
    """
    finite = [one for one in map(_finite, strata) if len(one)]
    if not finite:
        return Interval(np.nan, np.nan, np.nan, 0)
    count = sum(map(len, finite))
    cut = count // 4
    middle = slice(cut, count - cut)
    point = float(np.sort(np.concatenate(finite))[middle].mean())
    if min(map(len, finite)) == 1:
        return Interval(point, np.nan, np.nan, count)
    parts = []
    for indices in _resamples([len(one) for one in finite], num_resamples, seed):
        drawn = [one[index] for one, index in zip(finite, indices, strict=True)]
        parts.append(np.sort(np.concatenate(drawn, axis=1), axis=1)[:, middle].mean(1))
    low, high = np.quantile(np.concatenate(parts), _tails(level))
    return Interval(point, float(low), float(high), count)


def slope(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Least-squares slope of log y on log x.

    Args:
        x: [P], positive, at least two different values.
        y: [..., P], positive.

    Returns:
        Slopes [...].
    """
    log_x = np.log(np.asarray(x, float))
    centred = log_x - log_x.mean()
    return np.log(np.asarray(y, float)) @ centred / (centred @ centred)


def fit_exponent(
    x: ArrayLike,
    samples: ArrayLike,
    *,
    include: ArrayLike | None = None,
    seed: int = 0,
    num_resamples: int = 2000,
    level: float = 0.95,
) -> Exponent:
    """Exponent b of mean(samples) ~ x^b, with a bootstrap interval over seeds.

    Least squares of log(mean over seeds) on log x: the mean of logarithms would be biased, and
    undefined where a seed's regret is zero. The interval is a percentile bootstrap that draws
    whole seeds, jointly for all points, because the data sets of a seed are nested. Points whose
    mean is not positive are excluded. Resamples in which a used point has no positive mean have
    no exponent and are left out; where they are more than the interval's tails, there is no
    interval (NaN), since it would be that of a favourable selection. Nor is there of one seed.

    Args:
        x: [P], positive: horizons or numbers of demonstrations.
        samples: [P, K], one row per point, one column per seed; not finite where missing.
        include: [P] bool, points that may be used; all by default.
        seed: of the resampling.
        num_resamples: bootstrap resamples.
        level: coverage of the interval, in (0, 1).

    Raises:
        ValueError: shapes that do not fit, or an x that is not positive and finite.
    """
    x, samples = np.asarray(x, float), np.asarray(samples, float)
    is_axis = bool(np.all(np.isfinite(x) & (x > 0)))
    if samples.ndim != 2 or x.shape != samples.shape[:1] or not is_axis:
        raise ValueError(f"need positive x [P] and samples [P, K], got {x.shape}, {samples.shape}")
    means = _means(samples)
    used = np.ones(len(x), bool) if include is None else np.array(include, bool)
    used &= np.nan_to_num(means, nan=0.0) > 0
    finite = np.isfinite(samples[used])
    missing = int((~finite).sum())
    if len(np.unique(x[used])) < MIN_POINTS:
        return Exponent(np.nan, np.nan, np.nan, used, missing, 0.0)
    resampled = resampled_means(samples[used], num_resamples=num_resamples, seed=seed)
    defined = np.all(np.nan_to_num(resampled, nan=0.0) > 0, axis=1)
    undefined = 1.0 - float(defined.mean())
    low = high = np.nan
    if undefined <= _tails(level)[0] and finite.any(axis=0).sum() > 1:
        low, high = np.quantile(slope(x[used], resampled[defined]), _tails(level))
    point = float(slope(x[used], means[used]))
    return Exponent(point, float(low), float(high), used, missing, undefined)


def fit_rms_exponent(
    x: ArrayLike, samples: ArrayLike, *, include: ArrayLike | None = None, seed: int = 0
) -> Exponent:
    """Exponent b of the root mean square, ~ x^b: half that of the mean squares.

    Arguments and errors as `fit_exponent`; the samples may have either sign.
    """
    fit = fit_exponent(x, np.asarray(samples, float) ** 2, include=include, seed=seed)
    return fit._replace(exponent=fit.exponent / 2, low=fit.low / 2, high=fit.high / 2)


def resampled_means(samples: np.ndarray, *, num_resamples: int, seed: int) -> np.ndarray:
    """Means over seeds drawn with replacement, the same draw for every point.

    Each resample is a row of multinomial counts, so a block of them is one matrix product.

    Args:
        samples: [P, K]; entries that are not finite are left out of their point's means.
        num_resamples: R.
        seed: of the resampling.

    Returns:
        Means [R, P]; NaN where a resample holds no finite value of a point.
    """
    num_seeds = samples.shape[1]
    finite = np.isfinite(samples)
    values, valid = np.where(finite, samples, 0.0).T, finite.T.astype(float)
    parts = []
    for (index,) in _resamples([num_seeds], num_resamples, seed):
        rows = np.arange(len(index))[:, None] * num_seeds
        flat = np.bincount((index + rows).ravel(), minlength=index.size)
        counts = flat.reshape(index.shape).astype(float)
        with np.errstate(invalid="ignore"):
            parts.append((counts @ values) / (counts @ valid))
    return np.concatenate(parts)


def paired_comparison(values: ArrayLike, baseline: ArrayLike, level: float = 0.95) -> Paired:
    """Compare two methods seed by seed; common demonstrations make the difference precise.

    Args:
        values: [K], lower is better (regret).
        baseline: [K], the same seeds in the same order; a pair that is not finite is left out.
        level: coverage of the interval, in (0, 1).
    """
    with np.errstate(invalid="ignore"):  # of two infinities
        difference = _finite(np.asarray(values, float) - np.asarray(baseline, float))
    interval = mean_interval(difference, level)
    if len(difference) == 0:
        return Paired(interval, np.nan)
    return Paired(interval, float(np.mean(difference < 0) + 0.5 * np.mean(difference == 0)))


def _finite(values: ArrayLike) -> np.ndarray:
    values = np.asarray(values, float).ravel()
    return values[np.isfinite(values)]


def _means(samples: np.ndarray) -> np.ndarray:
    return np.array([mean_interval(row).mean for row in samples])


def _tails(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2


def _resamples(
    counts: Sequence[int], num_resamples: int, seed: int
) -> Iterator[tuple[np.ndarray, ...]]:
    """Blocks of indices drawn with replacement, `num_resamples` rows in all.

    One array [B, count] for each of `counts`, each from a generator of its own.
    """
    generators = [np.random.default_rng(seed + place) for place in range(len(counts))]
    block = max(1, _BLOCK // max(sum(counts), 1))
    for start in range(0, num_resamples, block):
        rows = min(block, num_resamples - start)
        yield tuple(
            generator.integers(0, count, (rows, count))
            for generator, count in zip(generators, counts, strict=True)
        )
