"""Normalised scores: 0 is the random policy, 1 the expert.

    score = (J - J_random) / (J_expert - J_random)

per seed, with J the seed's mean return and J_random, J_expert the means over the seeds of the
controls `random` and `expert` in the same cell. Neither control depends on what is demonstrated,
so where a cell has none, those of the same task and horizon are taken. Tables have no score:
regret is exact there.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from imitax.bench.analysis.exponents import groups, unconverged
from imitax.bench.analysis.statistics import (
    Interval,
    interquartile_mean,
    mean_interval,
    stratified_interquartile_mean,
)
from imitax.bench.spec_facts import is_constant, is_tabular, is_variable_horizon, task_of
from imitax.core.spec import split

CELL = ["environment", "algorithm", "horizon", "num_demos"]
COLUMNS = (
    *CELL,
    *("variable_horizon", "seeds", "mean", "interquartile_mean", "low", "high", "failures"),
    "scored",
    "unconverged",
)
"""Columns of `scores.csv`; the interval is that of the interquartile mean, over `scored` seeds."""

FAILURE = 0.5
"""A seed fails with a score below this, or where it diverged."""

CONTROLS = ("expert", "random")


class Reference(NamedTuple):
    """Mean returns over seeds."""

    random: float
    expert: float


def scored(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of learners that have a score, with the column `score`.

    Args:
        rows: from `read_results`.

    Returns:
        Those of environments that are no tables and have both controls, in the rows' order; NaN
        where a seed diverged. Empty where there are none.
    """
    parts = []
    own = _references(rows, ["environment", "horizon", "num_demos"])
    tasks = rows.assign(task=[task_of(text) for text in rows["environment"]])
    same_task = _references(tasks, ["task", "horizon"])
    for key, cell in groups(rows, ["environment", "horizon", "num_demos"]):
        found = own.get(key) or same_task.get((task_of(key[0]), key[1]))
        if found is None or is_tabular(key[0]):
            continue
        learners = cell.loc[~cell["algorithm"].isin(CONTROLS), :]
        earned = np.where(learners["regret"].notna(), learners["learner_return"], np.nan)
        score = (earned - found.random) / (found.expert - found.random)
        parts.append(learners.assign(score=score))
    return pd.concat(parts).sort_index() if parts else rows.assign(score=np.nan).head(0)


def _references(rows: pd.DataFrame, keys: list[str]) -> dict[Any, Reference]:
    """The controls' mean returns by key, where both are there and the expert is the better one."""
    found = {}
    fine = rows["algorithm"].isin(CONTROLS) & rows["regret"].notna()
    for key, group in groups(rows.loc[fine, :], keys):
        mean = {
            name: float(own["learner_return"].to_numpy(float).mean())
            for name, own in groups(group, "algorithm")
        }
        if len(mean) == len(CONTROLS) and mean["expert"] > mean["random"]:
            found[key] = Reference(**mean)
    return found


def failures(values: np.ndarray) -> float:
    """Share of seeds that failed; a NaN is one."""
    return float(np.mean(~(np.asarray(values) >= FAILURE)))


def summarise_scores(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per cell, with the columns `COLUMNS`.

    Args:
        rows: from `scored`.
    """
    records = []
    for key, group in groups(rows, CELL):
        values = group["score"].to_numpy(float)
        middle = interquartile_mean(values)
        records.append(
            (
                *(*key, is_variable_horizon(key[0]), len(values), mean_interval(values).mean),
                *(middle.mean, middle.low, middle.high, failures(values), middle.count),
                unconverged(group),
            )
        )
    return pd.DataFrame(records, columns=list(COLUMNS)).astype({"unconverged": "Int64"})


def middle_of(row: Any) -> Interval:
    """The interquartile mean in a row of the table of `summarise_scores`."""
    return Interval(row.interquartile_mean, row.low, row.high, row.scored)


def aggregate(rows: pd.DataFrame) -> dict[tuple[str, int], tuple[Interval, float, int, int]]:
    """Scores over several environments, by algorithm and number of demonstrations.

    Of every environment and algorithm with several numbers of demonstrations (so that controls in
    a single cell stay out), the longest horizon, unless what is demonstrated is not the expert's
    (`demos`); where an algorithm has more than one environment.

    Args:
        rows: from `scored`.

    Returns:
        Interquartile mean over all seeds and environments, failure share, number of environments
        with a score, and fewest seeds with a score in one of them.
    """
    horizons: Any = rows.groupby("environment")["horizon"]
    longest = rows["horizon"].to_numpy() == horizons.transform("max").to_numpy()
    several = [
        own
        for (environment, _), own in groups(rows.loc[longest, :], ["environment", "algorithm"])
        if len(set(own["num_demos"])) > 1 and "demos" not in split(environment)[1]
    ]
    found = {}
    together = pd.concat([rows.head(0), *several])
    for key, group in groups(together, ["algorithm", "num_demos"]):
        strata = [own["score"].to_numpy(float) for _, own in groups(group, "environment")]
        if len(strata) > 1:
            middle = stratified_interquartile_mean(strata)
            share = float(np.mean([failures(own) for own in strata]))
            counts = [count for own in strata if (count := int(np.isfinite(own).sum()))]
            found[key] = (middle, share, len(counts), min(counts, default=0))
    return found


def constant_warnings(summary: pd.DataFrame) -> list[str]:
    """A sentence for each environment that a constant discriminator solves.

    Args:
        summary: from `summarise_scores`.
    """
    lines = []
    records: Iterable[Any] = summary.itertuples(index=False)
    for row in records:
        if not (is_constant(row.algorithm) and row.interquartile_mean > FAILURE):
            continue
        where = f"`{row.environment}` (N = {row.num_demos}): `{row.algorithm}`, whose "
        text = f"discriminator is constant, scores {row.interquartile_mean:.2f}"
        if row.variable_horizon:
            text += (
                ". **This environment shows nothing about imitation there**: the sign of a reward "
                "that never changes is enough, because the length of an episode is the return"
            )
        else:
            text += " without a reward that says anything; look for what it began from"
        lines.append(f"{where}{text}.")
    return lines
