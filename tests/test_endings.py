"""What is known of an environment's ends, and what a learned reward makes of it."""

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from probes import GAMES, Probe

import imitax
from imitax.bench.report.markdown import given_table
from imitax.bench.runs.local import Sweep, collect
from imitax.bench.schema import RESULTS
from imitax.bench.spec_facts import is_variable_horizon
from imitax.core import policies
from imitax.envs.endings import GYMNAX
from imitax.tasks.rollout import rollout

OURS = {
    "lane": "bad",
    "lane:absorbing=false": "none",
    "obstacle": "bad",
    "sine-path": "none",
    "linear": "none",
    **dict.fromkeys(("reset-cliff", "three-state", "gridworld", "random-mdp"), "none"),
    "CartPole-v1:fixed=true": "none",
    "MountainCar-v0:fixed=true": "none",
    "CartPole-v1:shift=both": "bad",
}
EVERY = {**OURS, **{name: kind for name, kind in GYMNAX.items() if name != "MNISTBandit-bsuite"}}

FORM = {"bad": "softplus", "good": "log", "none": "softplus", "both": "logit", "unknown": "logit"}
SIGN = {"bad": "never negative", "good": "never positive"}
WHY = {
    "bad": "ends are bad",
    "good": "ends are good",
    "none": "no early ends",
    "both": "ends are good or bad",
    "unknown": "ends unknown",
}


def test_every_gymnax_id_has_a_kind():
    assert set(GYMNAX) == set(gymnax.registered_envs)
    assert set(GYMNAX.values()) == {"none", "bad", "good", "both"}


@pytest.mark.parametrize("text", EVERY)
def test_auto_is_resolved_from_the_kind_of_ending(text):
    env, kind = imitax.environment(text), EVERY[text]
    assert env.ending == kind
    assert is_variable_horizon(text) == (kind != "none")
    is_image = len(getattr(env.observation_space(env.default_params), "shape", ())) == 3
    absorbing = ", absorbing states" if kind == "both" and not is_image else ""
    for name, (factory, config) in GAMES.items():
        word = FORM[kind] if name == "gail" else SIGN.get(kind, "either sign")
        assert factory(env, config()).reward_form == f"{word}{absorbing} ({WHY[kind]})"


GOALS = {"Acrobot-v1": 200, "MountainCar-v0": 200, "MountainCarContinuous-v0": 300}
LIMITS = {"CartPole-v1": 200, "Pendulum-v1": 40, "Catch-bsuite": 12, "FourRooms-misc": 60, **GOALS}


@pytest.mark.parametrize("name", LIMITS)
def test_better_policies_end_later_where_ends_are_bad_and_earlier_where_they_are_good(name):
    env, horizon = imitax.environment(name), LIMITS[name]
    params = env.sample_params(jax.random.key(0), jnp.int32(horizon), jnp.int32(1), horizon)
    keys = jax.random.split(jax.random.key(1), 32)

    def lengths(policy):
        where = (env, params, policy, jnp.int32(horizon), horizon)
        return np.asarray(jax.jit(jax.vmap(lambda key: rollout(key, *where).length))(keys))

    expert = lengths(env.expert(params)).mean()
    chance = lengths(policies.uniform(env.action_space(), name)).mean()
    order = {"bad": expert > 1.5 * chance, "good": 1.5 * expert < chance, "none": expert == chance}
    assert order[env.ending]


@pytest.mark.parametrize("name", GAMES)
def test_a_family_that_does_not_say_gets_absorbing_states(name):
    factory, config = GAMES[name]
    env = Probe()
    del env.ending
    told = factory(env, config()).reward_form
    assert told.endswith(", absorbing states (ends unknown)")
    assert told.startswith("logit" if name == "gail" else "either sign")


def test_old_words_stay_what_they_were():
    env = imitax.environment("MountainCar-v0")
    for text, told in {
        "gail:reward=softplus": "softplus",
        "gail:reward=fairl": "fairl",
        "gail:absorbing=true,reward=log": "log, absorbing states",
        "gail:discriminator=constant": "log (ends are good)",
        "fem:sign=none": "either sign",
        "gtal:sign=positive": "never negative",
        "maxent-irl:reward=linear,sign=negative": "never positive",
        "bc": "",
    }.items():
        chosen = imitax.algorithm(text, env)
        assert chosen.spec == text
        assert chosen.build(env).reward_form == told
    assert imitax.algorithm("gail:reward=auto", env).spec == "gail"
    env = imitax.environment("reset-cliff")
    assert imitax.algorithm("gail", env).build(env).reward_form == ""


def test_rows_and_the_report_say_what_was_known():
    sizes = "num_envs=4,rollout=8,batch_size=16,rounds=1,epochs=1,hidden=8"
    game = f"gail:discriminator_batch=16,discriminator_hidden=8,discriminator_steps=1,{sizes}"
    rows = pd.DataFrame(collect(Sweep.grid(["lane"], [game, "expert"], [4], [2], seeds=2)))
    assert set(rows) == set(RESULTS.names)
    told = rows.groupby("algorithm")["reward_form"].unique()
    assert told["expert"].tolist() == [""]
    assert next(x for name, x in told.items() if name != "expert") == ["softplus (ends are bad)"]
    header, _, *lines = given_table(rows).splitlines()
    assert header.strip("| ").endswith("| reward form")
    assert [line.split("|")[-2].strip() for line in lines] == ["softplus (ends are bad)", ""]
    without = given_table(rows.drop(columns="reward_form"))
    assert "reward form" not in without
    assert given_table(rows[rows["algorithm"] == "expert"]) == without.replace(
        next(line for line in without.splitlines(True) if "gail" in line), ""
    )
