"""What an end before the horizon says of an episode: knowledge of an environment, not learned.

    none   no end, or always at the same step: no policy can hasten or delay it
    bad    a failure, such as a fall: better policies end later
    good   a success, such as a goal reached: better policies end earlier
    both   either, by the episode: a hole or the goal

A family says it as `env.ending`; of a family that does not, it is `unknown`. A reward of one sign
gives the answer away, so whoever uses this says so: see `imitax.games.reward_form`.
"""

GYMNAX = {
    "CartPole-v1": "bad",
    "Pendulum-v1": "none",
    "Acrobot-v1": "good",
    "MountainCar-v0": "good",
    "MountainCarContinuous-v0": "good",
    "Asterix-MinAtar": "bad",
    "Breakout-MinAtar": "bad",
    "Freeway-MinAtar": "none",
    "Seaquest-MinAtar": "bad",
    "SpaceInvaders-MinAtar": "bad",
    "Catch-bsuite": "none",
    "DeepSea-bsuite": "none",
    "MemoryChain-bsuite": "none",
    "UmbrellaChain-bsuite": "none",
    "DiscountingChain-bsuite": "none",
    "MNISTBandit-bsuite": "none",
    "SimpleBandit-bsuite": "none",
    "FourRooms-misc": "good",
    "MetaMaze-misc": "both",
    "PointRobot-misc": "none",
    "BernoulliBandit-misc": "none",
    "GaussianBandit-misc": "none",
    "Reacher-misc": "none",
    "Swimmer-misc": "none",
    "Pong-misc": "both",
    "FrozenLake-misc": "both",
}
"""From the `is_terminated` of gymnax 1.0.1. Time limits are not ends: see `GymnaxFamily`.

MetaMaze-misc moves whoever reaches the goal to a random cell, and ends where that is the goal: by
luck, and with rewards still to come.
"""
