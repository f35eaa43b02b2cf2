"""Seeds over two devices: the example, and meshes whose axes JAX calls explicit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TWO = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}


def run(*words, folder=ROOT):
    """What a process with two devices prints."""
    place = {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, *words],
        env=os.environ | TWO | place,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_shards_the_sweep_of_the_readme():
    from oracles import bc_regret_expected

    lines = (ROOT / "examples" / "shard_seeds.py").read_text().splitlines()
    assert len(lines) <= 40
    numbers, devices = run("examples/shard_seeds.py").split(" on ")
    mean, error = map(float, numbers.split("+-"))
    setting = ("reset-cliff", 21, 5, "dyadic", "dense", "state", "uniform")
    exact = bc_regret_expected(*setting, horizon=32, num_demos=100)
    assert abs(mean - exact) < 5 * error
    assert int(devices) == 2


@pytest.mark.parametrize("what", ["refused", "allowed"])
def test_explicit_axes(what):
    run("-c", f"import test_meshes; test_meshes.{what}()", folder=ROOT / "tests")


def _sweep():
    """A batched experiment, its other arguments, and its answer on one device."""
    import jax
    import jax.numpy as jnp

    import imitax

    env, capacity = imitax.environment("reset-cliff:num_states=4"), imitax.Capacity(4, 5)
    algorithm = imitax.bc(env)

    def one(seed, horizon, num_demos):
        return imitax.experiment(env, algorithm, seed, horizon, num_demos, capacity).regret

    batched, sizes = jax.vmap(one, in_axes=(0, None, None)), (jnp.int32(4), jnp.int32(5))
    return batched, sizes, jax.jit(batched)(jnp.arange(8), *sizes)


def refused():
    """Seeds on explicit axes, by a line that works in their place."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax.sharding import NamedSharding, PartitionSpec

    from imitax.core.errors import SpecError

    batched, sizes, expected = _sweep()
    mesh = jax.make_mesh((2,), ("s",))
    for spec in (PartitionSpec(), PartitionSpec("s")):
        seeds = jax.device_put(jnp.arange(8), NamedSharding(mesh, spec))
        for function in (jax.jit(batched), batched):
            with pytest.raises(SpecError) as caught:
                function(seeds, *sizes)
    with jax.set_mesh(mesh), pytest.raises(SpecError, match="across which JAX batches no loop"):
        jax.jit(batched)(seeds, *sizes)
    told, line = str(caught.value).split("; use ")
    assert told.startswith("pose: the seeds are on a mesh with explicit axes")
    mesh = eval(line, {"jax": jax})
    seeds = jax.device_put(jnp.arange(8), NamedSharding(mesh, PartitionSpec("s")))
    found = jax.jit(batched)(seeds, *sizes)
    assert found.sharding.num_devices == 2
    np.testing.assert_array_equal(found, expected)


def allowed():
    """What JAX can do on explicit axes stays possible."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax.sharding import NamedSharding, PartitionSpec

    batched, sizes, expected = _sweep()
    mesh, over = jax.make_mesh((2,), ("s",)), PartitionSpec("s")
    with jax.set_mesh(mesh):
        np.testing.assert_array_equal(jax.jit(batched)(jnp.arange(8), *sizes), expected)
    seeds, nowhere = jax.device_put(jnp.arange(8), NamedSharding(mesh, over)), PartitionSpec()
    mapped = jax.shard_map(
        batched, mesh=mesh, in_specs=(over, nowhere, nowhere), out_specs=over, check_vma=False
    )
    found = jax.jit(mapped)(seeds, *sizes)
    assert found.sharding.num_devices == 2
    np.testing.assert_array_equal(found, expected)
