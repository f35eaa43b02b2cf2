"""A tabular environment as data: a small program draws the instances that a large one is given.

What differs between tabular environments of the same size is how a seed's instance is drawn. So a
program of seeds is built for `AnyTabular`, serves every environment of these shapes, and takes as
arguments what the environment's own program drew: the keys of each seed, its MDP and its expert's
table. An MDP that no seed changes is passed once and shared by the batch.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from imitax.core import keys
from imitax.core.family import Family
from imitax.core.types import Capacity, Demand
from imitax.envs.tabular import Drawn, TabularFamily, params_of, stand_in
from imitax.tasks.pose import Instance, posed

LARGEST = 2**28
"""Bytes of instances that are drawn for a device at once."""


class Places(NamedTuple):
    """Where a seed is judged, and where its demonstrations come from."""

    own: Drawn
    source: Drawn | None
    """None for the same."""


class Seeds(NamedTuple):
    """What a program is given of its seeds; all leaves have an axis of seeds."""

    keys: jax.Array
    """uint32 [purposes, 2], the data of `imitax.core.keys.Keys`."""
    places: Places | None
    """None where all seeds share them."""


def draw(
    env: TabularFamily, max_horizon: int, seed: jax.Array, horizon: jax.Array, num_demos: jax.Array
) -> tuple[jax.Array, Places]:
    """The key data of a seed, and its instance.

    Args:
        env: that has a stand-in.
        max_horizon: static.
        seed: int32 scalar.
        horizon: int32 scalar.
        num_demos: int32 scalar.
    """
    own = keys.seed_keys(env.family, seed)
    data = jax.random.key_data(jnp.stack(own))
    sizes = horizon, num_demos, max_horizon
    source = None if env.source is env else env.source.draw(own.instance, *sizes)
    return data, Places(env.draw(own.instance, *sizes), source)


def drawing(env: TabularFamily, max_horizon: int, mesh: Mesh, axis: str) -> Any:
    """The jitted program `(seeds, horizon, num_demos) -> (Seeds, Places | None)`.

    Args:
        env: that has a stand-in.
        max_horizon: static.
        mesh: whose devices share the seeds.
        axis: its name in the mesh.
    """
    one = functools.partial(draw, env, max_horizon)

    def run(seeds, horizon, num_demos):
        data, places = jax.vmap(one, in_axes=(0, None, None))(seeds, horizon, num_demos)
        if env.varies:
            return Seeds(data, places), None
        return Seeds(data, None), one(seeds[0], horizon, num_demos)[1]

    each, all_alike = P(axis), P()
    mapped = jax.shard_map(
        run,
        mesh=mesh,
        in_specs=(each, all_alike, all_alike),
        out_specs=(each, all_alike),
        check_vma=False,
    )
    shardings = [NamedSharding(mesh, spec) for spec in (each, all_alike, all_alike)]
    return jax.jit(mapped, in_shardings=tuple(shardings))


def bytes_per_seed(env: Family, max_horizon: int) -> int:
    """Size of what is drawn for each seed; 0 where the environment has its own program."""
    both = stand_in(env)
    if both is None or not both[0].varies:
        return 0
    scalar = jax.ShapeDtypeStruct((), jnp.int32)
    found = jax.eval_shape(lambda *of: draw(both[0], max_horizon, *of), scalar, scalar, scalar)
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(found))


def instance_of(
    env: Family,
    seed: Seeds,
    shared: Places | None,
    horizon: jax.Array,
    num_demos: jax.Array,
    capacity: Capacity,
    demand: Demand,
) -> Instance:
    """Pose the task of a seed that was drawn: `imitax.pose` in any environment.

    Args:
        env: what stands for the environment.
        seed: of one seed.
        shared: of all seeds, where `seed` has none.
        horizon: as for `imitax.pose`, as are the others.
        num_demos: likewise.
        capacity: likewise.
        demand: likewise.
    """
    places = shared if seed.places is None else seed.places
    assert places is not None
    own = keys.Keys(*jax.random.wrap_key_data(seed.keys, impl="threefry2x32"))
    params, shown_in = (
        None if drawn is None else params_of(drawn, horizon, capacity.horizon) for drawn in places
    )
    return posed(own, env, params, shown_in, horizon, num_demos, capacity, demand)
