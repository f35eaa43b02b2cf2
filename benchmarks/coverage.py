"""How often the report's 95% intervals hold the truth, by the number of seeds.

python benchmarks/coverage.py --out benchmarks/results/coverage

Draws K seeds from a known distribution, makes the interval as the report does, and counts how often
it holds the distribution's own value, which comes from a quadrature and not from a simulation.
`FEW_SEEDS` in `imitax.bench.analysis.statistics` is read off the table that this writes. It takes
some ten minutes of one core.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import integrate, optimize, stats

from imitax.bench.analysis.statistics import (
    fit_exponent,
    fit_rms_exponent,
    interquartile_mean,
    mean_interval,
    root_mean_square,
)

COUNTS = (3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64)
"""Seeds K."""
POINTS = np.array([8.0, 16.0, 32.0, 64.0, 128.0])
"""Of a curve whose exponent is fitted."""
POWER = 1.5
"""Its exponent; that of a root mean square is -1/2."""
SUCCEED, FAIL, SPREAD, SHARE = 1.0, 0.1, 0.02, 0.6
"""The bimodal law: seeds that succeed with this share and seeds that fail, each with a spread."""


class Law(NamedTuple):
    """A distribution over seeds."""

    draw: Callable[[np.random.Generator, Any], np.ndarray]
    density: Callable[[float], float]
    cdf: Callable[[float], float]
    ends: tuple[float, float]
    """Between which all but 1e-12 of it lies."""


def bimodal(generator: np.random.Generator, shape: Any) -> np.ndarray:
    centre = np.where(generator.random(shape) < SHARE, SUCCEED, FAIL)
    return generator.normal(centre, SPREAD)


def mixture(name: str) -> Callable[[float], float]:
    parts = [getattr(stats.norm(centre, SPREAD), name) for centre in (SUCCEED, FAIL)]
    return lambda x: SHARE * parts[0](x) + (1 - SHARE) * parts[1](x)


LOGNORMAL, NORMAL = stats.lognorm(1.0), stats.norm(0.0, 1.0)
LAWS = {
    "normal": Law(lambda g, shape: g.normal(size=shape), NORMAL.pdf, NORMAL.cdf, (-8.0, 8.0)),
    "skewed": Law(
        lambda g, shape: g.lognormal(size=shape), LOGNORMAL.pdf, LOGNORMAL.cdf, (1e-4, 1.5e3)
    ),
    "bimodal": Law(bimodal, mixture("pdf"), mixture("cdf"), (-0.1, 1.2)),
}


def moment(law: Law, power: int, low: float | None = None, high: float | None = None) -> float:
    """The integral of x^power times the density."""
    ends = (law.ends[0] if low is None else low, law.ends[1] if high is None else high)
    inside = [x for x in (FAIL, SUCCEED, 5.0, 50.0) if ends[0] < x < ends[1]]
    return integrate.quad(lambda x: x**power * law.density(x), *ends, points=inside, limit=400)[0]


def middle(law: Law) -> float:
    """The mean between the quartiles."""
    low, high = (
        float(optimize.brentq(lambda x, share=share: law.cdf(x) - share, *law.ends))  # pyright: ignore
        for share in (0.25, 0.75)
    )
    return moment(law, 1, low, high) / moment(law, 0, low, high)


def curve(law: Law, generator: np.random.Generator, count: int) -> np.ndarray:
    """Regrets [P, K] of mean proportional to x^`POWER`, those of different points independent."""
    noise = law.draw(generator, (len(POINTS), count))
    noise = 1 + 0.3 * noise if law is LAWS["normal"] else noise
    return POINTS[:, None] ** POWER * noise


def errors(generator: np.random.Generator, count: int) -> np.ndarray:
    """Normal errors [P, K] of both signs whose root mean square goes as x^-1/2."""
    return POINTS[:, None] ** -0.5 * generator.normal(size=(len(POINTS), count))


def intervals() -> dict[tuple[str, str], tuple[float, Callable]]:
    """Name of the interval and of the law -> the truth, and `(generator, K, seed) -> interval`."""
    found: dict[tuple[str, str], tuple[float, Callable]] = {}
    for name, law in LAWS.items():
        single = {
            "mean, Student's t": (moment(law, 1), lambda x, seed: mean_interval(x)),
            "root mean square, t of its logarithm": (
                np.sqrt(moment(law, 2)),
                lambda x, seed: root_mean_square(x),
            ),
            "interquartile mean, bootstrap": (
                middle(law),
                lambda x, seed: interquartile_mean(x, seed=seed),
            ),
        }
        for kind, (truth, make) in single.items():
            found[kind, name] = (
                truth,
                lambda g, count, seed, law=law, make=make: make(law.draw(g, count), seed),
            )
        found["exponent of the mean, bootstrap", name] = (
            POWER,
            lambda g, count, seed, law=law: fit_exponent(POINTS, curve(law, g, count), seed=seed),
        )
    found["exponent of the root mean square, bootstrap", "normal"] = (
        -0.5,
        lambda g, count, seed: fit_rms_exponent(POINTS, errors(g, count), seed=seed),
    )
    return found


def measure(replications: int, counts: tuple[int, ...]) -> pd.DataFrame:
    """One row per interval, law and number of seeds."""
    records = []
    for place, ((kind, law), (truth, make)) in enumerate(intervals().items()):
        for count in counts:
            generator = np.random.default_rng([place, count])
            ends = np.array(
                [make(generator, count, seed)[1:3] for seed in range(replications)], float
            )
            given = np.isfinite(ends[:, 0])
            held = (ends[given, 0] <= truth) & (truth <= ends[given, 1])
            covered = held.mean() if given.any() else np.nan
            records.append((kind, law, count, covered, given.mean(), replications))
            print(*records[-1], flush=True)
    columns = ["interval", "law", "seeds", "coverage", "given", "replications"]
    return pd.DataFrame(records, columns=columns)


def page(table: pd.DataFrame) -> str:
    """The table as Markdown, a row per interval and law."""
    counts = sorted(set(table["seeds"]))
    lines = [
        "# Coverage of the report's 95% intervals",
        "",
        "Share of intervals that hold the truth, in %, by the number of seeds; standard error "
        f"{100 * np.sqrt(0.05 * 0.95 / table['replications'].iloc[0]):.1f} where it is 95. In "
        "brackets the share of replications that had an interval, where not all had. Normal(0, 1) "
        "(in a curve 1 + 0.3 z); lognormal(0, 1); "
        f"Normal({SUCCEED:g}, {SPREAD:g}) with share {SHARE:g}, else Normal({FAIL:g}, {SPREAD:g}). "
        "Curves have five points, independent. Written by `benchmarks/coverage.py`.",
        "",
        "| interval | law | " + " | ".join(f"{count}" for count in counts) + " |",
        "|---" * (2 + len(counts)) + "|",
    ]
    for (kind, law), own in table.groupby(["interval", "law"], sort=False):
        cells = own.set_index("seeds").loc[counts]
        shown = [
            f"{100 * row.coverage:.1f}" + ("" if row.given == 1 else f" ({row.given:.0%})")
            for row in cells.itertuples()
        ]
        lines.append(f"| {kind} | {law} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--replications", type=int, default=2000)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    table = measure(args.replications, tuple(args.counts))
    table.to_csv(args.out / "coverage.csv", index=False, lineterminator="\n")
    (args.out / "README.md").write_text(page(table))


if __name__ == "__main__":
    main()
