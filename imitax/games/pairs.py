"""What the players of a sampled game see: observation and action of both sides.

An episode that ends by itself before the horizon may be followed by an absorbing state, whose pair
is all zeros with a flag: it is drawn with the weight of the steps that it lasts.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from imitax.core.family import Family
from imitax.numerics.draws import below
from imitax.rl.actor_critic import Actor
from imitax.rl.ppo import Rollout

KEPT = 128
"""Pairs of a round that are kept for later ones."""


class Pairs(NamedTuple):
    """Samples as networks see them; B rows."""

    inputs: jax.Array
    """Scaled observations, [B, ...]."""
    action: jax.Array
    """As the actor has them, int32 [B] or [B, D]."""
    absorbed: jax.Array
    """1 for the state after an end, else 0; [B]."""
    next_inputs: jax.Array | None = None
    """After the step, where the reward player asks for them, as for the next two."""
    terminated: jax.Array | None = None
    log_prob: jax.Array | None = None
    """Of the action under the policy that plays now."""


class Expert(NamedTuple):
    """The demonstrations as networks see them: M rows of which the first `size` count."""

    inputs: jax.Array
    """Scaled, [M, ...]."""
    action: jax.Array
    next_inputs: jax.Array | None
    """Of the next row, where the reward player asks for it; an episode's last row is then out."""
    size: jax.Array
    """int32."""
    absorbed: jax.Array
    """Steps after an end, up to the horizon, as a share of all steps."""


def share_after_end(env: Family, horizon: jax.Array, length: jax.Array) -> jax.Array:
    """Share of the expert's steps that follow an end, known up to the sub-sampling factor."""
    every = env.subsample
    is_shown = length > 0
    missing = jnp.maximum(horizon - length * every, 0)
    total = jnp.maximum(jnp.sum(is_shown) * horizon, 1)
    return jnp.sum(jnp.where(is_shown, missing, 0)) / total


class Seen(NamedTuple):
    """The learner's side of a round."""

    rollout: Rollout
    absorbed: jax.Array
    """Steps after an end as a share of all, as in `Expert`."""
    past: Pairs | None
    """Pairs of earlier rounds; None without `replay`."""
    num_past: jax.Array
    """Rows of them that count, int32."""


def expert_pairs(expert: Expert, uniform: jax.Array, kind: jax.Array) -> Pairs:
    """Pairs of the demonstrations from uniform numbers [B], with replacement.

    Args:
        expert: the demonstrations.
        uniform: chooses the row.
        kind: chooses the state after an end where it is below its share; 1 never does.
    """
    index = below(uniform, expert.size)
    later = None if expert.next_inputs is None else expert.next_inputs[index]
    pairs = Pairs(expert.inputs[index], expert.action[index], kind < expert.absorbed, later)
    return after_end(pairs._replace(terminated=jnp.zeros(len(index), bool)))


def learner_pairs(rollout: Rollout, absorbed: jax.Array, uniform, kind: jax.Array) -> Pairs:
    """Pairs of a rollout, as `expert_pairs`."""
    num_envs = rollout.reward.shape[1]
    index = below(uniform, rollout.reward.size)
    rows = jax.tree.map(lambda leaf: leaf[index // num_envs, index % num_envs], rollout)
    return after_end(pairs_of(rows)._replace(absorbed=kind < absorbed))


def draw_pairs(key: jax.Array, settings: Any, expert: Expert, seen: Seen) -> tuple[Pairs, Pairs]:
    """`discriminator_batch` pairs of the demonstrations and as many of the learner."""
    size = settings.discriminator_batch
    uniform = jax.random.uniform(key, (4, size))
    real = expert_pairs(expert, uniform[0], uniform[1])
    fake = learner_pairs(seen.rollout, seen.absorbed, uniform[2], uniform[3])
    if seen.past is None:
        return real, fake
    # The second half of the batch comes from earlier rounds.
    index = below(uniform[2], seen.num_past)
    is_past = (jnp.arange(size) >= size // 2) & (seen.num_past > 0)
    earlier = jax.tree.map(lambda rows: rows[index], seen.past)
    return real, jax.tree.map(lambda x, y: _rows(is_past, x, y), earlier, fake)


def remember(key: jax.Array, seen: Seen) -> tuple[Pairs, jax.Array]:
    """Keep `KEPT` random pairs of a rollout behind the rows of earlier ones."""
    uniform = jax.random.uniform(key, (2, KEPT))
    fake = learner_pairs(seen.rollout, seen.absorbed, uniform[0], uniform[1])

    def write(rows, new):
        return jax.lax.dynamic_update_slice_in_dim(rows, new, seen.num_past, 0)

    return jax.tree.map(write, seen.past, fake), seen.num_past + KEPT


def no_past(actor: Actor, inputs: jax.Array, rounds: int) -> Pairs:
    """Room for the pairs of so many rounds; `inputs` [M, ...] gives the shape of a row."""
    size = rounds * KEPT
    rows = jnp.zeros((size, *inputs.shape[1:]))
    shape = (size,) if actor.discrete else (size, actor.num_actions)
    action = jnp.zeros(shape, jnp.int32 if actor.discrete else jnp.float32)
    zeros = jnp.zeros(size)
    return Pairs(rows, action, zeros, rows, zeros.astype(bool), zeros)


def _rows(chosen: jax.Array, one: jax.Array, other: jax.Array) -> jax.Array:
    return jnp.where(chosen.reshape(-1, *(1,) * (one.ndim - 1)), one, other)


def after_end(pairs: Pairs) -> Pairs:
    """Zeros for observation and action where `absorbed`, which becomes float32."""

    def blank(rows):
        over = pairs.absorbed.reshape(-1, *(1,) * (rows.ndim - 1))
        return jnp.where(over, jnp.zeros_like(rows), rows)

    flag = pairs.absorbed.astype(jnp.float32)
    return pairs._replace(inputs=blank(pairs.inputs), action=blank(pairs.action), absorbed=flag)


def all_pairs(rollout: Rollout) -> Pairs:
    """Every pair of a rollout, T * B rows."""
    return pairs_of(jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), rollout))


def pairs_of(rows: Rollout) -> Pairs:
    """Pairs of a rollout whose time and environment axes are one."""
    none = jnp.zeros(len(rows.inputs))
    later = (rows.next_inputs, rows.terminated, rows.log_prob)
    return Pairs(rows.inputs, rows.action, none, *later)
