"""What the library refuses in Python: one line with the value, what is wanted and what to do."""

import dataclasses
import functools

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments.environment import Environment

import imitax
from imitax.core.config import check_settings
from imitax.core.errors import DataError, SpecError
from imitax.core.policies import tabular
from imitax.tabular import mdp as exact
from imitax.tabular.soft import soft_plan

S, A, H, N = 5, 3, 4, 6
CAPACITY = imitax.Capacity(H, N)
KEY = jax.random.key(0)


class Own(Environment):
    """A gymnax environment that gymnax does not know."""

    @property
    def name(self):
        return "Own"


@functools.cache
def env(text=f"reset-cliff:num_states={S},num_actions={A}"):
    return imitax.environment(text)


@functools.cache
def raw():
    return gymnax.make("CartPole-v1")[0]


@functools.cache
def posed(text=None, form="counts", horizon=H):
    where = env(text) if text else env()
    return imitax.pose(where, 0, horizon, N, CAPACITY, imitax.Demand(form))


def pose(seed=0, horizon=H, num_demos=N, capacity=CAPACITY):
    return imitax.pose(env(), seed, horizon, num_demos, capacity, imitax.Demand("counts"))


def refused(act, *words, error=SpecError):
    with pytest.raises(error) as caught:
        act()
    told = str(caught.value)
    assert "\n" not in told
    for word in words:
        assert word in told, told


@pytest.mark.parametrize("value", [0, -3, 2.5, 4.0, "4", None, True, H + 1, np.float32(2), [3]])
def test_a_horizon_is_a_whole_number_from_one_to_the_capacity(value):
    refused(lambda: pose(horizon=value), "pose: horizon must be a whole number from 1 to 4, got")
    refused(lambda: pose(horizon=value), "a larger capacity than Capacity(horizon=4, num_demos=6)")


@pytest.mark.parametrize("value", [0, -3, 2.5, True, N + 1, jnp.int32(N + 1), jnp.float32(2)])
def test_num_demos_is_a_whole_number_from_one_to_the_capacity(value):
    refused(lambda: pose(num_demos=value), "num_demos must be a whole number from 1 to 6, got ")


@pytest.mark.parametrize("value", [-1, 0.5, 2**31, "0", None, jnp.int32(-1), np.float64(1)])
def test_a_seed_is_a_whole_number_of_31_bits(value):
    refused(lambda: pose(seed=value), "pose: seed must be a whole number from 0 to 2147483647, got")


def test_many_seeds_are_for_vmap():
    refused(lambda: pose(seed=jnp.arange(3)), "got int32[3]; one at a time: jax.vmap gives many")


def test_a_traced_fraction_is_refused_by_its_type():
    for name in ("seed", "horizon", "num_demos"):
        refused(lambda name=name: jax.jit(lambda x: pose(**{name: x}))(2.0), name, "got float32[]")


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint32])
def test_any_integer_dtype_will_do(dtype):
    run = jax.jit(lambda *numbers: pose(*numbers).problem.demonstrations.counts)
    one, other = (run(*map(kind, (3, H, N))) for kind in (dtype, np.int32))
    np.testing.assert_array_equal(one, other)
    wide = imitax.Capacity(300, 2)
    assert not jax.jit(lambda n: pose(num_demos=n, capacity=wide).valid)(dtype(200))
    assert jax.jit(lambda t: pose(horizon=t, num_demos=1, capacity=wide).valid)(dtype(200))


@pytest.mark.parametrize("sizes", [(8.5, "x"), (0, 1), (1, 0), (8, -1), (8.0, 1), (True, 1)])
def test_a_capacity_is_two_whole_numbers(sizes):
    refused(lambda: imitax.Capacity(*sizes), "Capacity: ", "must be a whole number from 1 to ")


def test_a_capacity_is_static():
    refused(lambda: jax.jit(lambda n: imitax.Capacity(n, 3))(4), "Capacity: horizon is traced")
    assert hash(imitax.Capacity(np.int64(4), 6)) == hash(CAPACITY)
    assert imitax.Capacity(np.int64(4), 6) == CAPACITY
    refused(lambda: pose(capacity=(H, N)), "pose: capacity must be an imitax.Capacity, got tuple")


def test_a_traced_horizon_beyond_the_capacity_costs_no_more_than_the_capacity():
    """And clamps to it, so that what is computed in vain is an instance of its own kind."""
    run = jax.jit(lambda t: pose(horizon=t))
    far, last = run(jnp.int32(2**31 - 1)), run(jnp.int32(H))
    assert (far.problem.horizon, bool(far.valid), bool(last.valid)) == (H, False, True)
    for one, other in zip(*map(jax.tree.leaves, (far.problem, last.problem)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_larger_num_demos_is_told_where_the_instance_depends_on_it():
    """`initial=rajaraman`: another instance for another N, and none beyond the capacity."""
    where = env("standard-imitation:num_states=5,initial=rajaraman")
    algorithm = imitax.bc(where)

    @jax.jit
    def run(seed, num_demos):
        return imitax.experiment(where, algorithm, seed, H, num_demos, CAPACITY)

    assert np.isfinite(run(0, N).regret)
    assert np.isnan(run(0, N + 1).regret)
    assert not run(0, N + 1).finite


def test_learning_curves_are_nan_too():
    from imitax.tasks.evaluate import judge

    def run(horizon):
        return judge(env(), pose(horizon=horizon))(tabular(jnp.full((S, A), 1 / A)))

    assert np.all(np.isfinite(jax.jit(run)(H)))
    assert np.all(np.isnan(jax.jit(run)(H + 1)))


TAKEN = {
    (name, is_table): [cls for cls in (is_table and entry.tabular, entry.general) if cls]
    for name, entry in imitax.ALGORITHMS.items()
    for is_table in (True, False)
}
CONFIGS = {cls for classes in TAKEN.values() for cls in classes}


@pytest.mark.parametrize("name", imitax.ALGORITHMS)
@pytest.mark.parametrize("text", [None, "lane"])
def test_every_factory_refuses_every_other_config(name, text):
    where = env(text) if text else env()
    factory, own = imitax.ALGORITHMS[name].factory, TAKEN[name, where.is_tabular]
    if not own:
        refused(lambda: factory(where), f"{name} on lane: ", error=imitax.NotApplicable)
        return
    for cls in CONFIGS - set(own):
        told = [f"{name}: config is {cls.__name__}(...)", where.spec, *(x.__name__ for x in own)]
        refused(lambda cls=cls: factory(where, cls()), *told)
    for other in (0.3, "uniform", {}):
        refused(lambda other=other: factory(where, other), f"{name}: config is ", own[0].__name__)
    for cls in own:
        assert isinstance(factory(where, cls()), imitax.Algorithm)


@pytest.mark.parametrize("name", imitax.ALGORITHMS)
def test_every_factory_refuses_what_is_no_family(name):
    factory = imitax.ALGORITHMS[name].factory
    refused(lambda: factory(raw()), f"{name}: env must be", "imitax.environment('CartPole-v1')")
    refused(lambda: factory("reset-cliff"), "make it with imitax.environment('reset-cliff')")


def test_an_environment_is_a_family():
    told = ("env must be an environment family, got ", "CartPole(...)", "imitax.environment(")
    policy = tabular(jnp.full((S, A), 1 / A))
    refused(lambda: imitax.pose(raw(), 0, H, N, CAPACITY, imitax.Demand("counts")), *told)
    refused(lambda: imitax.evaluate(raw(), posed(), policy), *told)
    refused(lambda: imitax.algorithm("bc", raw()), *told)
    refused(lambda: imitax.bc(Own()), "got Own(...)", "imitax.core.family.Family")
    refused(lambda: imitax.bc(imitax.make("three-state")), "env, params = imitax.make(spec)")
    refused(lambda: imitax.bc(None), "got None; imitax.make('reset-cliff') makes one")


def test_a_spec_is_text():
    refused(
        lambda: imitax.environment(raw()), "CartPole(...); use imitax.environment('CartPole-v1')"
    )
    refused(lambda: imitax.environment(Own()), "got Own(...)", "imitax.core.family.Family")
    refused(lambda: imitax.environment(env()), "it is a family already: use it as it is")
    refused(lambda: imitax.make(3), "environment: takes a spec such as ", "got 3; give its name")
    told = "make: settings stand in the spec; use make('reset-cliff:num_states=5,unit=true')"
    refused(lambda: imitax.make("reset-cliff", num_states=5, unit=True), told)
    told = "use make('reset-cliff:num_actions=3,num_states=5')"
    refused(lambda: imitax.make("reset-cliff:num_actions=3", num_states=5), told)
    refused(lambda: imitax.algorithm(imitax.bc(env()), env()), "got Algorithm(...); with a config")


@pytest.mark.parametrize("given", [imitax.bc, "bc", imitax.TabularBCConfig()])
def test_an_algorithm_is_what_a_factory_returns(given):
    told = ("algorithm must be an imitax.Algorithm, got ", "; imitax.bc(env, config) makes one")
    refused(lambda: imitax.experiment(env(), given, 0, H, N, CAPACITY), *told)
    refused(lambda: imitax.train(KEY, given, posed().problem), *told)


def test_the_steps_of_an_experiment_take_each_other_s_results():
    algorithm, instance = imitax.bc(env()), posed()
    policy = tabular(jnp.full((S, A), 1 / A))
    refused(lambda: imitax.train(0, algorithm, instance.problem), "got 0; give jax.random.key(0)")
    refused(lambda: imitax.train(KEY, algorithm, instance), "got Instance(...)", "`problem`")
    refused(lambda: imitax.evaluate(env(), instance.problem, policy), "imitax.pose returns one")
    refused(lambda: imitax.evaluate(env(), instance, policy.params), "tabular(table)")
    for number in (0, -1, 2.5):
        act = functools.partial(imitax.evaluate, env(), instance, policy, num_episodes=number)
        refused(act, "num_episodes must be a whole number from 1")
    demand = algorithm
    act = functools.partial(imitax.pose, env(), 0, H, N, CAPACITY, demand)
    refused(act, "pose: demand must be an imitax.Demand, got Algorithm(...); give algorithm.demand")


def table(shape=(S, A), value=1 / A):
    return jnp.full(shape, value)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            table(value=1.0),
            "row [0] of the policy's table is no distribution over actions: it sums",
        ),
        (table((H, S, A)).at[1, 2].set(0.5), "row [1, 2] of the policy's table"),
        (table().at[3].set(jnp.array([1.5, -0.5, 0.0])), "row [3]"),
        (table((A,)), "a policy table is [T, S, A] or [S, A], got float32[3]"),
    ],
)
def test_a_policy_table_holds_distributions(rows, told):
    refused(lambda: tabular(rows), f"tabular: {told}", error=DataError)


@pytest.mark.parametrize("shape", [(S + 1, A), (S, A + 1), (H - 1, S, A), (H, A, S)])
def test_a_policy_table_is_of_the_environment_s_size(shape):
    rows = table(shape, 1 / shape[-1])
    told = (f"evaluate: the policy's table is {list(rows.shape)}; give", "[5, 3]", "[T, 5, 3]")
    refused(lambda: imitax.evaluate(env(), posed(), tabular(rows)), *told, error=DataError)
    judged = jax.jit(lambda rows: imitax.evaluate(env(), posed(), tabular(rows)))
    refused(lambda: judged(rows), *told, error=DataError)


def test_rows_that_are_zero_count_after_the_horizon_only():
    rows = table((H, S, A)).at[H - 1].set(0.0)
    refused(lambda: imitax.evaluate(env(), posed(), tabular(rows)), "row [3, 0]", error=DataError)
    short = imitax.evaluate(env(), posed(horizon=H - 1), tabular(rows))
    assert short == imitax.evaluate(env(), posed(horizon=H - 1), tabular(table()))
    assert short.finite


def test_a_table_that_diverged_is_told_by_finite():
    outcome = imitax.evaluate(env(), posed(), tabular(table(value=jnp.nan)))
    assert not outcome.finite
    assert np.isnan(outcome.regret)


def mdp(**changed):
    transition, pairs = jnp.full((S, A, S), 1 / S), jnp.zeros((S, A))
    return exact.TabularMDP(transition, pairs, None, jnp.full(S, 1 / S))._replace(**changed)


ODD = jnp.full((S, A, S), 1 / S).at[2, 1].set(jnp.array([-1.0, 1.0, 1.0, 0.0, 0.0]))
WRONG = [
    ({"transition": jnp.full((S, A, S), 1.01 / S)}, "transition[0, 0] is no distribution: it sums"),
    ({"transition": ODD}, "transition[2, 1] is no distribution: it sums to 1, and its smallest"),
    ({"transition": jnp.full((S, A, S), jnp.nan)}, "transition[0, 0] is no distribution"),
    ({"transition": jnp.full((S, A, 2), 0.5)}, "transition is [5, 3, 2] and initial [5]; give"),
    ({"initial": jnp.full(S, 1.0)}, "initial is no distribution: it sums to 5"),
    ({"initial": jnp.full(S - 1, 1 / (S - 1))}, "transition is [5, 3, 5] and initial [4]; give"),
    ({"step_reward": jnp.zeros((S, A)).at[1, 2].set(jnp.inf)}, "step_reward[1, 2] is inf; give"),
    ({"step_reward": jnp.zeros((A, S))}, "step_reward is [3, 5]; give [5, 3]"),
    ({"final_reward": jnp.full((S, A), jnp.nan)}, "final_reward[0, 0] is nan; give finite"),
    ({"features": jnp.full((S, A, 2), jnp.nan)}, "features[0, 0, 0] is nan"),
    ({"features": jnp.zeros((S, A))}, "features are [5, 3]; give [5, 3, 'F']"),
    ({"successor": jnp.full((S, A, S), S)}, "successor holds 5 to 5; give states from 0 to 4"),
]


@pytest.mark.parametrize(("changed", "told"), WRONG)
def test_an_mdp_that_is_none_is_not_planned_on(changed, told):
    bad, zeros = mdp(**changed), jnp.zeros((S, A))
    solvers = [
        lambda: exact.optimal_plan(bad, H, H, reward=zeros),
        lambda: exact.occupancy(bad, table(), H, H),
        lambda: exact.expected_return(bad, table(), H),
        lambda: exact.regret(bad, table(), table(), H),
        lambda: soft_plan(bad, zeros, H, H, discount=1.0),
    ]
    for solve in solvers:
        refused(solve, f"TabularMDP: {told}", error=DataError)


def test_rows_of_float32_sums_are_distributions():
    rows = np.random.default_rng(0).dirichlet(np.ones(S), (S, A)).astype(np.float32)
    assert exact.optimal_plan(mdp(transition=rows), H, H).value.shape == (H, S)


def test_a_family_s_own_instances_are_checked():
    class Bad(type(env())):
        def instance(self, key, horizon, num_demos, max_horizon):
            return mdp(transition=np.full((S, A, S), 1.0)), table()

    bad = Bad(env().settings)
    act = functools.partial(imitax.pose, bad, 0, H, N, CAPACITY, imitax.Demand("none"))
    refused(act, "reset-cliff: transition[0, 0] is no distribution", error=DataError)
    refused(jax.jit(lambda: act().params), "reset-cliff: transition", error=DataError)


SMALL = {"num_steps": 1, "hidden": (4,), "batch_size": 4}
GAME = {"num_envs": 2, "rollout": 4, "batch_size": 8, "rounds": 1, "epochs": 1, "hidden": (4,)}
NETWORKS = {
    "bc": lambda where: imitax.bc(where, imitax.NetworkBCConfig(**SMALL)),
    "dagger": lambda where: imitax.dagger(where, imitax.NetworkDaggerConfig()),
    "game": lambda where: imitax.fem(where, imitax.FEMConfig(**GAME)),
}


def learned(name, text, **changed):
    """Training on demonstrations with some fields changed."""
    where, instance = env(text), posed(text, "episodes")
    shown = instance.problem.demonstrations
    fields = {key: change(getattr(shown, key)) for key, change in changed.items()}
    problem = dataclasses.replace(instance.problem, demonstrations=shown._replace(**fields))
    return lambda: imitax.train(KEY, NETWORKS[name](where), problem)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("text", "changed", "told"),
    [
        ("CartPole-v1", {"action": lambda x: x + 5.5}, "action must be whole numbers from 0 to 1"),
        ("CartPole-v1", {"action": lambda x: x + 5}, "action must be whole numbers from 0 to 1"),
        ("CartPole-v1", {"action": lambda x: -x - 1}, "action must be whole numbers from 0 to 1"),
        ("CartPole-v1", {"obs": lambda x: x.at[0, 0].set(jnp.nan)}, "obs must be finite floats"),
        ("lane", {"action": lambda x: x.astype(int)}, "action must be finite floats, got int32"),
        ("lane", {"action": lambda x: x + jnp.inf}, "action must be finite floats, got [inf]"),
        (
            "lane",
            {"action": lambda x: jnp.concatenate([x, x], -1)},
            "demonstrations.action is [6, 4, 2]; give [N, T, 1] on lane",
        ),
    ],
)
def test_demonstrations_are_of_the_environment(name, text, changed, told):
    refused(learned(name, text, **changed), f"{name}: demonstrations.", told, error=DataError)


def test_a_state_that_is_none_is_refused():
    text = f"reset-cliff:num_states={S},num_actions={A}"
    told = "bc: demonstrations.obs must be whole numbers from 0 to 4"
    refused(learned("bc", text, obs=lambda x: x + S), told, error=DataError)
    refused(learned("bc", text, obs=lambda x: x + 0.0), told, "float32", error=DataError)


@pytest.mark.parametrize(
    ("changed", "told", "error"),
    [
        (
            {"num_episodes": lambda _: 500},
            "num_episodes must be a whole number from 0 to 6, got 500",
            SpecError,
        ),
        (
            {"num_episodes": lambda _: -1},
            "num_episodes must be a whole number from 0 to 6",
            SpecError,
        ),
        (
            {"num_episodes": lambda _: 2.5},
            "num_episodes must be a whole number from 0 to 6",
            SpecError,
        ),
        ({"num_episodes": lambda _: 2}, "length[2] is ", DataError),
        ({"length": lambda x: x.at[1].set(H + 1)}, "length[1] is 5; give 0 to 4 steps", DataError),
        ({"length": lambda x: x.at[1].set(-1)}, "length[1] is -1", DataError),
        ({"length": lambda x: x[1:]}, "demonstrations differ in size: obs [6, 4, 4]", DataError),
        ({"action": lambda x: x[:, 1:]}, "demonstrations differ in size: obs [6, 4, 4]", DataError),
        (
            {key: lambda x: jnp.concatenate([x, x]) for key in ("obs", "action", "length")},
            "12 demonstrations of 4 steps are more than Capacity(horizon=4, num_demos=6) holds",
            DataError,
        ),
    ],
)
def test_demonstrations_agree_with_themselves(changed, told, error):
    refused(learned("bc", "CartPole-v1", **changed), "train: ", told, error=error)


def test_counts_are_not_negative():
    shown = posed().problem.demonstrations
    for bad in (shown.counts - 1, shown.counts * jnp.nan):
        problem = dataclasses.replace(posed().problem, demonstrations=shown._replace(counts=bad))
        told = "train: demonstrations.counts are negative or NaN"
        refused(lambda p=problem: imitax.train(KEY, imitax.bc(env()), p), told, error=DataError)


def test_good_demonstrations_pass():
    for name, text in (("bc", "CartPole-v1"), ("bc", "lane")):
        assert np.isfinite(learned(name, text)().metrics.training_loss)


@pytest.mark.parametrize("cls", sorted(CONFIGS, key=lambda cls: cls.__name__))
def test_a_config_is_checked_when_it_is_made_and_holds_anything_that_jax_puts_there(cls):
    for field in dataclasses.fields(cls):
        bad = {float: ["0.1", None, np.nan, jnp.inf], int: [2.5, True, "2"], bool: [1, "true"]}
        bad = bad.get(field.type, [3.5, ["tanh"], None])
        low, above = field.metadata["low"], field.metadata["above"]
        bad += [] if low is None else [(low - 1,)] if "tuple" in str(field.type) else [low - 1]
        bad += [] if above is None else [above]
        for value in bad:
            act = functools.partial(cls, **{field.name: value})
            refused(act, f"{cls.__name__}: {field.name}=", "; allowed: ")
    made = cls()
    check_settings(made, "its defaults")
    leaves, structure = jax.tree.flatten(made)
    for leaf in (None, object(), -1.0, jax.ShapeDtypeStruct((), jnp.float32), jnp.full(3, -1.0)):
        again = jax.tree.unflatten(structure, [leaf] * len(leaves))
        assert type(again) is cls
        assert all(x is leaf for x in structure.flatten_up_to(again))
    assert jax.jit(lambda given: jax.tree.map(lambda x: -x, given))(made) is not None


def test_a_gradient_of_a_config_is_a_config():
    config = imitax.NetworkBCConfig()
    slope = jax.grad(lambda given: -3.0 * given.learning_rate)(config)
    assert (type(slope), slope.learning_rate) == (imitax.NetworkBCConfig, -3.0)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(config)]
    assert ".learning_rate" in paths
