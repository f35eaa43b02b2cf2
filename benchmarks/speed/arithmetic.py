"""Operations and bytes of gradient steps, counted from the shapes of networks.

A dense layer from m to n units costs, per sample,

    forward           2 m n      a multiplication and an addition per weight
    weight gradient   2 m n
    input gradient    2 m n      not needed by the first layer

so a network of layers (m_i, n_i) costs 6 sum m_i n_i - 2 m_1 n_1 per sample and gradient step.
Biases, activations, losses and the optimiser are left out, and so is everything that is not a
gradient step (rollouts, values of a rollout, evaluation): the figure is what was asked for, and a
lower bound of what was done. XLA's own cost analysis counts the body of a loop once.

Bytes: parameters and both moments of Adam read and written once per step (6 numbers of 4 bytes a
parameter), and the minibatch read once. What stays in a cache between two steps moves less.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks.speed.workloads import Workload, resolve

SIZE = 4
"""Bytes of a number."""
OBS, ACTIONS = 4, 2
"""CartPole's; the workloads with networks are all on it."""


class Work(NamedTuple):
    """What gradient steps cost, of a seed or of one iteration."""

    per: str
    """`seed`, or `iteration` where their number is known only after a run."""
    gradient_samples: int
    """Samples whose loss was differentiated."""
    flops: int
    bytes: int
    """0: not counted."""


def gradient_flops(widths: Sequence[int]) -> int:
    """Operations per sample of a gradient step of a network with these layer widths."""
    products = [one * other for one, other in itertools.pairwise(widths)]
    return 6 * sum(products) - 2 * products[0]


def num_parameters(widths: Sequence[int]) -> int:
    """Weights and biases."""
    return sum((one + 1) * other for one, other in itertools.pairwise(widths))


def step_bytes(widths: Sequence[int], row: int, batch: int) -> int:
    """Bytes of one Adam step with a minibatch of `batch` rows of so many numbers."""
    return SIZE * (6 * num_parameters(widths) + batch * row)


def work_of(workload: Workload) -> Work:
    """What a workload's gradient steps cost."""
    if workload.kind == "ppo":
        return Work("seed", *_ppo(int(workload.algorithm), 5, 1024, 64, (64, 64)))
    _, chosen, _ = resolve(workload)
    config, name = chosen.config, chosen.spec.split(":")[0]
    if name == "maxent-irl":
        return Work("iteration", 0, planning_flops(workload.horizon, 100, 5, 5), 0)
    if name == "gail":
        return _gail(config)
    if workload.name == "bc-exact":
        return Work("seed", 0, 0, 0)
    widths = (OBS, *config.hidden, ACTIONS)
    rounds = -(-(workload.num_demos - 1) // getattr(config, "episodes_per_round", 1))
    steps = (
        config.num_steps
        if name == "bc"
        else config.first_updates + rounds * config.updates_per_round
    )
    samples = steps * config.batch_size
    moved = steps * step_bytes(widths, OBS + 1, config.batch_size)
    return Work("seed", samples, samples * gradient_flops(widths), moved)


def planning_flops(horizon: int, states: int, actions: int, successors: int) -> int:
    """Products with the transition probabilities of a backward and a forward pass.

    Exponentials, logarithms and the sums over actions are left out.
    """
    return 2 * 2 * horizon * states * actions * successors


def _ppo(rounds, epochs, rollout, batch, hidden) -> tuple[int, int, int]:
    """Samples, operations and bytes of PPO's gradient steps, with separate actor and critic."""
    networks = ((OBS, *hidden, ACTIONS), (OBS, *hidden, 1))
    samples = rounds * epochs * rollout
    flops = samples * sum(gradient_flops(widths) for widths in networks)
    parameters = sum(step_bytes(widths, 0, 0) for widths in networks)
    row = OBS + 4  # action, log probability, advantage, target
    return samples, flops, samples // batch * (parameters + SIZE * batch * row)


def _gail(config: Any) -> Work:
    size = config.num_envs * config.rollout
    policy = _ppo(config.rounds, config.epochs, size, config.batch_size, config.hidden)
    widths = (OBS + ACTIONS, *config.discriminator_hidden, 1)
    steps = config.rounds * config.discriminator_steps
    pairs = 2 * config.discriminator_batch
    moved = steps * step_bytes(widths, OBS + 1, pairs)
    flops = steps * pairs * gradient_flops(widths)
    return Work("seed", policy[0] + steps * pairs, policy[1] + flops, policy[2] + moved)
