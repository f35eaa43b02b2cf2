"""Environment families, each a gymnax environment that draws its own instances."""

from typing import Any

from imitax.envs import chains, cliffs, gridworld, lane, linear, obstacle, random_mdp, sine_path

ENVIRONMENTS: dict[str, tuple[Any, type]] = {
    "reset-cliff": (cliffs.ResetCliff, cliffs.CliffSettings),
    "recoverable-cliff": (cliffs.RecoverableCliff, cliffs.CliffSettings),
    "standard-imitation": (cliffs.StandardImitation, cliffs.CliffSettings),
    "three-state": (chains.ThreeState, chains.ChainSettings),
    "ross-bagnell": (chains.RossBagnell, chains.ChainSettings),
    "gridworld": (gridworld.Gridworld, gridworld.GridworldSettings),
    "random-mdp": (random_mdp.RandomMDP, random_mdp.RandomMDPSettings),
    "lane": (lane.Lane, lane.LaneSettings),
    "linear": (linear.Linear, linear.LinearSettings),
    "sine-path": (sine_path.SinePath, sine_path.SinePathSettings),
    "obstacle": (obstacle.Obstacle, obstacle.ObstacleSettings),
}
"""Our families: name -> (class, settings)."""
