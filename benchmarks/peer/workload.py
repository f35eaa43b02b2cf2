"""What both sides of a comparison do: numbers only, read by ours and by the peers' processes.

Nothing here may import more than the standard library: a peer's environment holds only its own
packages.
"""

EXPERT_GAIN = (0.1, 0.2, 1.0, 0.3)
"""CartPole's expert pushes right where the observation times this is positive."""
HORIZON = 500
NUM_DEMOS = 10
DEMO_SEED = 10_000
"""Reset seed of the first demonstration, where resets have one."""
HIDDEN = (64, 64)
EVALUATION_EPISODES = 10
MAX_RETURN = 500.0

BATCH = 64
CLONING_RATE = 1e-3
ENTROPY = 1e-3
BC_STEPS = 1000

DAGGER_ROUNDS = 10
DAGGER_ENVS = 8
DAGGER_STEPS = 200
"""Gradient steps of a round."""
DAGGER_RAMPDOWN = 15
"""The expert's share in round r, from 0, is 1 - r / this."""

GAIL_ROUNDS = 97
GAIL_ENVS = 8
GAIL_ROLLOUT = 128
GAIL_STEPS = GAIL_ROUNDS * GAIL_ENVS * GAIL_ROLLOUT
PPO = {
    "batch_size": 64,
    "epochs": 5,
    "learning_rate": 4e-4,
    "discount": 0.95,
    "trace_decay": 0.95,
    "clip": 0.2,
    "entropy": 0.0,
    "value_weight": 0.5,
    "max_gradient": 0.5,
}
DISCRIMINATOR_HIDDEN = (32, 32)
DISCRIMINATOR_STEPS = 4
DISCRIMINATOR_BATCH = 512
"""Pairs of each kind."""
DISCRIMINATOR_RATE = 1e-3

IRL_HORIZONS = (20, 50, 100)
IRL_RATE = 0.1
IRL_STEPS = 1000
IRL_GAP = 1e-3
IRL_GRADIENT = 1e-4
"""Norm of the gradient at which the peer stops too."""
