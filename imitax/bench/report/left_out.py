"""What the paper left out, at four trajectories: each change of its protocol, by normalised score.

A change is read off the specs: of the environment (sub-sampling, what is demonstrated, whether
episodes may end) and of the algorithm (form of the reward, discriminator).
"""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from imitax.bench.analysis.scores import middle_of
from imitax.bench.report.markdown import markdown, show_middle
from imitax.bench.report.published import HORIZON, REWARD, SUBSAMPLE, has_other_sign
from imitax.bench.spec_facts import is_constant
from imitax.core.spec import split

NUM_DEMOS = 4

METHODS = ("bc", "fem", "gtal", "gail")
"""In the order of the paper."""

_DEMONSTRATED = {"random": "random-policy demonstrations", "shuffled": "shuffled actions"}
_LABELS = (
    "as published",
    "no sub-sampling",
    "other reward form",
    "constant discriminator",
    *_DEMONSTRATED.values(),
    "fixed horizon",
)
"""In the order of the table."""


def changes(environment: str, algorithm: str) -> tuple[str, ...] | None:
    """How a pair differs from the published protocol; None where it is not about it.

    Labels in a fixed order, `as published` where nothing differs.
    """
    name, raw = split(environment)
    demonstrated = _DEMONSTRATED.get(raw.get("demos", ""))
    known = {"subsample", "demos", "fixed"}
    if name not in SUBSAMPLE or set(raw) - known or ("demos" in raw and not demonstrated):
        return None
    if raw.get("subsample") not in (None, SUBSAMPLE[name]):
        return None
    found = {
        "no sub-sampling": "subsample" not in raw,
        "other reward form": has_other_sign(environment, algorithm),
        "constant discriminator": is_constant(algorithm),
        demonstrated: demonstrated is not None,
        "fixed horizon": raw.get("fixed") == "true",
    }
    labels = tuple(label for label in _LABELS if found.get(label))
    return labels or _LABELS[:1]


def left_out_table(summary: pd.DataFrame) -> str | None:
    """The table, tasks and changes downwards, algorithms across.

    None unless something stands there as published, and something changed.

    Args:
        summary: from `imitax.bench.analysis.scores.summarise_scores`.
    """
    shown: dict[tuple[str, tuple[str, ...]], dict[str, list[str]]] = {}
    here = (summary["horizon"] == HORIZON) & (summary["num_demos"] == NUM_DEMOS)
    records: Iterable[Any] = summary.loc[here, :].itertuples(index=False)
    for row in records:
        labels = changes(row.environment, row.algorithm)
        if labels is not None:
            task, name = split(row.environment)[0], split(row.algorithm)[0]
            cell = shown.setdefault((task, labels), {}).setdefault(name, [])
            cell.append(_score(row))
    if len({labels == _LABELS[:1] for _, labels in shown}) < 2:
        return None
    found = {name for row in shown.values() for name in row}
    names = [*(name for name in METHODS if name in found), *sorted(found - set(METHODS))]
    lines = [
        (
            f"`{task}`",
            ", ".join(labels),
            *("; ".join(shown[task, labels].get(n, [])) for n in names),
        )
        for task, labels in sorted(shown, key=_order)
    ]
    return markdown(("task", "change", *(f"`{name}`" for name in names)), lines)


def _order(key: tuple[str, tuple[str, ...]]) -> tuple[int, list[int]]:
    task, labels = key
    # A fixed horizon, the last label, heads its own group.
    ranks = [_LABELS.index(label) for label in reversed(labels)]
    return list(REWARD).index(task), ranks


def _score(row: Any) -> str:
    text = show_middle(middle_of(row), 2)
    return f"{text}, {row.failures:.0%} fail" if row.failures else text
