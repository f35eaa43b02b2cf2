"""What a device reaches at best, here and now: a large matrix product and a large copy.

Every device of the mesh does its own, at the same time. A CPU device may use the threads of other
cores for a product this large, also where there is only one device.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from imitax.bench.programs.program import AXIS


class Size(NamedTuple):
    """How large: a product of n x n matrices, a copy of so many MiB, runs of each."""

    product: int
    copy: int
    runs: int


def size_of(platform: str, *, quick: bool) -> Size:
    """Sizes for a kind of device, per device."""
    if quick:
        return Size(128, 4, 2)
    return Size(2048, 512, 3) if platform == "cpu" else Size(8192, 1024, 5)


def reference(mesh: Mesh, size: Size) -> Callable[[], dict[str, Any]]:
    """Compile the reference programs; the result runs them and says what they reached.

    Returns:
        A function without arguments: operations per second of products in float32 at highest and
        at default precision, bytes read and written per second by a copy, each over all devices.
    """
    sharding = NamedSharding(mesh, P(AXIS))
    n, words = size.product, size.copy * 2**20 // 4
    operations, moved = mesh.size * 2 * n**3, mesh.size * 2 * 4 * words

    def make(function, shape):
        mapped = jax.shard_map(
            function, mesh=mesh, in_specs=P(AXIS), out_specs=P(AXIS), check_vma=False
        )
        full = (mesh.size, *shape)
        block = jax.jit(lambda: jnp.full(full, 0.5), out_shardings=sharding)
        return jax.jit(mapped).lower(jax.ShapeDtypeStruct(full, jnp.float32)).compile(), block

    def product(precision):
        return make(lambda x: jnp.matmul(x, x, precision=precision), (n, n))

    programs = {
        "highest_flops": (*product("highest"), operations),
        "default_flops": (*product("default"), operations),
        "copy_bytes": (*make(jnp.negative, (words,)), moved),
    }

    def measure() -> dict[str, Any]:
        found = {}
        for name, (program, block, amount) in programs.items():
            data = jax.block_until_ready(block())
            jax.block_until_ready(program(data))
            found[name] = [amount / _seconds(program, data) for _ in range(size.runs)]
        return found

    return measure


def reached(*rounds: dict[str, list[float]]) -> dict[str, float]:
    """Medians over several measurements."""
    return {
        name: statistics.median([value for found in rounds for value in found[name]])
        for name in rounds[0]
    }


def _seconds(program: Any, data: jax.Array) -> float:
    started = time.perf_counter()
    jax.block_until_ready(program(data))
    return time.perf_counter() - started
