"""`python -m benchmarks.throughput`: what it counts, what it writes, what it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from benchmarks import plain_ppo, throughput
from benchmarks.speed import arithmetic, figures, loads, memory, points, record, tables, workloads

ROOT = Path(__file__).resolve().parent.parent


def test_gradient_flops_by_hand():
    # 3 -> 5 -> 2: forward 2 (15 + 10), weight gradients the same, input gradient of the second.
    assert arithmetic.gradient_flops((3, 5, 2)) == 2 * 25 + 2 * 25 + 2 * 10
    assert arithmetic.num_parameters((3, 5, 2)) == 3 * 5 + 5 + 5 * 2 + 2
    assert arithmetic.step_bytes((3, 5, 2), 4, 7) == 4 * (6 * 32 + 7 * 4)


def test_gradient_flops_against_xla():
    """One gradient without a loop; XLA also counts activations, biases and the loss."""
    widths, batch = (4, 64, 64, 2), 64

    class Network(nn.Module):
        @nn.compact
        def __call__(self, x):
            for width in widths[1:-1]:
                x = nn.tanh(nn.Dense(width)(x))
            return nn.Dense(widths[-1])(x)

    network = Network()
    params = network.init(jax.random.key(0), jnp.zeros((1, widths[0])))

    def loss(params, obs, action):
        each = optax.softmax_cross_entropy_with_integer_labels(network.apply(params, obs), action)
        return each.mean()

    shapes = (jnp.zeros((batch, widths[0])), jnp.zeros(batch, jnp.int32))
    cost = jax.jit(jax.grad(loss)).lower(params, *shapes).compile().cost_analysis()
    ours = batch * arithmetic.gradient_flops(widths)
    assert 1.0 <= cost["flops"] / ours < 1.1


def test_a_seed_of_each_workload_by_hand():
    work = {one.name: arithmetic.work_of(one) for one in workloads.FULL}
    policy, value, critic = (
        arithmetic.gradient_flops(widths)
        for widths in ((4, 64, 64, 2), (4, 64, 64, 1), (6, 32, 32, 1))
    )
    assert policy == 6 * 4480 - 2 * 256
    assert work["bc"] == work["bc-training"]
    assert work["bc"].flops == 1000 * 64 * policy
    assert work["dagger"].gradient_samples == 2001 * 64
    assert work["plain-ppo"].flops == 97 * 80 * 64 * (policy + value)
    assert work["gail"].flops - work["plain-ppo"].flops == 388 * 1024 * critic
    assert work["gail"].gradient_samples == 97 * 80 * 64 + 388 * 1024
    assert work["maxent-irl"].per == "iteration"


def test_workloads_agree_with_the_settings_of_the_plain_ppo():
    _, chosen, _ = workloads.resolve(workloads.find("gail", quick=False))
    settings, config = plain_ppo.Settings(), chosen.config
    for name in ("num_envs", "epochs", "learning_rate", "discount", "trace_decay", "clip"):
        assert getattr(settings, name) == getattr(config, name), name
    assert settings.num_steps == config.rollout
    assert settings.num_envs * settings.num_steps == settings.num_minibatches * config.batch_size
    assert (settings.num_updates, settings.hidden) == (config.rounds, config.hidden)


def test_counted_bytes():
    found = memory.counted(workloads.find("bc", quick=True))
    assert found["parameters"] == 4 * arithmetic.num_parameters((4, 64, 64, 2))
    assert found["moments"] == 2 * found["parameters"] + 4  # and Adam's count
    # 2 episodes of 20 steps: 4 coordinates and an action; lengths, and their number
    assert found["demonstrations"] == 2 * 20 * 5 * 4 + 2 * 4 + 4


def test_blocks_divide_a_share():
    assert loads.divided(64, 2, 8) == 8
    assert loads.divided(24, 2, 8) == 6
    assert loads.divided(6, 2, 8) == 3
    assert loads.divided(64, 2, 0) == 32
    assert loads.rounded_up(5, 4) == 8


def test_a_series_stops_before_it_takes_too_long():
    request = {"budget": 10.0}
    assert points._too_long(request, None, 1) == ""
    assert points._too_long(request, (8, 1.0), 40) == ""
    assert "64 seeds would take about 16 s" in points._too_long(request, (8, 1.0), 64)


def test_which_devices_run_which_seeds():
    args = throughput._parser().parse_args(["--seeds", "1", "8", "--device-seeds", "64"])
    machine = {"platform": "cpu", "cores": 2, "num_devices": 1}
    alone = [(1, [64]), (4, [64]), (8, [64])]
    assert throughput.series_of(args, machine, "bc") == [(2, [1, 8, 64]), *alone]
    machine = {"platform": "gpu", "cores": 16, "num_devices": 1}
    assert throughput.series_of(args, machine, "bc")[0] == (1, [1, 8, 64])
    assert throughput.series_of(args, machine, "plain-ppo")[0] == (1, [1, 8, 64, 2048])


def run(*arguments):
    command = [sys.executable, "-m", "benchmarks.throughput", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A tiny real run of exact BC for 3 seeds on 2 devices, compiled beforehand."""
    out = tmp_path_factory.mktemp("throughput") / "run"
    arguments = ["--quick", "--algorithms", "bc-exact", "--seeds", "3", "--device-seeds", "3"]
    arguments += ["--devices", "2", "--repeats", "2", "--no-memory", "--no-score"]
    done = run(*arguments, "--prepare", "--out", str(out))
    assert done.returncode == 0, done.stderr
    return out


def test_the_record_of_a_quick_run(measured):
    found = record.load(measured)
    assert found["schema"] == record.SCHEMA
    machine = found["machine"]
    for key in ("processor", "cores", "memory_bytes", "device_kind", "flags", "commit", "date"):
        assert key in machine, key
    assert [(point["seeds"], point["devices"]) for point in found["points"]] == [(3, 2)]
    for point in found["points"]:
        assert point["status"] == "ok"
        assert len(point["seconds"]) == 2
        assert point["quartiles"][0] <= point["median_seconds"] <= point["quartiles"][1]
        assert np.isclose(point["rates"]["seeds"], point["seeds"] / point["median_seconds"])
        for side in ("before", "after"):
            assert min(point["reference"][side]["highest_flops"]) > 0
        assert point["lower_seconds"] > 0
        assert point["compile_seconds"] > 0
    assert found["prepare_seconds"] > 0
    assert found["points"][0]["width"] == 4  # 3 seeds on 2 devices


def test_the_files_of_a_quick_run(measured):
    names = {path.name for path in measured.iterdir()}
    assert names == {"throughput.json", "throughput.md", "seeds.png"}
    text = (measured / "throughput.md").read_text()
    assert "these figures mean nothing" in text
    assert "All programs were compiled beforehand" in text
    assert text.count("| bc-exact | 2 | 3 |") == 1


def point(name, devices, seeds, rate, **more):
    seconds = seeds / rate
    return {
        "workload": name,
        "devices": devices,
        "seeds": seeds,
        "status": "ok",
        "median_seconds": seconds,
        "quartiles": [0.9 * seconds, 1.1 * seconds],
        "rates": {"seeds": rate, "flops": 1e9 * rate},
        "fractions": {"of_product_highest": 0.25},
        "lower_seconds": 1.0,
        "compile_seconds": 2.0,
        "found": {"median_return": 500.0},
        **more,
    }


@pytest.fixture
def made_up(measured):
    found = record.load(measured)
    found["settings"]["quick"] = False
    found["points"] = [
        point("bc", 2, 1, 10.0),
        point("bc", 2, 64, 20.0),
        point("bc", 1, 64, 10.0),
        point("bc", 4, 64, 20.0, note="4 devices share 2 cores"),
        {"workload": "bc", "devices": 2, "seeds": 256, "status": "not run: 9 s, the budget is 5 s"},
    ]
    found["memory"] = [{"workload": "bc", "status": "not run: its process ended with status 1: x"}]
    found["time_to_score"] = [{"workload": "bc", "cache": "cold", "status": "not run: y"}]
    return found


def test_render_again(made_up, tmp_path):
    record.save(tmp_path, made_up)
    assert throughput.main(["--render", str(tmp_path)]) == 0
    text = (tmp_path / "throughput.md").read_text()
    assert "mean nothing" not in text
    assert "| bc | 2 | 64 | 20 | 3.2 [2.88, 3.52] |" in text
    assert "| 20 | 25.0 % |" in text
    assert "- bc, 256 seeds, 2 devices: not run: 9 s, the budget is 5 s" in text
    assert "- 4 devices share 2 cores" in text
    for name in ("seeds.png", "roofline.png", "devices.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        assert f"({name})" in text


def test_efficiency_is_relative_to_one_device(made_up):
    points = [one for one in made_up["points"] if one["status"] == "ok"]
    figure = figures._devices(points, {"bc": ("black", "o")})
    assert figure is not None
    line = figure.axes[0].lines[0]
    assert list(line.get_xdata()) == [1, 2, 4]
    assert list(line.get_ydata()) == [1.0, 2.0, 2.0]


def test_numbers_of_a_table():
    assert [tables.number(value) for value in (None, 0.0, 0.01234, 999.6, 2.5e6, 3e9)] == [
        "",
        "",
        "0.0123",
        "1k",
        "2.5M",
        "3G",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "0"], "--seeds 0 is out of range; allowed: >= 1"),
        (["--budget", "0"], "--budget 0 is out of range; allowed: > 0"),
        (["--block", "-1"], "--block -1 is out of range"),
        (["--out", "{taken}"], "holds files but no throughput.json; choose another --out"),
        (["--render", "{taken}"], "throughput.json: cannot be read"),
        (["--render", "{old}"], "schema 0, this program reads 1"),
    ],
)
def test_refusals(arguments, message, tmp_path, capsys):
    taken, old = tmp_path / "taken", tmp_path / "old"
    taken.mkdir()
    (taken / "other.txt").write_text("")
    record.save(old, dict.fromkeys(record.KEYS, 0))
    arguments = [one.format(taken=taken, old=old) for one in arguments]
    assert throughput.main(arguments) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in taken.iterdir()] == ["other.txt"]


def test_a_cut_record_is_refused(tmp_path, capsys):
    (tmp_path / "throughput.json").write_text(json.dumps({"schema": 1})[:-1])
    assert throughput.main(["--render", str(tmp_path)]) == 2
    assert "no valid JSON" in capsys.readouterr().err


def test_the_plain_ppo_learns_something():
    """Episodes get longer; the full run reaches far more."""
    settings = plain_ppo.Settings(num_updates=8)
    lengths = jax.jit(plain_ppo.make_train(settings))(jax.random.key(0)).mean_length
    assert float(lengths[-2:].mean()) > 1.5 * float(lengths[:2].mean())
