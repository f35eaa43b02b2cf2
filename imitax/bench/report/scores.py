"""Sections of `report.md` on returns: the published table, normalised scores, variable horizons."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from imitax.bench.analysis.exponents import groups
from imitax.bench.analysis.scores import FAILURE, aggregate, constant_warnings, middle_of
from imitax.bench.analysis.statistics import FEW_SEEDS, Interval, interquartile_mean, mean_interval
from imitax.bench.report.left_out import NUM_DEMOS, left_out_table
from imitax.bench.report.markdown import FEW, PAIR, markdown, show_middle
from imitax.bench.report.published import EXPERT, HORIZON, Comparison, compare, task_name
from imitax.bench.spec_facts import is_variable_horizon

_VARIABLE = """\
Marked `variable`: an episode ends by itself, earlier or later than another policy's. There a reward
of one sign tells a learner whether to end, which may be the whole task, whatever its reward has
learned; a score says little about imitation unless a constant discriminator, beside it, fails. With
`fixed=true` episodes run to the horizon."""

_PUBLISHED = f"""\
Ho and Ermon 2016 (arXiv 1606.03476), Table 3: {HORIZON} steps, sub-sampled demonstrations.
Published: mean ± standard deviation pooled over 7 learner seeds with about 53 episodes each, *all
on one demonstration set*, and the interquartile mean of the seven runs, both from the authors' raw
results (github.com/openai/imitation). Ours: a fresh demonstration set for every seed; mean with
its 95% interval, standard deviation over seeds, interquartile mean with its 95% bootstrap interval.

`agrees`: the published mean lies within two standard deviations of our mean, or within our
interval, or less than one step from our mean. It is the mean of one demonstration set, as each of
our seeds is, so it is held against our spread over seeds and the error that its seven runs leave:
the deviation is sqrt(sd² + run sd²/7). Where that is wide, agreement is cheap. `ours higher`, `ours
lower`: it agrees, but our interval lies on that side of it. {FEW}: fewer than
{FEW_SEEDS["interquartile mean"]} seeds, whose bootstrap interval is too short."""

_LEFT_OUT = f"""\
Normalised scores at {NUM_DEMOS} trajectories and {HORIZON} steps: interquartile mean, its 95%
interval, and the share of seeds that fail (score below {FAILURE}, or diverged). The other reward
form is the one that the authors did not choose for the task: of -log(1 - D), never negative, and
log D, never positive. Neither a constant discriminator nor a random policy's demonstrations hold
anything that an imitator could learn the task from, so what is above zero there came otherwise."""

_SCORES = f"""\
(J - J_random) / (J_expert - J_random) per seed, the references being means over the seeds of the
controls `random` and `expert`. Interquartile mean over seeds with its 95% bootstrap interval, mean,
and the share of seeds that fail: a score below {FAILURE}, or diverged (which enters no mean).
An interval marked {FEW} rests on fewer than {FEW_SEEDS["interquartile mean"]} seeds and is too
short: it covers less than 92%, of 3 seeds 75%. One seed has none."""


def published_section(rows: pd.DataFrame, manifest: Mapping[str, Any]) -> list[str]:
    """The published table with ours beside it; nothing where no row matches.

    Args:
        rows: from `read_results`.
        manifest: from `read_manifest`.
    """
    found = compare(rows)
    if not found:
        return []
    parts = ["## Published table", _PUBLISHED, _experts(manifest), _counts(found)]
    header = ("environment", "N", "algorithm", "published", "IQM, sd of runs", "seeds")
    lines = [_line(one) for one in found]
    ours = ("our mean", "sd", "our IQM", "verdict")
    return [*parts, markdown((*header, *ours), lines), _references(rows)]


def _experts(manifest: Mapping[str, Any]) -> str:
    files = manifest.get("settings", {}).get("expert_files", [])
    if not files:
        return "Experts: this project's own, not those of the paper."
    told = ", ".join(f"`{one['environment']}` {one['file']} {one['snapshot']}" for one in files)
    return f"Experts from files: {told}; this project's own elsewhere."


def _counts(found: list[Comparison]) -> str:
    words = Counter(one.verdict for one in found)
    higher, lower = (words[f"agrees; ours {side}"] for side in ("higher", "lower"))
    text = f"**{words['agrees'] + higher + lower} of {len(found)} cells agree**"
    text += f" (in {higher} of them ours is higher, in {lower} lower)"
    text += f"; ours is better in {words['ours better']} and worse in {words['ours worse']}."
    few = words["too few seeds"]
    return text + (f" In {few} there are too few seeds." if few else "")


def _line(one: Comparison) -> tuple[str, ...]:
    cell = one.published
    return (
        *(f"`{one.environment}`", str(one.num_demos), f"`{one.algorithm}`"),
        f"{cell.mean:.2f} ± {cell.spread:.2f}",
        f"{interquartile_mean(cell.runs).mean:.1f}, {cell.runs.std(ddof=1):.1f}",
        *(str(one.seeds), _interval(one.mean), f"{one.spread:.1f}", show_middle(one.middle, 1)),
        one.verdict,
    )


def _references(rows: pd.DataFrame) -> str:
    """Returns of the expert and the random policy: references, so without a verdict."""
    controls = rows["algorithm"].isin(["expert", "random"]) & (rows["horizon"] == HORIZON)
    lines = []
    # The return of a control does not depend on the demonstrations: a seed counts once.
    once = rows.loc[controls, :].drop_duplicates([*PAIR, "seed"])
    for (environment, algorithm), group in groups(once, PAIR):
        task = task_name(environment)
        if task is None:
            continue
        mean = mean_interval(group["learner_return"].where(group["regret"].notna()).to_numpy())
        told = "not in the raw results"
        if algorithm == "expert":
            told = "{:.2f} ± {:.2f}, 16 episodes".format(*EXPERT[task])
        lines.append((f"`{environment}`", f"`{algorithm}`", told, _interval(mean)))
    if not lines:
        return "The references `expert` and `random` were not run."
    text = "References (no verdict: an expert of ours is another policy):\n\n"
    return text + markdown(("environment", "control", "published", "our mean"), lines)


def left_out_section(summary: pd.DataFrame) -> list[str]:
    """What the paper left out; nothing where the protocol was not varied."""
    table = left_out_table(summary)
    return ["## What the paper left out", _LEFT_OUT, table] if table else []


def score_section(scores: pd.DataFrame, summary: pd.DataFrame) -> list[str]:
    """Normalised scores, over environments and by cell; nothing where there are none.

    Args:
        scores: from `imitax.bench.analysis.scores.scored`.
        summary: from `imitax.bench.analysis.scores.summarise_scores`.
    """
    if summary.empty:
        return []
    parts = ["## Normalised scores", _SCORES]
    if np.any(summary["variable_horizon"].to_numpy()):
        parts.append(_VARIABLE)
    warnings = constant_warnings(summary)
    parts += ["\n".join(f"- {line}" for line in warnings)] if warnings else []
    parts += _over_environments(scores)
    header = ("environment", "horizon", "algorithm", "H", "N", "seeds", "IQM [95%]", "mean", "fail")
    header = (*header, "unconverged")
    records: Iterable[Any] = summary.itertuples(index=False)
    lines = [
        (
            *(f"`{row.environment}`", _kind(row.environment), f"`{row.algorithm}`"),
            *(row.horizon, row.num_demos, row.seeds),
            show_middle(middle_of(row), 3),
            *("" if np.isnan(row.mean) else f"{row.mean:.3f}", f"{row.failures:.0%}"),
            "not recorded" if row.unconverged is pd.NA else row.unconverged,
        )
        for row in records
    ]
    return [*parts, markdown(header, lines)]


def _over_environments(scores: pd.DataFrame) -> list[str]:
    found = aggregate(scores)
    if not found:
        return []
    lines = [
        (f"`{algorithm}`", demos, count, show_middle(middle, 3, fewest), f"{share:.0%}")
        for (algorithm, demos), (middle, share, count, fewest) in found.items()
    ]
    header = ("algorithm", "N", "environments", "IQM [95%]", "fail")
    text = "All environments together, each at its longest horizon (stratified bootstrap):"
    return [text, markdown(header, lines)]


def heading(environment: str) -> str:
    """An environment as the report's headings name it."""
    return f"### `{environment}`" + " (variable horizon)" * is_variable_horizon(environment)


def _kind(environment: str) -> str:
    return "variable" if is_variable_horizon(environment) else "fixed"


def _interval(interval: Interval, digits: int = 1) -> str:
    if interval.count == 0:
        return "no finite seed"
    mean = f"{interval.mean:.{digits}f}"
    if np.isnan(interval.low):
        return mean
    return f"{mean} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"
