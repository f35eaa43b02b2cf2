"""`imitax report DIR`: figures, `report.md` and `summary.csv` from stored results.

Everything is computed from the files of one directory, so a report can be made again at any time
and on any machine; each file is written under a hidden name first and then renamed.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from imitax.bench.analysis.exponents import (
    EXACT_TOLERANCE,
    LAW_TOLERANCE,
    SATURATION,
    WIDEST,
    WINDOW,
    Curve,
    curves,
    groups,
    summarise,
)
from imitax.bench.analysis.scores import scored, summarise_scores
from imitax.bench.analysis.statistics import FEW_SEEDS, MIN_POINTS
from imitax.bench.files import replace, slug
from imitax.bench.programs.curves import EPISODES
from imitax.bench.report import fairness, markdown
from imitax.bench.report import scores as sections
from imitax.bench.report.figures import labels as label_figures
from imitax.bench.report.figures import regret, returns
from imitax.bench.results.reading import (
    ReportError,
    RewardMaps,
    incomplete,
    read_curves,
    read_manifest,
    read_results,
    read_rewards,
)
from imitax.bench.schema import KEYS

__all__ = ["ReportError", "write_report"]

Image = tuple[str, str]
"""A title, and a path relative to the report."""

LEARNING = f"""\
Mean return over seeds at checkpoints of the training, on up to {EPISODES} of the evaluation
episodes: at the longest horizon, for the fewest and the most demonstrations. The final policy's
returns, in the tables, are over all evaluation episodes."""

LABELS = """\
Where methods had other numbers of expert labels for the same number of demonstrations: mean regret,
and the interquartile mean of the normalised score where there is one, at the longest horizon at
which they differ. Labels are means over seeds."""

METHOD = f"""\
- Regret is the expert's return minus the learner's over exactly H steps, undiscounted; intervals
  are 95%, Student's t over seeds. Diverged seeds are counted above and enter no mean.
- Where the expert is soft (`temperature` above 0: it mixes actions of unequal value), a learner
  that copies it by maximum likelihood loses as often as it wins: its mean regret is zero within
  its error, however wrong it is. There the root mean square over seeds stands beside the mean
  (`rms`; interval: Student's t for its logarithm), and figures, exponents, predictions and verdicts
  are about it; the column `of` says what each is about. A single seed's regret goes as N^-1/2.
- Unconverged: the loss of a fitted policy still fell when its updates ended. Such seeds are
  counted beside the mean, and enter it.
- Exponents: least squares of log(mean regret) on log of the axis; 95% percentile bootstrap over
  seeds, whole seeds drawn jointly for all points. Points with regret/H above {SATURATION} (the
  power law's window, hollow in the figures) or without a positive mean are excluded; with fewer
  than {MIN_POINTS} points left there is no exponent.
- One seed has no interval. Bootstrap intervals of few seeds are too short: below
  {FEW_SEEDS["exponent"]} seeds those of exponents cover less than 92%, below
  {FEW_SEEDS["interquartile mean"]} those of interquartile means (of 3: 75%); such cells are marked.
  Student's t is right for normal values; with 3 to 64 seeds of a lognormal it covers 81 to 91%.
- Verdicts: where a closed form of the expected regret exists, `agrees` means that the interval,
  widened by {EXACT_TOLERANCE}, holds the closed form's exponent over the same points; else that
  the interval, widened by {LAW_TOLERANCE}, holds the predicted exponent (the pure power law is
  rejected at this precision: H(H+1)/2 itself fits 1.96 on 8..128). For GAIL the closed form is
  that of the exact optimum, and the wider margin applies. `outside window`: the measurement
  follows the closed form, which is itself more than {WINDOW} from the power law over these
  points. `inconclusive`: the interval is wider than {WIDEST}. An empty `predicted` means that
  theory predicts nothing there.
- Paired comparisons subtract the BC spec with the nearest settings, seed by seed (seeds share
  their demonstrations); P is the probability that a seed's regret is below BC's, ties one half.
"""


class Found(NamedTuple):
    """What a directory holds, and what follows from it."""

    rows: pd.DataFrame
    manifest: dict[str, Any]
    rewards: list[RewardMaps]
    points: pd.DataFrame | None
    """Of learning curves."""
    curves: list[Curve]
    summary: pd.DataFrame
    scores: pd.DataFrame
    score_summary: pd.DataFrame
    incomplete: str = ""
    """What is missing, in a few words."""


def write_report(directory: Path) -> Path:
    """Write `report.md`, `summary.csv` and `figures/` into a directory of results.

    Where learners have normalised scores, `scores.csv` too.

    Args:
        directory: holds `results/*.parquet` and `manifest.json`; `curves/*.parquet` and
            `rewards/*.npz` are optional.

    Returns:
        The path of `report.md`.

    Raises:
        ReportError: nothing to read, or something that cannot be read; nothing is written.
        StoreError: the file system refuses a file.
    """
    directory = Path(directory)
    found = _find(directory)
    (directory / "figures").mkdir(exist_ok=True)
    images = _draw(directory / "figures", found)
    learning = _draw_learning(directory / "figures", found)
    _replace(directory / "summary.csv", _csv(found.summary))
    if not found.score_summary.empty:
        _replace(directory / "scores.csv", _csv(found.score_summary))
    labels = _draw_labels(directory / "figures", found)
    return _replace(directory / "report.md", compose(found, images, learning, labels))


def write_overview(directory: Path, environments: Iterable[str]) -> Path | None:
    """Write `figures/overview`, of some environments alone, while others are still computed.

    Args:
        directory: of results; those of the given environments are complete.
        environments: specs.

    Returns:
        The path of the picture; None where there is nothing to draw.

    Raises:
        ReportError: as for `write_report`.
    """
    rows = read_results(directory)
    rows = rows.loc[rows["environment"].isin(list(environments)), :]
    found = list(curves(rows))
    if not found:
        return None
    folder = directory / "figures"
    folder.mkdir(exist_ok=True)
    figure = regret.overview(found, regret.styles(rows["algorithm"].unique().tolist()))
    return regret.save(figure, folder / "overview")[0]


def _find(directory: Path) -> Found:
    rows, manifest = read_results(directory), read_manifest(directory)
    rewards, points = read_rewards(directory), read_curves(directory)
    all_curves, scores = list(curves(rows)), scored(rows)
    return Found(
        rows=rows,
        manifest=manifest,
        rewards=rewards,
        points=points,
        curves=all_curves,
        summary=summarise(all_curves),
        scores=scores,
        score_summary=summarise_scores(scores),
        incomplete=incomplete(directory, manifest),
    )


def compose(found: Found, images: list[Image], learning: list[Image], labels: list[Image]) -> str:
    """The text of `report.md`.

    Args:
        found: what the directory holds.
        images: title, and path relative to the report, of the figures at its head.
        learning: likewise, of the learning curves.
        labels: likewise, of what was reached with how many labels.
    """
    rows, manifest = found.rows, found.manifest
    name = manifest.get("settings", {}).get("suite")
    cells = len(rows[KEYS[:4]].drop_duplicates())
    parts = [
        f"# imitax report{f': {name}' if name else ''}",
        f"{rows['environment'].nunique()} environments, {rows['algorithm'].nunique()} algorithms, "
        f"{cells:,} cells, {rows['seed'].nunique():,} seeds, {len(rows):,} rows.",
        *([f"**The sweep is {found.incomplete}.**"] if found.incomplete else []),
        *fairness.section(fairness.unmatched(rows)),
        *_shown(images),
        *sections.published_section(rows, manifest),
        *sections.left_out_section(found.score_summary),
        *sections.score_section(found.scores, found.score_summary),
        *(["## Learning curves", LEARNING, *_shown(learning)] if learning else []),
        "## Exponents",
        markdown.exponent_table(found.summary),
        *(
            ["## What theory expects", _bullets(markdown.notes(rows))]
            if markdown.notes(rows)
            else []
        ),
        *_per_environment(rows),
        *(["## Against expert labels", LABELS, *_shown(labels)] if labels else []),
        "## What each method was given",
        markdown.given_table(rows),
        "## Diverged",
        markdown.diverged_table(rows),
        "## Not applicable",
        markdown.not_applicable_table(manifest),
        "## How the numbers are made",
        METHOD.rstrip(),
        "## Provenance",
        markdown.provenance(manifest),
        markdown.program_table(manifest),
        markdown.settings_block(manifest),
    ]
    return "\n\n".join(parts) + "\n"


def _shown(images: list[Image]) -> list[str]:
    return [f"![{title}]({path})" for title, path in images]


def _per_environment(rows: pd.DataFrame) -> list[str]:
    parts = ["## Mean regret"]
    for environment, own in groups(rows, "environment"):
        parts += [sections.heading(environment), markdown.regret_table(own)]
        paired = markdown.paired_table(own)
        if paired:
            parts += ["Compared with BC, seed by seed (negative is better):", paired]
    return parts


def _draw(folder: Path, found: Found) -> list[Image]:
    """Draw every figure; return the title and the relative path of each PNG."""
    images = []
    all_curves = found.curves
    style = regret.styles(found.rows["algorithm"].unique().tolist())
    scores = returns.score_figure(found.score_summary, style)
    if scores is not None:
        regret.save(scores, folder / "scores")
        images.append(("Normalised scores", "figures/scores.png"))
    if all_curves:
        regret.save(regret.overview(all_curves, style), folder / "overview")
        images.append(("Regret, where any is above zero", "figures/overview.png"))
    for environment in dict.fromkeys(curve.environment for curve in all_curves):
        own = [curve for curve in all_curves if curve.environment == environment]
        stem = f"regret-{slug(environment)}"
        regret.save(regret.environment_figure(own, style), folder / stem)
        if regret.num_rows(own) > 1:
            images.append((f"Regret on {environment}", f"figures/{stem}.png"))
    return images + _draw_rewards(folder, found.rewards)


def _draw_learning(folder: Path, found: Found) -> list[Image]:
    """Draw the learning curves of each environment, where there are any."""
    if found.points is None:
        return []
    images = []
    style = regret.styles(found.rows["algorithm"].unique().tolist())
    for environment, own in groups(found.points, "environment"):
        drawn = returns.tracks(own)
        if drawn:
            here = found.rows.loc[found.rows["environment"] == environment, :]
            figure = returns.learning_figure(environment, drawn, here, style)
            stem = f"learning-{slug(environment)}"
            regret.save(figure, folder / stem)
            images.append((f"Learning curves on {environment}", f"figures/{stem}.png"))
    return images


def _draw_labels(folder: Path, found: Found) -> list[Image]:
    """Draw each environment in which methods had other numbers of labels for the same N."""
    images = []
    style = regret.styles(found.rows["algorithm"].unique().tolist())
    for environment, own in groups(found.rows, "environment"):
        scores = found.scores.loc[found.scores["environment"] == environment, :]
        figure = label_figures.labels_figure(own, scores, style)
        if figure is not None:
            stem = f"labels-{slug(environment)}"
            regret.save(figure, folder / stem)
            images.append((f"Against expert labels on {environment}", f"figures/{stem}.png"))
    return images


def _draw_rewards(folder: Path, rewards: list[RewardMaps]) -> list[Image]:
    images = []
    for environment, algorithm, true, recovered in rewards:
        title = f"{environment}, {algorithm}"
        stem = f"reward-{slug(environment)}-{slug(algorithm)}"
        regret.reward_heatmaps(true, recovered, folder / stem, title)
        images.append((f"Reward of {title}", f"figures/{stem}.png"))
    return images


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, lineterminator="\n")


def _replace(path: Path, text: str) -> Path:
    replace(path, text.encode())
    return path
