"""Exact solvers of finite-horizon tabular MDPs, for one instance; vmap gives batches.

Conventions: an episode has `horizon` actions and as many rewards; the return is

    sum over t < horizon of discount^t r(s_t, a_t)  +  discount^(horizon - 1) f(s, a) at the last t

with f the final reward. Tables over time have `max_horizon` rows (static); rows at and after
`horizon` (traced) are zero. Loops run `horizon` times, so a short horizon costs a short time.
Sums over states and actions are written out (`imitax.numerics.sums`), so that on a CPU a seed's
results are the same bits in every batch. Beyond `UNROLLED` successors they are matrix products, at
highest precision: an accelerator's reduced default would spoil an exact result. What is carried
from step to step is float64 (`imitax.tabular.doubles`), and rows of probabilities, of transitions
or of a policy, count as divided by their sum; results have the precision of the tables.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from imitax.core.config import is_concrete
from imitax.numerics.sums import HIGHEST, add_up, rounded, weighted
from imitax.tabular import doubles
from imitax.tabular.doubles import UNROLLED, in_double, normalised, widened


class TabularMDP(NamedTuple):
    """A finite MDP with S states, A actions and F features; K possible successors of each pair.

    Every solver refuses one that is concrete and whose rows are no distributions or whose rewards
    are not finite (`imitax.tabular.checks`); a traced one has no values yet, and is not checked.
    """

    transition: jax.Array
    """[S, A, K] probabilities; K = S where `successor` is None."""
    step_reward: jax.Array | None
    """[S, A], earned at every step; None where the reader may not know it."""
    final_reward: jax.Array | None
    """[S, A], earned in addition at the last step; None for nothing."""
    initial: jax.Array
    """[S] distribution of the first state."""
    features: jax.Array | None = None
    """[S, A, F]; None means the indicator of each (s, a), F = S A."""
    successor: jax.Array | None = None
    """int32 [S, A, K], the states that the K columns stand for; None for dense rows."""


class Plan(NamedTuple):
    """A deterministic optimal policy."""

    policy: jax.Array
    """[T, S, A], one-hot."""
    value: jax.Array
    """[T, S] expected return from (t, s) on, discounted from t on."""


def expect_next(mdp: TabularMDP, value: jax.Array) -> jax.Array:
    """Expectation of a function of the next state: value [S] -> [S, A]."""
    columns = mdp.transition.shape[-1]
    if mdp.successor is not None:
        return weighted(mdp.transition, value[mdp.successor])
    if columns > UNROLLED:
        return jnp.einsum("sak,k->sa", mdp.transition, value, precision=HIGHEST)
    return add_up([rounded(mdp.transition[..., k] * value[k]) for k in range(columns)])


def push(mdp: TabularMDP, flow: jax.Array) -> jax.Array:
    """Distribution of the next state from a distribution over pairs: flow [S, A] -> [S]."""
    num_states, num_actions = flow.shape
    if mdp.successor is not None:
        mass = rounded(mdp.transition * flow[..., None])
        return jnp.zeros_like(mdp.initial).at[mdp.successor].add(mass)
    if num_states * num_actions > 4 * UNROLLED:
        return jnp.einsum("sak,sa->k", mdp.transition, flow, precision=HIGHEST)
    pairs = [(s, a) for s in range(num_states) for a in range(num_actions)]
    return add_up([rounded(mdp.transition[s, a] * flow[s, a]) for s, a in pairs])


def at(table: jax.Array, time: jax.Array) -> jax.Array:
    """The row [S, A] of a table [T, S, A], or the table itself if it is [S, A]."""
    return table if table.ndim == 2 else table[time]


def put(table: jax.Array, time: jax.Array, row: jax.Array) -> jax.Array:
    """The table with one row replaced; a slice update, which loops do in place."""
    return jax.lax.dynamic_update_index_in_dim(table, row, time, 0)


def over_time(horizon, body, start):
    """`body(i, carry)` for i < horizon with int32 i, whatever the default of the context."""
    return jax.lax.fori_loop(jnp.int32(0), jnp.asarray(horizon).astype(jnp.int32), body, start)


def num_actions(mdp: TabularMDP) -> int:
    """Number of actions A."""
    return mdp.transition.shape[1]


def rewards_at(mdp: TabularMDP, time: jax.Array, horizon: jax.Array) -> jax.Array:
    """The true reward [S, A] of one time step.

    Raises:
        ValueError: the MDP carries no reward, as in a learner's `Problem`.
    """
    if mdp.step_reward is None:
        raise ValueError("this MDP carries no reward: learners see reward-free parameters")
    if mdp.final_reward is None:
        return mdp.step_reward
    last = (time == horizon - 1).astype(mdp.step_reward.dtype)
    return mdp.step_reward + last * mdp.final_reward


@in_double
def optimal_plan(
    mdp: TabularMDP,
    horizon: jax.Array,
    max_horizon: int,
    *,
    discount: jax.Array | float = 1.0,
    reward: jax.Array | None = None,
) -> Plan:
    """Finite-horizon value iteration; ties go to the first action.

        Q_t(s,a) = r_t(s,a) + discount sum_s' P(s'|s,a) V_{t+1}(s'),   V_t(s) = max_a Q_t(s,a)

    Args:
        mdp: dynamics and rewards.
        horizon: number of actions, int, at most `max_horizon`.
        max_horizon: number of rows T of the tables, static.
        discount: in [0, 1].
        reward: another reward to plan for, [S, A] or [T, S, A]; None for the MDP's own.

    Returns:
        Policy [T, S, A] and values [T, S].
    """
    shape, dtype = (max_horizon, *mdp.transition.shape[:2]), mdp.transition.dtype
    reward, discount = widened((reward, discount), dtype)
    dynamics = doubles.dynamics(mdp)

    def backward(i, carry):
        time = horizon - 1 - i
        relative, offset, policy, values = carry
        earned = at(reward, time) if reward is not None else rewards_at(dynamics.mdp, time, horizon)
        # Relative to the discounted value of the state itself; see `imitax.tabular.soft`.
        action_value = earned + rounded(discount * doubles.expect_change(dynamics, relative))
        top = jnp.max(action_value, axis=-1)
        is_top = (action_value == top[:, None]).astype(dtype)
        greedy = jax.nn.one_hot(jax.lax.argmax(is_top, 1, jnp.int32), shape[2], dtype=dtype)
        value = rounded(discount * relative) + top
        highest = jnp.max(value)
        relative, offset = value - highest, rounded(discount * offset) + highest
        values = put(values, time, (relative + offset).astype(dtype))
        return relative, offset, put(policy, time, greedy), values

    relative, offset = jnp.zeros(shape[1]), jnp.zeros(())
    start = (relative, offset, jnp.zeros(shape, dtype), jnp.zeros(shape[:2], dtype))
    _, _, policy, values = over_time(horizon, backward, start)
    return Plan(policy, values)


def flow_of(distribution: jax.Array, policy: jax.Array, time: jax.Array) -> jax.Array:
    """Distribution over pairs, float64 [S, A], of one over states and a policy's rows."""
    return distribution[:, None] * normalised(at(policy, time))


@in_double
def occupancy(
    mdp: TabularMDP, policy: jax.Array, horizon: jax.Array, max_horizon: int
) -> jax.Array:
    """Distribution over states at each time step.

        d_0 = initial,   d_{t+1}(s') = sum_{s,a} d_t(s) pi_t(a|s) P(s'|s,a)

    Args:
        mdp: dynamics.
        policy: [T, S, A] or [S, A].
        horizon: number of actions.
        max_horizon: number of rows T, static.

    Returns:
        [T, S]; rows at and after `horizon` are zero.
    """
    dynamics, dtype = doubles.dynamics(mdp), mdp.transition.dtype

    def forward(time, carry):
        distribution, rows = carry
        rows = put(rows, time, distribution.astype(dtype))
        return doubles.push(dynamics, flow_of(distribution, policy, time)), rows

    rows = jnp.zeros((max_horizon, mdp.initial.shape[0]), dtype)
    return over_time(horizon, forward, (dynamics.mdp.initial, rows))[1]


def flows(mdp: TabularMDP, policy: jax.Array, horizon: jax.Array, max_horizon: int) -> jax.Array:
    """Distribution over pairs at each time step, d_t(s) pi_t(a|s); see `occupancy`.

    Returns:
        [T, S, A]; rows at and after `horizon` are zero.
    """
    return occupancy(mdp, policy, horizon, max_horizon)[..., None] * policy


def _gathered(
    dynamics: doubles.Dynamics,
    tables: tuple[jax.Array, ...],
    horizon: jax.Array,
    discount: jax.Array | float,
    at_step: Callable[[jax.Array, jax.Array, jax.Array], Any],
) -> Any:
    """What K policies gather while they run, sum over t of discount^t `at_step`, in float64.

    Args:
        dynamics: of the MDP.
        tables: K policies, [T, S, A] or [S, A].
        horizon: number of actions.
        discount: float64.
        at_step: `(time, distributions [K, S], flows [K, S, A]) -> pytree`.
    """

    def forward(time, carry):
        distributions, weight, gathered = carry
        rows = jnp.stack([at(table, time) for table in tables])
        flow = distributions[..., None] * normalised(rows)
        found = at_step(time, distributions, flow)
        gathered = jax.tree.map(lambda total, new: total + rounded(weight * new), gathered, found)
        after = jax.vmap(lambda one: doubles.push(dynamics, one))(flow)
        return after, weight * discount, gathered

    first = jnp.stack([dynamics.mdp.initial] * len(tables))
    empty = jnp.zeros((*first.shape, tables[0].shape[-1]))
    shapes = jax.eval_shape(at_step, jnp.int32(0), first, empty)
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return over_time(horizon, forward, (first, jnp.ones(()), nothing))[2]


def _earned(dynamics: doubles.Dynamics, horizon: jax.Array) -> Callable[..., jax.Array]:
    """The `at_step` of expected rewards, [K]."""

    def at_step(time, distributions, flows):
        del distributions
        rewards = rewards_at(dynamics.mdp, time, horizon).ravel()
        return weighted(flows.reshape(len(flows), -1), rewards)

    return at_step


@in_double
def expected_return(
    mdp: TabularMDP, policy: jax.Array, horizon: jax.Array, *, discount: jax.Array | float = 1.0
) -> jax.Array:
    """Exact expected return of a policy, [T, S, A] or [S, A]; see the head of the file."""
    dynamics, discount = doubles.dynamics(mdp), widened(discount, mdp.transition.dtype)
    earned = _gathered(dynamics, (policy,), horizon, discount, _earned(dynamics, horizon))
    return earned[0].astype(mdp.transition.dtype)


def regret(
    mdp: TabularMDP,
    expert: jax.Array,
    policy: jax.Array,
    horizon: jax.Array | int,
    *,
    discount: jax.Array | float = 1.0,
    max_horizon: int | None = None,
) -> jax.Array:
    """Exact regret J(expert) - J(policy), by the performance difference lemma.

        regret = sum_t discount^t sum_s d_t^pi(s) gap_t(s)

    with the gaps of `_advantage_gaps` (Kakade and Langford 2002). A difference of returns would
    lose a regret of 1e-3 on a return of 128 in float32.

    Args:
        mdp: dynamics and rewards.
        expert: [T, S, A] or [S, A].
        policy: [T, S, A] or [S, A].
        horizon: number of actions, at most T where a table has a time axis.
        discount: in [0, 1].
        max_horizon: static bound on `horizon`; needed where both tables are the same at every
            step and `horizon` is traced.

    Returns:
        Scalar, in units of the reward.

    Raises:
        ValueError: nothing bounds the horizon statically.
    """
    return _compared(mdp, expert, (policy,), horizon, discount, max_horizon)[0]


def judged(
    mdp: TabularMDP,
    expert: jax.Array,
    policy: jax.Array,
    horizon: jax.Array | int,
    *,
    discount: jax.Array | float = 1.0,
    max_horizon: int | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`regret` with the expected returns of policy and expert, in one pass; arguments as there."""
    lost, earned = _compared(mdp, expert, (policy, expert), horizon, discount, max_horizon)
    return lost, earned[0], earned[1]


@in_double
def _compared(mdp, expert, tables, horizon, discount, max_horizon):
    """The regret of the first of K policies and, where there are several, their returns [K]."""
    chex.assert_equal_shape_suffix([expert, *tables, mdp.transition[..., 0]], 2)
    rows = [table.shape[0] for table in (expert, *tables) if table.ndim == 3]
    bound = max_horizon or (rows[0] if rows else _concrete(horizon))
    horizon = jnp.asarray(horizon).astype(jnp.int32)
    dynamics, discount = doubles.dynamics(mdp), widened(discount, mdp.transition.dtype)
    gaps = _advantage_gaps(dynamics, expert, tables[0], horizon, bound, discount)
    earned = _earned(dynamics, horizon)

    def at_step(time, distributions, flows):
        lost = weighted(distributions[0], gaps[time])
        return lost, earned(time, distributions, flows) if len(tables) > 1 else None

    found = _gathered(dynamics, tables, horizon, discount, at_step)
    return jax.tree.map(lambda leaf: leaf.astype(mdp.transition.dtype), found)


def _advantage_gaps(
    dynamics: doubles.Dynamics,
    expert: jax.Array,
    policy: jax.Array,
    horizon: jax.Array,
    max_horizon: int,
    discount: jax.Array | float,
) -> jax.Array:
    """What one step of the policy loses against the expert, who continues in both cases.

        gap_t(s) = sum_a (pi^E_t - pi_t)(a|s) Q^E_t(s,a)

    Values are carried relative to their maximum and enter as differences between a state and its
    successors, so that rounding is relative to how much states differ and not to the return
    itself. The gap of the expert is exactly zero.

    Returns:
        float64 [T, S] with T = `max_horizon`; rows at and after `horizon` are zero.
    """

    def backward(i, carry):
        time = horizon - 1 - i
        relative, gaps = carry
        earned = rewards_at(dynamics.mdp, time, horizon)
        advantage = earned + rounded(discount * doubles.expect_change(dynamics, relative))
        expert_now, now = (normalised(at(table, time)) for table in (expert, policy))
        gain = weighted(jnp.broadcast_to(expert_now, advantage.shape), advantage)
        gap = weighted(expert_now - now, advantage - gain[:, None])
        value = gain + rounded(discount * relative)
        return value - jnp.max(value), put(gaps, time, gap)

    num_states = dynamics.mdp.initial.shape[0]
    start = (jnp.zeros(num_states), jnp.zeros((max_horizon, num_states)))
    return over_time(horizon, backward, start)[1]


def _concrete(horizon: jax.Array | int) -> int:
    if not is_concrete(horizon):
        raise ValueError("the horizon is traced and both policies are stationary: give max_horizon")
    return int(horizon)
