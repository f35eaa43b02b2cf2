"""The regret of tabular learners against exact expectations and an independent simulation."""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np
import oracles
import pytest

from imitax.bench.plans.plan import Sweep
from imitax.bench.runs.local import collect

CLIFFS = ("standard-imitation", "reset-cliff", "recoverable-cliff")
UNSEEN = ("uniform", "first")
HORIZONS = (4, 12, 32)
SEEDS = 2048
ERRORS = 4
"""Standard errors allowed; of the 360 cells of the gate 0.02 would be beyond if all were normal."""
FEWEST_POSITIVE = 50
"""Seeds with regret above zero without which a cell shows nothing."""
FEWEST_CELLS = 12


@dataclasses.dataclass(frozen=True)
class Place:
    """A cliff, the learner's rule for unseen states, and the cells' numbers of demonstrations."""

    kind: str
    num_states: int
    num_actions: int
    initial: str
    num_demos: tuple[int, ...]
    reward: str = "dense"
    labels: str = "state"
    unseen: str = "uniform"
    horizons: tuple[int, ...] = HORIZONS

    @property
    def environment(self):
        return (
            f"{self.kind}:num_states={self.num_states},num_actions={self.num_actions},"
            f"initial={self.initial},reward={self.reward},labels={self.labels}"
        )

    @property
    def cells(self):
        return [(horizon, demos) for horizon in self.horizons for demos in self.num_demos]

    def expected(self, horizon, num_demos):
        """The exact expectation of the regret of behavioural cloning."""
        return oracles.bc_regret_expected(
            self.kind,
            self.num_states,
            self.num_actions,
            self.initial,
            self.reward,
            self.labels,
            self.unseen,
            horizon,
            num_demos,
        )


SETTINGS = {
    "small": (5, 2, "uniform", (2, 4, 6, 8, 12)),
    "default": (10, 5, "rajaraman", (8, 12, 20, 32, 64)),
    "large": (21, 3, "dyadic", (2, 5, 10, 30, 64)),
    "terminal": (10, 3, "dyadic", (2, 5, 10, 30, 64), "terminal"),
}


@functools.cache
def regrets(place, name="bc", seeds=SEEDS):
    """Regrets of seeds 0, 1, ... by cell."""
    algorithm = f"{name}:unseen={place.unseen}"
    grid = ([place.environment], [algorithm], place.horizons, place.num_demos)
    columns = collect(Sweep.grid(*grid, seeds=seeds))
    assert np.all(columns["status"] == "ok")
    found = {}
    for horizon, demos in place.cells:
        here = (columns["horizon"] == horizon) & (columns["num_demos"] == demos)
        found[horizon, demos] = columns["regret"][here]
        assert len(found[horizon, demos]) == seeds
    return found


class Verdict(NamedTuple):
    """Cells with enough positive seeds, and those of them that are too far off."""

    counted: list
    failed: list


def compare(found, truth):
    """Judge regrets by cell against `truth(horizon, num_demos)`."""
    counted, failed = [], []
    for cell, values in found.items():
        if np.count_nonzero(values > 0) < FEWEST_POSITIVE:
            continue
        counted.append(cell)
        # Where every seed has the same regret, what is left is the rounding of float32.
        error = max(standard_error(values), 1e-6 * values.mean())
        score = (values.mean() - truth(*cell)) / error
        if abs(score) > ERRORS:
            failed.append((*cell, round(score, 2)))
    return Verdict(counted, failed)


def standard_error(values):
    return values.std(ddof=1) / np.sqrt(len(values))


@pytest.mark.slow
@pytest.mark.parametrize("unseen", UNSEEN)
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", CLIFFS)
def test_mean_regret_is_the_exact_expectation(kind, setting, unseen):
    place = Place(kind, *SETTINGS[setting], unseen=unseen)
    verdict = compare(regrets(place), place.expected)
    assert len(verdict.counted) >= FEWEST_CELLS
    assert verdict.failed == []


CONTROL = Place("recoverable-cliff", *SETTINGS["large"])
"""Its regrets are shared with the gate above."""
WRONG = {
    "unseen": {"unseen": "first"},
    "actions": {"num_actions": 4},
    "states": {"num_states": 5},
    "initial": {"initial": "uniform"},
    "reward": {"reward": "terminal"},
    "kind": {"kind": "reset-cliff"},
    "step late": {"step": 1},
    "one more demonstration": {"demo": 1},
    "one demonstration less": {"demo": -1},
}


@pytest.mark.slow
@pytest.mark.parametrize("changes", WRONG.values(), ids=list(WRONG))
def test_the_gate_rejects_wrong_expectations(changes):
    """Even the subtle ones, one demonstration or one step off, fail in a third of the 15 cells."""
    changes = dict(changes)
    step, demo = changes.pop("step", 0), changes.pop("demo", 0)
    wrong = dataclasses.replace(CONTROL, **changes)
    verdict = compare(regrets(CONTROL), lambda H, N: wrong.expected(H + step, N + demo))
    assert len(verdict.failed) >= 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "reward"), list(zip(CLIFFS, ("dense", "terminal", "dense"), strict=True))
)
def test_a_label_that_is_the_default_costs_nothing(kind, reward):
    """labels=first with unseen=first: never a cell of the gate, whatever was seen."""
    place = Place(kind, 5, 3, "uniform", (1, 3), reward, "first", "first", (1, 9))
    found = regrets(place, seeds=64)
    assert all(np.all(values == 0.0) for values in found.values())
    assert compare(found, place.expected).counted == []


@pytest.mark.slow
def test_a_label_that_is_the_default_still_costs_a_uniform_learner():
    place = Place("recoverable-cliff", 5, 3, "uniform", (1, 2, 3, 5), labels="first")
    verdict = compare(regrets(place), place.expected)
    assert len(verdict.counted) >= FEWEST_CELLS
    assert verdict.failed == []


# DAgger has no closed form. What follows simulates it, and its exact evaluation is an oracle's.


def draw(generator, probabilities):
    """One index of the last axis from each row."""
    ladder = probabilities.cumsum(-1)
    uniform = generator.random(ladder.shape[:-1])[..., None] * ladder[..., -1:]
    return (uniform >= ladder).sum(-1)


def maximum_likelihood(counts, unseen):
    """Relative frequencies [..., A]; the rule for unseen states where there are none."""
    total, A = counts.sum(-1, keepdims=True), counts.shape[-1]
    default = np.full(A, 1.0 / A) if unseen == "uniform" else np.eye(A)[0]
    return np.where(total > 0, counts / np.maximum(total, 1), default)


def simulated(place, horizon, num_demos, expert_episodes, num_runs):
    """Exact regrets of the last policies of `num_runs` runs of DAgger, theory 1.1.

    The expert acts in the first `expert_episodes` episodes, the learner of that moment in the
    others; every state is labelled. One episode by the expert is DAgger, all of them cloning.
    """
    generator = np.random.default_rng(5)
    S, A, H, runs = place.num_states, place.num_actions, horizon, np.arange(num_runs)
    rho = oracles.initial_distribution(place.initial, S - 1, num_demos)
    label = generator.integers(0, A, (num_runs, S))
    tables = [oracles.labelled_mdp(place.kind, rho, own, A) for own in label]
    P = np.array([table[0] for table in tables])
    start = np.broadcast_to(np.append(rho, 0.0), (num_runs, S))
    counts = np.zeros((num_runs, H, S, A))
    for episode in range(num_demos):
        policy = maximum_likelihood(counts, place.unseen)  # of the episodes before this one
        state = draw(generator, start)
        for t in range(H):
            right = label[runs, state]
            counts[runs, t, state, right] += 1
            own = draw(generator, policy[runs, t, state])
            action = right if episode < expert_episodes else own
            state = draw(generator, P[runs, state, action])
    policy = maximum_likelihood(counts, place.unseen)
    return np.array(
        [H - oracles.policy_return(*tables[run], None, start[run], policy[run], H) for run in runs]
    )


DAGGER_CELL = (8, 20)
RUNS = 2000
"""One demonstration or one expert episode more or less moves the mean by 5 to 10 errors."""


def dagger_place(kind, unseen):
    horizon, demos = DAGGER_CELL
    return Place(kind, 5, 3, "dyadic", (demos,), unseen=unseen, horizons=(horizon,))


def gap(left, right):
    """Difference of two means in combined standard errors."""
    return (left.mean() - right.mean()) / np.hypot(standard_error(left), standard_error(right))


@pytest.mark.slow
@pytest.mark.parametrize("unseen", UNSEEN)
@pytest.mark.parametrize("kind", ["reset-cliff", "recoverable-cliff"])
def test_dagger_agrees_with_an_independent_simulation(kind, unseen):
    place = dagger_place(kind, unseen)
    found = regrets(place, "dagger")[DAGGER_CELL]
    assert np.count_nonzero(found > 0) >= FEWEST_POSITIVE
    assert abs(gap(found, simulated(place, *DAGGER_CELL, 1, RUNS))) < ERRORS


@pytest.mark.slow
@pytest.mark.parametrize("unseen", UNSEEN)
@pytest.mark.parametrize("kind", ["reset-cliff", "recoverable-cliff"])
def test_the_simulation_with_the_expert_alone_is_cloning(kind, unseen):
    place = dagger_place(kind, unseen)
    horizon, demos = DAGGER_CELL
    cloning = simulated(place, horizon, demos, demos, RUNS)
    assert abs(cloning.mean() - place.expected(*DAGGER_CELL)) < ERRORS * standard_error(cloning)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_demos", "expert_episodes"), [(20, 20), (20, 2), (20, 0), (19, 1), (21, 1)]
)
def test_the_simulation_tells_other_learners_from_dagger(num_demos, expert_episodes):
    """Cloning; an episode of the expert too many or too few; an episode too few or too many."""
    place = dagger_place("reset-cliff", "uniform")
    other = simulated(place, DAGGER_CELL[0], num_demos, expert_episodes, RUNS)
    assert abs(gap(regrets(place, "dagger")[DAGGER_CELL], other)) > ERRORS
