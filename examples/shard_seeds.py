"""The README's sweep with its seeds spread over two devices.

    python examples/shard_seeds.py

On a machine with accelerators leave the line with XLA_FLAGS out: it makes two devices of a CPU.
"""

import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import imitax

env, _ = imitax.make("reset-cliff:num_states=21")
capacity = imitax.Capacity(horizon=64, num_demos=100)


def one(seed, horizon, num_demos, config):
    """One seed, start to finish."""
    algorithm = imitax.bc(env, config)
    return imitax.experiment(env, algorithm, seed, horizon, num_demos, capacity).regret


# Automatic axes: JAX cannot batch loops across explicit ones, the default of `jax.make_mesh`.
mesh = jax.make_mesh((2,), ("seed",), axis_types=(AxisType.Auto,))
seeds = jax.device_put(jnp.arange(1000), NamedSharding(mesh, PartitionSpec("seed")))

sweep = jax.jit(jax.vmap(one, in_axes=(0, None, None, None)))
regret = sweep(seeds, jnp.int32(32), jnp.int32(100), imitax.TabularBCConfig())
error = regret.std() / len(regret) ** 0.5
print(f"{regret.mean():.3f} +- {error:.3f} on {regret.sharding.num_devices}")
