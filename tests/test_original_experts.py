"""The expert networks of Ho and Ermon: forward pass, published returns, what is refused."""

import builtins
import itertools

import gymnax
import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from recordings import real

from imitax.core.errors import SpecError
from imitax.data import DataError
from imitax.experts import original
from imitax.rl import measure

SIZES = {"CartPole-v0": (4, 2), "MountainCar-v0": (2, 3)}
NAMES = tuple(f"iter{number:07d}" for number in range(0, 101, 20))


def reference(group, obs):
    """The probabilities in float64, written from the data's README; obs [n, D]."""
    norm = group["obsnorm/Standardizer"]
    mean, square = norm["mean_1_D"][()], norm["meansq_1_D"][()]
    x = (obs - mean) / (np.sqrt(np.maximum(square - mean**2, 0)) + 1e-6)
    for name in ("hidden/FeedforwardNet/layer_0", "hidden/FeedforwardNet/layer_2"):
        layer = group[name]["AffineLayer"]
        x = np.tanh(x @ layer["W"][()] + layer["b"][()])
    last = group["out/AffineLayer"]
    logits = x @ last["W"][()] + last["b"][()]
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def found(policy, obs):
    return jax.vmap(lambda one: policy(one, jnp.int32(0)).probs)(jnp.asarray(obs, jnp.float32))


def synthetic(path, inputs, outputs, names=("iter0000000", "iter0000003"), skip=(), values=None):
    """A file in the layout of the originals, of random networks."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for name in names:
            arrays = {"obsnorm/Standardizer/mean_1_D": rng.normal(size=(1, inputs))}
            arrays["obsnorm/Standardizer/meansq_1_D"] = 2 + rng.random((1, inputs))
            sizes = (inputs, 5, 7, outputs)
            layers = ("hidden/FeedforwardNet/layer_0", "hidden/FeedforwardNet/layer_2", "out")
            for layer, shape in zip(layers, itertools.pairwise(sizes), strict=True):
                arrays[f"{layer}/AffineLayer/W"] = rng.normal(size=shape)
                arrays[f"{layer}/AffineLayer/b"] = rng.normal(size=(1, shape[1]))
            for member, array in (arrays | (values or {})).items():
                if member not in skip:
                    file[f"snapshots/{name}/GibbsPolicy/{member}"] = array
    return path


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("snapshot", ["iter0000000", "iter0000040", -1])
def test_forward_pass_against_numpy(name, snapshot):
    path = real(f"gail_experts/{name}.h5")
    inputs, outputs = SIZES[name]
    policy = original.policy(path, snapshot, num_observations=inputs, num_actions=outputs)
    obs = np.random.default_rng(1).normal(size=(64, inputs)) * (0.3, 0.05, 0.1, 0.5)[:inputs]
    with h5py.File(path) as file:
        place = NAMES[-1] if snapshot == -1 else snapshot
        expected = reference(file[f"snapshots/{place}/GibbsPolicy"], obs)
    np.testing.assert_allclose(found(policy, obs), expected, atol=2e-5)
    assert np.ptp(expected[:, 0]) > 0.01, "the test needs probabilities that differ"


@pytest.mark.parametrize(
    ("name", "env_id", "low", "high"),
    [("CartPole-v0", "CartPole-v1", 200.0, 200.0), ("MountainCar-v0",) * 2 + (-100.5, -98.0)],
)
def test_the_last_snapshot_returns_what_was_published(name, env_id, low, high):
    """At 200 steps; theory 2.2: 200.0, and -99.25 with a deviation of 7.93 over 4000 episodes."""
    inputs, outputs = SIZES[name]
    path = real(f"gail_experts/{name}.h5")
    policy = original.policy(path, num_observations=inputs, num_actions=outputs)
    measured = measure.measure(jax.random.key(0), env_id, policy, 200, 500)
    assert low <= measured.mean <= high
    assert measured.low <= (200.0 if low > 0 else -99.25) <= measured.high


def test_a_first_snapshot_is_worse():
    path = real("gail_experts/CartPole-v0.h5")
    assert original.snapshots(path) == NAMES
    policy = original.policy(path, 0, num_observations=4, num_actions=2)
    assert measure.measure(jax.random.key(0), "CartPole-v1", policy, 200, 100).mean < 150


def test_acrobot_sees_its_angles_again(tmp_path):
    """A network of 4 inputs in gymnax's Acrobot, at angles all around the circle."""
    path = synthetic(tmp_path / "Acrobot-v0.h5", 4, 3)
    policy = original.policy(path, "iter0000003", num_observations=6, num_actions=3)
    env, params = gymnax.make("Acrobot-v1")
    _, begun = env.reset(jax.random.key(0), params)
    drawn = np.random.default_rng(2).uniform(-1, 1, (200, 4)) * (np.pi, np.pi, 12.5, 28.0)
    fields = ("joint_angle1", "joint_angle2", "velocity_1", "velocity_2")
    obs = jax.vmap(lambda row: env.get_obs(begun.replace(**dict(zip(fields, row, strict=True)))))(
        jnp.asarray(drawn, jnp.float32)
    )
    with h5py.File(path) as file:
        expected = reference(file["snapshots/iter0000003/GibbsPolicy"], drawn)
    np.testing.assert_allclose(found(policy, obs), expected, atol=1e-4)
    plain = original.policy(path, "iter0000003", num_observations=4, num_actions=3)
    np.testing.assert_allclose(found(plain, drawn), expected, atol=1e-4)
    assert plain.apply != policy.apply


def test_policies_of_a_file_share_one_program(tmp_path):
    path = synthetic(tmp_path / "x.h5", 4, 2)
    first, second = (
        original.policy(path, at, num_observations=4, num_actions=2) for at in (0, "-1")
    )
    assert jax.tree.structure(first) == jax.tree.structure(second)
    assert not np.array_equal(first.params.kernels[0], second.params.kernels[0])


W = "out/AffineLayer/W"
BAD = [
    ({"skip": (W,)}, {}, DataError, f"lacks snapshots/iter0000003/GibbsPolicy/{W}"),
    ({"values": {W: np.full((7, 2), np.nan)}}, {}, DataError, "is not finite"),
    ({"values": {W: np.zeros((6, 2))}}, {}, DataError, "do not fit together"),
    ({"values": {W: np.bytes_(b"no")}}, {}, DataError, "is damaged"),
    ({"names": ()}, {}, DataError, "holds no snapshots"),
    ({}, {"num_observations": 2}, DataError, "takes 4 numbers, the environment shows 2"),
    ({}, {"num_actions": 3}, DataError, "has 2 actions, the environment 3"),
    ({}, {"snapshot": 2}, SpecError, "has no snapshot 2; allowed: -2 to 1"),
    ({}, {"snapshot": "iter0000030"}, SpecError, "did you mean 'iter0000003'"),
]


@pytest.mark.parametrize(("content", "asked", "kind", "words"), BAD, ids=[case[3] for case in BAD])
def test_what_is_refused(content, asked, kind, words, tmp_path):
    path = synthetic(tmp_path / "x.h5", 4, 2, **content)
    with pytest.raises(kind) as caught:
        original.policy(path, **({"num_observations": 4, "num_actions": 2} | asked))
    message = str(caught.value)
    assert words in message
    assert str(path) in message
    assert "\n" not in message
    assert ";" in message, "a remedy"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"", "is no HDF5 file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "is a damaged HDF5 file"),
    ],
)
def test_files_that_are_none_are_refused(content, words, tmp_path):
    path = tmp_path / "CartPole-v0.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        original.snapshots(path)
    assert str(path) in str(caught.value)


def test_without_h5py_the_extra_is_named(monkeypatch, tmp_path):
    whole = builtins.__import__

    def without(name, *rest):
        if name == "h5py":
            raise ImportError(name)
        return whole(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SpecError, match=r"pip install 'imitax\[data\]'"):
        original.snapshots(tmp_path / "x.h5")
