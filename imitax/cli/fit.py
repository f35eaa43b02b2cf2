"""`imitax fit`: learn from demonstrations that another project recorded."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from imitax import catalogue
from imitax.bench.analysis.statistics import Interval, interquartile_mean, mean_interval
from imitax.bench.fits.fit import Array, Fitted, Task, fit
from imitax.bench.fits.store import check_free, load_policy, save
from imitax.cli.fit_notes import below_recorded, choose_horizon, count
from imitax.cli.terminal import aligned
from imitax.core import errors
from imitax.core.errors import SpecError
from imitax.core.family import Family, check_subsample
from imitax.core.spec import split
from imitax.core.types import Metrics
from imitax.data import DataError, Recorded, load
from imitax.tasks.demonstrations import check_shortest
from imitax.tasks.evaluate import NUM_EPISODES

__all__ = ["load_policy", "run"]

NUM_DEMOS = (1, 4, 7, 10)
"""Numbers of demonstrations where none are given, as far as the file holds them."""

_HEADER = (
    *("", "mean return", "95% interval", "interquartile mean"),
    *("gradient updates", "unconverged", "diverged"),
)
_LARGEST = 2**31 - 1
_TABULAR = (
    "tabular, and no file is read for it; allowed: gymnax ids such as CartPole-v1, lane, sine-path"
)
_ASKS = "asks the expert for labels while it learns, and a file has none to give; use bc"
_READS_NONE = "does not learn from recorded episodes; use bc"


def run(args: argparse.Namespace) -> int:
    """Fit, print the returns, save the policies.

    Args:
        args: of the command `fit`, from `imitax.cli.parser.parse`.

    Returns:
        The exit status, 0.

    Raises:
        SpecError: arguments without meaning, or a directory that cannot be written to.
        DataError: a file that cannot be used, or has fewer episodes than were asked for.
    """
    if args.out is not None:
        check_free(args.out)
    task = check(args)
    fitted = fit(task)
    print(describe(task, fitted))
    if args.out is not None:
        save(args.out, task, fitted)
        print(f"\nPolicies, results and manifest: {args.out}")
    return 0


def check(args: argparse.Namespace) -> Task:
    """The task that the arguments describe; everything is checked that can be without computing."""
    numbers = [("--seeds", args.seeds)]
    numbers += [("--horizon", args.horizon)] if args.horizon is not None else []
    numbers += [("--num-demos", number) for number in args.num_demos or ()]
    for name, value in numbers:
        if not 1 <= value <= _LARGEST:
            raise SpecError(f"{name} {value} is out of range; allowed: >= 1, <= {_LARGEST}")
    env = catalogue.environment(args.env)
    if env.is_tabular:
        raise SpecError(f"--env {args.env} is {_TABULAR}")
    if getattr(env.settings, "demos", "expert") != "expert":
        raise SpecError(f"--env {args.env}: the file holds the demonstrations; leave demos out")
    if "label_noise" in split(env.spec)[1]:
        raise SpecError(f"--env {args.env}: the file holds the labels; leave label_noise out")
    chosen = _algorithm(args.algorithm, env)
    params = env.default_params
    recorded = load(args.demos, env.observation_space(params), env.action_space(params))
    check_subsample(env.family, env.subsample, (int(recorded.length.max()),))
    check_shortest(args.demos, chosen.build(env).demand, int(recorded.length.max()))
    num_demos = _num_demos(args.num_demos, recorded)
    horizon = choose_horizon(args.horizon, env, recorded)
    return Task(env, chosen, recorded, args.seeds, num_demos, *horizon)


def describe(task: Task, fitted: Fitted) -> str:
    """What was fitted and the returns: of the learner, the recorded episodes and our expert."""
    recorded = task.recorded
    lines = [
        f"{task.chosen.spec} on {task.env.spec}: {count(task.num_seeds, 'seed')}, "
        f"horizon {task.horizon}, {NUM_EPISODES} evaluation episodes per seed",
        f"Horizon: {count(task.horizon, 'step')}, {task.horizon_from or 'as given'}",
        f"Demonstrations: {Path(recorded.path).name} ({recorded.layout}), "
        f"{count(len(recorded.length), 'episode')}, {count(recorded.length.sum(), 'step')}",
        "",
        *aligned([_HEADER, *_rows(task, fitted)], right=True),
        "",
        "Intervals are over seeds; those of the recorded episodes are over episodes.",
        *_notes(task, fitted),
    ]
    return "\n".join(lines)


def _algorithm(text: str, env: Family) -> catalogue.Chosen:
    """An algorithm that learns from episodes and from nothing else."""
    try:
        chosen = catalogue.algorithm(text, env)
    except errors.NotApplicable as reason:
        raise SpecError(f"{reason}; use bc") from None
    demand = chosen.build(env).demand
    if demand.form != "episodes":
        raise SpecError(f"{chosen.spec} {_READS_NONE}")
    if demand.at_most is not None:
        raise SpecError(f"{chosen.spec} {_ASKS}")
    return chosen


def _num_demos(asked: Sequence[int] | None, recorded: Recorded) -> tuple[int, ...]:
    held = len(recorded.length)
    if not asked:
        return tuple(number for number in NUM_DEMOS if number <= held)
    if max(asked) > held:
        raise DataError(
            f"{recorded.path}: holds {count(held, 'episode')}, --num-demos asks for {max(asked)}; "
            f"ask for at most {held}"
        )
    return tuple(sorted(set(asked)))


def _rows(task: Task, fitted: Fitted) -> list[tuple[str, ...]]:
    rows = []
    for index, number in enumerate(task.num_demos):
        diverged = f"{fitted.diverged[index].sum()} of {task.num_seeds}"
        label = f"learner, {count(number, 'demonstration')}"
        fit = _fit(fitted.metrics, index)
        rows.append((label, *_returns(fitted.learner_return[index]), *fit, diverged))
    rows.append(("recorded episodes", *_returns(task.recorded.episode_return), "", "", ""))
    rows.append(("our expert", *_returns(fitted.expert_return[0]), "", "", ""))
    return rows


def _fit(metrics: Metrics, index: int) -> tuple[str, str]:
    """Mean gradient updates, and in how many seeds the fit was not done."""
    found = metrics.gradient_updates, metrics.fit_converged
    updates, converged = (np.asarray(leaf)[index] for leaf in found)
    known = np.all(converged >= 0)
    unconverged = f"{np.sum(converged == 0)} of {len(converged)}" if known else "-"
    return f"{np.mean(updates):.0f}", unconverged


def _returns(values: Array) -> tuple[str, str, str]:
    interval = mean_interval(values)
    middle = interquartile_mean(values).mean
    return _number(interval.mean), _ends(interval), _number(middle)


def _ends(interval: Interval) -> str:
    if not np.isfinite(interval.low):
        return "-"
    return f"[{_number(interval.low)}, {_number(interval.high)}]"


def _number(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "-"


def _notes(task: Task, fitted: Fitted) -> list[str]:
    notes, longest = [], int(task.recorded.length.max())
    if longest != task.horizon:
        notes.append(f"Recorded episodes are whole, up to {longest} steps, not cut at the horizon.")
    if np.isnan(task.recorded.episode_return).any():
        notes.append("The file holds no rewards: the recorded return is unknown.")
    if np.isnan(fitted.expert_return).any():
        notes.append(f"There is no expert of ours for {task.env.spec}.")
    if fitted.diverged.any():
        notes.append("Diverged seeds are left out of the returns; the last column counts them.")
    return [*notes, *below_recorded(task, fitted)]
