"""The grid, one cell at a time; its conventions stand at the head of `imitax.envs.gridworld`."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from test_envs import draw, full_rows, grid

from imitax.core import spec
from imitax.core.errors import SpecError
from imitax.core.types import Capacity, Demand
from imitax.envs.gridworld import GridworldSettings
from imitax.tabular import mdp as exact
from imitax.tasks.evaluate import evaluate
from imitax.tasks.pose import pose

UP, DOWN, LEFT, RIGHT = range(4)


def grid_rows(size, slip, stay, diagonal):
    """The conventions of the module, one cell at a time."""
    steps = [(-1, 0), (1, 0), (0, -1), (0, 1)]
    steps += [(-1, -1), (-1, 1), (1, -1), (1, 1)] if diagonal else []
    actions = steps + [(0, 0)] * stay
    cells = list(itertools.product(range(size[0]), range(size[1])))
    rows = np.zeros((len(cells), len(actions), len(cells)))

    def after(cell, step):
        moved = (cell[0] + step[0], cell[1] + step[1])
        return cells.index(moved if moved in cells else cell)

    for (s, cell), (a, action) in itertools.product(enumerate(cells), enumerate(actions)):
        rows[s, a, after(cell, action)] += 1 - slip
        for step in steps:
            rows[s, a, after(cell, step)] += slip / len(steps)
    return rows


@pytest.mark.parametrize(("stay", "slip"), [*itertools.product((False, True), (0.0, 0.1))])
def test_grid_values_match_value_iteration(stay, slip):
    horizon = 15
    env = grid(stay=stay, slip=slip, scale=2.0)
    params = draw(env, horizon=horizon, max_horizon=16)
    P = grid_rows((5, 5), slip, stay, False)
    reward = np.zeros((25, 4 + stay))
    reward[24] = 2.0
    _, V, _ = oracles.hard_plan(P, reward, None, horizon)
    plan = exact.optimal_plan(params.mdp, jnp.int32(horizon), horizon)
    np.testing.assert_allclose(plan.value, V, rtol=1e-5, atol=1e-6)
    earned = exact.expected_return(params.mdp, params.expert_policy, jnp.int32(horizon))
    assert earned == pytest.approx(V[0, 0], rel=1e-5)
    if slip == 0:  # arrives after 8 moves; the left-over steps t = 8, ..., 14 pay, with or
        assert earned == pytest.approx(2.0 * 7)  # without an action that stays: walls hold it
    else:
        assert earned == pytest.approx(2.0 * 5.952, abs=2e-3)  # theory 3.3, other code


@pytest.mark.parametrize(
    ("size", "stay", "diagonal", "slip"),
    [((3, 4), True, False, 0.3), ((4, 3), False, True, 0.1), ((2, 1), True, True, 1.0)],
)
def test_grid_moves_one_cell_at_a_time(size, stay, diagonal, slip):
    env = grid(size=size, stay=stay, diagonal=diagonal, slip=slip, goal=(1, 0))
    expected = grid_rows(size, slip, stay, diagonal)
    np.testing.assert_allclose(full_rows(draw(env).mdp), expected, atol=1e-6)
    transition, successor = env.dynamics(sparse=True)
    listed = draw(env).mdp._replace(transition=transition, successor=successor)
    np.testing.assert_allclose(full_rows(listed), expected, atol=1e-6)


def test_grid_by_hand():
    """The corner of a 3x3 grid with slip 0.2: walls, slips, diagonals, staying."""
    rows = full_rows(draw(grid(size=(3, 3), slip=0.2, goal=(2, 2))).mdp)
    np.testing.assert_allclose(rows[0, RIGHT, [0, 1, 3]], [0.1, 0.85, 0.05], atol=1e-6)
    np.testing.assert_allclose(rows[0, UP, [0, 1, 3]], [0.9, 0.05, 0.05], atol=1e-6)
    np.testing.assert_allclose(rows[4, 4, [4, 1, 7, 3, 5]], [0.8] + [0.05] * 4, atol=1e-6)
    sure = grid(size=(3, 3), slip=0.0, goal=(1, 2), diagonal=True, stay=False, start=(2, 1))
    params = draw(sure)
    arrivals = np.argmax(full_rows(params.mdp), -1)
    assert list(arrivals[4]) == [1, 7, 3, 5, 0, 2, 6, 8]
    assert list(arrivals[1]) == [1, 4, 0, 2, 1, 1, 3, 5], "a diagonal into a wall stays"
    assert list(np.flatnonzero(params.mdp.initial)) == [7]
    assert np.all(np.asarray(params.mdp.step_reward) == (np.arange(9) == 5)[:, None])
    uniform = draw(grid(start="uniform")).mdp.initial
    np.testing.assert_allclose(uniform, 1 / 25, rtol=1e-6)


def test_grid_features():
    one_hot = draw(grid()).mdp.features
    assert np.all(one_hot == np.eye(25)[:, None])
    assert one_hot.shape == (25, 5, 25)
    settings = {"size": (3, 4), "goal": (0, 1), "features": "coordinates"}
    features = np.asarray(draw(grid(**settings)).mdp.features)
    assert features.shape == (12, 5, 3)
    np.testing.assert_allclose(features[1, 0], [0, 1 / 3, 1])
    np.testing.assert_allclose(features[11, 4], [1, 1, 0])  # the farthest cell, 4 moves away
    np.testing.assert_allclose(features[4, 2], [0.5, 0, 0.5])
    oblique = np.asarray(draw(grid(**settings, diagonal=True)).mdp.features)
    np.testing.assert_allclose(oblique[4, 2], [0.5, 0, 0.5])  # one diagonal move of at most two
    np.testing.assert_allclose(oblique[5, 2], [0.5, 1 / 3, 0.5])


def test_listed_and_dense_grids_agree():
    horizon = jnp.int32(20)
    env = grid(size=(8, 8), goal=(5, 6), start="uniform")
    mdp = draw(env, horizon=20, max_horizon=20).mdp
    rows = mdp._replace(transition=env.dynamics(sparse=False)[0], successor=None)
    assert mdp.successor is not None
    table = jax.random.dirichlet(jax.random.key(3), jnp.ones(5), (64,))
    listed, dense = (
        (exact.optimal_plan(one, horizon, 20).value, exact.occupancy(one, table, horizon, 20))
        for one in (mdp, rows)
    )
    np.testing.assert_allclose(listed[0], dense[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(listed[1], dense[1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: grid(size=(3, 3)), "goal=4x4 is no cell of size=3x3; give goal a row up to 2"),
        (lambda: grid(start=(0, 5)), "start=0x5 is no cell of size=5x5"),
        (lambda: grid(goal=(1,)), "goal=1 is no cell"),
        (lambda: grid(size=(5,)), "size=5 is not a grid; give rows x columns"),
        (lambda: grid(size=(100, 100)), "2 to 4096 cells"),
        (lambda: grid(size=(0, 5)), "size=(0, 5) is out of range"),
        (lambda: grid(start="somewhere"), "start=somewhere is out of range; allowed: uniform"),
        (lambda: grid(slip=1.5), "slip=1.5 is out of range; allowed: >= 0.0, <= 1.0"),
        (lambda: grid(temperature=-1.0), "temperature=-1.0 is out of range"),
        (lambda: spec.build(GridworldSettings, "gridworld", {"slpi": "0"}), "did you mean 'slip'"),
    ],
)
def test_bad_settings_are_refused(act, message):
    with pytest.raises(SpecError) as caught:
        act()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_specs_read_and_write():
    raw = {"start": "uniform", "goal": "2x3", "stay": "false", "size": "6x7"}
    settings = spec.build(GridworldSettings, "gridworld", raw)
    assert settings.start == "uniform"
    assert (settings.size, settings.goal, settings.stay) == ((6, 7), (2, 3), False)
    written = "gridworld:goal=2x3,size=6x7,start=uniform,stay=false"
    assert spec.write("gridworld", settings) == written
    assert spec.build(GridworldSettings, "gridworld", {"start": "1x2"}).start == (1, 2)


@pytest.mark.parametrize(
    ("shift", "settings"),
    [
        ("dynamics", {"slip": 0.35}),
        ("start", {"start": (1, 3)}),
        ("both", {"slip": 0.35, "start": (1, 3)}),
    ],
)
def test_a_shifted_grid_is_demonstrated_unshifted(shift, settings):
    """The learner's grid is the one of the shifted settings; the demonstrations stay behind."""
    ours = {"size": (3, 4), "start": (1, 0), "goal": (2, 2), "slip": 0.15}
    env = grid(**ours, shift=shift)

    def posed(env):
        capacity = Capacity(9, 20)
        run = jax.jit(lambda n: pose(env, jnp.int32(4), 9, n, capacity, Demand("counts")))
        return run(jnp.int32(20))

    there, here, direct = posed(env), posed(grid(**ours)), posed(grid(**{**ours, **settings}))
    counts = there.problem.demonstrations.counts
    np.testing.assert_array_equal(counts, here.problem.demonstrations.counts)
    assert np.any(counts != direct.problem.demonstrations.counts)
    for x, y in ((there.params, direct.params), (there.problem.params, direct.problem.params)):
        for a, b in zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(there.expert.params, direct.expert.params)
    returns = [evaluate(env, x, x.expert).expert_return for x in (there, here)]
    assert abs(returns[0] - returns[1]) > 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shift": "start", "start": "uniform"}, "start changes nothing where start=uniform"),
        ({"shift": "both", "start": (0, 2)}, "shift=both changes nothing where start=0x2; choose"),
        ({"shift": "dynamics", "slip": 1.0}, "shift=dynamics changes nothing where slip=1.0"),
    ],
)
def test_shifts_without_effect_are_refused(settings, message):
    with pytest.raises(SpecError) as caught:
        grid(**settings)
    assert message in str(caught.value)
