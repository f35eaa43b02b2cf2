"""AIRL: its logit, its loss and what it recovers."""

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from game_oracles import airl_logit, categorical, cross_entropy, forward, gradient_penalty
from probes import Probe, clone_problem, layers

import imitax
from imitax.algorithms.adversarial.airl import AIRLConfig
from imitax.bench.plans.plan import Sweep, resolve
from imitax.core.errors import SpecError
from imitax.core.types import Capacity
from imitax.games import critic as critics
from imitax.games import shaped_player
from imitax.games.pairs import Expert, Pairs, Seen
from imitax.networks.mlp import MLP
from imitax.numerics import blocks
from imitax.rl.actor_critic import actor
from imitax.rl.ppo import Rollout

ENV = Probe()
ACTOR = actor(ENV, (8,))
TINY = {
    "num_envs": 4,
    "rollout": 8,
    "batch_size": 16,
    "rounds": 2,
    "epochs": 1,
    "hidden": (8,),
    "discriminator_hidden": (6,),
    "discriminator_batch": 64,
    "discriminator_steps": 2,
}


def config(**changes):
    return AIRLConfig(**(TINY | changes))


def pairs_of(seed, size=24, absorbed=0.25):
    rng = np.random.default_rng(seed)
    flag = rng.random(size) < absorbed
    x, later = rng.normal(size=(2, size, 2))
    action = np.where(flag, 0, rng.integers(2, size=size))
    x[flag] = 0.0
    rest = (1.0 * flag, later, rng.random(size) < 0.3, np.log(rng.uniform(0.05, 1.0, size)))
    return Pairs(jnp.asarray(x), jnp.asarray(action), *map(jnp.asarray, rest))


@functools.cache
def nets(inputs="state-action", absorbing=True, seed=0):
    """Critic and potential with weights of order one."""
    own = config(inputs=inputs, absorbing=absorbing)
    player = shaped_player.shaped_player(ENV, own)
    expert = Expert(jnp.zeros((4, 2)), jnp.zeros(4, jnp.int32), None, jnp.int32(4), jnp.float32(0))
    state, rng = player.start(jax.random.key(seed), ACTOR, expert), np.random.default_rng(seed)
    weights = jax.tree.map(lambda x: jnp.float32(rng.normal(size=x.shape)), state[:2])
    return player, state._replace(reward=weights[0], potential=weights[1])


def parts_by_hand(state, pairs, inputs="state-action", absorbing=True):
    """g, h and h' from hand-written networks."""
    x, action = np.asarray(pairs.inputs), np.eye(2)[np.asarray(pairs.action)]
    rows = [x, np.asarray(pairs.absorbed)[:, None]] if absorbing else [x]
    rows += [action] if inputs == "state-action" else []
    rows = np.concatenate(rows, axis=-1)
    g = forward(layers(state.reward), rows)[:, 0]
    here = forward(layers(state.potential), x)[:, 0]
    return rows, g, here, forward(layers(state.potential), pairs.next_inputs)[:, 0]


def logit_by_hand(state, pairs, discount, **which):
    """The state after an end has potential 0 and one action, so there f - log pi is g."""
    _, g, here, later = parts_by_hand(state, pairs, **which)
    played = airl_logit(
        g, here, later, np.asarray(pairs.terminated), np.asarray(pairs.log_prob), discount
    )
    return np.where(np.asarray(pairs.absorbed) > 0, g, played)


@pytest.mark.parametrize("inputs", ["state", "state-action"])
def test_the_policy_earns_the_logit_and_what_is_recovered_is_free_of_shaping(inputs):
    player, state = nets(inputs)
    pairs = pairs_of(1)
    found = player.reward(state, ACTOR, pairs)
    wanted = logit_by_hand(state, pairs, 0.99, inputs=inputs)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    recovered = player.recovered(state, ACTOR, pairs)
    g = parts_by_hand(state, pairs, inputs)[1]
    np.testing.assert_allclose(recovered, g, rtol=1e-4, atol=1e-4)
    other = state._replace(potential=jax.tree.map(lambda x: x + 1.0, state.potential))
    np.testing.assert_array_equal(player.recovered(other, ACTOR, pairs), recovered)
    assert np.abs(player.reward(other, ACTOR, pairs) - found).max() > 0.1
    turned = player.recovered(state, ACTOR, pairs._replace(action=1 - pairs.action))
    assert (np.abs(turned - recovered).max() < 1e-6) == (inputs == "state")


def test_shaping_telescopes():
    """Along an episode that ends by itself, discounted shaping adds up to -h(s_0)."""
    player, state = nets("state", absorbing=False)
    states = np.random.default_rng(2).normal(size=(7, 2))
    zeros = jnp.zeros(6)
    terminated = jnp.arange(6) == 5
    pairs = Pairs(
        jnp.float32(states[:-1]),
        zeros.astype(int),
        zeros,
        jnp.float32(states[1:]),
        terminated,
        zeros,
    )
    shaping = player.reward(state, ACTOR, pairs) - player.recovered(state, ACTOR, pairs)
    first = forward(layers(state.potential), states[:1])[0, 0]
    np.testing.assert_allclose((0.99 ** np.arange(6)) @ np.asarray(shaping), -first, rtol=1e-4)


def test_loss():
    own = types.SimpleNamespace(
        discount=0.9, penalty=2.0, penalty_target=0.3, entropy_bonus=0.1, inputs="state-action"
    )
    _, state = nets()
    real, fake = pairs_of(3), pairs_of(4)
    mix = np.random.default_rng(5).random(24)
    chosen = config(inputs="state-action", absorbing=True)
    critic = critics.critic(ACTOR, chosen, "jensen-shannon", absorbing=True)
    potential = MLP(chosen.discriminator_hidden, 1)
    with jax.enable_x64(True):
        weights = jax.tree.map(jnp.float64, state[:2])
        rows = (real, fake, jnp.asarray(mix))
        summands = shaped_player.losses(critic, potential, own)
        found = sum(one(weights, *rows) for one in summands)
        slope = blocks.gradient(summands, weights, rows, most=6)
        whole = jax.grad(lambda nets: sum(one(nets, *rows) for one in summands))(weights)
    logits = [logit_by_hand(state, one, 0.9) for one in (real, fake)]
    rows = [parts_by_hand(state, one)[0] for one in (real, fake)]
    penalty = gradient_penalty(
        lambda x: forward(layers(state.reward), x)[:, 0], *rows, mix, own.penalty_target
    )
    wanted = cross_entropy(*logits, own.entropy_bonus) + own.penalty * penalty
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    for one, other in zip(*map(jax.tree.leaves, (slope, whole)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


# --- the player --------------------------------------------------------------------------------


def still_round(seed, log_prob=None):
    """A rollout in one state: the policy's own actions and their probabilities."""
    weights = ACTOR.init(jax.random.key(seed), jnp.zeros((1, 2)))
    # A policy that plays 1 with probability 0.6.
    last = weights.policy["params"]["Dense_1"]
    bias = jnp.log(jnp.array([0.4, 0.6]))
    dense = weights.policy["params"] | {"Dense_1": last | {"bias": bias}}
    weights = weights._replace(policy={"params": dense})
    obs = jnp.zeros((10, 10, 2))
    action = jnp.int32(np.arange(100).reshape(10, 10) % 10 < 6)
    outputs = ACTOR.outputs(weights, obs)
    own = ACTOR.log_prob(outputs, action) if log_prob is None else log_prob
    none = jnp.zeros((10, 10))
    over = none.astype(bool)
    return weights, Rollout(obs, obs, action, own, none * jnp.nan, over, over, none)


def test_the_best_shaped_reward_is_the_expert_log_probability():
    """With equal state distributions the optimum of f is log pi_expert (Fu et al., section 3)."""
    own = config(
        inputs="state-action",
        penalty=0.0,
        discriminator_rate=0.01,
        discriminator_steps=800,
        discriminator_batch=256,
    )
    player = shaped_player.shaped_player(ENV, own)
    weights, rollout = still_round(0)
    action = jnp.int32(np.arange(20) < 16)  # the expert plays 1 with probability 0.8
    expert = Expert(jnp.zeros((20, 2)), action, jnp.zeros((20, 2)), jnp.int32(20), jnp.float32(0))
    state = player.start(jax.random.key(1), ACTOR, expert)
    seen = Seen(rollout, jnp.float32(0.0), None, jnp.int32(0))
    respond = jax.jit(lambda key, state: player.respond(key, ACTOR, weights, state, expert, seen))
    state = respond(jax.random.key(2), state)
    zeros = jnp.zeros((2, 2))
    each = Pairs(zeros, jnp.arange(2), zeros[0], zeros, zeros[0].astype(bool), zeros[0])
    f = player.reward(state, ACTOR, each)  # where log pi is 0
    np.testing.assert_allclose(f, np.log([0.2, 0.8]), atol=0.15)
    log_pi = categorical(np.log([[0.4, 0.6], [0.4, 0.6]]), np.arange(2))[0]
    own_pairs = each._replace(log_prob=jnp.float32(log_pi))
    logit = player.reward(state, ACTOR, own_pairs)
    np.testing.assert_allclose(logit, np.log([0.2 / 0.4, 0.8 / 0.6]), atol=0.15)


def test_pairs_of_earlier_rounds_have_the_probability_under_the_policy_that_plays_now():
    """As `Pairs.log_prob` says: what an earlier policy thought of them is of no account."""
    own = config(replay=True)
    player = shaped_player.shaped_player(ENV, own)
    weights, rollout = still_round(0)
    expert = Expert(
        jnp.ones((4, 2)), jnp.ones(4, int), jnp.ones((4, 2)), jnp.int32(4), jnp.float32(0)
    )
    state = player.start(jax.random.key(1), ACTOR, expert)

    @jax.jit
    def answer(stale):
        rows = jnp.full((128, 2), 0.5)
        none = jnp.zeros(128)
        past = Pairs(rows, none.astype(jnp.int32), none, rows, none.astype(bool), none + stale)
        seen = Seen(rollout, jnp.float32(0.0), past, jnp.int32(128))
        return player.respond(jax.random.key(2), ACTOR, weights, state, expert, seen)

    for x, y in zip(*(jax.tree.leaves(answer(stale)) for stale in (0.0, -7.0)), strict=True):
        np.testing.assert_array_equal(x, y)


def test_demonstrated_successors_are_of_the_same_episode():
    """The last row of an episode has none, and is out."""
    problem = clone_problem(horizon=5, num_demos=3)
    length = jnp.array([5, 2, 0])
    problem = types.SimpleNamespace(
        **{name: getattr(problem, name) for name in problem.__dataclass_fields__}
    )
    problem.demonstrations = problem.demonstrations._replace(length=length)
    state = jax.jit(lambda: imitax.airl(ENV, config()).init(jax.random.key(0), problem))()
    scaling, expert = state.player.scaling, state.expert
    here, later = (
        np.asarray(x) * scaling.scale + scaling.mean for x in (expert.inputs, expert.next_inputs)
    )
    assert expert.size == 4 + 1
    obs = np.asarray(problem.demonstrations.obs)
    np.testing.assert_allclose(here[:5], [*obs[0, :4], obs[1, 0]], atol=1e-5)
    np.testing.assert_allclose(later[:5], [*obs[0, 1:], obs[1, 1]], atol=1e-5)


@pytest.mark.parametrize("every", [2, 10])
def test_subsampled_demonstrations_are_refused(every):
    with pytest.raises(SpecError, match=rf"airl: subsample={every} takes away the successors"):
        imitax.airl(Probe(subsample=every), config())
    imitax.airl(Probe(subsample=1), config())


# --- episodes of one step have no successors ---------------------------------------------------


def test_horizons_of_one_step_are_refused_where_they_are_known():
    """By a sweep, by `pose`, and by `pose` within a trace from its static capacity."""
    told = "episodes of 1 step hold none of the successors .*; give episodes of 2 steps or more"
    for horizons in ([1], [4, 1]):
        with pytest.raises(SpecError, match=f"airl:rounds=2: {told}"):
            resolve(Sweep.grid(["lane"], ["airl:rounds=2"], horizons, [2], 1))
    resolve(Sweep.grid(["lane"], ["airl:rounds=2"], [2], [2], 1))
    resolve(Sweep.grid(["lane"], ["gail:rounds=2"], [1], [2], 1))
    env = imitax.make("lane")[0]
    demand = imitax.airl(env, config()).demand

    def pose(horizon, capacity, demand=demand):
        return imitax.pose(env, 0, horizon, 2, Capacity(capacity, 2), demand).problem.num_demos

    for one in (1, np.int32(1), jnp.int32(1)):
        with pytest.raises(SpecError, match=f"pose: {told}"):
            pose(one, 4)
    with pytest.raises(SpecError, match=f"pose: {told}"):
        jax.eval_shape(functools.partial(pose, capacity=1), jnp.int32(1))
    jax.eval_shape(functools.partial(pose, capacity=2), jnp.int32(1))
    jax.eval_shape(lambda: pose(1, 1, imitax.gail(env).demand))


@pytest.mark.parametrize("settings", [{}, {"replay": True, "absorbing": True, "warm_start": 2}])
def test_what_only_a_trace_knows_to_have_no_successor_is_no_number(settings):
    """Never a policy that has learned from padding: the row says `diverged`."""
    algorithm = imitax.airl(ENV, config(**settings))

    @jax.jit
    def trained(horizon, length):
        task = dataclasses.replace(clone_problem(horizon=4, num_demos=3), horizon=horizon)
        shown = task.demonstrations._replace(length=length)
        task = dataclasses.replace(task, demonstrations=shown)
        state = imitax.train(jax.random.key(0), algorithm, task).state
        return jax.tree.leaves(algorithm.policy(task, state).params)

    def finite(*length):
        leaves = trained(jnp.int32(max(length)), jnp.array(length, jnp.int32))
        return all(np.isfinite(leaf).all() for leaf in leaves)

    assert not finite(1, 1, 1)
    assert not finite(1, 0, 0)
    assert finite(1, 2, 0)
    assert finite(4, 4, 4)
