"""A soft expert's regret has either sign: its statistic is the root mean square, by the report too.

The oracle is that of theory-2, section 0: S equally likely states that never change, two actions,
the reward is 1 for action 1, which the expert plays with probability p. Then a step's regret is

    sum_s rho_s (p - p_hat_s),   p_hat_s the share of ones among n_s ~ Bin(N, rho_s) labels,
                                 or 1/2 without any
"""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_report import rows_of, store

import imitax
from imitax.bench.analysis.exponents import curves, summarise
from imitax.bench.analysis.statistics import mean_interval, root_mean_square
from imitax.bench.report import markdown
from imitax.bench.report.write import write_report
from imitax.bench.spec_facts import has_soft_expert
from imitax.bench.theory.predictions import predicted_exponent
from imitax.cli.digest import digest
from imitax.core.types import Capacity
from imitax.envs import ENVIRONMENTS
from imitax.envs.chains import ChainSettings
from imitax.envs.tabular import TabularFamily
from imitax.tabular.mdp import TabularMDP

STATES, SHARE = 9, 0.3
SOFT = "random-mdp:num_states=8,temperature=0.3"
HARD = "random-mdp:num_states=8"
DEMOS = (100, 300, 1000, 3000)


def exact_rms(num_demos):
    """Root mean square of a step's regret: given who was seen, the states' errors are independent.

    rho^2 (S (E[p(1-p)/n; n > 0] + b^2 P(n = 0)) + S(S-1) b^2 P(both unseen)), b = p - 1/2.
    """
    rho, bias = 1 / STATES, SHARE - 0.5
    counts = np.arange(1, num_demos + 1)
    seen = SHARE * (1 - SHARE) * np.sum(stats.binom.pmf(counts, num_demos, rho) / counts)
    own = seen + bias**2 * (1 - rho) ** num_demos
    pairs = STATES * (STATES - 1) * bias**2 * (1 - 2 * rho) ** num_demos
    return rho * np.sqrt(STATES * own + pairs)


def simulated(num_demos, num_seeds, seed=0):
    """Regrets of a step [K], by numpy alone."""
    generator = np.random.default_rng(seed)
    shown = generator.multinomial(num_demos, np.full(STATES, 1 / STATES), num_seeds)
    ones = generator.binomial(shown, SHARE)
    share = np.divide(ones, shown, out=np.full(shown.shape, 0.5), where=shown > 0)
    return SHARE - share.mean(1)


class Coins(TabularFamily):
    """The world of the head of the file."""

    family = "coins"

    def __init__(self):
        super().__init__(ChainSettings(), STATES, 2)

    def instance(self, key, horizon, num_demos, max_horizon):
        mdp = TabularMDP(
            transition=jnp.broadcast_to(jnp.eye(STATES)[:, None], (STATES, 2, STATES)),
            step_reward=jnp.broadcast_to(jnp.arange(2.0), (STATES, 2)),
            final_reward=None,
            initial=jnp.full(STATES, 1 / STATES),
        )
        return mdp, jnp.broadcast_to(jnp.array([1 - SHARE, SHARE]), (STATES, 2))


@pytest.mark.parametrize(
    ("num_demos", "printed"), [(100, 0.0382), (1000, 0.0116), (10000, 0.00366)]
)
def test_the_root_mean_square_of_an_unbiased_learner(num_demos, printed):
    """The numbers of the theory, the closed form, and what the report's statistic says."""
    values = simulated(num_demos, 20000)
    assert np.abs(values).mean() == pytest.approx(printed, rel=0.03)
    found = root_mean_square(values)
    assert found.mean == pytest.approx(exact_rms(num_demos), rel=0.02)
    assert found.mean == pytest.approx(np.sqrt(np.pi / 2) * printed, rel=0.03)
    assert abs(mean_interval(values).mean) < 4 * exact_rms(num_demos) / np.sqrt(20000)


def test_cloning_has_the_root_mean_square_of_the_closed_form():
    env, numbers = Coins(), (1, 100)
    algorithm = imitax.bc(env)

    def regret(seed):
        instance = imitax.pose(env, seed, *numbers, Capacity(*numbers), algorithm.demand)
        trained = imitax.train(instance.learner_key, algorithm, instance.problem)
        policy = algorithm.policy(instance.problem, trained.state)
        return imitax.evaluate(env, instance, policy).regret

    values = np.asarray(jax.jit(jax.vmap(regret))(jnp.arange(2000)), float)
    found = root_mean_square(values)
    assert found.low < exact_rms(100) < found.high
    assert found.high / found.low < 1.1
    assert abs(values.mean()) < 4 * exact_rms(100) / np.sqrt(2000)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_expert_is_soft_where_its_table_is(name):
    """What the spec says, against the instance itself."""
    _, settings_class = ENVIRONMENTS[name]
    has_temperature = hasattr(settings_class(), "temperature")
    for text in (name, f"{name}:temperature=0.3" if has_temperature else name):
        env, params = imitax.make(text)
        if not isinstance(env, TabularFamily):
            assert not has_soft_expert(text)
            continue
        table = np.asarray(params.expert_policy).max(-1)
        played = table[table > 0]
        assert has_soft_expert(text) == bool(np.any(played < 1))


def test_specs_of_another_version_are_not_soft():
    for text in ("random-mdp:temperature=warm", "random-mdp:novel=1", "novel", "::", HARD):
        assert not has_soft_expert(text)
    assert has_soft_expert(SOFT)
    assert has_soft_expert("gridworld:temperature=0.1")


def soft_rows(environment=SOFT, algorithm="bc", num_seeds=400):
    """Normal regrets of both signs that fall as N^-1/2."""
    cells = [(10, demos) for demos in DEMOS]
    rows = rows_of(environment, algorithm, lambda h, n: 0.0, cells, num_seeds)
    generator = np.random.default_rng(8)
    rows["regret"] = generator.normal(size=len(rows)) / np.sqrt(rows["num_demos"])
    return rows


def test_the_statistic_comes_from_the_environment():
    row = summarise(list(curves(soft_rows()))).iloc[0]
    assert (row["statistic"], row["predicted"]) == ("rms", -0.5)
    assert row["exponent"] == pytest.approx(-0.5, abs=0.03)
    assert row["low"] < row["exponent"] < row["high"]
    assert row["verdict"] == "agrees"
    last = soft_rows().query("num_demos == 3000")["regret"]
    assert row["rms_regret"] == pytest.approx(np.sqrt(np.mean(last**2)))
    assert row["rms_low"] < row["rms_regret"] < row["rms_high"]
    hard = summarise(list(curves(soft_rows(HARD)))).iloc[0]
    assert hard["statistic"] == "mean"
    assert np.isnan(hard["predicted"])
    assert hard["rms_regret"] == row["rms_regret"]
    assert "means not positive" in hard["verdict"]


def test_predictions_say_what_they_are_about():
    found = predicted_exponent(SOFT, "bc", "num_demos", DEMOS, 10)
    assert (found.exponent, found.statistic) == (-0.5, "rms")
    assert predicted_exponent("reset-cliff", "bc", "horizon").statistic == "mean"
    for place, algorithm, axis, points in (
        (HARD, "bc", "num_demos", DEMOS),
        (SOFT, "bc", "horizon", (8, 16, 32)),
        (SOFT, "bc", "num_demos", (8, 100, 1000)),  # states that nobody has seen
        (SOFT, "bc:stationary=true", "num_demos", DEMOS),  # the expert changes over time
        (SOFT, "bc:policy=mlp", "num_demos", DEMOS),
        (SOFT, "random", "num_demos", DEMOS),
    ):
        assert predicted_exponent(place, algorithm, axis, points, 10) is None


def test_the_report_shows_both_and_says_which(tmp_path):
    rows = pd.concat([soft_rows(), soft_rows(HARD), soft_rows(SOFT, "dagger")], ignore_index=True)
    directory = store(tmp_path / "run", rows)
    text = write_report(directory).read_text()
    lines = [line for line in text.splitlines() if line.startswith(f"| `{SOFT}` | `bc` | num")]
    assert lines[0].split(" | ")[4] == "rms"
    cell = markdown.show_regret(soft_rows().query("num_demos == 100"))
    assert "; rms 0.1" in cell
    assert cell in text
    assert "rms" not in markdown.show_regret(soft_rows(HARD).query("num_demos == 100"))
    header, lines = digest(directory)
    shown = {line[:2]: line[header.index("regret")].endswith(" rms") for line in lines}
    assert shown == {(SOFT, "bc"): True, (HARD, "bc"): False, (SOFT, "dagger"): True}
