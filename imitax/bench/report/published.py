"""Numbers that others published: Ho and Ermon 2016 on classic control, and ours beside them.

"Generative Adversarial Imitation Learning" (arXiv 1606.03476), Table 3. Means and standard
deviations were computed again from the authors' raw results (github.com/openai/imitation,
`results/classic_results.h5`, MIT licence) and agree with the table in every cell; the means of the
single runs are from the same file. What that file also shows:

- The standard deviation is pooled over 7 learner seeds times about 53 evaluation episodes. All
  seven learn from *one* demonstration set, so no spread over demonstration sets is in it.
- Some cells are one stuck run (-200) among six good ones; their means say little.
- The expert's numbers rest on 16 episodes. The return of the random policy is not in the file.
- The sign of the reward was chosen per task: -log(1 - D) where an episode ends in failure, log D
  where it ends in success.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from imitax.bench.analysis.exponents import groups
from imitax.bench.analysis.statistics import Interval, interquartile_mean, mean_interval
from imitax.bench.spec_facts import is_constant, settings
from imitax.core.spec import split

HORIZON = 200
"""The time limit of all three tasks."""

SUBSAMPLE = {"CartPole-v1": "10", "Acrobot-v1": "5", "MountainCar-v0": "5"}
"""Which pairs of a demonstration were kept: every tenth, every fifth."""

REWARD = {"CartPole-v1": "softplus", "Acrobot-v1": "log", "MountainCar-v0": "log"}
"""The form of GAIL's reward that the authors chose, as a setting of ours."""

SIGN = {"softplus": "positive", "log": "negative"}
"""The sign that linear rewards were shifted to, likewise."""

EXPERT = {
    "CartPole-v1": (200.00, 0.00),
    "Acrobot-v1": (-75.25, 10.94),
    "MountainCar-v0": (-98.75, 8.71),
}
"""Mean and standard deviation of 16 episodes of the expert."""

ONE_STEP = 1.0
"""The reward of one step: means that are nearer than this are not told apart."""

# environment, algorithm, trajectories; mean, standard deviation; means of the seven runs
_TABLE = """
CartPole-v1    bc    1    72.02  35.82    81.4   68.8   42.7  112.8   57.4   94.4   46.1
CartPole-v1    bc    4   169.18  59.81   198.6  194.9  126.5  199.2  197.4    200   66.3
CartPole-v1    bc    7   188.60  29.61   188.9  191.9    200    200  139.4    200    200
CartPole-v1    bc   10   177.19  52.83     200    187  190.3   63.1    200    200    200
CartPole-v1    fem   1   200.00   0.00     200    200    200    200    200    200    200
CartPole-v1    fem   4   200.00   0.00     200    200    200    200    200    200    200
CartPole-v1    fem   7   200.00   0.00     200    200    200    200    200    200    200
CartPole-v1    fem  10   199.75   3.50     200    200  198.2    200    200    200    200
CartPole-v1    gtal  1   200.00   0.00     200    200    200    200    200    200    200
CartPole-v1    gtal  4   200.00   0.00     200    200    200    200    200    200    200
CartPole-v1    gtal  7   199.94   1.14     200    200    200  199.6    200    200    200
CartPole-v1    gtal 10   200.00   0.00     200    200    200    200    200    200    200
CartPole-v1    gail  1   200.00   0.00     200    200    200    200    200    200    200
CartPole-v1    gail  4   200.00   0.00     200    200    200    200    200    200    200
CartPole-v1    gail  7   200.00   0.00     200    200    200    200    200    200    200
CartPole-v1    gail 10   200.00   0.00     200    200    200    200    200    200    200
Acrobot-v1     bc    1  -130.60  55.08   -91.3 -148.5   -200  -84.4 -142.1 -117.3 -130.7
Acrobot-v1     bc    4   -93.20  32.58   -89.1  -82.6 -101.7  -90.6  -93.8 -111.6    -83
Acrobot-v1     bc    7   -96.92  34.51     -93  -97.2 -108.9  -89.8   -100 -101.7  -87.9
Acrobot-v1     bc   10   -95.09  33.33    -103  -93.7  -90.1    -92  -90.4  -98.8  -97.7
Acrobot-v1     fem   1  -133.14  60.80   -84.9   -200   -200   -200    -79  -84.3    -85
Acrobot-v1     fem   4   -94.21  47.20   -79.3   -200  -76.7  -75.3  -75.9  -73.6  -78.7
Acrobot-v1     fem   7   -95.08  46.67   -77.7   -200  -72.4  -86.5    -79  -78.5  -70.9
Acrobot-v1     fem  10   -77.22  18.51   -73.1  -83.6  -72.1  -77.3  -75.5  -80.3  -78.6
Acrobot-v1     gtal  1   -81.35  22.40   -79.9  -85.7  -84.3  -79.4  -77.5  -77.6  -85.1
Acrobot-v1     gtal  4   -94.80  46.08   -79.9  -72.6  -79.4   -200  -67.7  -82.4  -81.6
Acrobot-v1     gtal  7   -95.75  46.57    -200    -70    -83  -75.9  -85.4  -73.7    -82
Acrobot-v1     gtal 10   -94.32  46.51    -200  -79.6  -74.2  -84.6  -74.3  -69.1  -78.5
Acrobot-v1     gail  1   -77.26  18.03   -73.9  -74.8  -84.8  -77.4    -74  -74.4  -81.6
Acrobot-v1     gail  4   -83.12  23.31   -80.4  -84.9  -77.4  -88.5    -86    -81  -83.5
Acrobot-v1     gail  7   -82.56  20.95   -87.7  -80.7  -88.5  -77.7    -85  -75.9  -82.5
Acrobot-v1     gail 10   -78.91  15.76   -80.1  -78.4  -79.6  -79.1  -79.3  -79.9  -76.1
MountainCar-v0 bc    1  -136.76  34.44  -135.1 -141.8 -149.5 -136.1 -128.8 -131.1 -134.8
MountainCar-v0 bc    4  -133.25  29.97  -133.9 -133.8 -131.2 -134.6 -140.1 -134.4 -124.7
MountainCar-v0 bc    7  -127.34  29.15  -120.3 -126.2 -133.1 -111.4 -124.5   -136 -139.9
MountainCar-v0 bc   10  -123.14  28.26  -115.7 -126.3 -133.8 -112.8 -124.5 -118.1 -130.9
MountainCar-v0 fem   1  -100.97  12.54   -97.7  -99.8 -103.5 -100.2 -100.3 -107.5  -97.8
MountainCar-v0 fem   4   -99.29   8.33  -101.3 -100.7  -99.2  -96.2 -101.2  -98.7  -97.7
MountainCar-v0 fem   7  -100.65   9.36   -98.6  -99.8 -101.5   -101  -98.8 -102.1 -102.7
MountainCar-v0 fem  10  -100.48   8.14  -100.6 -101.3    -99 -101.6 -101.4 -100.2  -99.2
MountainCar-v0 gtal  1  -115.48  36.35  -101.2  -97.9   -200 -106.6 -101.6  -99.3 -101.5
MountainCar-v0 gtal  4  -143.58  50.08    -200   -200 -100.2  -99.3   -200  -97.4 -108.2
MountainCar-v0 gtal  7  -128.96  46.13   -97.4 -103.2   -200 -104.7   -200  -99.2  -98.2
MountainCar-v0 gtal 10  -120.05  36.66  -101.6 -100.3 -104.5 -102.6  -99.3 -131.6   -200
MountainCar-v0 gail  1  -101.55  10.32    -105 -100.4 -103.5 -103.3   -100  -99.2  -99.5
MountainCar-v0 gail  4  -101.35  10.63   -99.3 -101.2 -100.5 -102.5 -102.4 -102.8 -100.7
MountainCar-v0 gail  7   -99.90   7.97  -100.1   -100   -101  -99.5 -100.9  -98.7  -99.1
MountainCar-v0 gail 10  -100.83  11.40   -98.7 -107.5  -98.6 -100.4 -100.1 -100.6  -99.8
"""


class Cell(NamedTuple):
    """One published cell."""

    mean: float
    spread: float
    """Standard deviation, pooled over runs and episodes."""
    runs: np.ndarray
    """[7] means of the runs."""


class Comparison(NamedTuple):
    """A published cell, and ours with the same environment, algorithm and demonstrations."""

    environment: str
    algorithm: str
    num_demos: int
    published: Cell
    seeds: int
    mean: Interval
    spread: float
    """Standard deviation over seeds, each with a demonstration set of its own."""
    middle: Interval
    """Interquartile mean over seeds."""
    verdict: str


def cells() -> dict[tuple[str, str, int], Cell]:
    """Every published cell, by gymnax id, name of the algorithm and number of trajectories."""
    found = {}
    for line in _TABLE.split("\n"):
        if line:
            environment, algorithm, demos, *numbers = line.split()
            mean, spread, *runs = map(float, numbers)
            found[environment, algorithm, int(demos)] = Cell(mean, spread, np.array(runs))
    return found


def task_name(environment: str) -> str | None:
    """The published task whose environment and sub-sampling this is, with nothing else changed."""
    name, raw = split(environment)
    return name if name in SUBSAMPLE and raw == {"subsample": SUBSAMPLE[name]} else None


def has_other_sign(environment: str, algorithm: str) -> bool:
    """Whether the reward has another form, or was shifted to another sign, than the authors'.

    A linear reward that is not shifted at all is not the other sign, nor is what `auto` makes of
    these tasks' ends.
    """
    form, chosen = REWARD.get(split(environment)[0]), settings(algorithm)
    if form is None:
        return False
    if split(algorithm)[0] == "gail" and chosen.get("reward", form) not in ("auto", form):
        return True
    return chosen.get("sign", "none") not in ("auto", "none", SIGN[form])


def compare(rows: pd.DataFrame) -> list[Comparison]:
    """Every published cell that the rows hold too, in the order of the table.

    Args:
        rows: from `read_results`.
    """
    published = cells()
    found = dict(_measured(rows))
    return [
        _comparison(environment, algorithm, demos, published[key], values)
        for key in published
        for (environment, algorithm, demos), values in found.get(key, {}).items()
    ]


def _measured(rows: pd.DataFrame) -> Iterator[tuple[Any, dict]]:
    """Returns over seeds by key of the published table, then by spec; NaN where diverged."""
    found: dict[Any, dict] = {}
    here = rows.loc[rows["horizon"] == HORIZON, :]
    for key, group in groups(here, ["environment", "algorithm", "num_demos"]):
        environment, algorithm, demos = key
        task = task_name(environment)
        if task is None or has_other_sign(environment, algorithm) or is_constant(algorithm):
            continue
        earned = group["learner_return"].where(group["regret"].notna()).to_numpy(float)
        found.setdefault((task, split(algorithm)[0], int(demos)), {})[key] = earned
    yield from found.items()


def _comparison(
    environment: str, algorithm: str, num_demos: int, published: Cell, values: np.ndarray
) -> Comparison:
    mean = mean_interval(values)
    finite = values[np.isfinite(values)]
    spread = float(finite.std(ddof=1)) if len(finite) > 1 else np.nan
    middle = interquartile_mean(values)
    word = verdict(published, mean, spread)
    return Comparison(
        environment, algorithm, num_demos, published, len(values), mean, spread, middle, word
    )


def verdict(published: Cell, ours: Interval, spread: float) -> str:
    """Whether a published mean could have come from where our seeds come from.

    `agrees`: it lies within two standard deviations of our mean, within the mean's interval, or
    less than one step from the mean. A published mean is that of one demonstration set, as each
    of our seeds is, so its deviation holds our spread over seeds, and beside it the error that
    seven learner seeds leave: sqrt(spread^2 + var(runs) / 7). `; ours higher` and `; ours lower`
    say on which side of the published mean our interval lies, where it does not hold it.
    Otherwise `ours better` or `ours worse`.

    Args:
        published: the cell.
        ours: mean and interval over seeds.
        spread: standard deviation over seeds.
    """
    if ours.count < 2:
        return "too few seeds"
    distance = ours.mean - published.mean
    inside = bool(ours.low <= published.mean <= ours.high)
    near = abs(distance) < ONE_STEP
    deviation = np.sqrt(spread**2 + published.runs.var(ddof=1) / len(published.runs))
    if not (inside or near or abs(distance) <= 2 * deviation):
        return "ours better" if distance > 0 else "ours worse"
    if inside or near:
        return "agrees"
    return "agrees; ours higher" if distance > 0 else "agrees; ours lower"
