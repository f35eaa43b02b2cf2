"""Many devices and blocks of seeds: same random bits, same tables, and no word between devices."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from test_sweep import frame

import imitax
from imitax.bench.plans.plan import Sweep, resolve
from imitax.bench.programs import seed_blocks
from imitax.bench.programs.experiment import Setup as ProgramSetup
from imitax.bench.programs.experiment import experiment
from imitax.bench.programs.program import as_arguments, seed_mesh, sharded

GAME = "num_envs=4,rollout=8,batch_size=16,rounds=2,epochs=1,hidden=8,discriminator_hidden=8"
NETWORKS = [
    "bc:num_steps=3,hidden=8,batch_size=8",
    "dagger:updates_per_round=2,first_updates=2,hidden=8,batch_size=8",
    f"gail:{GAME}",
    f"maxent-irl:policy_updates=1,{GAME}",
]
"""The four algorithms, with networks."""

COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "all-to-all",
    "collective-permute",
    "reduce-scatter",
    "collective-broadcast",
)


def networks(seeds, **options):
    sweep = Sweep.grid(["lane"], NETWORKS, [4], [2], seeds, evaluation_episodes=2, **options)
    return resolve(sweep)


def test_the_networks_are_those_of_the_four_algorithms():
    configs = [group.tasks[0].algorithm.config for group in networks(2).groups]
    assert len(configs) == 4
    assert all(map(seed_blocks.trains_network, configs))


@pytest.mark.parametrize("index", range(4), ids=["bc", "dagger", "gail", "maxent-irl"])
def test_programs_lower_for_tpu_and_cuda_from_any_machine(index):
    group = networks(4).groups[index]
    chosen = group.tasks[0].algorithm
    setup = ProgramSetup(group.env, chosen.factory, group.capacity, 2)
    jitted = sharded(lambda *given: experiment(setup, *given), seed_mesh(1), block=2)
    scalar, seeds = jax.ShapeDtypeStruct((), jnp.int32), jax.ShapeDtypeStruct((4,), jnp.int32)
    made = export.export(jitted, platforms=["tpu", "cuda"])(
        seeds, scalar, scalar, as_arguments(chosen.config)
    )
    assert made.platforms == ("tpu", "cuda")


def posed(num_devices, num_seeds, block, environment="CartPole-v1"):
    """What the first seeds see before they learn."""
    env = imitax.environment(environment)
    chosen = imitax.algorithm("bc", env)
    capacity = imitax.Capacity(horizon=4, num_demos=2)

    def one(seed, horizon, num_demos, config):
        demand = chosen.build(env, config).demand
        instance = imitax.pose(env, seed, horizon, num_demos, capacity, demand)
        start = jax.random.bits(instance.learner_key)
        return jax.random.key_data(instance.learner_key), start, instance.problem.demonstrations

    run = sharded(one, seed_mesh(num_devices), block)
    config = as_arguments(chosen.config)
    return run(np.arange(num_seeds, dtype=np.int32), np.int32(4), np.int32(2), config)


def eight_devices():
    """What needs eight devices; called in a process that has them."""
    assert len(jax.devices()) == 8
    _same_bits()
    _same_tables()
    _no_collectives()


def _same_bits():
    several = posed(8, 256, 16)
    for num_seeds, block in ((1, 1), (7, 7), (256, 256)):
        keys, bits, shown = posed(1, num_seeds, block)
        np.testing.assert_array_equal(keys, several[0][:num_seeds])
        np.testing.assert_array_equal(bits, several[1][:num_seeds])
        # Demonstrations are rollouts of a network: the same episodes, up to rounding.
        for one, other in zip(jax.tree.leaves(shown), jax.tree.leaves(several[2]), strict=True):
            np.testing.assert_allclose(one, other[:num_seeds], rtol=1e-5, atol=1e-6)


def _same_tables():
    specs = (["reset-cliff:num_states=4"], ["bc", "dagger", "gail:num_steps=3"], [3], [2])
    rows = [
        frame(Sweep.grid(*specs, seeds=21, devices=devices, block=block))
        for devices, block in ((1, None), (8, None), (8, 2))
    ]
    assert rows[0].equals(rows[1])
    assert rows[0].equals(rows[2])


def _no_collectives():
    for group in networks(32, block=2).groups:
        program = seed_blocks.build(networks(32, block=2).sweep, group, seed_mesh(8))
        assert (program.width, program.block) == (32, 2)
        text = program.compiled.as_text()
        assert not [word for word in COLLECTIVES if word in text], group.names
        if group.names[0].startswith("bc"):
            config = group.tasks[0].algorithm.config
            alone = seed_blocks.build(networks(32).sweep, group, seed_mesh(1), block=32)
            rows = [each(0, 32, 4, 2, config).row for each in (program, alone)]
            for one, other in zip(*map(jax.tree.leaves, rows), strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    summed = jax.jit(jnp.sum, in_shardings=program.compiled.input_shardings[0][0])
    text = summed.lower(jax.ShapeDtypeStruct((32,), jnp.int32)).compile().as_text()
    assert "all-reduce" in text, "the names of collectives have changed"


@pytest.mark.slow
def test_eight_devices_are_as_one_and_silent():
    done = subprocess.run(
        [sys.executable, "-c", "import test_devices; test_devices.eight_devices()"],
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "8", "JAX_PLATFORMS": "cpu"},
        cwd=os.path.dirname(__file__),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
