"""Certain categories: what a categorical draw would be, without the draw."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import imitax
from imitax.core.distributions import Categorical, Certain, certain
from imitax.core.policies import Policy, mode_of, tabulate
from imitax.experts import shipped
from imitax.networks.normalisation import Normaliser
from imitax.networks.settings import head
from imitax.rl import actor_critic


def test_a_certain_category_is_what_a_draw_would_be():
    category = jnp.arange(5)
    keys = jax.random.split(jax.random.key(0), 64)
    for key in keys:
        drawn = Categorical(jax.nn.one_hot(category, 5)).sample(key)
        np.testing.assert_array_equal(certain(category, 5).sample(key), drawn)
    assert certain(category, 5).sample(keys[0]).dtype == jnp.int32
    for uniform in (0.0, 0.5, 1.0 - 2.0**-24):
        found = certain(category, 5).quantile(jnp.full(5, uniform))
        np.testing.assert_array_equal(found, category)


def test_it_is_a_categorical_under_transformations():
    several = jax.vmap(lambda n: certain(n, 3))(jnp.arange(3))
    assert isinstance(several, Certain)
    np.testing.assert_array_equal(several.probs, np.eye(3))
    assert certain(jnp.int32(1), 3).probs.dtype == jnp.float32
    assert certain(jnp.int32(1), 3, jnp.bfloat16).probs.dtype == jnp.bfloat16


def uncertain(params, obs, time):
    del obs, time
    return Categorical(jax.nn.softmax(params))


def modes():
    env, _ = imitax.make("CartPole-v1")
    obs, _ = env.reset_env(jax.random.key(0), env.default_params)
    network = head(imitax.NetworkBCConfig(hidden=(4,), act="mode"), env, "bc")
    actor = actor_critic.actor(env, (4,))
    weights = actor.init(jax.random.key(2), obs[None])
    as_actor = actor.as_policy(weights, Normaliser(jnp.zeros(4), jnp.ones(4)))
    return obs, {
        "network": Policy(network.init(jax.random.key(1), obs), network),
        "expert": shipped.policy("CartPole-v1", "final"),
        "actor": Policy(as_actor, mode_of),
        "any": Policy(Policy(jnp.array([0.2, 0.1]), uncertain), mode_of),
    }


@pytest.mark.parametrize("name", ["network", "expert", "actor", "any"])
def test_policies_that_play_the_mode_draw_nothing(name):
    obs, policies = modes()

    def act(key):
        return policies[name](obs, jnp.int32(0)).sample(key)

    assert "random" not in str(jax.make_jaxpr(act)(jax.random.key(0)))
    assert act(jax.random.key(0)) == policies[name](obs, jnp.int32(0)).mode()


def test_a_table_of_certain_categories_is_one_of_probabilities():
    table = tabulate(Policy(Policy(jnp.array([0.2, 0.1]), uncertain), mode_of), 3, 2)
    np.testing.assert_array_equal(table, np.broadcast_to([1.0, 0.0], (2, 3, 2)))
