"""The kernels against flax, `jax.grad` and optax, by Pallas's interpreter; and their lowering."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from probes import Probe

from imitax import catalogue
from imitax.games import critic as critics
from imitax.games import critic_kernel, network_player
from imitax.games.pairs import Expert, Seen
from imitax.kernels import api, pallas, shapes, tiles
from imitax.networks import mlp
from imitax.networks.mlp import MLP
from imitax.networks.normalisation import Normaliser
from imitax.rl import actor_critic, ppo, ppo_kernel

quickly = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": "0"})
"""One program instead of a compilation for each operation; LLVM is not to try, it runs once."""
WIDTHS = ((5, 64, 32, 3), (5, 32, 1))
EPS, RATE, MOST = 1e-5, 1e-2, 0.5


@pytest.fixture
def kernels_are_used(monkeypatch):
    """As on a GPU; without one the kernels are interpreted."""
    monkeypatch.setattr(api, "available", lambda: True)


def first_loss(outputs, columns, numbers):
    """Three outputs that only elementwise functions touch."""
    one, two, three = outputs
    return columns[0] * jnp.exp(0.1 * one) - jnp.minimum(two, columns[1]) + numbers[0] * three**2


def second_loss(outputs, columns, numbers):
    return 0.5 * (outputs[0] - columns[1]) ** 2 * numbers[1]


def nets_of(activation):
    return [MLP(widths[1:-1], widths[-1], activation=activation) for widths in WIDTHS]


def rows_of(key, steps, batch):
    keys = jax.random.split(key, 3)
    inputs = jax.random.normal(keys[0], (steps, batch, WIDTHS[0][0]))
    columns = tuple(jax.random.normal(key, (steps, batch)) for key in keys[1:])
    return shapes.Rows(inputs, columns)


def by_optax(nets, params, rows, numbers, most):
    """The same steps by flax, `jax.grad` and optax; weights and Adam's state at the end."""
    clip = optax.clip_by_global_norm(most) if most else optax.identity()
    adam = optax.scale_by_adam(eps=EPS)

    def loss(params, inputs, columns):
        said = [net.apply(one, inputs) for net, one in zip(nets, params, strict=True)]
        said = [tuple(outputs[:, i] for i in range(outputs.shape[1])) for outputs in said]
        total = first_loss(said[0], columns, numbers) + second_loss(said[1], columns, numbers)
        return jnp.mean(total)

    def descend(carry, step):
        params, moments = carry
        slope, _ = clip.update(jax.grad(loss)(params, *step), clip.init(params))
        move, moments = adam.update(slope, moments)
        return (jax.tree.map(lambda x, y: x - RATE * y, params, move), moments), None

    return jax.lax.scan(descend, (params, adam.init(params)), tuple(rows))[0]


def flat(params):
    return jnp.concatenate([shapes.flat(one) for one in params])


@pytest.mark.parametrize(
    ("activation", "batch", "most"),
    [("tanh", 64, MOST), ("relu", 128, MOST), ("tanh", 16, 0.0), ("relu", 192, 0.0)],
)
def test_steps_are_those_of_optax(activation, batch, most):
    """Over several steps from a state with moments, for two seeds at once."""
    nets, numbers = nets_of(activation), (0.3, 0.7)
    recipe = shapes.Recipe(WIDTHS, activation, (first_loss, second_loss), EPS, clips=bool(most))

    def both(key):
        keys = jax.random.split(key, 4)
        blank = jnp.zeros((1, WIDTHS[0][0]))
        params = tuple(net.init(one, blank) for net, one in zip(nets, keys[:2], strict=True))
        first, second = rows_of(keys[2], 2, batch), rows_of(keys[3], 3, batch)
        start, moments = by_optax(nets, params, first, numbers, most)
        wanted = by_optax(
            nets, params, jax.tree.map(lambda *x: jnp.concatenate(x), first, second), numbers, most
        )
        before = shapes.Moments(flat(moments.mu), flat(moments.nu), moments.count)
        found = api.descend(recipe, flat(start), before, second, RATE, most, numbers)
        return found, wanted, flat(start)

    (weights, moments), (params, adam), start = quickly(jax.vmap(both))(
        jax.random.split(jax.random.key(0), 2)
    )
    wanted = jax.vmap(flat)(params)
    assert np.abs(wanted - start).max() > RATE
    np.testing.assert_allclose(weights, wanted, rtol=1e-4, atol=2e-6)
    np.testing.assert_allclose(moments.first, jax.vmap(flat)(adam.mu), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(moments.second, jax.vmap(flat)(adam.nu), rtol=1e-3, atol=1e-7)
    np.testing.assert_array_equal(moments.count, adam.count)


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_rounded_slopes_keep_their_size(monkeypatch, size):
    """With operands of 11 bits, whatever the size of the loss, errors stay relative."""
    nets, numbers = nets_of("tanh"), (0.3, 0.7)
    losses = [lambda *of, loss=loss: size * loss(*of) for loss in (first_loss, second_loss)]
    recipe = shapes.Recipe(WIDTHS, "tanh", tuple(losses), EPS)
    keys = jax.random.split(jax.random.key(0), 3)
    blank = jnp.zeros((1, WIDTHS[0][0]))
    start = flat([net.init(one, blank) for net, one in zip(nets, keys[:2], strict=True)])
    before = shapes.Moments(0.0 * start, 0.0 * start, jnp.int32(0))
    first = {}
    for half in (False, True):
        rounding = tiles.Tools("tanh", interpret=True, half=half)
        monkeypatch.setattr(api, "_tools", lambda _, tools=rounding: tools)
        rows = rows_of(keys[2], 1, 128)
        _, after = api.descend(recipe, start, before, rows, RATE, numbers=numbers)
        first[half] = np.asarray(after.first)
    error = np.linalg.norm(first[True] - first[False]) / np.linalg.norm(first[False])
    assert 1e-6 < error < 2.0**-11


@pytest.mark.parametrize(
    ("activation", "rows", "widths"),
    [("tanh", 8, (4, 64, 64, 2)), ("relu", 100, (6, 32, 16, 16)), ("tanh", 1, (20, 128, 1))],
)
def test_outputs_are_those_of_flax(activation, rows, widths):
    net = MLP(widths[1:-1], widths[-1], activation=activation)

    def both(key):
        params = net.init(key, jnp.zeros((1, widths[0])))
        bias = jax.tree.map(lambda leaf: leaf + 0.1, params)
        inputs = jax.random.normal(key, (rows, widths[0]))
        return api.outputs(activation, bias, inputs), net.apply(bias, inputs)

    found, wanted = quickly(jax.vmap(both))(jax.random.split(jax.random.key(1), 3))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_vector_of_weights_is_the_weights():
    net = MLP((32, 16), 3)
    params = net.init(jax.random.key(2), jnp.zeros((1, 5)))
    vector, widths = shapes.flat(params), (5, 32, 16, 3)
    assert vector.shape == (shapes.size_of(widths),)
    again = shapes.unflat(vector, widths)
    assert jax.tree.structure(again) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, again, params)


@pytest.mark.parametrize(
    ("widths", "batch", "does"),
    [
        ((4, 64, 64, 2), 64, True),
        ((4, 32, 1), 16, True),
        ((4, 64, 2), 192, True),
        ((4, 64, 2), 96, False),
        ((4, 64, 2), 8, False),
        ((4, 48, 2), 64, False),
        ((4, 8, 2), 64, False),
        ((4, 256, 2), 64, False),
        ((4, 64, 17), 64, False),
        ((128, 64, 2), 64, False),
        ((4, 2), 64, False),
    ],
)
def test_what_fits(widths, batch, does):
    assert shapes.fits(widths, batch) == does


def test_kernels_have_32_bits():
    with jax.enable_x64(True):
        assert not shapes.fits((4, 64, 64, 2), 64)


def test_kernels_are_for_gpus_that_are_there(monkeypatch):
    class Device:
        platform, device_kind, compute_capability = "gpu", "NVIDIA A100", "8.0"

    assert not api.available()  # the tests run on a CPU
    decide = api.available.__wrapped__
    monkeypatch.setattr(jax, "devices", lambda: [Device()])
    assert decide()
    for name, value in (("compute_capability", "7.5"), ("device_kind", "AMD"), ("platform", "tpu")):
        with monkeypatch.context() as patch:
            patch.setattr(Device, name, value)
            assert not decide()
    monkeypatch.setenv("IMITAX_FUSED", "0")
    assert not decide()


# --- in their places ---------------------------------------------------------------------------


@functools.cache
def a_round():
    """A player of `Probe` and what it did."""
    env, settings = Probe(), ppo.PPOSettings(num_envs=4, rollout=32, batch_size=32, epochs=2)
    actor = actor_critic.actor(env, (32, 16))
    key, scaling = jax.random.key(3), Normaliser(jnp.zeros(2), jnp.ones(2))

    def play():
        player = ppo.start(key, actor, settings, env, env.default_params, scaling)
        where = (env, env.default_params, jnp.int32(9))
        return ppo.collect(key, actor, settings, *where, player)

    return actor, settings, *quickly(play)()


def test_ppo_improves_alike(monkeypatch):
    """Two rounds, so that moments and their count go on."""
    actor, settings, player, rollout = a_round()
    reward = jax.random.normal(jax.random.key(4), rollout.reward.shape)

    def rounds(player):
        improve = quickly(
            lambda key, player: ppo.improve(key, actor, settings, player, rollout, reward, 0.5)
        )
        for seed in (5, 6):
            player = improve(jax.random.key(seed), player)
        return player

    plain = rounds(player)
    monkeypatch.setattr(api, "available", lambda: True)
    calls = []
    real = ppo_kernel.descend
    monkeypatch.setattr(ppo_kernel, "descend", lambda *args: calls.append(1) or real(*args))
    found = rounds(player)
    assert calls == [1]  # traced once for both rounds
    assert jax.tree.structure(found) == jax.tree.structure(plain)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=2e-6)
    jax.tree.map(close, found.weights, plain.weights)
    jax.tree.map(close, found.moments, plain.moments)
    assert (
        np.abs(shapes.flat(plain.weights.policy) - shapes.flat(player.weights.policy)).max() > 1e-3
    )


@pytest.mark.parametrize(
    "settings", ["gail:entropy_bonus=0.1", "gail:discriminator_activation=relu", "wail:"]
)
def test_discriminators_answer_alike(monkeypatch, settings):
    env = Probe()
    name, extra = settings.split(":")
    text = f"{name}:slope=free,discriminator_batch=32,discriminator_hidden=32x16,{extra}".strip(",")
    config = catalogue.algorithm(text, catalogue.environment("CartPole-v1")).config
    actor, _, _, rollout = a_round()
    key = jax.random.key(7)
    shown = jax.random.normal(key, (40, 2)), jnp.zeros(40, jnp.int32)
    expert = Expert(*shown, None, jnp.int32(30), jnp.float32(0.1))
    seen = Seen(rollout, jnp.float32(0.2), None, jnp.int32(0))
    loss, form = ("jensen-shannon", "softplus") if name == "gail" else ("wasserstein", "logit")
    player = network_player.network_player(env, config, loss, form)
    state = quickly(lambda: player.start(key, actor, expert))()

    def respond():
        return quickly(lambda state: player.respond(key, actor, None, state, expert, seen))(state)

    plain = respond()
    monkeypatch.setattr(api, "available", lambda: True)
    calls = []
    real = critic_kernel.descend
    monkeypatch.setattr(critic_kernel, "descend", lambda *args: calls.append(1) or real(*args))
    found = respond()
    assert calls
    assert jax.tree.structure(found) == jax.tree.structure(plain)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=2e-6)
    jax.tree.map(close, found, plain)
    assert np.abs(shapes.flat(plain.params) - shapes.flat(state.params)).max() > 1e-3


def test_what_is_differentiated_is_not_a_kernel(kernels_are_used):
    """Gradients, and gradients of gradients, are those of the network itself."""
    net = MLP((16,), 1)
    inputs = jax.random.normal(jax.random.key(8), (8, 3))
    params = net.init(jax.random.key(9), inputs)

    def penalty(apply):
        def norm(params):
            slope = jax.grad(lambda x: jnp.sum(jnp.sin(apply(net, params, x))))(inputs)
            return jnp.sum(slope**2) + jnp.sum(apply(net, params, inputs) ** 2)

        return jax.grad(norm)(params)

    found = penalty(mlp.apply)
    wanted = penalty(lambda net, params, x: net.apply(params, x))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), found, wanted)
    text = str(jax.make_jaxpr(lambda: mlp.apply(net, params, inputs))())
    assert "fused_outputs" in text
    assert "fused_outputs" not in str(jax.make_jaxpr(lambda: penalty(mlp.apply))())


def test_penalised_and_normalised_discriminators_are_left_to_xla(kernels_are_used):
    env = catalogue.environment("CartPole-v1")
    actor = actor_critic.actor(env, (64, 64))
    expert = Expert(jnp.zeros((4, 4)), jnp.zeros(4, jnp.int32), None, jnp.int32(4), jnp.float32(0))
    specs = {"gail:slope=free": True, "gail": False, "gail:slope=free,spectral=true": False}
    specs["maxent-irl:slope=free"] = False
    for text, does in specs.items():
        config = catalogue.algorithm(text, env).config
        loss = "likelihood" if text.startswith("maxent") else "jensen-shannon"
        critic = critics.critic(actor, config, loss, absorbing=False)
        assert critic_kernel.fits(critic, config, expert) == does


# --- for a GPU ---------------------------------------------------------------------------------


def a_gpu():
    """What JAX 0.11 wants to know of a GPU to lower a kernel for it; nothing for JAX 0.10."""
    if jax.__version_info__ < (0, 11):
        return contextlib.nullcontext()
    from jax.sharding import AbstractDevice, AbstractMesh, AxisType

    device = AbstractDevice("NVIDIA H100 80GB HBM3", None, "gpu")
    mesh = AbstractMesh((1,), ("seed",), axis_types=(AxisType.Auto,), abstract_device=device)
    return jax.sharding.use_abstract_mesh(mesh)


@pytest.mark.parametrize("batch", [64, 256])
def test_the_kernels_lower_for_cuda(batch):
    widths = ((4, 64, 64, 2), (4, 64, 64, 1))
    losses = (ppo_kernel.policy_loss, ppo_kernel.value_loss)
    recipe = shapes.Recipe(widths, "tanh", losses, EPS, clips=True)
    size = sum(map(shapes.size_of, widths))
    on_gpu = tiles.Tools("tanh", interpret=False, half=True)
    rows = shapes.Rows(jnp.zeros((3, 2, batch, 4)), (jnp.zeros((3, 2, batch)),) * 4)

    def steps(state, rows):
        return pallas.descend(recipe, state, jnp.ones((2, 2)), jnp.ones(4), rows, on_gpu)

    def look(weights, inputs):
        return pallas.outputs(weights, inputs, on_gpu)

    params = MLP((64, 64), 2).init(jax.random.key(0), jnp.zeros((1, 4)))
    weights = [jnp.stack([leaf] * 3) for leaf in shapes.leaves(params)]
    cases = [(steps, [jnp.zeros((3, size))] * 3, rows), (look, weights, rows.inputs[:, 0])]
    for function, *args in cases:
        with a_gpu():
            lowered = jax.jit(jax.vmap(function)).trace(*args).lower(lowering_platforms=("cuda",))
        assert "__gpu$xla.gpu.triton" in lowered.as_text()
