"""`imitax.bench.theory.closed_forms` and `predictions` against the published numbers and Monte
Carlo.
"""

import numpy as np
import pytest

from imitax.algorithms.cloning.bc import NetworkBCConfig, TabularBCConfig
from imitax.bench.analysis.statistics import slope
from imitax.bench.theory.closed_forms import (
    closed_form,
    dense_regret,
    entropy_gap,
    initial_distribution,
    missing_mass,
    read_cliff,
)
from imitax.bench.theory.predictions import expectation_note, predicted_exponent
from imitax.catalogue import settings_of
from imitax.envs.cliffs import CliffSettings

TIE_BROKEN = "gail:divergence=tv,entropy=0.003"

HORIZONS = (8, 16, 32, 64, 128)
PRINTED = 5e-6  # six digits in theory.md


def curve(environment, algorithm, num_demos, horizons=HORIZONS):
    return [closed_form(environment, algorithm, horizon, num_demos) for horizon in horizons]


@pytest.mark.parametrize(
    ("num_demos", "expected"),
    [
        (10, (5.10664, 12.7614, 28.7152, 60.7146, 124.715)),
        (100, (0.798861, 2.84172, 9.83694, 31.4574, 88.3199)),
        (1000, (0.0842535, 0.316307, 1.21283, 4.66145, 17.6284)),
        (10000, (0.00847086, 0.031981, 0.124006, 0.487284, 1.92449)),
    ],
)
def test_reset_cliff_table(num_demos, expected):
    found = curve("reset-cliff:initial=rajaraman", "bc", num_demos)
    np.testing.assert_allclose(found, expected, rtol=PRINTED)


def test_standard_imitation_numbers():
    place = "standard-imitation:initial=rajaraman"
    assert closed_form(place, "bc", 32, 100) == pytest.approx(0.843381, rel=PRINTED)
    assert closed_form(place, "bc", 32, 1000) == pytest.approx(0.0847171, rel=PRINTED)
    assert closed_form(place, "bc:stationary=true", 32, 100) == closed_form(place, "bc", 32, 100)
    assert slope(HORIZONS, curve(place, "bc", 100)) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("environment", "algorithm", "expected"),
    [
        ("recoverable-cliff:initial=rajaraman,num_actions=2", "bc", 1.059),
        ("recoverable-cliff:initial=rajaraman", "bc", 1.184),
        ("recoverable-cliff:initial=rajaraman,num_actions=1000", "bc", 1.909),
        ("recoverable-cliff:initial=rajaraman", "bc:unseen=first", 1.897),
        ("reset-cliff:initial=rajaraman", "bc", 1.930),
        ("reset-cliff:num_states=21", "bc", 1.95),
        ("reset-cliff:num_states=21,reward=terminal", "bc", 0.98),
    ],
)
def test_slopes_at_a_thousand_demonstrations(environment, algorithm, expected):
    found = slope(HORIZONS, curve(environment, algorithm, 1000))
    assert found == pytest.approx(expected, abs=6 * 10.0 ** -len(str(expected).split(".")[1]))


def test_shared_policy_is_linear_or_flat():
    """Theory 1.6; its numbers are Monte Carlo, hence 0.003 and 0.01."""
    flat = curve("reset-cliff:num_states=21,reward=terminal", "bc:stationary=true", 10)
    np.testing.assert_allclose(flat, (0.1088, 0.1078, 0.1062, 0.1068, 0.1071), atol=0.003)
    dense = curve("reset-cliff:num_states=21", "bc:stationary=true", 10)
    assert slope(HORIZONS, dense) == pytest.approx(0.965, abs=0.01)


def test_three_state_slopes():
    for stay, epsilon, expected in (
        (False, 1e-2, 1.043),
        (True, 1e-4, 2.042),
        (True, 1e-3, 2.030),
        (True, 1e-2, 1.918),
        (True, 0.1, 1.414),
    ):
        algorithm = f"noisy-expert:epsilon={epsilon}" + ",off_support=stay" * stay
        assert slope(HORIZONS, curve("three-state", algorithm, 1)) == pytest.approx(
            expected, abs=6e-4
        )


def test_entropy_gap_table():
    rho = np.full(9, 1 / 9)
    found = [entropy_gap(rho, 5, demos) for demos in (10, 30, 100, 300, 1000)]
    np.testing.assert_allclose(found, (0.28485, 0.20257, 0.11251, 0.06523, 0.03567), atol=6e-6)
    cliff = curve("reset-cliff:initial=uniform", TIE_BROKEN, 30)
    np.testing.assert_allclose(cliff, 0.20257, atol=6e-6)
    place = "standard-imitation:initial=uniform,num_states=9"
    standard = curve(place, TIE_BROKEN, 30)
    np.testing.assert_allclose(np.array(standard) / HORIZONS, 0.20257, atol=6e-6)


def test_dyadic_missing_mass():
    rho = initial_distribution(read_cliff("standard-imitation:num_states=20"), 1)
    found = [missing_mass(rho, draws) for draws in (10, 30, 100, 300, 1000, 10000)]
    expected = (0.131, 0.0465, 0.01428, 0.00479, 0.001441, 1.442e-4)
    np.testing.assert_allclose(found, expected, rtol=4e-3)
    assert rho.sum() == 1.0


def simulate(place, first, shared, num_seeds, horizon, num_demos):
    """Mean and standard error of exact regrets over simulated labels and demonstrations."""
    cliff = read_cliff(place)
    rho = initial_distribution(cliff, num_demos)
    generator = np.random.default_rng(11)
    labels = generator.integers(0, cliff.num_actions, (num_seeds, cliff.num_good + 1))
    labels *= cliff.labels == "state"
    if cliff.name == "standard-imitation":
        seen = np.repeat(generator.multinomial(num_demos, rho, (num_seeds, 1)), horizon, axis=1)
    else:
        seen = generator.multinomial(num_demos, rho, (num_seeds, horizon))
    unseen = np.broadcast_to(seen.sum(1, keepdims=True), seen.shape) == 0 if shared else seen == 0
    default_is_right = (labels == 0) if first else np.full(labels.shape, 1 / cliff.num_actions)
    right = np.where(unseen, default_is_right[:, None, :-1], 1.0)  # [K, H, G]
    chance = np.broadcast_to(rho, (num_seeds, cliff.num_good)).copy()  # of each good state
    lost = np.zeros(num_seeds)
    for step in range(horizon):
        hit = np.sum(chance * right[:, step], axis=1)
        lost += (1 - hit) * (step == horizon - 1 or not cliff.terminal)
        if cliff.name != "standard-imitation":
            bad = 1 - chance.sum(1)
            back = default_is_right[:, -1] * bad * (cliff.name == "recoverable-cliff")
            chance = (hit + back)[:, None] * rho
    return lost.mean(), lost.std() / np.sqrt(num_seeds)


@pytest.mark.parametrize("reward", ["dense", "terminal"])
@pytest.mark.parametrize("labels", ["state", "first"])
@pytest.mark.parametrize("unseen", ["uniform", "first"])
@pytest.mark.parametrize("stationary", ["false", "true"])
@pytest.mark.parametrize("name", ["reset-cliff", "recoverable-cliff", "standard-imitation"])
def test_against_simulation(name, stationary, unseen, labels, reward):
    shape = "dyadic" if name == "standard-imitation" else "uniform"
    place = f"{name}:initial={shape},labels={labels},num_actions=3,num_states=6,reward={reward}"
    exact = closed_form(place, f"bc:stationary={stationary},unseen={unseen}", 5, 3)
    mean, error = simulate(place, unseen == "first", stationary == "true", 20000, 5, 3)
    if labels == "first" and unseen == "first":
        assert exact == mean == 0.0
    else:
        assert abs(exact - mean) < 4 * error
        assert error < 0.05 * mean


def test_small_errors_do_not_cancel():
    error = np.array([0.0, 1e-12, 1e-6, 1e-3])
    for recovery in (0.0, 0.2):
        away, lost = np.zeros(4), np.zeros(4)
        for _ in range(64):
            lost += error + (1 - error) * away
            away = (1 - away) * error + away * (1 - recovery)
        np.testing.assert_allclose(dense_regret(error, recovery, 64), lost, rtol=1e-9)
    # by hand: p = 1, 1/2, 3/4; reward 1/2 + 1/4 + 3/8
    np.testing.assert_allclose(dense_regret(np.array([0.5]), 1.0, 3), [3 - 1.125], rtol=1e-12)


def test_defaults_are_those_of_the_algorithm():
    stated = closed_form("three-state", "noisy-expert:epsilon=0.01", 8, 10)
    assert closed_form("three-state", "noisy-expert", 8, 10) == stated > 0
    assert settings_of("reset-cliff").num_states == CliffSettings().num_states
    assert settings_of("bc") == TabularBCConfig()
    assert settings_of("bc", is_tabular=False) == NetworkBCConfig()
    assert settings_of("bc:policy=mlp,l2=0.5") == NetworkBCConfig(policy="mlp", l2=0.5)
    for unknown in ("CartPole-v1", "novel", "bc:novel=1", "wail", "noisy-expert:", "lane:gain=x"):
        assert settings_of(unknown) is None


@pytest.mark.parametrize(
    ("environment", "algorithm"),
    [
        ("gridworld", "bc"),
        ("reset-cliff", "dagger"),
        ("reset-cliff", "bc:policy=mlp"),
        ("reset-cliff", "bc:hidden=64x64"),
        ("reset-cliff", "gail"),
        ("recoverable-cliff", TIE_BROKEN),
        ("three-state", "noisy-expert:slip=first"),
        ("reset-cliff:num_states=30", "bc:unseen=first"),
        ("reset-cliff:initial=rajaraman,num_states=100", "bc"),
        ("reset-cliff:novel=1", "bc"),
    ],
)
def test_no_closed_form_is_none(environment, algorithm):
    assert closed_form(environment, algorithm, 8, 10) is None


DYADIC = "reset-cliff:num_states=21"


@pytest.mark.parametrize(
    ("environment", "algorithm", "axis", "expected"),
    [
        ("reset-cliff", "bc", "horizon", 2),
        ("reset-cliff:reward=terminal", "bc", "horizon", 1),
        (DYADIC, "bc:stationary=true", "horizon", 1),
        (f"{DYADIC},reward=terminal", "bc:stationary=true", "horizon", 0),
        (DYADIC, "bc:policy=mlp", "horizon", 1),
        ("reset-cliff:initial=uniform", "bc:stationary=true", "horizon", None),
        ("reset-cliff:labels=first", "bc:unseen=first", "horizon", None),
        ("reset-cliff", "bc", "num_demos", -1),
        ("reset-cliff:initial=rajaraman", "bc", "num_demos", -1),
        ("reset-cliff:initial=uniform", "bc", "num_demos", None),
        ("standard-imitation", "bc", "horizon", 1),
        ("standard-imitation:initial=uniform", TIE_BROKEN, "horizon", 1),
        (
            "standard-imitation:initial=uniform",
            TIE_BROKEN,
            "num_demos",
            -0.5,
        ),
        ("reset-cliff:initial=uniform", TIE_BROKEN, "num_demos", -0.5),
        ("reset-cliff", TIE_BROKEN, "horizon", 0),
        ("reset-cliff", "gail:divergence=tv", "horizon", None),
        ("reset-cliff", f"{TIE_BROKEN},rollouts=sampled", "horizon", None),
        ("reset-cliff", TIE_BROKEN, "num_demos", None),
        ("reset-cliff", "gail", "horizon", None),
        ("recoverable-cliff", TIE_BROKEN, "horizon", None),
        ("recoverable-cliff", "bc:unseen=first", "horizon", 2),
        ("recoverable-cliff", "bc", "horizon", None),
        ("recoverable-cliff", "dagger:unseen=first", "horizon", 1),
        ("reset-cliff", "dagger", "horizon", 2),
        ("reset-cliff", "dagger:beta=0.5", "horizon", None),
        ("reset-cliff", "dagger", "num_demos", None),
        ("three-state", "noisy-expert:epsilon=0.001", "horizon", 1),
        ("three-state", "noisy-expert:epsilon=0.001,off_support=stay", "horizon", 2),
        ("three-state", "bc", "horizon", None),
        ("lane", "bc", "horizon", None),
        ("gridworld", "maxent-irl", "horizon", None),
        ("reset-cliff", "random", "horizon", None),
    ],
)
def test_predictions(environment, algorithm, axis, expected):
    found = predicted_exponent(environment, algorithm, axis)
    assert (found and found.exponent) == expected
    if found is not None:
        assert "section" in found.source or "claim" in found.source


def test_predictions_know_their_window():
    assert predicted_exponent("reset-cliff", "bc", "num_demos", (10, 100)) is not None
    assert predicted_exponent("reset-cliff", "bc", "num_demos", (10, 1000)) is None
    shared = ("bc:stationary=true", "horizon")
    assert predicted_exponent(DYADIC, *shared, HORIZONS, 10) is not None
    assert predicted_exponent("reset-cliff", *shared, HORIZONS, 10) is None
    many = "recoverable-cliff:num_actions=1000"
    assert predicted_exponent(many, "bc", "horizon", HORIZONS).exponent == 2
    with pytest.raises(ValueError, match="axis"):
        predicted_exponent("reset-cliff", "bc", "seed")


def test_expectation_notes():
    assert "no better than BC" in expectation_note("reset-cliff:num_states=21", "dagger")
    assert "dynamics" in expectation_note("recoverable-cliff", "maxent-irl")
    assert "dynamics" in expectation_note("reset-cliff", "gail")
    assert "luck" in expectation_note("recoverable-cliff", "bc")
    assert "proves nothing" in expectation_note("reset-cliff:labels=first", "bc:unseen=first")
    assert "bends towards linear" in expectation_note("linear:noise=0.01", "bc:hidden=none")
    assert expectation_note("linear", "dagger:hidden=none") is None
    assert expectation_note("standard-imitation", "gail") is None
    assert expectation_note("recoverable-cliff", "dagger") is None
    assert expectation_note("gridworld", "bc") is None


def test_a_limit_of_labels_has_neither_closed_form_nor_prediction():
    """Horizon and number of demonstrations then say no longer how much was seen."""
    assert closed_form("reset-cliff", "bc", 8, 30) is not None
    assert closed_form("reset-cliff", "bc:labels=50", 8, 30) is None
    assert predicted_exponent("reset-cliff", "bc", "horizon") is not None
    assert predicted_exponent("reset-cliff", "bc:labels=50", "horizon") is None
