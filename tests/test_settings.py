"""Every setting is read: another value is another result, another program, or refused."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.interpreters import partial_eval

import imitax
from imitax.core.config import conditions_of, show
from imitax.core.errors import SpecError

TABLE, ELSEWHERE = "gridworld:size=3x2,goal=2x1", "lane"
GAME = {"num_envs": 4, "rollout": 8, "batch_size": 16, "rounds": 2, "hidden": (8,)}
NETWORK = {"hidden": (8,), "batch_size": 8}
FIRST = {
    "bc": {**NETWORK, "num_steps": 3},
    "dagger": {**NETWORK, "first_updates": 2, "updates_per_round": 2},
}
"""Small networks; every other one is a game's."""
BESIDE = {
    "solver": {"hidden": ()},
    "check_every": {"patience": 2},
    "rampdown": {"first_episodes": 1},
    "absorbing": {"discriminator_hidden": (8,)},
    "learning_rate": {},
}
"""What else is set where a setting is tried, so that it could be read at all."""


@functools.cache
def environment(text):
    return imitax.environment(text)


def configs():
    """(algorithm, class, environment) of every representation."""
    for name in sorted(imitax.ALGORITHMS, key=lambda name: name != "fem"):  # the shortest game
        entry = imitax.ALGORITHMS[name]
        if entry.tabular is not None:
            yield name, entry.tabular, TABLE
        if entry.general is not None:
            yield name, entry.general, ELSEWHERE


EVERY = [pytest.param(*row, id=f"{row[0]}-{row[1].__name__}") for row in configs()]


def read(remedy):
    """The other setting and its value, of a remedy such as `validation=20`."""
    key, value = remedy.split("=")
    return key, int(value) if value.isdecimal() else value


def small(name, cls, **more):
    known = {field.name for field in dataclasses.fields(cls)}
    sizes = FIRST.get(name, GAME) if "hidden" in known else {}
    return cls(**{key: value for key, value in {**sizes, **more}.items() if key in known})


def others(field, value):
    """Other values than this one of a field that decides the program."""
    choices = field.metadata["choices"]
    if choices:
        return [word for word in choices if word != value]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, tuple):
        return [(4, 4)]
    return [2 * value or 2]


@functools.cache
def posed(env, demand):
    """The shapes of a problem."""
    capacity = imitax.Capacity(horizon=4, num_demos=3)
    return jax.eval_shape(lambda: imitax.pose(env, 0, 4, 3, capacity, demand).problem)


def program(name, config, env):
    """What a learner is once its config's floats are arguments: text, and which floats it reads."""
    floats, structure = jax.tree.flatten(config)
    factory = imitax.ALGORITHMS[name].factory
    algorithm = factory(env, config)

    def learner(floats, key, problem):
        own = factory(env, jax.tree.unflatten(structure, floats))
        state, metrics = own.step(key, problem, own.init(key, problem))
        last = None if own.conclude is None else own.conclude(problem, state, metrics)
        act = own.policy(problem, state)
        obs, _ = env.reset_env(key, problem.params)
        reward = None if own.reward is None else own.reward(problem, state)
        return state, metrics, last, act(obs, 0).sample(key), reward, own.num_steps(problem)

    floats = [jnp.float32(x) for x in floats]
    closed = jax.make_jaxpr(learner)(floats, jax.random.key(0), posed(env, algorithm.demand))
    _, used = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    return f"{closed.jaxpr} {algorithm.demand} {algorithm.stride}", used[: len(floats)]


@pytest.mark.parametrize(("name", "cls", "where"), EVERY)
def test_every_float_is_read(name, cls, where):
    """With the other settings at which its condition, where it has one, holds."""
    fields = [field for field in dataclasses.fields(cls) if field.type is float]
    needed = {}
    for field in fields:
        key = tuple(read(condition.remedy) for condition in conditions_of(cls, field))
        needed.setdefault(key, []).append(field.name)
    for key, names in needed.items():
        more = dict(key)
        settings = small(name, cls, **more)
        flags = np.array(program(name, settings, environment(where))[1])
        if not flags.all() and where == ELSEWHERE and not key:
            flags |= program(name, settings, environment("CartPole-v1"))[1]  # other losses
        is_read = dict(zip([field.name for field in fields], flags, strict=True))
        assert {field for field in names if not is_read[field]} == set()


def first_declared():
    """(algorithm, class, environment, field): each one where the first config has it."""
    seen = set()
    for name, cls, where in configs():
        for field in dataclasses.fields(cls):
            owner = next(
                one for one in cls.__mro__ if field.name in vars(one).get("__annotations__", {})
            )
            if field.type is not float and (owner, field.name) not in seen:
                seen.add((owner, field.name))
                yield pytest.param(
                    name, cls, where, field, id=f"{name}-{cls.__name__}-{field.name}"
                )


@pytest.mark.parametrize(("name", "cls", "where", "field"), list(first_declared()))
def test_every_other_setting_is_another_program(name, cls, where, field):
    more = dict(BESIDE.get(field.name, {}))
    more |= [read(condition.remedy) for condition in conditions_of(cls, field)]
    base = small(name, cls, **more)
    plain, same = program(name, base, environment(where))[0], []
    for value in others(field, getattr(base, field.name)):
        changed = dataclasses.replace(base, **{field.name: value})
        try:
            same += [value] * (program(name, changed, environment(where))[0] == plain)
        except SpecError:
            continue
    # `auto` is one of the others.
    assert len(same) <= (field.default == "auto"), f"{field.name}={same} is the same program"


@pytest.mark.parametrize(("name", "cls", "where"), EVERY)
def test_what_is_not_read_is_refused_and_the_remedy_works(name, cls, where):
    env, factory = environment(where), imitax.ALGORITHMS[name].factory
    for field in dataclasses.fields(cls):
        fails = [x for x in conditions_of(cls, field) if not x.holds(getattr(cls(), x.other))]
        if not fails:
            continue
        (condition,) = fails
        value = 0.25 if field.type is float else others(field, field.default)[0]
        with pytest.raises(SpecError, match=f"{field.name}=.* has no meaning with ") as error:
            factory(env, cls(**{field.name: value}))
        assert condition.remedy in str(error.value)
        representation = "mlp" if where == ELSEWHERE else "tabular"
        spec = f"{name}:{field.name}={show(value)},{condition.remedy}"
        wanted = {field.name: value, **dict([read(condition.remedy)])}
        if hasattr(cls, "policy"):
            spec, wanted["policy"] = f"{spec},policy={representation}", representation
        assert imitax.algorithm(spec, env).config == cls(**wanted)
