"""The command's preparation of JAX: devices, and compiled programs that are kept."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_store import table

from imitax.bench.programs import cache_counts
from imitax.cli import parser, start

LINE = ["sweep", "--env", "reset-cliff:num_states=4", "--algorithm", "bc", "--horizons", "3"]
LINE += ["--num-demos", "2", "--seeds", "4", "--devices", "2"]


def variables(*options, **environ):
    out = [] if "--out" in options else ["--out", "none"]
    args = parser.parse([*LINE[:-2], *out, *options])
    return start.variables(args, environ)


def test_one_device_for_each_core_or_as_many_as_asked():
    cores = str(start.num_cores())
    name = "JAX_NUM_CPU_DEVICES"
    assert variables()[name] == variables("--devices", "all")[name] == cores
    assert variables("--devices", "3")[name] == "3"
    assert name not in variables("--devices", "0")
    assert name not in variables(JAX_NUM_CPU_DEVICES="5")
    assert name not in variables(XLA_FLAGS="--xla_force_host_platform_device_count=4")


def test_devices_of_a_manifest_count_where_one_process_writes_it(tmp_path):
    (tmp_path / "manifest.json").write_text('{"num_devices": 7}')
    out = ["--out", str(tmp_path)]
    assert variables(*out)["JAX_NUM_CPU_DEVICES"] == "7"
    assert variables(*out, "--shard", "0/2") == variables("--shard", "0/2")
    (tmp_path / "manifest.json").write_text('{"num_devices": "7"')
    assert variables(*out) == variables()


def test_programs_are_kept_where_caches_belong():
    name = "JAX_COMPILATION_CACHE_DIR"
    assert variables()[name] == str(Path.home() / ".cache" / "imitax" / "xla")
    assert variables(XDG_CACHE_HOME="/there")[name] == "/there/imitax/xla"
    assert name not in variables(JAX_COMPILATION_CACHE_DIR="/mine")
    assert variables()["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] == "0"
    off = variables("--no-cache")
    assert name not in off
    assert off["JAX_ENABLE_COMPILATION_CACHE"] == "false"


def test_the_launcher_imports_the_standard_library_only():
    code = "import sys; before = set(sys.modules); import imitax.cli.start\n"
    code += "print({name.split('.')[0] for name in set(sys.modules) - before})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert eval(done.stdout) - sys.stdlib_module_names == {"imitax"}


def test_events_are_counted_in_their_thread_and_block():
    with cache_counts.counting() as outer:
        cache_counts._note(cache_counts.HIT)
        with cache_counts.counting() as inner:
            cache_counts._note(cache_counts.MISS)
            cache_counts._note("/jax/something/else")
    cache_counts._note(cache_counts.HIT)
    assert (outer.hits, outer.misses, inner.hits, inner.misses) == (1, 0, 0, 1)


@pytest.mark.slow
def test_the_second_start_traces_and_compiles_nothing(tmp_path):
    env = {key: value for key, value in os.environ.items() if "CACHE" not in key}
    env |= {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "xla"), "JAX_PLATFORMS": "cpu"}
    counts = []
    for name, flags in (("cold", []), ("warm", []), ("off", ["--no-cache"])):
        out = tmp_path / name
        command = [sys.executable, "-m", "imitax", *LINE, *flags, "--out", str(out)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
        assert (done.returncode, done.stderr) == (0, "")
        (program,) = json.loads((out / "manifest.json").read_text())["programs"]
        names = ("num_compilations", "cache_hits", "cache_misses")
        counts.append(tuple(program[name] for name in names))
        assert table(out).equals(table(tmp_path / "cold"))
    assert counts == [(1, 0, 1), (0, 1, 0), (1, 0, 0)]
