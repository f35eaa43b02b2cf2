"""Trees as one array: the same bits, whatever the leaves."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import Probe

from imitax.networks.normalisation import Normaliser
from imitax.numerics import packing
from imitax.numerics.packing import pack, unpack
from imitax.rl import actor_critic, ppo


class Tree(NamedTuple):
    """Some of everything."""

    matrix: jax.Array
    number: jax.Array
    is_set: jax.Array
    pixels: jax.Array
    half: jax.Array
    key: jax.Array
    nothing: tuple


def tree_of(batch):
    """With numbers that arithmetic would change: NaN with a payload, -0, subnormals, infinity."""
    words = jnp.array([0x7FC12345, 0x80000000, 1, 0x7F800000, 0xFFFFFFFF], jnp.uint32)
    odd = jax.lax.bitcast_convert_type(words, jnp.float32)
    return Tree(
        jnp.tile(odd, (batch, 3, 1)),
        jnp.arange(batch, dtype=jnp.int32) - 7,
        jnp.arange(batch) % 2 == 0,
        jnp.full((batch, 2, 2), 255, jnp.uint8),
        jnp.full(batch, 0.1, jnp.float16),
        jax.random.split(jax.random.key(0), batch),
        (),
    )


def bits(leaf):
    leaf = jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
    return leaf.dtype, leaf.shape, np.asarray(leaf).tobytes()


@pytest.mark.parametrize("batch", [1, 3])
def test_unpacking_gives_the_same_bits(batch):
    tree = tree_of(batch)
    packed = jax.jit(pack)(tree)
    assert packed.words.shape == (batch, 3 * 5 + 1 + 1)
    assert len(packed.others) == 3
    found = jax.jit(unpack)(packed)
    assert jax.tree.structure(found) == jax.tree.structure(tree)
    assert jax.tree.map(bits, found) == jax.tree.map(bits, tree)


def test_a_loop_can_carry_and_stack_it():
    """Unpacked after a scan, leaves have the scan's axis in front."""

    def step(carry, _):
        tree = unpack(carry)
        return pack(tree._replace(number=tree.number + 1, is_set=~tree.is_set)), carry

    start = tree_of(2)
    last, seen = jax.lax.scan(step, pack(start), length=5)
    last, seen = unpack(last), unpack(seen)
    np.testing.assert_array_equal(last.number, start.number + 5)
    np.testing.assert_array_equal(
        seen.number - start.number, np.repeat(np.arange(5)[:, None], 2, 1)
    )
    np.testing.assert_array_equal(last.is_set, [False, True])
    assert seen.matrix.shape == (5, 2, 3, 5)
    assert seen.key.shape == (5, 2)


def test_double_precision_stays_double():
    with jax.enable_x64(True):
        tree = {"wide": jnp.array([0.1, 0.2]), "narrow": jnp.array([1, 2], jnp.int32)}
        found = unpack(pack(tree))
        assert found["wide"].dtype == jnp.float64
        np.testing.assert_array_equal(found["wide"], [0.1, 0.2])
        np.testing.assert_array_equal(found["narrow"], [1, 2])


def test_leaves_that_do_not_fit_alone():
    tree = (jnp.zeros((4, 2), jnp.int8),)
    packed = pack(tree)
    assert packed.words.shape == (4, 0)
    np.testing.assert_array_equal(unpack(packed)[0], tree[0])


@pytest.mark.parametrize("continuous", [False, True])
def test_a_round_is_the_same_packed(monkeypatch, continuous):
    """As on a GPU; on a CPU nothing is packed."""
    env, settings = Probe(continuous=continuous), ppo.PPOSettings(num_envs=4, rollout=32)
    actor = actor_critic.actor(env, (8,))
    key, scaling = jax.random.key(3), Normaliser(jnp.zeros(2), jnp.ones(2))
    player = ppo.start(key, actor, settings, env, env.default_params, scaling)
    where = (env, env.default_params, jnp.int32(9))
    calls = []
    monkeypatch.setattr(packing, "pack", lambda tree: calls.append(1) or pack(tree))
    plain = ppo.collect(key, actor, settings, *where, player)
    assert not calls
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    packed = ppo.collect(key, actor, settings, *where, player)
    assert calls
    assert jax.tree.structure(packed) == jax.tree.structure(plain)
    jax.tree.map(np.testing.assert_array_equal, packed, plain)
    assert plain[1].truncated.any()
