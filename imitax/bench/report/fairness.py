"""Comparisons that are not matched: who had more expert labels, or more updates of a poor fit.

Two methods are compared where the report shows both for one environment, horizon and number of
demonstrations. They are not matched there if

* their expert labels (means over seeds) differ by more than `TOLERANCE`, both have some, and one
  of them fits a policy to them; or
* their gradient updates differ by more than `TOLERANCE` while a fit of one of them is not done.

Steps in the environment are what a method is given, not what it must share: the report has them in
a table of their own. A directory from before fits were recorded tells of labels only.
"""

import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from imitax.bench.analysis.exponents import groups, unconverged
from imitax.bench.results.reading import read_results
from imitax.core.spec import split

TOLERANCE = 0.1
"""A larger quantity of more than so much above the smaller one is another quantity."""

MOST = 40
"""Lines of the section, at most; the largest factors stay."""

CELL = ["horizon", "num_demos"]

CONTROLS = ("expert", "random", "noisy-expert")
"""References, which learn from nothing."""

FIT_POLICIES = ("bc", "dagger")
"""Who fits a policy, where rows do not tell."""

SECTION = f"""\
The report compares these methods (same environment, horizon and number of demonstrations), but
their expert labels differ by more than a tenth, or their gradient updates do while a fit is not
done, that is, its loss still fell: a difference between them may come from that alone. Factors are
ratios of means over seeds; at most {MOST} lines, those with the largest. To match labels, give both
methods the setting `labels`; to finish fits, leave the number of updates to the learner, or, where
it was left to it and its budget ran out, give a larger one (`num_steps`, `first_updates`). Updates
of a game are those of its policy and its reward player, another kind than a fit's. Steps in the
environment stand under *What each method was given*."""


class Given(NamedTuple):
    """What a method was given in a cell, means over seeds."""

    labels: float
    updates: float
    """NaN where that is not recorded."""
    fits: bool
    """Whether it fits a policy."""
    unconverged: int
    seeds: int


class Unmatched(NamedTuple):
    """Two methods on one environment, compared in cells where they are not matched."""

    environment: str
    one: str
    other: str
    num_cells: int
    """Cells with both methods."""
    labels: dict[tuple[int, int], tuple[float, float]]
    """(horizon, num_demos) -> labels of both, where they differ."""
    updates: dict[tuple[int, int], tuple[float, float]]
    """The same of gradient updates."""
    poor: dict[str, tuple[int, int]]
    """Method -> unconverged fits, and seeds, in the cells of `updates`."""

    @property
    def factor(self) -> float:
        """The largest in any cell; infinite where one of the two had none."""
        pairs = [*self.labels.values(), *self.updates.values()]
        return max(_factor(*pair) for pair in pairs)


def unmatched(rows: pd.DataFrame) -> list[Unmatched]:
    """All pairs of methods that are compared and not matched, in the rows' order.

    Args:
        rows: from `read_results`.
    """
    found = []
    for environment, own in groups(rows, "environment"):
        cells = {key: _given(key[0], part) for key, part in groups(own, ["algorithm", *CELL])}
        names = [name for name in own["algorithm"].unique() if split(name)[0] not in CONTROLS]
        for one, other in itertools.combinations(names, 2):
            pair = _pair(environment, one, other, cells)
            if pair.labels or pair.updates:
                found.append(pair)
    return found


def _given(algorithm: str, rows: pd.DataFrame) -> Given:
    poor = unconverged(rows)
    recorded = poor is not None
    fitted = recorded and bool(np.any(rows["fit_converged"].notna().to_numpy()))
    return Given(
        labels=float(rows["expert_labels"].to_numpy(float).mean()),
        updates=float(rows["gradient_updates"].to_numpy(float).mean()) if recorded else np.nan,
        fits=fitted if recorded else split(algorithm)[0] in FIT_POLICIES,
        unconverged=poor or 0,
        seeds=len(rows),
    )


def _pair(environment: str, one: str, other: str, cells: dict[tuple, Given]) -> Unmatched:
    places = [key[1:] for key in cells if key[0] == one and (other, *key[1:]) in cells]
    labels, updates, poor = {}, {}, {}
    for place in places:
        here, there = cells[one, *place], cells[other, *place]
        given = min(here.labels, there.labels) > 0 and (here.fits or there.fits)
        if given and _differ(here.labels, there.labels):
            labels[place] = here.labels, there.labels
        if here.unconverged + there.unconverged and _differ(here.updates, there.updates):
            updates[place] = here.updates, there.updates
            for name, side in ((one, here), (other, there)):
                before = poor.get(name, (0, 0))
                poor[name] = before[0] + side.unconverged, before[1] + side.seeds
    return Unmatched(environment, one, other, len(places), labels, updates, poor)


def _differ(one: float, other: float) -> bool:
    """By more than the tolerance; not where one is NaN."""
    return max(one, other) > (1 + TOLERANCE) * min(one, other)


def _factor(one: float, other: float) -> float:
    low, high = sorted((one, other))
    return high / low if low > 0 else np.inf


def section(found: list[Unmatched]) -> list[str]:
    """The section `Not matched` of a report; nothing where everything is matched."""
    if not found:
        return []
    order = np.argsort([-pair.factor for pair in found], kind="stable")
    lines = [f"- {line(found[index])}" for index in sorted(order[:MOST])]
    rest = len(found) - len(lines)
    more = [f"- And {rest} pairs with smaller factors."] if rest else []
    return ["## Not matched", SECTION, "\n".join([*lines, *more])]


def line(pair: Unmatched) -> str:
    """One pair in one sentence: where, by which factor, and whose fits are not done."""
    cells = [*pair.labels, *pair.updates]
    sides = sum(np.log((one + 1) / (other + 1)) for one, other in _values(pair))
    more, less = (pair.one, pair.other) if sides >= 0 else (pair.other, pair.one)
    parts = []
    for values, what in ((pair.labels, "expert labels"), (pair.updates, "gradient updates")):
        pairs = values.values() if sides >= 0 else [(b, a) for a, b in values.values()]
        if values:
            parts.append(_ratio(list(pairs), what))
    poor = [f"{k:,} of {n:,} of `{name}`" for name, (k, n) in pair.poor.items() if k]
    parts += [f"fits not done: {', '.join(poor)}"] if poor else []
    count = f"{len(set(cells))} of {pair.num_cells} cells"
    return (
        f"`{pair.environment}`, {_range(cells)} ({count}): `{more}` beside `{less}` has "
        f"{'; '.join(parts)}."
    )


def _values(pair: Unmatched) -> list[tuple[float, float]]:
    return [*pair.labels.values(), *pair.updates.values()]


def _ratio(pairs: list[tuple[float, float]], what: str) -> str:
    ratios = [one / other if other > 0 else np.inf for one, other in pairs]
    low, high = min(ratios), max(ratios)
    if high == np.inf:
        most = max(one for one, _ in pairs)
        return f"up to {most:,.0f} {what} against none"
    shown = f"{low:.3g}" if f"{low:.3g}" == f"{high:.3g}" else f"{low:.3g} to {high:.3g}"
    return f"{shown} times the {what}"


def _range(cells: list[tuple[int, int]]) -> str:
    return ", ".join(
        f"{name} = {low}" if low == high else f"{name} = {low} to {high}"
        for name, axis in zip("HN", zip(*cells, strict=True), strict=True)
        for low, high in [(min(axis), max(axis))]
    )


def notice(directory: Path) -> str:
    """A line for the terminal on what is not matched in a directory; empty where all is."""
    count = len(unmatched(read_results(directory)))
    if not count:
        return ""
    noun = "1 comparison is" if count == 1 else f"{count:,} comparisons are"
    return f"{noun} not matched in labels or updates; see 'Not matched' in {directory}/report.md"
