"""The command `imitax`: what it prints, what it refuses, what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from imitax.algorithms import ALGORITHMS
from imitax.bench.plans import suites
from imitax.bench.plans.plan import resolve
from imitax.cli import main, start
from imitax.core.errors import SpecError
from imitax.envs import ENVIRONMENTS

GRID = {
    "--env": ["reset-cliff"],
    "--algorithm": ["bc"],
    "--horizons": ["8"],
    "--num-demos": ["9"],
    "--seeds": ["2"],
}


def sweep_line(out, **changes):
    grid = GRID | {f"--{key.replace('_', '-')}": value for key, value in changes.items()}
    return ["sweep", *(word for key, words in grid.items() for word in [key, *words]), *to(out)]


def to(out):
    return ["--out", str(out)]


def refused(argv, capsys):
    """The one line on standard error of a command that fails."""
    assert main.main(argv) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("imitax: ")
    assert printed.err.count("\n") == 1
    assert "Traceback" not in printed.err
    return printed.err


BAD = [
    ({"env": ["reset-clif"]}, ["'reset-clif'", "did you mean 'reset-cliff'", "standard-imitation"]),
    ({"env": ["reset-cliff:num_states=x"]}, ["num_states=x", ">= 2"]),
    ({"env": ["reset-cliff:"]}, ["'reset-cliff:'", "name:key=value"]),
    ({"env": ["reset-cliff:num_states=3,num_states=4"]}, ["num_states", "twice"]),
    ({"env": ["DeepSea-bsuite"]}, ["DeepSea-bsuite", "no expert", "CartPole-v1"]),
    ({"algorithm": ["gaill"]}, ["'gaill'", "did you mean 'gail'"]),
    ({"algorithm": ["dagger:beta=2"]}, ["beta=2", "<= 1.0"]),
    ({"algorithm": ["dagger:beta=nan"]}, ["beta=nan", "<= 1.0"]),
    ({"env": ["lane"], "algorithm": ["bc:unseen=first"]}, ["unseen=first", "lane"]),
    ({"env": ["lane"], "algorithm": ["noisy-expert"]}, ["nothing to run", "tabular"]),
    ({"env": ["reset-cliff:initial=rajaraman"], "num_demos": ["2"]}, ["rajaraman", "got 2"]),
    ({"horizons": ["0"]}, ["horizon", "got 0"]),
    ({"horizons": ["-4"]}, ["horizon", "got -4"]),
    ({"horizons": ["8.5"]}, ["--horizons", "8.5"]),
    ({"num_demos": ["0"]}, ["num-demos", "got 0"]),
    ({"seeds": ["0"]}, ["seeds", "got 0"]),
    ({"seeds": [str(2**31)]}, ["seeds", str(2**31)]),
    ({"seeds": []}, ["--seeds", "expected one argument"]),
    ({"devices": ["4096"]}, ["--devices 4096"]),
    ({"devices": ["most"]}, ["--devices", "all", "most"]),
    ({"devices": ["0"]}, ["--devices", "from 1"]),
    ({"chunk_size": ["0"]}, ["chunk size", "got 0"]),
    ({"sedes": ["4"]}, ["--sedes"]),
    ({"curve": ["-1"]}, ["curve", "1 to 1000", "got -1"]),
    ({"curve": ["1001"]}, ["curve", "got 1001"]),
    ({"expert_file": ["x.h5"]}, ["x.h5", "no environment x", "ENV=x.h5", "reset-cliff"]),
    ({"expert_file": ["CartPole-v0.h5"]}, ["no environment CartPole-v1", "reset-cliff"]),
    ({"expert_file": [""]}, ["--expert-file", "[ENV=]FILE[@SNAPSHOT]"]),
]


@pytest.mark.parametrize(("changes", "words"), BAD, ids=lambda part: str(part)[:50])
def test_bad_input_is_one_line_and_writes_nothing(changes, words, tmp_path, capsys):
    message = refused(sweep_line(tmp_path / "out", **changes), capsys)
    assert all(word in message for word in words), message
    assert list(tmp_path.iterdir()) == []


def test_bad_commands(tmp_path, capsys):
    assert "quickstart" in refused(["run", "quickstrat", *to(tmp_path / "o")], capsys)
    assert "cannot be read" in refused(["run", str(tmp_path / "no.toml"), *to(tmp_path)], capsys)
    assert "COMMAND" in refused([], capsys)
    assert "sweeep" in refused(["sweeep"], capsys)
    assert "suites" in refused(["list", "things"], capsys)
    assert "no results" in refused(["report", str(tmp_path / "absent")], capsys)
    assert list(tmp_path.iterdir()) == []


def test_an_out_that_cannot_be_used_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert "not a directory" in refused(sweep_line(tmp_path / "file"), capsys)
    assert "not a directory" in refused(sweep_line(tmp_path / "file" / "x"), capsys)
    assert "no manifest.json" in refused(sweep_line(tmp_path), capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


TOML = [
    ("[[block]", "no valid TOML"),
    ("seeds = 3", "has no [[block]]"),
    ("block = 3", "has no [[block]]"),
    ("[[block]]\nenvironment = ['lane']", "did you mean 'environments'"),
    ("[[block]]\nenvironments = ['lane']\nalgorithms = 'bc'", "algorithms must be a list"),
    ("[[block]]\nenvironments = ['lane']\nalgorithms = ['bc']\nhorizons = [true]", "horizons"),
    ("curve = 2.5\n[[block]]", "curve must be a whole number, got 2.5"),
    ("seeds_gpu = '9'\n[[block]]", "seeds_gpu must be a whole number"),
    ("specs = ['bc']\n[[block]]", "[specs] must be a table of strings"),
    ("[specs]\nmine = 'bc'\n[[block]]\nenvironments = ['@mein']", "did you mean 'mine'"),
    (
        "[[block]]\nenvironments = ['lane']\nalgorithms = ['bc']\nhorizons = [2]\n"
        "num_demos = [3]\nat_horizon = 2",
        "at_num_demos must be a whole number",
    ),
]


@pytest.mark.parametrize(("content", "words"), TOML, ids=[words for _, words in TOML])
def test_a_bad_suite_is_one_line(content, words, tmp_path, capsys):
    path = tmp_path / "suite.toml"
    path.write_text(content)
    message = refused(["run", str(path), *to(tmp_path / "out")], capsys)
    assert words in message
    assert str(path) in message
    assert not (tmp_path / "out").exists()


CROSS = """
seeds = 50
[[block]]
environments = ["reset-cliff"]
algorithms = ["bc"]
horizons = [4, 8]
at_num_demos = 9
num_demos = [3, 9]
at_horizon = 8
[[block]]
environments = ["lane"]
algorithms = ["bc"]
horizons = [4]
num_demos = [1, 2]
seeds = 5
"""


@pytest.mark.parametrize(("seeds", "expected"), [(None, (50, 5)), (3, (3, 3)), (99, (99, 5))])
def test_suites_are_crosses_or_products_with_their_own_seeds(seeds, expected):
    sweep = suites.parse(CROSS, "here", "cross", seeds)
    assert tuple(block.seeds for block in sweep.blocks) == expected
    assert sweep.blocks[0].cells == ((4, 9), (8, 9), (8, 3))
    assert sweep.blocks[1].cells == ((4, 1), (4, 2))


NAMED = """
seeds = 50
seeds_gpu = 80
curve = 4
[specs]
plain = "bc"
mixed = "dagger:beta=0.1"
place = "reset-cliff:num_states=4"
[[block]]
environments = ["@place", "@place,reward=terminal"]
algorithms = ["@plain", "@plain,unseen=first", "@mixed,unseen=first", "@mixed"]
horizons = [4]
num_demos = [3]
"""


def test_specs_can_have_names_and_a_gpu_its_seeds():
    sweep = suites.parse(NAMED, "here", "named")
    cliffs = ("reset-cliff:num_states=4", "reset-cliff:num_states=4,reward=terminal")
    assert sweep.blocks[0].environments == cliffs
    mixed = ("dagger:beta=0.1,unseen=first", "dagger:beta=0.1")
    assert sweep.blocks[0].algorithms == ("bc", "bc:unseen=first", *mixed)
    assert (sweep.curve, sweep.blocks[0].seeds) == (4, 50)
    assert suites.parse(NAMED, "here", "named", gpu=True).blocks[0].seeds == 80
    assert suites.parse(NAMED, "here", "named", 7, gpu=True).blocks[0].seeds == 7
    assert suites.parse(CROSS, "here", "cross", gpu=True).blocks[0].seeds == 50
    resolve(sweep)


def test_named_suites_resolve():
    assert suites.names() == ["control", "gail-classic", "quickstart", "regret", "transfer"]
    for name in ("quickstart", "regret"):
        plan = resolve(suites.load(name))
        assert plan.sweep.name == name
    with pytest.raises(SpecError, match="did you mean 'regret'"):
        suites.load("regrets")


def test_control_is_what_the_issue_asks_for():
    sweep = suites.load("control")
    places = {env: block for block in sweep.blocks for env in block.environments}
    ids = ["CartPole-v1", "Acrobot-v1", "MountainCar-v0"]
    fixed = [f"{name}:fixed=true" for name in ids]
    others = ["MountainCarContinuous-v0", "Pendulum-v1", "FourRooms-misc", "Catch-bsuite"]
    assert set(places) == {*ids, *fixed, *others, "obstacle"}
    for block in places.values():
        names = {text.split(":")[0] for text in block.algorithms}
        assert names == {"bc", "dagger", "maxent-irl", "gail", "expert", "random"}
        longest = max(horizon for horizon, _ in block.cells)
        assert {demos for horizon, demos in block.cells if horizon == longest} >= {1, 10, 50}
    assert suites.load("control", gpu=True).blocks[0].seeds > sweep.blocks[0].seeds
    classic = [suites.load("gail-classic", gpu=gpu).blocks for gpu in (False, True)]
    assert [{block.seeds for block in blocks} for blocks in classic] == [{16}, {64}]


DRIVEN = "linear:rho=1.3,gain=-0.8,label_noise=0.1"


def test_quickstart_is_what_the_issue_asks_for():
    sweep = suites.load("quickstart")
    places = {env: block for block in sweep.blocks for env in block.environments}
    assert set(places) == {
        "reset-cliff",
        "recoverable-cliff:labels=state",
        "standard-imitation",
        "gridworld:size=4x4,goal=3x3",
        DRIVEN,
    }
    assert all(block.seeds >= 1000 for block in places.values())
    cliff = places["recoverable-cliff:labels=state"]
    assert {"bc:unseen=first", "dagger:unseen=first"} <= set(cliff.algorithms)
    assert set(places[DRIVEN].algorithms) == {"bc:hidden=none", "dagger:hidden=none", "expert"}
    for env, block in places.items():
        at = (10, 32) if env == DRIVEN else (300, 16)
        horizons, demos = (
            {cell[axis] for cell in block.cells if cell[1 - axis] == at[axis]} for axis in (0, 1)
        )
        assert (len(horizons), len(demos)) == (5, 4)


def test_lists_show_every_name_and_setting(capsys):
    assert main.main(["list", "environments"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in [*ENVIRONMENTS, "CartPole-v1"])
    assert "uniform|dyadic|rajaraman" in listed
    assert main.main(["list", "algorithms"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ALGORITHMS)
    assert "cross-entropy|mse|huber|gaussian" in listed
    assert main.main(["list", "suites"]) == 0
    assert "quickstart" in capsys.readouterr().out


def test_a_sweep_ends_with_a_report_and_continues(tmp_path, capsys):
    out = tmp_path / "out"
    changes = {"horizons": ["4", "8", "8"], "env": ["standard-imitation"], "curve": ["2"]}
    line = sweep_line(out, **changes)
    assert main.main(line) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "standard-imitation  bc" in printed.out
    assert str(out / "report.md") in printed.out
    assert len(pd.read_parquet(out / "results")) == 4
    assert len(pd.read_parquet(out / "curves")) == 8
    assert (out / "summary.csv").exists()
    assert main.main(line) == 0
    assert len(json.loads((out / "manifest.json").read_text())["resumed"]) == 1
    capsys.readouterr()
    message = refused([*line[:-2], "--num-demos", "11", *to(out)], capsys)
    assert "another configuration" in message
    assert main.main(["report", str(out)]) == 0


def started(argv, **env):
    kept = {key: value for key, value in os.environ.items() if key != "JAX_NUM_CPU_DEVICES"}
    return subprocess.Popen(
        [sys.executable, "-m", "imitax", *argv],
        env=kept | {"JAX_PLATFORMS": "cpu"} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background of a script, interrupts are ignored, and inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.slow
@pytest.mark.parametrize("asked", [None, 3])
def test_a_cpu_gives_a_device_per_core_and_pipes_are_silent(asked, tmp_path):
    flags = [] if asked is None else ["--devices", str(asked)]
    process = started([*sweep_line(tmp_path / "out"), *flags])
    printed, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert errors == ""
    assert "\x1b" not in printed
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["num_devices"] == (asked or start.num_cores())


@pytest.mark.slow
def test_an_interrupt_leaves_quietly_and_keeps_what_is_done(tmp_path):
    out = tmp_path / "out"
    line = sweep_line(out, algorithm=["bc", "dagger", "gail"], seeds=["64"])
    process = started(line)
    deadline = time.monotonic() + 300
    while not list(out.glob("results/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=120)
    assert (process.returncode, printed, errors) == (130, "", "")
    assert len(pd.read_parquet(out / "results")) >= 64
