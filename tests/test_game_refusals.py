"""Settings without meaning that sampled games refuse, each message read."""

import types

import pytest
from gymnax.environments import spaces
from probes import GAMES, Probe

from imitax.core.errors import SpecError

ENV = Probe()
PICTURES = types.SimpleNamespace(
    name="pictures",
    family="pictures",
    spec="pictures",
    is_tabular=False,
    default_params=None,
    settings=types.SimpleNamespace(),
    ending="unknown",
    subsample=1,
    observation_space=lambda params: spaces.Box(0, 1, (4, 4, 2)),
    action_space=lambda params: spaces.Discrete(2),
)
BAD = {
    "learning_rate": (-1e-3, "> 0"),
    "num_envs": (0, ">= 1"),
    "discount": (1.5, "<= 1"),
    "clip": (0.0, "> 0"),
    "entropy": (-0.1, ">= 0"),
}


@pytest.mark.parametrize("name", GAMES)
def test_bad_settings_are_refused_with_the_remedy(name):
    factory, config = GAMES[name]
    for field, (value, allowed) in BAD.items():
        with pytest.raises(SpecError) as caught:
            config(**{field: value})
        told = str(caught.value)
        assert told.startswith(f"{config.__name__}: {field}={value} is out of range; allowed: ")
        assert allowed in told
    with pytest.raises(SpecError) as caught:
        factory(ENV, config(batch_size=384))
    told = str(caught.value)
    assert f"{name}: num_envs=16 times rollout=128" in told
    assert "power of two that batch_size=384 divides; for instance 16 times 128" in told
    with pytest.raises(SpecError) as caught:
        factory(PICTURES, config(absorbing=True))
    assert str(caught.value) == f"{name}: absorbing=true has no meaning over images; leave it out"
    factory(PICTURES, config())


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("gail", "discriminator_rate", 0.0),
        ("wail", "penalty", -1.0),
        ("gail", "entropy_bonus", -1.0),
        ("fem", "gap_rate", 0.0),
        ("maxent-irl", "reward_rate", -0.1),
        ("maxent-irl", "l2", -0.1),
        ("maxent-irl", "temperature", -1.0),
        ("gtal", "rounds", 0),
        ("gail", "reward", "bogus"),
    ],
)
def test_bad_settings_of_a_reward_player_are_refused(name, field, value):
    _, config = GAMES[name]
    message = f"{config.__name__}: {field}={value} is out of range; allowed: "
    with pytest.raises(SpecError, match=message):
        config(**{field: value})


@pytest.mark.parametrize(
    ("settings", "told"), [({"slope": "free"}, "slope=free"), ({"spectral": True}, "spectral=true")]
)
def test_airl_refuses_what_its_reward_player_does_not_have(settings, told):
    factory, config = GAMES["airl"]
    with pytest.raises(SpecError, match=f"airl: {told} has no meaning, its reward is penalised; "):
        factory(ENV, config(**settings))
