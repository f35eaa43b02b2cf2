"""GAIL on tabular MDPs: formulas, steps and gaps by float64 oracles, its end by theory 1.5."""

import functools
import itertools
import types
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

import imitax
from imitax.algorithms.adversarial.gail_game import GAILConfig, flow_policy, gaps, reward_form
from imitax.algorithms.adversarial.gail_steps import step_sizes
from imitax.core.policies import tabular
from imitax.core.types import Capacity, Demonstrations, Problem
from imitax.envs.tabular import TabularParams
from imitax.tabular import mdp as exact

ROUNDING = 1e-10  # float64, some thousand operations on numbers of order ten
H, S, A, NUM_DEMOS = 3, 4, 3, 5
KEY = jax.random.key(0)
FACTS = {"family": "tiny", "is_tabular": True, "spec": "tiny"}
ENV = types.SimpleNamespace(num_states=S, num_actions=A, **FACTS)


class Tiny(NamedTuple):
    """A random instance in numpy and the same as a problem, in a buffer one step too long."""

    P: np.ndarray
    rho: np.ndarray
    expert: np.ndarray
    problem: Problem


def pad(table):
    return jnp.asarray(np.pad(table, ((0, 1), (0, 0), (0, 0))))


def tiny(dtype=np.float64, seed=0, P=None, rho=None, shown=None):
    """Demonstrations are noisy, so that neither player wins."""
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.ones(S), (S, A)) if P is None else P
    rho = rng.dirichlet(np.ones(S)) if rho is None else rho
    if shown is None:
        shown = rng.multinomial(NUM_DEMOS, np.ones(S * A) / (S * A), H).reshape(H, S, A)
    mdp = exact.TabularMDP(jnp.asarray(P, dtype), None, None, jnp.asarray(rho, dtype))
    problem = Problem(
        params=TabularParams(mdp=mdp, expert_policy=None, max_steps_in_episode=H),
        horizon=jnp.int32(H),
        num_demos=jnp.int32(NUM_DEMOS),
        demonstrations=Demonstrations(
            None, None, None, pad(shown).astype(dtype), jnp.int32(NUM_DEMOS)
        ),
        expert=tabular(jnp.zeros((S, A))),  # never read
        source_params=None,
        capacity=Capacity(H + 1, NUM_DEMOS),
    )
    return Tiny(P, rho, shown / NUM_DEMOS, problem)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def flows(task, policy):
    return oracles.occupancy(task.P, task.rho, policy, H)[..., None] * policy


@functools.partial(jax.jit, static_argnames="count")
def history(problem, config, count):
    """Metrics and state after each call of `step`, and the policy of the last."""
    algorithm = imitax.gail(ENV, config)

    def advance(state, index):
        state, metrics = algorithm.step(jax.random.fold_in(KEY, index), problem, state)
        return state, (state, metrics)

    last, rows = jax.lax.scan(advance, algorithm.init(KEY, problem), jnp.arange(count))
    return *rows, algorithm.policy(problem, last).params


def at_state(algorithm, task, policy, critic):
    """The algorithm's state at a given pair of players, its flow consistent with the policy."""
    start = algorithm.init(KEY, task.problem)
    tables = [pad(x) for x in (np.log(policy), critic, flows(task, policy))]
    return start._replace(log_policy=tables[0], critic=tables[1], flow=tables[2])


def after_one_step(task, policy, critic, **settings):
    algorithm = imitax.gail(ENV, GAILConfig(num_steps=1, **settings))
    state = at_state(algorithm, task, policy, critic)
    return jax.jit(algorithm.step)(KEY, task.problem, state)[0]


def players(seed=1):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(A), (H, S)), 2.0 * rng.normal(size=(H, S, A))


def test_reward_forms(x64):
    D = np.linspace(0.01, 0.99, 99)
    logit = jnp.asarray(np.log(D / (1 - D)))
    found = {name: reward_form(name, logit) for name in ("softplus", "log", "logit")}
    expected = {"softplus": -np.log(1 - D), "log": np.log(D), "logit": np.log(D) - np.log(1 - D)}
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-13)
    assert np.all(found["softplus"] > 0)
    assert np.all(found["log"] < 0)
    assert np.all(np.sign(found["logit"]) == np.sign(np.round(D - 0.5, 9)))


@pytest.mark.parametrize("bound", [10.0, 0.7])
@pytest.mark.parametrize("inputs", ["tsa", "sa"])
def test_discriminator_at_its_optimum_is_the_log_occupancy_ratio(x64, inputs, bound):
    """With the policy held in place, log e - log d, of each step or of all steps together."""
    policy, _ = players()
    shown = np.random.default_rng(2).dirichlet(np.ones(S * A), H).reshape(H, S, A)
    task = tiny(shown=NUM_DEMOS * shown)
    still = {"player": "policy-gradient", "rate": 1e-300, "inputs": inputs, "bound": bound}
    algorithm = imitax.gail(ENV, GAILConfig(**still))
    state = at_state(algorithm, task, policy, np.zeros((H, S, A)))

    @jax.jit
    def settle(state):
        # Contracts by 1 - 2 D (1 - D), at worst here 0.99 a step.
        return jax.lax.fori_loop(
            0, 4000 // algorithm.stride, lambda i, x: algorithm.step(KEY, task.problem, x)[0], state
        )

    state, d = settle(state), flows(task, policy)
    np.testing.assert_allclose(state.flow[:H], d, atol=ROUNDING)
    e = shown
    if inputs == "sa":
        e, d = (np.broadcast_to(x.mean(0), x.shape) for x in (e, d))
    ratio = np.log(e) - np.log(d)
    assert np.abs(ratio).max() > 1.0  # the smaller bound binds
    np.testing.assert_allclose(state.critic[:H], np.clip(ratio, -bound, bound), atol=1e-8)


@pytest.mark.parametrize("name", ["softplus", "log", "logit"])
def test_bias_of_each_reward_form(name):
    """Theory 4: paid only while alive, with D = 1/2 everywhere. Action 0 continues, 1 quits."""
    ends = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    task = tiny(np.float32, P=ends, rho=np.array([1.0, 0.0]), shown=np.ones((H, 2, 2)))
    mdp, left = task.problem.params.mdp, np.arange(6)[::-1]  # steps after this one
    reward = reward_form(name, jnp.zeros((2, 2))) * jnp.array([[1.0], [0.0]])
    plan = exact.optimal_plan(mdp, 6, 6, reward=reward)
    value = oracles.hard_plan(ends, reward, None, 6)[2][:, 0]
    # Continuing earns a payment at every step to come; where payments hurt, one before quitting.
    gain = {"softplus": np.log(2) * left, "log": -np.log(2) * (left > 0), "logit": 0 * left}[name]
    np.testing.assert_allclose(value[:, 0] - value[:, 1], gain, atol=1e-6)
    if name != "logit":
        np.testing.assert_array_equal(plan.policy[:-1, 0, 1], name == "log")
    # In the game itself a dead state earns too, for a fixed number of steps: no bias.
    algorithm = imitax.gail(
        types.SimpleNamespace(num_states=2, num_actions=2, **FACTS),
        GAILConfig(reward=name, num_steps=1),
    )
    state, _ = jax.jit(algorithm.step)(KEY, task.problem, algorithm.init(KEY, task.problem))
    np.testing.assert_allclose(state.log_policy[:H], np.log(0.5), atol=1e-6)


FORMS = {
    "softplus": lambda x: np.logaddexp(0, x),
    "log": lambda x: -np.logaddexp(0, -x),
    "logit": lambda x: x,
    "tv": lambda x: x,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("entropy", [0.0, 0.3])
def test_mirror_descent_step_is_the_best_of_its_objective_and_is_answered(x64, form, entropy):
    task, rate, (policy, critic) = tiny(), 1.3, players()  # below the bound, 2 / (0.5 H)
    if form == "tv":
        critic, chosen = np.clip(critic, -0.8, 0.8), {"divergence": "tv"}
    else:
        chosen = {"reward": form}
    chosen |= {"rate": rate, "discriminator_rate": 0.5}
    state = after_one_step(task, policy, critic, entropy=entropy, **chosen)
    found, reward = np.exp(state.log_policy[:H]), FORMS[form](critic)
    planned, _ = oracles.soft_plan(
        task.P, reward + np.log(policy) / rate, H, temperature=entropy + 1 / rate
    )
    np.testing.assert_allclose(found, planned, atol=ROUNDING)
    d, e = flows(task, found), task.expert
    np.testing.assert_allclose(state.flow[:H], d, atol=ROUNDING)
    if form == "tv":  # answers the flow extrapolated by its last move
        answer = np.clip(critic + 0.5 * (e - (2 * d - flows(task, policy))), -1, 1)
    else:
        D = 1 / (1 + np.exp(-critic))
        answer = critic + 0.5 * 4 * (e * (1 - D) - d * D) / (e + d)
    np.testing.assert_allclose(state.critic[:H], answer, atol=ROUNDING)

    def objective(new):
        d = flows(task, new)
        price = entropy * np.log(new) + (np.log(new) - np.log(policy)) / rate
        return (d * (reward - price)).sum()

    rng, best = np.random.default_rng(4), objective(found)
    for size in (1e-3, 0.1, 3.0):
        moved = oracles.rows(found * np.exp(size * rng.normal(size=(20, H, S, A))))
        assert all(objective(one) < best for one in moved)
    assert objective(policy) < best


@pytest.mark.parametrize("entropy", [0.0, 0.3])
def test_policy_gradient_step_is_the_slope_of_the_return(x64, entropy):
    task, rate, (policy, critic) = tiny(), 0.8, players()
    settings = {"player": "policy-gradient", "rate": rate, "entropy": entropy, "reward": "logit"}
    state = after_one_step(task, policy, critic, **settings)
    logits, slope, step = np.log(policy), np.zeros((H, S, A)), 1e-5

    def value(logits):
        new = oracles.rows(np.exp(logits))
        gain = oracles.policy_return(task.P, critic, None, task.rho, new, H)
        return gain + entropy * oracles.causal_entropy(task.P, task.rho, new, H)

    for index in np.ndindex(slope.shape):
        shift = np.zeros(slope.shape)
        shift[index] = step
        slope[index] = (value(logits + shift) - value(logits - shift)) / (2 * step)
    # Slopes sum to zero over actions; the step adds them and normalises. Truncation step^2.
    moved = oracles.rows(np.exp(logits + rate * slope))
    assert np.abs(slope).max() > 0.1
    np.testing.assert_allclose(np.exp(state.log_policy[:H]), moved, atol=1e-8)


def objective_gaps(task, config, flow, critic):
    """Duality gap / H of a flow and a critic, and what decides on convergence."""
    e = task.expert

    def best(reward):
        return oracles.hard_plan(task.P, reward, None, H)[1][0] @ task.rho

    if config.divergence == "tv":
        gap = (np.abs(e - flow).sum() - ((e * critic).sum() - best(critic))) / H
        return gap, gap
    limit = 1 / (1 + np.exp(-config.bound))
    top = np.clip(e / np.maximum(e + flow, 1e-300), 1 - limit, limit)  # 0 where nobody goes
    value = (e * np.log(top) + flow * np.log(1 - top)).sum()
    gap = (value - ((e * np.log(critic)).sum() - best(-np.log(1 - critic)))) / H
    return gap, (best(-np.log(1 - top)) - (flow * -np.log(1 - top)).sum()) / H


@pytest.mark.parametrize("divergence", ["js", "tv"])
def test_equilibrium_gap_is_the_smallest_of_the_average_and_the_last_players(x64, divergence):
    """Against hard dynamic programming; never negative, and it shrinks with the steps."""
    found = []
    for count in (5, 40, 320):
        shared = {"divergence": divergence, "num_steps": count, "tolerance": 1e-30}
        every, once = (GAILConfig(check_every=k, **shared) for k in (1, count))
        row = []
        for seed in range(4):
            task = tiny(seed=seed)
            states, *_ = history(task.problem, every, count)
            _, metrics, policy = history(task.problem, once, 1)
            critics = np.asarray(states.critic[:, :H])
            shown = critics if divergence == "tv" else 1 / (1 + np.exp(-critics))
            played = [flows(task, x) for x in np.exp(states.log_policy[:, :H])]
            half = count // 2
            mean = (np.mean(played[half:], axis=0), np.mean(shown[half:], axis=0))
            pairs = (mean, (played[-1], shown[-1]))
            results = [objective_gaps(task, once, *pair) for pair in pairs]
            best = int(np.argmin([own for _, own in results]))
            assert metrics.equilibrium_gap[-1] == pytest.approx(results[best][0], abs=ROUNDING)
            np.testing.assert_allclose(policy[:H], oracles.rows(pairs[best][0]), atol=ROUNDING)
            row.append(results[best][0])
        assert min(row) > -ROUNDING
        found.append(np.mean(row))
    # Averages converge like 1 / steps: eight times the steps, at least half the gap away.
    assert found[0] > 2 * found[1] > 4 * found[2]


def test_steps_keep_the_condition(x64):
    """sigma sum_t |d - d'|^2 / 2 <= sum_t KL_t / rate_t, whatever was asked for; and no less."""
    rng, horizon, tightest = np.random.default_rng(5), 6, 0.0
    bad = np.zeros((2, 2, 2))
    bad[0, 0, 0] = bad[0, 1, 1] = bad[1, :, 1] = 1.0  # a mistake is for ever
    config = GAILConfig(divergence="tv", rate=8.0, discriminator_rate=8.0)
    sizes = step_sizes(config, jnp.int32(horizon), horizon + 1, jnp.float64)
    for early in (False, True, True, True):
        one, other = rng.dirichlet(np.ones(2), (2, horizon, 2))
        if early:  # differ at the first step only, near a coin
            one[0, 0] = [0.5 + 1e-3, 0.5 - 1e-3]
            one[1:] = [1.0 - 1e-9, 1e-9]
            other = one.copy()
            other[0, 0] = 0.5
        d, moved = (
            oracles.occupancy(bad, np.array([1.0, 0.0]), x, horizon)[..., None] * x
            for x in (one, other)
        )
        kl = (d * np.log(one / other)).sum((1, 2))
        left = sizes.critic * ((d - moved) ** 2).sum() / 2
        right = (kl * sizes.price[:horizon]).sum()
        assert left <= right * (1 + 1e-9)
        tightest = max(tightest, left / right)
    assert tightest > 0.9
    given = GAILConfig(divergence="tv", rate=0.3, discriminator_rate=0.5)
    kept = step_sizes(given, jnp.int32(horizon), horizon + 1, jnp.float64)
    np.testing.assert_allclose(1 / kept.price, 0.3, rtol=1e-12)  # was sound: not touched
    np.testing.assert_allclose(kept.critic, 0.5, rtol=1e-12)


@pytest.mark.parametrize("player", ["mirror-descent", "policy-gradient"])
def test_a_sampled_step_of_many_episodes_is_the_exact_step(player):
    """Both as changes of the logits per rate, and the flow of the policy that was played."""
    task, n, rate, (policy, critic) = tiny(np.float32), 100_000, 1e-2, players()
    settings = {"player": player, "reward": "logit", "rate": rate}
    policy = 0.7 * policy + 0.3 / A  # at least a tenth each, so that n visits are thousands
    change = {}
    for rollouts, more in (("exact", {}), ("sampled", {"episodes": n})):
        given = {"rollouts": rollouts, **more, **settings}
        state = after_one_step(task, policy.astype("f"), critic.astype("f"), **given)
        moved = (state.log_policy[:H] - np.log(policy)) / rate
        change[rollouts] = moved - moved.mean(-1, keepdims=True)
    d = flows(task, policy)
    assert np.all(np.abs(state.flow[:H] - d) < 5 * np.sqrt(d / n) + 1 / n)  # state: the sampled
    # Five standard errors, where a return to go spreads by at most half its range. The exact
    # mirror descent differs from the natural gradient by rate / 2 times a variance.
    spread = (critic.max((1, 2)) - critic.min((1, 2)))[::-1].cumsum()[::-1, None, None] / 2
    is_mirror = player == "mirror-descent"
    bound = 5 * spread / np.sqrt(n) * (d**-0.5 if is_mirror else d**0.5) + rate * spread**2 / 2
    error, size = (np.abs(x) for x in (change["exact"] - change["sampled"], change["exact"]))
    assert np.all(error < 2 * bound.max(-1, keepdims=True) + 1e-4)  # 1e-4: float32 over the rate
    assert error.max() < 0.2 * size.max()


@pytest.mark.parametrize("divergence", ["js", "tv"])
def test_sampled_runs_approach_the_exact_one(divergence):
    task, gap = tiny(np.float32), {}
    for rollouts, episodes in (("exact", 1), ("sampled", 8), ("sampled", 4096)):
        config = GAILConfig(
            divergence=divergence,
            rollouts=rollouts,
            num_steps=60,
            rate=0.3,
            discriminator_rate=0.5,
            **(
                {"episodes": episodes}
                if rollouts == "sampled"
                else {"check_every": 1, "tolerance": 1e-30}
            ),
        )
        states, metrics, policy = history(task.problem, config, 60)
        assert imitax.gail(ENV, config).knows_dynamics == (rollouts == "exact")
        own = np.arange(1, 61) * episodes * H * (rollouts == "sampled")
        np.testing.assert_array_equal(metrics.environment_steps, own)
        np.testing.assert_array_equal(metrics.expert_labels, NUM_DEMOS * H)
        gap[episodes] = metrics.equilibrium_gap[-1]
        if rollouts == "exact":  # of the average, as where nobody may look at the gap
            last = jax.tree.map(lambda x: x[-1], states)
            average = flow_policy(last.flow_sum, policy)
            gap[episodes] = gaps(config, task.problem, average, last.critic_sum / 30).plain
    # Noise falls with the root of the number of episodes: 0.04 of that of eight, here 0.02.
    assert abs(gap[4096] - gap[1]) < 0.1 * (gap[8] - gap[1])


COMBINATIONS = [
    {"divergence": divergence, "reward": reward, "inputs": inputs, "player": player, "rollouts": x}
    for divergence, reward in (
        ("js", "softplus"),
        ("js", "log"),
        ("js", "logit"),
        ("tv", "softplus"),
    )
    for inputs, player, x in itertools.product(
        ("tsa", "sa"), ("mirror-descent", "policy-gradient"), ("exact", "sampled")
    )
]


@pytest.mark.parametrize("settings", COMBINATIONS, ids=lambda x: "-".join(x.values()))
def test_every_combination_of_settings_runs(settings):
    """Without jit: 32 programs would take longer to compile."""
    sampled = {"episodes": 4} if settings["rollouts"] == "sampled" else {}
    task, config = tiny(np.float32), GAILConfig(num_steps=3, entropy=0.1, **sampled, **settings)
    algorithm = imitax.gail(ENV, config)
    with jax.disable_jit():
        state = algorithm.init(KEY, task.problem)
        for _ in range(3 // algorithm.stride):
            state, metrics = algorithm.step(KEY, task.problem, state)
        policy = algorithm.policy(task.problem, state).params[:H]
    np.testing.assert_allclose(policy.sum(-1), 1.0, atol=1e-6)
    leaves = [x for x in jax.tree.leaves(state) if x.shape]
    assert all(np.all(np.isfinite(x)) for x in (*leaves, policy, metrics.equilibrium_gap))
    critic = state.critic[:H]
    assert np.abs(critic).max() > 0
    assert np.all(critic == critic[:1]) == (settings["inputs"] == "sa")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"divergence": "tv", "reward": "log"}, "reward=log has no meaning with divergence=tv"),
        ({"bound": 0.0}, r"bound=0\.0 is out of range; allowed: > 0\.0"),
        ({"episodes": 0}, "episodes=0 is out of range; allowed: >= 1"),
        ({"entropy": -0.1}, r"entropy=-0\.1 is out of range; allowed: >= 0\.0"),
        ({"rate": -1.0}, r"rate=-1\.0 is out of range; allowed: >= 0\.0"),
        ({"tolerance": -1.0}, r"tolerance=-1\.0 is out of range; allowed: >= 0\.0"),
        ({"check_every": 0}, "check_every=0 is out of range; allowed: >= 1"),
        ({"player": "ppo"}, r"player=ppo is out of range; allowed: mirror-descent\|policy-grad"),
    ],
)
def test_settings_without_meaning_are_refused(settings, message):
    with pytest.raises(imitax.SpecError, match=f"(gail|GAILConfig): {message}") as caught:
        imitax.gail(ENV, GAILConfig(**settings))
    assert "\n" not in str(caught.value)
