"""The tables and sentences of `report.md`, each a function from data to Markdown text."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from imitax.bench.analysis.exponents import groups, statistic_of, unconverged
from imitax.bench.analysis.statistics import (
    FEW_SEEDS,
    Interval,
    Paired,
    mean_interval,
    paired_comparison,
    root_mean_square,
)
from imitax.bench.theory.predictions import expectation_note
from imitax.core.spec import split

CELL = ["horizon", "num_demos"]
CONTROLS = ("expert", "random")
PAIR = ["environment", "algorithm"]
FEW = "†"
"""Marks an interval of too few seeds, see `FEW_SEEDS`."""


def markdown(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; cells are shown by `str`, with the bars of the table escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_escape(cell) for cell in line) + " |" for line in lines)


def provenance(manifest: Mapping[str, Any]) -> str:
    """What ran: versions, device, commit, precision, keys, chunks and times.

    Args:
        manifest: the contents of `manifest.json`; an absent key is shown as "not recorded".
    """
    settings = manifest.get("settings", {})
    programs = manifest.get("programs", [])
    versions = manifest.get("versions", {})
    rows: list[tuple[str, Any]] = [("seeds", _seeds(settings))]
    for key in ("device", "commit", "xla_flags", "precision", "prng", "chunk_size"):
        value = manifest.get(key, "not recorded")
        rows.append((key.replace("_", " "), "none" if value in (None, "") else value))
    rows.append(("versions", ", ".join(f"{name} {text}" for name, text in versions.items())))
    for key, text in (("compile_seconds", "compile seconds"), ("run_seconds", "run seconds")):
        rows.append((f"{text}, all programs", f"{_total(programs, key):.1f}"))
    return markdown(("", "value"), rows)


def _seeds(settings: Mapping[str, Any]) -> str:
    """How many seeds, and from which where that is not 0."""
    firsts = sorted({block.get("first_seed", 0) for block in settings.get("blocks", [])})
    count = str(settings.get("seeds", "not recorded"))
    return count if firsts in ([], [0]) else f"{count}, from {' or '.join(map(str, firsts))}"


def program_table(manifest: Mapping[str, Any]) -> str:
    """Compile seconds, run seconds and number of compilations of every program."""
    keys = ("environment", "algorithm", "compile_seconds", "run_seconds", "num_compilations")
    rows = [
        [
            _number(program.get(key, "")) if "seconds" in key else program.get(key, "")
            for key in keys
        ]
        for program in manifest.get("programs", [])
    ]
    return markdown([key.replace("_", " ") for key in keys], rows)


def settings_block(manifest: Mapping[str, Any]) -> str:
    """The resolved settings as JSON."""
    return "```json\n" + json.dumps(manifest.get("settings", {}), indent=2) + "\n```"


def exponent_table(summary: pd.DataFrame) -> str:
    """The fitted exponents beside the predicted ones, with their verdicts."""
    rows = []
    records: Iterable[Any] = summary.itertuples(index=False)
    for row in records:
        fixed = "N" if row.axis == "horizon" else "H"
        interval = "" if np.isnan(row.low) else f"[{row.low:.3f}, {row.high:.3f}]"
        rows.append(
            (
                *(_code(row.environment), _code(row.algorithm), row.axis.replace("_", " ")),
                *(f"{fixed} = {row.fixed_value}", row.statistic),
                "" if np.isnan(row.exponent) else f"{row.exponent:.3f}",
                interval,
                "" if np.isnan(row.predicted) else f"{row.predicted:g}",
                row.verdict,
            )
        )
    header = ("environment", "algorithm", "axis", "fixed", "of", "exponent", "95%", "predicted")
    return markdown((*header, "verdict"), rows)


def regret_table(rows: pd.DataFrame) -> str:
    """Mean regret with its 95% interval: cells downwards, algorithms across.

    Where the expert is soft, the root mean square stands beside it.

    Args:
        rows: results of one environment, `regret` NaN where a seed diverged.
    """
    shown = {
        key: show_regret(group) + _unconverged(group)
        for key, group in groups(rows, ["algorithm", *CELL])
    }
    return _cells(rows, rows["algorithm"].unique(), shown)


def show_regret(rows: pd.DataFrame) -> str:
    """The mean regret of one cell, with the root mean square where that is what tells."""
    values = rows["regret"].to_numpy(float)
    shown = show_interval(mean_interval(values))
    if statistic_of(rows["environment"].iloc[0]) == "mean" or not np.isfinite(values).any():
        return shown
    return f"{shown}; rms {show_interval(root_mean_square(values))}"


def _unconverged(rows: pd.DataFrame) -> str:
    """Beside a mean: how many of its fits were not done, where any was not."""
    count = unconverged(rows)
    return f", {count} of {len(rows)} unconverged" if count else ""


def paired_table(rows: pd.DataFrame) -> str | None:
    """Every learner against BC, seed by seed; None where the environment has no BC rows."""
    algorithms = rows["algorithm"].unique().tolist()
    baselines = {spec: baseline(spec, algorithms) for spec in algorithms}
    compared = [
        spec
        for spec, base in baselines.items()
        if base and base != spec and split(spec)[0] not in CONTROLS
    ]
    shown = {}
    for (horizon, demos), cell in groups(rows, CELL):
        table = cell.pivot(index="seed", columns="algorithm", values="regret")
        for spec in compared:
            if spec in table and baselines[spec] in table:
                pair = paired_comparison(table[spec].to_numpy(), table[baselines[spec]].to_numpy())
                shown[spec, horizon, demos] = show_paired(pair)
    labels = {spec: f"{_code(spec)} minus {_code(str(baselines[spec]))}" for spec in compared}
    return _cells(rows, compared, shown, labels) if shown else None


def baseline(algorithm: str, algorithms: Sequence[str]) -> str | None:
    """The BC spec nearest to an algorithm's settings; the first of the equally near."""
    name, raw = split(algorithm)
    candidates = [spec for spec in algorithms if split(spec)[0] == "bc"]
    if not candidates:
        return None
    if name == "bc":
        return candidates[0]

    def distance(spec: str) -> int:
        return len(set(split(spec)[1].items()) ^ set(raw.items()))

    return min(candidates, key=distance)


def given_table(rows: pd.DataFrame) -> str:
    """What each method was given: dynamics, expert labels, updates, steps in the environment; and
    the form of its reward, with what was known of the environment's ends, where a row has one.
    """
    has_forms = "reward_form" in rows and bool(rows["reward_form"].fillna("").any())
    lines = []
    for (environment, algorithm), group in groups(rows, PAIR):
        known = "yes" if np.any(group["knows_dynamics"].to_numpy(bool)) else "no"
        labels, steps = (
            _span(group[key].to_numpy()) for key in ("expert_labels", "environment_steps")
        )
        pair = (_code(environment), _code(algorithm))
        form = [", ".join(map(str, group["reward_form"].dropna().unique()))] if has_forms else []
        lines.append((*pair, known, labels, *_updates(group), steps, *form))
    header = ("environment", "algorithm", "knows dynamics", "expert labels", "gradient updates")
    header = (*header, "fits converged", "environment steps")
    return markdown((*header, "reward form") if has_forms else header, lines)


def _updates(rows: pd.DataFrame) -> tuple[str, str]:
    """Gradient updates, and the share of fits that are done where a policy is fitted."""
    poor = unconverged(rows)
    if poor is None:
        return "not recorded", "not recorded"
    total = int(np.sum(rows["fit_converged"].notna().to_numpy()))
    # 1999 of 2000 are not all: rounded down.
    share = f"{np.floor(100 * (total - poor) / total):.0f}%" if total else "no fit"
    return _span(rows["gradient_updates"].to_numpy()), share


def diverged_table(rows: pd.DataFrame) -> str:
    """Counts of rows that diverged, or a sentence that none did."""
    lines = []
    for key, group in groups(rows, [*PAIR, *CELL]):
        count = int(np.sum(group["status"].to_numpy() != "ok"))
        if count:
            lines.append((*map(_code, key[:2]), *key[2:], f"{count} of {len(group)}"))
    if not lines:
        return f"None: all {len(rows)} rows are finite."
    return markdown((*PAIR, *CELL, "diverged"), lines)


def not_applicable_table(manifest: Mapping[str, Any]) -> str:
    """Pairs without rows, and why."""
    pairs = manifest.get("not_applicable", [])
    if not pairs:
        return "None: every algorithm ran on every environment."
    keys = (*PAIR, "reason")
    return markdown(keys, [[pair.get(key, "") for key in keys] for pair in pairs])


def notes(rows: pd.DataFrame) -> list[str]:
    """Sentences on what theory expects, then DAgger against BC on the reset cliff, measured."""
    grouped: dict[str, list[str]] = {}
    for environment, algorithm in rows[PAIR].drop_duplicates().itertuples(index=False):
        note = expectation_note(environment, algorithm)
        if note:
            pair = f"{_code(algorithm)} on {_code(environment)}"
            grouped.setdefault(note, []).append(pair)
    lines = [f"{', '.join(pairs)}: {note}." for note, pairs in grouped.items()]
    for environment, own in groups(rows, "environment"):
        if split(environment)[0] == "reset-cliff":
            lines.extend(_dagger_sentences(environment, own))
    return lines


def _dagger_sentences(environment: str, rows: pd.DataFrame) -> list[str]:
    algorithms = rows["algorithm"].unique().tolist()
    lines = []
    for spec in (spec for spec in algorithms if split(spec)[0] == "dagger"):
        base = baseline(spec, algorithms)
        if base is None:
            continue
        cells = dict(groups(rows.loc[rows["algorithm"].isin([spec, base]), :], CELL))
        corner = max(cells)
        table = cells[corner].pivot(index="seed", columns="algorithm", values="regret")
        if spec in table and base in table:
            lines.append(_dagger_sentence(environment, spec, base, corner, table))
    return lines


def _dagger_sentence(
    environment: str, spec: str, base: str, cell: tuple[int, int], table: pd.DataFrame
) -> str:
    learner, cloner = (mean_interval(table[name].to_numpy()) for name in (spec, base))
    pair = paired_comparison(table[spec].to_numpy(), table[base].to_numpy())
    low, high = pair.difference.low, pair.difference.high
    if low > 0:
        word = "DAgger is worse than BC, in agreement with theory, which expects it to be no better"
    elif high < 0:
        word = "DAgger is better than BC, against theory's expectation that it is no better"
    else:
        word = "no difference is resolved; theory expects DAgger to be no better than BC"
    return (
        f"On {_code(environment)} at H = {cell[0]}, N = {cell[1]}: {_code(spec)} loses "
        f"{show_interval(learner)}, {_code(base)} {show_interval(cloner)}; paired difference "
        f"{show_interval(pair.difference, sign=True)}. Measured: {word}."
    )


def show_interval(interval: Interval, *, sign: bool = False) -> str:
    """`mean [low, high]`, or the mean alone where there is no interval."""
    if interval.count == 0:
        return "no finite seed"
    plus = "+" if sign else ""
    mean = format(interval.mean, f"{plus}.3g")
    if np.isnan(interval.low) or interval.low == interval.high:
        return mean
    return f"{mean} [{interval.low:{plus}.3g}, {interval.high:{plus}.3g}]"


def show_middle(middle: Interval, digits: int, fewest: int | None = None) -> str:
    """An interquartile mean with its interval, marked `FEW` where that is too short.

    Args:
        middle: over seeds.
        digits: after the point.
        fewest: seeds of the smallest stratum; all of them by default.
    """
    if middle.count == 0:
        return "no finite seed"
    mean, low, high = (f"{value:.{digits}f}" for value in middle[:3])
    if np.isnan(middle.low):
        return mean
    few = (middle.count if fewest is None else fewest) < FEW_SEEDS["interquartile mean"]
    return f"{mean} [{low}, {high}]" + f" {FEW}" * few


def show_paired(pair: Paired) -> str:
    """The difference with its interval, and the probability of improvement."""
    if pair.difference.count == 0:
        return "no common seed"
    return f"{show_interval(pair.difference, sign=True)}, P {pair.probability:.2f}"


def _cells(
    rows: pd.DataFrame,
    algorithms: Iterable[str],
    shown: Mapping[tuple, str],
    labels: Mapping[str, str] | None = None,
) -> str:
    algorithms = list(algorithms)
    cells = sorted(key for key, _ in groups(rows, CELL))
    lines = [
        (horizon, demos, *(shown.get((spec, horizon, demos), "") for spec in algorithms))
        for horizon, demos in cells
    ]
    header = [labels[spec] if labels else _code(spec) for spec in algorithms]
    return markdown(("H", "N", *header), lines)


def _span(values: np.ndarray) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _total(programs: Sequence[Mapping[str, Any]], key: str) -> float:
    return float(sum(program.get(key) or 0.0 for program in programs))


def _number(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, int | float) else str(value)


def _code(text: Any) -> str:
    return f"`{text}`"


def _escape(cell: Any) -> str:
    return str(cell).replace("|", "\\|").replace("\n", " ")
