"""Training experts: what is kept and chosen, shaping, exported networks, the whole command."""

import dataclasses
import json

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imitax.cli import main
from imitax.core.distributions import Categorical
from imitax.core.errors import SpecError
from imitax.core.policies import Policy
from imitax.experts import files, network
from imitax.networks.normalisation import Normaliser
from imitax.rl import actor_critic, expert_training, measure, ppo, recipes
from imitax.rl.ppo import PPOSettings

TINY = dataclasses.replace(
    recipes.RECIPES["CartPole-v1"],
    settings=PPOSettings(hidden=(4,), num_envs=4, rollout=32, batch_size=32, epochs=2),
    horizon=60,
    rounds=8,
    runs=2,
    checkpoints=4,
    selection_episodes=16,
    episodes=32,
)


def left_or_right(params, obs, time):
    """Right with a fixed probability."""
    return Categorical(jnp.stack([1.0 - params, params]))


def test_returns_are_measured_over_independent_episodes():
    """Catch: pushing right every time catches the ball only where it falls at the right wall."""
    always = Policy(jnp.array([0.0, 0.0, 1.0]), probabilities)
    found = measure.measure(jax.random.key(3), "Catch-bsuite", always, 9, 2000)
    assert found.mean == pytest.approx(2 / 5 - 1, abs=5 * 0.8 / 2000**0.5)
    deviation = np.sqrt(1 - found.mean**2) * np.sqrt(2000 / 1999)
    assert found.high - found.mean == pytest.approx(1.96 * deviation / 2000**0.5, rel=1e-3)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)
    assert (found.length, found.episodes, found.horizon) == (9.0, 2000, 9)


def probabilities(params, obs, time):
    """Fixed probabilities."""
    return Categorical(params)


def test_a_time_limit_cuts_returns():
    found = measure.measure(
        jax.random.key(0), "CartPole-v1", Policy(jnp.float32(0.5), left_or_right), 5, 8
    )
    assert (found.mean, found.low, found.high, found.length) == (5, 5, 5, 5)


def test_kept_rounds_are_geometric():
    recipe = dataclasses.replace(TINY, rounds=1000, checkpoints=4)
    assert expert_training.kept(recipe) == (1, 10, 100, 1000)
    assert expert_training.kept(dataclasses.replace(TINY, rounds=2, checkpoints=64)) == (1, 2)


def test_choice_of_snapshots():
    """Random -100, final 100: targets -50, 0 and 50, in any run; NaN is never chosen."""
    best = np.array([[0.0, 300.0, 90.0], [0.0, 50.0, 100.0], [np.nan, 0.0, np.nan]])
    drawn = np.array([[-90.0, -45.0, 45.0], [-60.0, 10.0, 80.0], [np.nan, -1.0, 49.0]])
    expected = {"1": (0, 1), "2": (2, 1), "3": (2, 2), "final": (1, 2)}
    assert expert_training.choose(best, drawn, -100.0) == expected
    with pytest.raises(SpecError, match="diverged; try another --seed"):
        expert_training.choose(np.full((2, 3), np.nan), drawn, 0.0)


def test_mountain_energy_is_kept_without_a_push():
    """A coasting car keeps it to the order of the time step; a push along the motion adds to it."""
    env, params = gymnax.make("MountainCar-v0")
    _, state = env.reset(jax.random.key(0), params)
    state = state.replace(position=jnp.float32(-0.9), velocity=jnp.float32(0.0))
    seen = {1: [], 2: []}
    for action, energies in seen.items():
        here = state
        for _ in range(30):
            obs, here, *_ = env.step_env(jax.random.key(0), here, action, params)
            energies.append(float(recipes.mountain_energy(obs)))
    coasting, pushed = (np.array(seen[action]) for action in (1, 2))
    assert np.ptp(coasting) < 0.15 * (pushed[-1] - pushed[0])
    work = 0.001 * (np.asarray(here.position) - -0.9)
    assert pushed[-1] - coasting[-1] == pytest.approx(work, rel=0.1)
    crest = jnp.array([jnp.pi / 6, 0.0])
    assert recipes.mountain_energy(crest) == pytest.approx(0.0, abs=1e-9)


def test_shaping_adds_the_discounted_difference_of_potentials():
    """Against numpy; the potential is zero after termination and counts at a time limit."""
    recipe = dataclasses.replace(recipes.RECIPES["MountainCar-v0"], potential_weight=10.0)
    scaling = Normaliser(jnp.array([-0.3, 0.0]), jnp.array([0.5, 0.04]))
    rng = np.random.default_rng(0)
    obs, after = rng.normal(size=(2, 5, 3, 2))
    terminated, truncated = rng.random((2, 5, 3)) < 0.5
    reward = rng.normal(size=(5, 3))
    rollout = ppo.Rollout(
        inputs=jnp.asarray(scaling(obs)),
        next_inputs=jnp.asarray(scaling(after)),
        action=jnp.zeros((5, 3)),
        log_prob=jnp.zeros((5, 3)),
        reward=jnp.asarray(reward),
        terminated=jnp.asarray(terminated),
        truncated=jnp.asarray(truncated),
        time=jnp.zeros((5, 3)),
    )

    def potential(x):
        return 10 * (x[..., 1] ** 2 / 2 + 0.0025 / 3 * (np.sin(3 * x[..., 0]) - 1))

    expected = reward + 0.999 * np.where(terminated, 0, potential(after)) - potential(obs)
    np.testing.assert_allclose(
        expert_training.shaped(recipe, scaling, rollout), expected, atol=1e-5
    )
    plain = dataclasses.replace(recipe, potential=None)
    np.testing.assert_allclose(expert_training.shaped(plain, scaling, rollout), reward, atol=1e-6)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_an_exported_network_is_the_trained_one(env_id):
    """The policy that PPO itself reads off its weights, at random weights and observations."""
    env, params = gymnax.make(env_id)
    size = env.observation_space(params).shape[0]
    actor = actor_critic.actor(env, (5, 6))
    keys = jax.random.split(jax.random.key(0), 20)
    obs = 2 * jax.random.normal(keys[0], (50, size))
    scaling = Normaliser(jnp.arange(1.0, size + 1) / 4, jnp.arange(2.0, size + 2) / 3)
    weights = actor.init(keys[1], obs)
    leaves, tree = jax.tree.flatten(weights)
    leaves = [
        leaf + jax.random.normal(key, leaf.shape)
        for leaf, key in zip(leaves, keys[2:], strict=False)
    ]
    weights = jax.tree.unflatten(tree, leaves)
    exported = expert_training.exported(actor, scaling, weights)
    assert {leaf.dtype for leaf in jax.tree.leaves(exported)} == {jnp.dtype("float32")}
    for act in ("mode", "sample"):
        theirs = dataclasses.replace(actor, act=act).as_policy(weights, scaling)
        mine = Policy(exported, expert_training.playing(actor, act))
        pairs = zip(*(read(policy, obs) for policy in (mine, theirs)), strict=True)
        for one, other in pairs:
            np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)


def read(policy, obs):
    return jax.tree.leaves(jax.vmap(lambda one: policy(one, jnp.int32(0)))(obs))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two trainings by the command line with the same seed, and one with another."""
    root = tmp_path_factory.mktemp("experts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(recipes.RECIPES, "CartPole-v1", TINY)
        for folder, seed in (("one", "5"), ("again", "5"), ("other", "6")):
            line = ["experts", "train", "CartPole-v1", "--seed", seed, "--out", str(root / folder)]
            assert main.main(line) == 0
    return root


def test_training_writes_a_complete_pair(trained):
    for folder in ("one", "again", "other"):
        names = sorted(path.name for path in (trained / folder).iterdir())
        assert names == ["CartPole-v1.json", "CartPole-v1.npz"]
    expert = files.read(trained / "one", "CartPole-v1")
    held = expert.manifest
    assert (held["seed"], held["environment_steps"]) == (5, 2 * 8 * 4 * 32)
    assert held["recipe"]["settings"]["hidden"] == [4]
    assert held["recipe"]["settings"]["learning_rate"] == 1e-3
    assert held["network"]["act"] == {"1": "sample", "2": "sample", "3": "sample", "final": "mode"}
    assert held["snapshots"]["final"]["environment_steps"] == 8 * 4 * 32
    assert held["versions"]["jax"] == jax.__version__
    for name, found in held["snapshots"].items():
        assert (found["episodes"], found["horizon"]) == (32, 60)
        again = measure.measure(jax.random.key(8), "CartPole-v1", expert.policy(name), 60, 400)
        width = found["high"] - found["low"] + again.high - again.low
        assert abs(again.mean - found["mean"]) < 2 * width + 1e-9, "the policy that was measured"


def test_the_same_seed_gives_the_same_weights(trained):
    one, again, other = (
        (trained / folder / "CartPole-v1.npz").read_bytes() for folder in ("one", "again", "other")
    )
    assert one == again
    assert one != other
    manifests = [
        json.loads((trained / folder / "CartPole-v1.json").read_text())
        for folder in ("one", "again")
    ]
    for manifest in manifests:
        del manifest["wall_seconds"]
    assert manifests[0] == manifests[1]


def test_snapshots_are_of_one_training(trained):
    """Normalisation is the recipe's; the final policy is the last of its run."""
    held = files.read(trained / "one", "CartPole-v1")
    for policy in held.policies.values():
        assert np.all(policy.params.mean == 0)
        np.testing.assert_allclose(policy.params.scale, (1, 1, 0.2, 1))
    assert held.manifest["kept"] == [1, 2, 4, 8]
    steps = [one["environment_steps"] for one in held.manifest["snapshots"].values()]
    assert set(steps) <= {4 * 32 * rounds for rounds in (1, 2, 4, 8)}
    assert steps[-1] == max(steps)


def test_a_training_that_is_interrupted_leaves_the_old_pair(tmp_path, monkeypatch):
    """The archive is replaced before its manifest: what is between the two is refused."""
    held = files.write(tmp_path, manifest_of("x"), tiny_policies(0))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    whole = files.replace

    def interrupted(path, content):
        if path.suffix == ".npz":
            raise KeyboardInterrupt
        whole(path, content)

    monkeypatch.setattr(files, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write(tmp_path, manifest_of("x"), tiny_policies(1))
    assert {path.name: path.read_bytes() for path in held.parent.iterdir()} == before


def manifest_of(name):
    found = dict.fromkeys(files.NUMBERS, 1)
    return {"name": name, "snapshots": dict.fromkeys(files.SNAPSHOTS, found)}


def tiny_policies(value):
    weights = network.Weights(
        np.zeros(1), np.ones(1), (np.full((1, 2), value),), (np.zeros(2),), np.zeros(0)
    )
    return dict.fromkeys(files.SNAPSHOTS, Policy(weights, network.Actor("mode")))


def test_sizes_that_do_not_fit_are_refused():
    settings = dataclasses.replace(TINY.settings, num_envs=3)
    with pytest.raises(SpecError, match="num_envs=3"):
        expert_training.train(dataclasses.replace(TINY, settings=settings), 0)
