"""Chains, random MDPs and what tabular families share, against closed forms and oracles."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from imitax.core import spec
from imitax.core.errors import SpecError
from imitax.envs.chains import ChainSettings, RossBagnell, ThreeState
from imitax.envs.gridworld import Gridworld, GridworldSettings
from imitax.envs.random_mdp import RandomMDP, RandomMDPSettings, distinct, simplex
from imitax.tabular import mdp as exact


def grid(**settings):
    return Gridworld(GridworldSettings(**settings))


def random_mdp(**settings):
    return RandomMDP(RandomMDPSettings(**settings))


FAMILIES = {
    "three-state": ThreeState,
    "ross-bagnell": RossBagnell,
    "gridworld": grid,
    "gridworld, listed": lambda: grid(size=(8, 9), diagonal=True, start="uniform"),
    "random-mdp": random_mdp,
    "random-mdp, listed": lambda: random_mdp(num_states=24),
    "random-mdp, soft": lambda: random_mdp(branching=20, temperature=0.5),
}


@functools.cache
def make(name):
    return FAMILIES[name]()


@functools.cache
def draw(env, seed=0, horizon=9, max_horizon=12):
    args = jnp.int32(horizon), jnp.int32(10), max_horizon
    return env.sample_params(jax.random.key(seed), *args)


def full_rows(mdp):
    """Transition rows over all states, float64 [S, A, S]."""
    rows = np.asarray(mdp.transition, np.float64)
    if mdp.successor is None:
        return rows
    dense = np.zeros((*rows.shape[:2], rows.shape[0]))
    for s, a, k in np.ndindex(rows.shape):
        dense[s, a, mdp.successor[s, a, k]] += rows[s, a, k]
    return dense


@pytest.mark.parametrize("name", FAMILIES)
def test_instances_are_well_formed(name):
    env = make(name)
    params = draw(env)
    mdp, table = params.mdp, params.expert_policy
    shape = (env.num_states, env.num_actions)
    assert mdp.transition.shape[:2] == mdp.step_reward.shape == shape
    np.testing.assert_allclose(np.sum(mdp.transition, -1), 1.0, atol=1e-6)
    np.testing.assert_allclose(np.sum(mdp.initial), 1.0, atol=1e-6)
    assert np.all(mdp.transition >= 0)
    assert (mdp.successor is not None) == ("listed" in name)
    floats = [mdp.transition, mdp.step_reward, mdp.initial, table]
    assert {str(array.dtype) for array in floats} == {"float32"}
    if mdp.successor is not None:
        assert mdp.successor.dtype == jnp.int32
        assert 0 <= mdp.successor.min() <= mdp.successor.max() < env.num_states
    rows = table if table.ndim == 2 else table[:9]
    np.testing.assert_allclose(np.sum(rows, -1), 1.0, atol=1e-5)
    assert table.ndim == 2 or not np.any(table[9:])
    assert spec.write(env.family, type(env.settings)()) == env.name == env.family


@pytest.mark.parametrize("name", FAMILIES)
def test_steps_follow_the_table(name):
    """Visits of one pair agree with its row within five standard errors, rewards exactly."""
    env = make(name)
    params, num_draws = draw(env), 4000
    state, action = env.num_states - 2, env.num_actions - 1
    _, begun = env.reset_env(jax.random.key(0), params)
    begun = begun.replace(state=jnp.int32(state))
    keys = jax.random.split(jax.random.key(1), num_draws)
    step = jax.vmap(lambda key: env.step_env(key, begun, action, params))
    obs, after, reward, terminated, _ = step(keys)
    row = full_rows(params.mdp)[state, action]
    found = np.bincount(obs, minlength=env.num_states) / num_draws
    assert np.all(np.abs(found - row) <= 5 * np.sqrt(row * (1 - row) / num_draws) + 1e-7)
    assert np.all(after.time == 1)
    assert np.all(reward == params.mdp.step_reward[state, action])
    assert not np.any(terminated)


@pytest.mark.parametrize("name", FAMILIES)
def test_gymnax_step_resets_at_the_horizon(name):
    env = make(name)
    params = draw(env, horizon=3)
    keys = jax.random.split(jax.random.key(2), 5)
    obs, state = jax.vmap(env.reset, in_axes=(0, None))(keys, params)
    for time in range(3):
        actions = jnp.zeros(5, jnp.int32)
        step = jax.jit(jax.vmap(env.step, in_axes=(0, 0, 0, None)))
        obs, state, reward, terminated, truncated, info = step(keys, state, actions, params)
        assert np.all(truncated == (time == 2))
        assert not np.any(terminated)
    assert obs.shape == reward.shape == (5,)
    assert np.all(state.time == 0), "the last step resets"
    assert np.all(params.mdp.initial[obs] > 0)
    assert info["final_observation"].shape == (5,)
    assert np.isnan(env.step_env(keys[0], state, 0, env.without_reward(params))[2]).all()


@pytest.mark.parametrize("off_support", ["recover", "stay"])
@pytest.mark.parametrize("epsilon", [1e-3, 0.1])
def test_three_state_slips(off_support, epsilon):
    """Theory 1.9: two policies with the same errors on the expert's states, unlike regret."""
    params = draw(ThreeState())
    policy = np.array([[1 - epsilon, epsilon], [epsilon, 1 - epsilon], [1.0, 0.0]])
    policy[2] = [1.0, 0.0] if off_support == "recover" else [0.0, 1.0]
    for horizon in (8, 32, 128):
        lost = exact.regret(params.mdp, params.expert_policy, jnp.float32(policy), horizon)
        expected = oracles.noisy_expert_regret_three_state(epsilon, horizon, off_support)
        assert lost == pytest.approx(expected, rel=1e-4)
    earned = exact.expected_return(params.mdp, params.expert_policy, jnp.int32(9))
    assert earned == pytest.approx(8.0)


def test_ross_bagnell_learner():
    """Theory 1.8: all of the error in the first step, epsilon T there, costs epsilon T (T - 1)."""
    params, horizon, epsilon = draw(RossBagnell()), 64, 1e-3
    slip = epsilon * horizon
    policy = jnp.array([[1 - slip, slip], [1.0, 0.0], [0.0, 1.0]])
    lost = exact.regret(params.mdp, params.expert_policy, policy, horizon)
    assert lost == pytest.approx(4.032, rel=1e-5)
    assert exact.expected_return(params.mdp, params.expert_policy, jnp.int32(64)) == 0.0
    returned = exact.regret(params.mdp, params.expert_policy, policy.at[2].set(policy[1]), horizon)
    assert returned == pytest.approx(slip, rel=1e-5), "with recovery one step is lost"


def test_random_mdps_differ_by_seed_and_only_by_seed():
    env = random_mdp()
    args = jnp.int32(9), jnp.int32(10), 12
    keys = jax.vmap(jax.random.key)(jnp.arange(4))
    batch = jax.jit(jax.vmap(lambda key: env.sample_params(key, *args).mdp))(keys)
    for seed in range(4):
        alone = draw(env, seed).mdp
        assert np.all(batch.step_reward[seed] == alone.step_reward)
        np.testing.assert_allclose(batch.transition[seed], alone.transition, rtol=1e-6)
    assert not np.any(batch.step_reward[0] == batch.step_reward[1])
    assert np.all(np.sum(batch.transition > 0, -1) == 3), "distinct successors"
    assert np.any((batch.transition[0] > 0) != (batch.transition[1] > 0))


def test_random_mdp_distributions():
    subsets = np.sort(distinct(jax.random.uniform(jax.random.key(0), (2, 12_000)), 4), axis=-1)
    counts = np.unique(subsets, axis=0, return_counts=True)[1]
    assert len(counts) == 6
    assert np.all(np.abs(counts - 2000) < 5 * np.sqrt(2000 * 5 / 6))
    assert np.all(
        np.sort(distinct(jax.random.uniform(jax.random.key(1), (5, 7)), 5), -1) == np.arange(5)
    )
    assert np.all(simplex(jnp.zeros((1, 3))) == 1), "a draw of zero is no 0/0"
    mdp = draw(random_mdp(num_states=2000)).mdp  # 8000 rows of Dirichlet(1, 1, 1)
    p = np.asarray(mdp.transition)
    assert p.mean(axis=(0, 1)) == pytest.approx([1 / 3] * 3, abs=5 * np.sqrt(1 / 18 / 8000))
    assert p.var(axis=(0, 1)) == pytest.approx([1 / 18] * 3, rel=0.1)
    assert np.mean(mdp.step_reward) == pytest.approx(0.5, abs=5 * np.sqrt(1 / 12 / 8000))
    assert 0 <= np.min(mdp.step_reward) < 0.01 < 0.99 < np.max(mdp.step_reward) < 1


@pytest.mark.parametrize("family", [random_mdp, lambda **settings: grid(size=(8, 8), **settings)])
def test_planning_experts(family):
    """Hard experts are optimal, soft ones are the oracle's, and cold ones tend to hard ones."""
    horizon = jnp.int32(9)
    hard, soft, cold = (draw(family(temperature=t)) for t in (0.0, 0.5, 0.01))
    best = exact.optimal_plan(hard.mdp, horizon, 12).policy
    assert np.all(hard.expert_policy == best)
    P, reward = full_rows(soft.mdp), np.asarray(soft.mdp.step_reward)
    expected, _ = oracles.soft_plan(P, reward, 9, temperature=0.5)
    np.testing.assert_allclose(soft.expert_policy[:9], expected, atol=1e-5)
    lost = [exact.regret(hard.mdp, best, one.expert_policy, horizon) for one in (soft, cold)]
    assert lost[0] > 0.05
    assert abs(lost[1]) < 0.1 * lost[0]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: random_mdp(branching=21), "branching=21 distinct successors need as many states"),
        (lambda: random_mdp(num_states=1), "num_states=1 is out of range"),
        (lambda: spec.build(ChainSettings, "three-state", {"slip": "0"}), "unknown setting"),
    ],
)
def test_bad_settings_are_refused(act, message):
    with pytest.raises(SpecError) as caught:
        act()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
