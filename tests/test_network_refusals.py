"""Settings of networks without meaning are refused, with the value and the remedy."""

import jax
import numpy as np
import pytest
from gymnax.environments import spaces

import imitax
from imitax.envs.lane import Lane

TABLE = "reset-cliff:num_states=4"
REFUSED = [
    ("lane", "bc:entropy=0.1", "entropy=0.1 has no meaning with loss=mse; leave entropy out"),
    ("lane", "bc:entropy=-0.1", "entropy=-0.1 is out of range; allowed: >= 0"),
    ("lane", "bc:minibatches=all", "minibatches=all"),
    ("lane", "dagger:first_episodes=0", "first_episodes=0 is out of range; allowed: >= 1"),
    (
        "lane",
        "bc:hidden=none,learning_rate=0.3,solver=exact",
        "learning_rate=0.3 has no meaning with solver=exact; set solver=auto or",
    ),
    ("lane", "dagger:rampdown=5", "rampdown=5 has no meaning with schedule=constant"),
    ("CartPole-v1", "gail:penalty=2.0,slope=free", "penalty=2.0 has no meaning with slope=free"),
    ("CartPole-v1", "bc:loss=gaussian", "loss=gaussian has no meaning for the discrete actions"),
    ("CartPole-v1", "bc:loss=mixture", "loss=mixture has no meaning for the discrete actions"),
    ("CartPole-v1", "dagger:loss=squashed", "allowed: auto, cross-entropy"),
    ("lane", "bc:loss=cross-entropy", "allowed: auto, mse, huber, gaussian, squashed, mixture"),
    ("lane", "bc:act=sample", "act=sample has no meaning with loss=mse"),
    ("lane", "bc:act=sample,loss=huber", "set loss=gaussian|squashed|mixture or act=mode"),
    ("CartPole-v1", "bc:network=conv", "CartPole-v1 has [4]; set network=mlp or auto"),
    ("FourRooms-misc", "bc:network=conv", "needs observations [H, W, C] with H, W >= 3"),
    (TABLE, "bc:policy=mlp,network=conv", "has []; set network=mlp or auto"),
    (TABLE, "bc:policy=mlp,normalise=true", "the number of a state; leave normalise out"),
    (TABLE, "bc:normalise=true", "belongs to the other representation"),
    ("lane", "bc:loss=mixture,components=0", "components=0 is out of range; allowed: >= 1"),
    ("lane", "bc:learning_rate=-0.1", "learning_rate=-0.1 is out of range; allowed: > 0"),
    ("lane", "bc:l2=-1.0", "l2=-1.0 is out of range; allowed: >= 0"),
    ("lane", "bc:augment=dropout,dropout=-0.1", "dropout=-0.1 is out of range"),
    ("lane", "bc:augment=dropout,dropout=1.0", "allowed: >= 0.0, <= 0.95"),
    ("lane", "bc:augment=noise,input_noise=-0.5", "input_noise=-0.5 is out of range"),
    ("lane", "bc:loss=huber,huber_width=0.0", "huber_width=0.0 is out of range; allowed: > 0"),
    ("lane", "bc:validation=100", "validation=100 is out of range; allowed: >= 0, <= 90"),
    ("lane", "bc:validation=10,patience=-1", "patience=-1 is out of range"),
    ("lane", "bc:dropout=0.2", "dropout=0.2 has no meaning with augment=none; set augment=dropout"),
    (
        "lane",
        "dagger:input_noise=0.2,augment=dropout",
        "set augment=noise or leave input_noise out",
    ),
    ("lane", "bc:scale=state", "scale=state has no meaning with loss=auto; set loss=gaussian"),
    ("lane", "bc:loss=mixture,scale=state", "set loss=gaussian or leave scale out"),
    ("lane", "bc:components=3", "components=3 has no meaning with loss=auto; set loss=mixture"),
    ("lane", "bc:huber_width=2.0", "set loss=huber or leave huber_width out"),
    ("lane", "bc:patience=3", "patience=3 has no meaning with validation=0; set validation=20"),
    ("lane", "bc:check_every=9", "set validation=20 or leave check_every out"),
    ("lane", "bc:augment=dropout,hidden=none", "hidden=none has none; set augment=noise"),
    ("lane", "dagger:refit=restart,updates_per_round=9", "set refit=continue or leave"),
    ("lane", "dagger:beta=0.5,schedule=linear", "beta=0.5 has no meaning with schedule=linear"),
    ("lane", "bc:decay=cosin", "did you mean 'cosine'?"),
]


@pytest.mark.parametrize(("environment", "algorithm", "message"), REFUSED)
def test_it_is_refused(environment, algorithm, message):
    env = imitax.environment(environment)
    with pytest.raises(imitax.SpecError) as error:
        imitax.algorithm(algorithm, env)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("largest", [np.inf, float(np.finfo(np.float32).max)])
def test_squashed_needs_a_bounded_box(largest):
    class Unbounded(Lane):
        def action_space(self, params=None):
            return spaces.Box(-1.0, largest, (1,), np.float32)

    config = imitax.NetworkBCConfig(loss="squashed")
    with pytest.raises(imitax.SpecError, match=r"needs a bounded action box.*set loss=gaussian"):
        imitax.bc(Unbounded(), config)
    imitax.bc(Unbounded(), imitax.NetworkBCConfig(loss="gaussian"))


def test_tracers_pass_every_check():
    env = imitax.environment("lane")
    config = imitax.NetworkBCConfig(augment="both", loss="huber", num_steps=7)

    def build(config):
        return imitax.bc(env, config).num_steps(None)

    assert jax.jit(build)(config) == config.num_steps
