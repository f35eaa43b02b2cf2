"""Orders without a sort are permutations, mix, and give every epoch each sample once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imitax.networks.dataset import draw_next
from imitax.numerics.permutations import placed

KEYS = jax.random.split(jax.random.key(3), 400)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 31, 64, 100, 5000])
def test_the_positions_of_any_size_are_a_permutation(size):
    order = jax.jit(jax.vmap(lambda key, n: placed(key, jnp.arange(size), n), (0, None)))
    orders = np.asarray(order(KEYS[:50], jnp.int32(size)))
    np.testing.assert_array_equal(np.sort(orders, axis=-1), np.tile(np.arange(size), (50, 1)))
    if size >= 31:
        assert len({tuple(row) for row in orders.tolist()}) == 50


def test_the_first_batch_is_spread_over_all_samples():
    """Batch means scatter as those of drawing without replacement, and differences are even."""
    size, batch = 5000, 64
    rows = np.asarray(jax.vmap(lambda key: placed(key, jnp.arange(batch), jnp.int32(size)))(KEYS))
    wanted = np.sqrt((size**2 - 1) / 12 / batch * (1 - batch / size))
    assert rows.mean(1).std() == pytest.approx(wanted, rel=0.15)
    counts = np.histogram(np.diff(rows, axis=1) % size, 20, (0, size))[0]
    expected = counts.mean()
    assert ((counts - expected) ** 2 / expected).sum() < 60.0  # 19 degrees of freedom


@pytest.mark.parametrize("size", [70, 128, 200])
def test_an_epoch_holds_each_sample_at_most_once_and_ends_with_a_whole_batch(size):
    batch, per_epoch = 64, size // 64
    steps = jnp.arange(3 * per_epoch)
    draw = jax.vmap(lambda step: draw_next(KEYS[0], step, jnp.int32(size), batch))
    rows = np.asarray(draw(steps)).reshape(3, per_epoch * batch)
    for epoch in rows:
        assert len(set(epoch.tolist())) == per_epoch * batch
        assert epoch.min() >= 0
        assert epoch.max() < size
    assert not np.array_equal(rows[0], rows[1])


def test_fewer_samples_than_a_batch_come_again():
    rows = np.asarray(draw_next(KEYS[0], jnp.int32(0), jnp.int32(3), 8))
    assert set(rows.tolist()) == {0, 1, 2}


def test_an_order_does_not_depend_on_the_buffer():
    """The positions are all there is: as many as asked for, each on its own."""
    whole = placed(KEYS[1], jnp.arange(300), jnp.int32(300))
    np.testing.assert_array_equal(placed(KEYS[1], jnp.arange(7), jnp.int32(300)), whole[:7])
