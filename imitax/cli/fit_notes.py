"""What `imitax fit` says of its horizon, and of policies far below what was recorded."""

from typing import Any

import numpy as np

from imitax.bench.analysis.statistics import Interval, mean_interval
from imitax.bench.fits.fit import Fitted, Task
from imitax.core.family import Family
from imitax.data import Recorded
from imitax.envs.gymnax_family import GymnaxFamily

FAR = 0.05
"""A mean return is far below the recorded one where their intervals are apart and the means differ
by more than this share of the recorded one."""


def time_limit(recorded: Recorded) -> int | None:
    """The time limit under which a file was recorded, as far as lengths show it.

    At least two episodes, and half of all, have exactly the length of the longest: nothing else
    ends episodes at one step so often, unless every episode of the task has that length.
    """
    longest = int(recorded.length.max())
    at_limit = int(np.sum(recorded.length == longest))
    return longest if at_limit >= max(2, len(recorded.length) / 2) else None


def choose_horizon(asked: int | None, env: Family, recorded: Recorded) -> tuple[int, str]:
    """Steps of an evaluation episode, and where they are from.

    The file's time limit comes first, be it above or below the environment's: what a learner earns
    then takes as many steps as what was recorded. Then the limit of a gymnax id, then the longest
    recorded episode.

    Args:
        asked: by the option; None where it was left out.
        env: the environment family.
        recorded: the file's episodes.

    Returns:
        The horizon, and a few words that follow `Horizon: 200 steps, `.
    """
    own = int(env.inner_params.max_steps_in_episode) if isinstance(env, GymnaxFamily) else None
    limit, longest = time_limit(recorded), int(recorded.length.max())
    told = f"{env.spec} has no limit of its own" if own is None else f"the limit of {env.spec}"
    if asked is not None:
        return asked, "as asked"
    if limit is not None and limit == own:
        return limit, f"{told}, which recorded episodes reach"
    if limit is not None:
        number = f"{np.sum(recorded.length == limit)} of {len(recorded.length)}"
        rest = told if own is None else f"{told} is {own}"
        return limit, f"a time limit in the file ({number} recorded episodes have so many; {rest})"
    if own is not None:
        return own, told
    return longest, f"as the longest recorded episode ({told})"


def below_recorded(task: Task, fitted: Fitted) -> list[str]:
    """A line for each number of demonstrations whose policies are far below the demonstrator.

    It says whether the fits were done, in how many seeds not, and what to do. Where returns are
    over another number of steps than the recorded ones, that stands in a line of its own, and the
    measure is our expert's return over as many steps, if there is one.
    """
    differs = _other_horizon(task)
    lines = []
    for index, number in enumerate(task.num_demos):
        learner = mean_interval(fitted.learner_return[index])
        measure = fitted.expert_return[index] if differs else task.recorded.episode_return
        wanted = mean_interval(measure)
        if _is_far(learner, wanted):
            whose = "our expert's return over as many steps" if differs else "the recorded return"
            lines.append(
                f"With {count(number, 'demonstration')} the learner is far below {whose} "
                f"({learner.mean:.2f} against {wanted.mean:.2f}): {_reason(task, fitted, index)}."
            )
    return [*lines, *differs]


def _is_far(learner: Interval, recorded: Interval) -> bool:
    if learner.count == 0 or recorded.count == 0:
        return False
    high = learner.high if np.isfinite(learner.high) else learner.mean
    low = recorded.low if np.isfinite(recorded.low) else recorded.mean
    return high < low and recorded.mean - learner.mean > FAR * abs(recorded.mean)


def _reason(task: Task, fitted: Fitted, index: int) -> str:
    number, held = task.num_demos[index], len(task.recorded.length)
    found = fitted.metrics
    converged, asked, losses = (
        np.asarray(leaf)[index]
        for leaf in (found.fit_converged, found.expert_labels, found.training_loss)
    )
    unconverged = int(np.sum(converged == 0))
    more = "more demonstrations" if number < held else f"more than the file's {held} demonstrations"
    labels = getattr(task.chosen.config, "labels", 0)
    is_short = bool(labels) and bool(np.all(asked >= labels))
    if is_short:
        more = f"more labels than labels={labels} allows"
    if np.any(converged < 0):
        return f"whether the fit was done is not known; give it more updates, or {more}"
    if unconverged:
        wanted = [more, "more updates (num_steps)"]
        loss = float(np.mean(losses[converged == 0]))
        wanted = wanted if is_short else wanted[::-1]
        return (
            f"the fit was not done in {unconverged} of {len(converged)} seeds, whose loss is "
            f"{loss:.2g} and falls; give it {' or '.join(wanted)}"
        )
    return f"the fit was done in every seed, so that {more} will help, and more updates hardly"


def _other_horizon(task: Task) -> list[str]:
    """A line where returns are over other numbers of steps than the recorded ones."""
    limit, longest = time_limit(task.recorded), int(task.recorded.length.max())
    if task.horizon >= longest and (limit is None or task.horizon == limit):
        return []
    steps = "" if limit else "up to "
    return [
        f"Horizons differ: the learner's returns are over {task.horizon} steps, the recorded ones "
        f"over {steps}{longest}; compare them with --horizon {longest}."
    ]


def count(number: Any, noun: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
