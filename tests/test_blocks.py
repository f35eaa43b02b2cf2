"""`imitax.numerics.blocks`: gradients a block of rows at a time, and the memory that they save."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.speed import loads
from benchmarks.speed.workloads import CARTPOLE, Workload
from imitax.bench.programs.program import seed_mesh
from imitax.numerics import blocks

MEGABYTE = 10**6


@pytest.mark.parametrize(
    ("total", "most", "size"),
    [(1, 8, 1), (5, 8, 5), (8, 8, 8), (16, 8, 8), (24, 8, 8), (15, 8, 5), (11, 8, 11), (14, 8, 7),
     (12, 1, 1), (12, 7, 6)],
)  # fmt: skip
def test_blocks_divide_the_rows(total, most, size):
    assert blocks.block_size(total, most) == size


@pytest.mark.parametrize("size", [1, 7, 12, 16, 23])
def test_a_gradient_of_sums_of_means(size):
    """Least squares and a term of the weights alone, against the formula in float64."""
    rng = np.random.default_rng(size)
    x, y, weights = rng.normal(size=(size, 3)), rng.normal(size=size), rng.normal(size=3)

    def fit(weights, x, y):
        return jnp.mean((x @ weights - y) ** 2)

    def size_of_weights(weights, x, y):
        return 0.5 * jnp.sum(weights**2)

    with jax.enable_x64(True):
        rows = (jnp.asarray(x), jnp.asarray(y))
        found = blocks.gradient((fit, size_of_weights), jnp.asarray(weights), rows, most=6)
    wanted = 2.0 * x.T @ (x @ weights - y) / size + weights
    np.testing.assert_allclose(found, wanted, rtol=1e-10)


@pytest.mark.slow
def test_a_seed_of_gail_with_networks_needs_less_than_a_megabyte():
    """By XLA's analysis of the whole experiment; what a further seed adds."""
    if jax.default_backend() != "cpu":
        pytest.skip("the analysis is of the program for a CPU")
    workload = Workload("gail", "", "experiment", CARTPOLE, "gail", 500, 10, 10)
    needed = [loads.load(workload, width, seed_mesh(1), width).device_bytes for width in (4, 8)]
    assert (needed[1] - needed[0]) / 4 <= MEGABYTE
