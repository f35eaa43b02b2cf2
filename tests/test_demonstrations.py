"""Sub-sampling, shuffling and other demonstrators, against the episodes they are made of."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

import imitax
from imitax.core import keys
from imitax.core.errors import SpecError
from imitax.core.types import Capacity, Demand, Demonstrations
from imitax.tabular import moments
from imitax.tasks.demonstrations import OFFSETS, num_labels, offsets, shuffled, subsampled

HORIZON, SEED = 11, 2


@functools.cache
def instance(text, form="episodes", num_demos=6, capacity=(13, 8), horizon=HORIZON):
    """A posed task; one compilation per environment and capacity."""
    return program(text, form, capacity)(jnp.int32(horizon), jnp.int32(num_demos))


@functools.cache
def program(text, form, capacity):
    env = imitax.environment(text)

    def run(horizon, num_demos):
        return imitax.pose(
            env, jnp.int32(SEED), horizon, num_demos, Capacity(*capacity), Demand(form)
        )

    return jax.jit(run)


def shown(*args, **kwargs):
    return jax.tree.map(np.asarray, instance(*args, **kwargs).problem.demonstrations)


def with_setting(text, setting):
    return f"{text},{setting}" if ":" in text else f"{text}:{setting}"


def first_pairs(name, length, every):
    """Offsets from the definition: floor(u min(k, length)), one fold of the key per episode."""
    family = name.split(":")[0]
    key = jax.random.fold_in(keys.seed_keys(family, jnp.int32(SEED)).demonstrations, OFFSETS)
    uniform = [float(jax.random.uniform(jax.random.fold_in(key, i))) for i in range(len(length))]
    return [int(u * min(every, n)) for u, n in zip(uniform, length, strict=True)]


def occurrences(shown, shape, first=None, every=1):
    """Counts [T, S, A] of episodes whose row j was step first + every * j."""
    counts = np.zeros(shape)
    for i, length in enumerate(shown.length):
        for row in range(length):
            time = row if first is None else first[i] + every * row
            counts[time, shown.obs[i, row], shown.action[i, row]] += 1
    return counts


FAMILIES = [("CartPole-v1:demos=random", 3), ("lane:noise=0.6", 7), ("reset-cliff", 3)]


@pytest.mark.parametrize(("name", "every"), FAMILIES)
def test_every_kth_pair_is_kept(name, every):
    full, kept = shown(name), shown(with_setting(name, f"subsample={every}"))
    assert kept.obs.shape[:2] == kept.action.shape[:2] == (8, -(-13 // every))
    first = first_pairs(name, full.length, every)
    assert len(set(first[:6])) > 1, "the test needs different offsets"
    for i, length in enumerate(full.length):
        rows = range(first[i], length, every)
        assert kept.length[i] == len(rows)
        np.testing.assert_array_equal(kept.obs[i, : len(rows)], full.obs[i, rows])
        np.testing.assert_array_equal(kept.action[i, : len(rows)], full.action[i, rows])
    assert np.all(kept.length[:6] >= 1)
    assert np.all(kept.length[6:] == 0)


def test_early_ends_are_in_the_test_above():
    assert len(set(shown("lane:noise=0.6").length[:6])) > 1


def test_counts_are_those_of_the_kept_pairs():
    name, every = "random-mdp:num_states=5,num_actions=3", 3
    thin = with_setting(name, f"subsample={every}")
    counts = shown(thin, "counts").counts
    first = first_pairs(name, [HORIZON] * 6, every)
    np.testing.assert_array_equal(counts, occurrences(shown(thin), counts.shape, first, every))
    assert counts.sum() == sum(len(range(offset, HORIZON, every)) for offset in first)
    full = shown(name, "counts").counts
    assert np.all(counts <= full)
    assert full.sum() == 6 * HORIZON


@pytest.mark.parametrize("name", ["CartPole-v1", "gridworld:size=3x2,goal=2x1"])
def test_smaller_sets_begin_larger_ones(name):
    """Also in another buffer, and for demonstrations that are changed in every way."""
    changes = "subsample=3"
    if name == "CartPole-v1":
        changes += ",demos=shuffled,fixed=true"
    thin = with_setting(name, changes)
    few, many = shown(thin, num_demos=3), shown(thin, num_demos=8)
    other = shown(thin, num_demos=3, capacity=(17, 3))
    for one in (few, other):
        assert one.num_episodes == 3
        np.testing.assert_array_equal(one.length[:3], many.length[:3])
        for i, length in enumerate(many.length[:3]):
            np.testing.assert_array_equal(one.obs[i, :length], many.obs[i, :length])
            np.testing.assert_array_equal(one.action[i, :length], many.action[i, :length])


def test_offsets_are_uniform_and_leave_a_pair():
    number, every = 6000, 5
    length = jnp.arange(number) % 8
    first = np.asarray(offsets(jax.random.key(7), length, every))
    for steps in range(1, 8):
        found = np.bincount(first[length == steps], minlength=every)
        size = min(steps, every)
        assert np.all(found[size:] == 0)
        assert size == 1 or chisquare(found[:size]).pvalue > 1e-3
    assert np.all(first[length == 0] == 0)


def test_keeping_every_pair_changes_nothing():
    found = Demonstrations(jnp.ones((2, 3, 1)), jnp.ones((2, 3)), jnp.array([3, 1]), None, 2)
    assert subsampled(jax.random.key(0), found, 1) is found
    counts = Demonstrations(None, None, None, jnp.ones((2, 3, 1)), 2)
    with pytest.raises(ValueError, match="no episodes"):
        subsampled(jax.random.key(0), counts, 2)


def test_flows_of_some_pairs_are_those_of_all():
    """k times the counts: unbiased at each step, and scaled to the horizon in total."""
    name, every, number = "random-mdp:num_states=3,num_actions=2", 3, 2048
    posed = instance(
        with_setting(name, f"subsample={every}"), "counts", number, (7, number), horizon=7
    )
    problem = posed.problem
    assert problem.subsample == every
    mdp = jax.tree.map(lambda x: np.asarray(x, np.float64), posed.params.mdp)
    rows = np.zeros((3, 2, 3))
    for s, a, k in np.ndindex(mdp.transition.shape):
        after = k if posed.params.mdp.successor is None else int(mdp.successor[s, a, k])
        rows[s, a, after] += mdp.transition[s, a, k]
    found = np.asarray(moments.expert_flows(problem.demonstrations, every), np.float64)
    state = mdp.initial
    for time in range(7):
        true = state[:, None] * np.asarray(posed.expert.params[time], np.float64)
        spread = np.sqrt(every * true / number)
        np.testing.assert_array_less(np.abs(found[time] - true), 5 * spread + 1e-6)
        state = np.einsum("sa,sax->x", true, rows)
    total = moments.expert_total(problem, 0.9)
    assert float(jnp.sum(total)) == pytest.approx(sum(0.9**t for t in range(7)), rel=1e-5)
    assert num_labels(problem) == np.sum(problem.demonstrations.counts)
    whole = instance(name, "counts", number, (7, number), horizon=7).problem
    assert num_labels(whole) == 7 * number == np.sum(whole.demonstrations.counts)


def test_a_shuffled_action_is_one_of_its_episode():
    """Independent and uniform over the valid steps, and never from the padding."""
    length = jnp.array([4, 1, 0] * 700)
    number, steps = len(length), 6
    action = 10 * jnp.arange(number)[:, None] + jnp.arange(steps)
    obs = jax.random.normal(jax.random.key(0), (number, steps, 2))
    before = Demonstrations(obs, action, length, None, jnp.int32(number))
    after = shuffled(jax.random.key(1), before)
    assert after.obs is obs
    assert after.length is length
    step = np.asarray(after.action) - 10 * np.arange(number)[:, None]
    assert np.all(step[1::3] == 0)
    assert set(np.unique(step[::3])) == {0, 1, 2, 3}
    for time in range(steps):
        assert chisquare(np.bincount(step[::3, time])).pvalue > 1e-3
    pairs = np.bincount(4 * step[::3, 0] + step[::3, 1], minlength=16)
    assert chisquare(pairs).pvalue > 1e-3


def test_shuffled_demonstrations_keep_states_and_reference():
    number, horizon = 256, 20
    args = {"num_demos": number, "capacity": (horizon, number), "horizon": horizon}
    normal, mixed = (shown(x, **args) for x in ("CartPole-v1", "CartPole-v1:demos=shuffled"))
    np.testing.assert_array_equal(normal.obs, mixed.obs)
    np.testing.assert_array_equal(normal.length, mixed.length)
    right = normal.action.mean(axis=1)
    spread = np.sqrt(np.mean(right * (1 - right)) / (number * horizon))
    assert mixed.action.mean() == pytest.approx(right.mean(), abs=5 * spread)
    agree = np.mean(normal.action == mixed.action)
    by_chance = np.mean(right**2 + (1 - right) ** 2)
    assert agree == pytest.approx(by_chance, abs=5 * spread)


def test_random_demonstrations_play_at_random():
    number, horizon = 256, 12
    args = {"num_demos": number, "capacity": (horizon, number), "horizon": horizon}
    found = shown("CartPole-v1:demos=random", **args)
    valid = np.arange(horizon) < found.length[:, None]
    actions = found.action[valid]
    assert np.mean(actions) == pytest.approx(0.5, abs=2.5 / np.sqrt(len(actions)))
    tilt = np.sign(found.obs[..., 2])[valid]
    assert abs(np.corrcoef(tilt, actions)[0, 1]) < 5 / np.sqrt(len(actions))
    expert = shown("CartPole-v1", **args)
    np.testing.assert_array_equal(found.obs[:, 0], expert.obs[:, 0])
    assert np.any(found.obs[:, 5] != expert.obs[:, 5])


def test_the_reference_stays_the_expert():
    """Regret is measured against the ordinary expert, on the ordinary episodes."""
    text = "CartPole-v1:demos=random"
    changed, normal = instance(text), instance("CartPole-v1")
    for x, y in zip(jax.tree.leaves(changed.expert), jax.tree.leaves(normal.expert), strict=True):
        np.testing.assert_array_equal(x, y)
    assert changed.expert.apply is normal.expert.apply is changed.problem.expert.apply
    outcome = imitax.evaluate(imitax.environment(text), changed, normal.expert, num_episodes=4)
    assert outcome.regret == 0.0
    assert outcome.expert_return == HORIZON


def test_learners_train_on_some_pairs():
    """A network's data set holds the kept pairs; MaxEnt IRL still ends with a policy."""
    env = imitax.environment("CartPole-v1:subsample=4")
    algorithm = imitax.bc(env, imitax.NetworkBCConfig(num_steps=1, hidden=(4,)))
    posed = instance("CartPole-v1:subsample=4")
    state = algorithm.init(jax.random.key(0), posed.problem)
    found = posed.problem.demonstrations
    assert state.data.size == np.sum(found.length)
    np.testing.assert_array_equal(
        state.data.obs[: found.length[0]], found.obs[0, : found.length[0]]
    )
    grid = imitax.environment("gridworld:size=3x2,goal=2x1,subsample=3")
    posed = instance(grid.spec, "counts")
    learner = imitax.maxent_irl(grid)
    trained = jax.jit(lambda p: imitax.train(jax.random.key(0), learner, p))(posed.problem)
    assert trained.state.converged
    pull = imitax.MaxEntConfig().l2 / 6 * np.linalg.norm(trained.state.theta)
    assert trained.metrics.moment_gap == pytest.approx(pull, rel=1e-2)
    assert trained.metrics.expert_labels == np.sum(posed.problem.demonstrations.counts)


@pytest.mark.parametrize(
    ("text", "horizons", "message"),
    [
        ("lane:subsample=9", (20, 8), "lane: subsample=9 is a sub-sampling factor above the"),
        ("reset-cliff:subsample=9", (8,), "episode length 8; lower subsample or give horizons of"),
        ("CartPole-v1:subsample=5", (4,), "episode length 4; lower subsample"),
        ("three-state:subsample=0", (4,), "three-state: subsample=0 is out of range; allowed: >="),
    ],
)
def test_factors_without_meaning_are_refused(text, horizons, message):
    with pytest.raises(SpecError, match="subsample") as caught:
        imitax.environment(text).check_grid(horizons, (4,))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_family_can_be_subsampled():
    for name in [*imitax.ENVIRONMENTS, "CartPole-v1"]:
        env = imitax.environment(with_setting(name, "subsample=2"))
        assert env.spec == f"{name}:subsample=2"
        assert env.check_grid((8,), (100,)) is None
