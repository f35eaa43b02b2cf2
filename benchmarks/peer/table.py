"""The JSON of a comparison as a table for people."""

from typing import Any

HEAD = (
    "| workload | peer, seeds/h | ours, seeds/h | ours, cold | ratio | ratio, cold | wanted "
    "| score: peer, ours | precision: peer, ours |",
    "|---|---|---|---|---|---|---|---|---|",
)

ENOUGH = 0.9
"""Share of the cores that the peer's processes keep busy on a quiet machine."""


def markdown(report: dict[str, Any]) -> str:
    """The table, what it rests on, and what was refused or not run."""
    lines = ["# Side by side with other libraries", "", *_setting(report), "", *HEAD]
    lines += [_row(row) for row in report["rows"]]
    lines += ["", *_legend(report)]
    refused = [row["refused"] for row in report["rows"] if "refused" in row]
    lines += [f"- {line}" for line in [*refused, *report["not_run"], *_busy(report)]]
    lines += [
        f"- `{row['workload']}`, where ours differs: {'; '.join(row['differences'])}."
        for row in report["rows"]
        if row.get("differences")
    ]
    return "\n".join(lines) + "\n"


def _setting(report: dict[str, Any]) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    quick = " **A quick run: only to see that everything works.**" if report["quick"] else ""
    return [
        f"{report['date']}, commit {report['commit']}, {report['cores']} cores of "
        f"{report['processor']}; load average at the start {report['load']:.1f}. Ours: {versions}."
        f" Peers: {', '.join(report['peers'])}.{quick}"
    ]


def _legend(report: dict[str, Any]) -> list[str]:
    return [
        "Median of the repeats, in brackets the quartiles. Both sides use all cores: the peer one "
        "process of one thread per core, seeds in turn, imports and demonstrations left out; ours "
        f"one device per core, after compilation. Cold: one compilation per {report['study']} "
        "seeds. The two sides ran in alternation, each in fresh processes; a ratio is of two "
        "neighbours. Scores: mean return (smallest), or the largest occupancy gap.",
        "",
    ]


def _busy(report: dict[str, Any]) -> list[str]:
    """A line for each workload whose peer did not have the machine for itself."""
    lines, cores = [], report["cores"]
    for row in report["rows"]:
        had = row["cores_had"]
        if had["peer"] < ENOUGH * cores:
            lines.append(
                f"`{row['workload']}`: the machine was busy, measure again. The peer had "
                f"{had['peer']:.1f} of {cores} cores, ours {had['ours']:.1f}; by processor time a "
                f"seed of the peer is {row['ratio_of_processor_time']:.0f} of ours."
            )
    return lines


def _row(row: dict[str, Any]) -> str:
    irl = row["workload"].startswith("mce-irl")
    cells = [
        f"`{row['workload']}`",
        _number(row["peer_seeds_per_hour"]),
        _number(row["our_seeds_per_hour"]),
        _number(row["our_seeds_per_hour_cold"]),
        _number(row.get("ratio")),
        _number(row.get("ratio_cold")),
        f"{row['wanted']:g}" if row.get("wanted") else "",
        ", ".join(_score(row[side], irl) for side in ("peer_score", "our_score")),
        f"{row['peer_precision']}, {row['our_precision']}",
    ]
    return f"| {' | '.join(cells)} |"


def _number(spread: dict[str, float] | None) -> str:
    if spread is None:
        return "none"
    return f"{_short(spread['median'])} [{_short(spread['low'])}, {_short(spread['high'])}]"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _score(summary: dict[str, float], is_gap: bool) -> str:
    if is_gap:
        return f"{summary['max']:.2g}"
    return f"{summary['mean']:.1f} ({summary['min']:.0f})"
