import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import peers
from benchmarks.peer import alternate, environments, grid, ours, rates, table, workload


def sides(peer_scores=(500.0, 500.0), our_scores=(500.0,) * 4, seconds=2.0):
    """One round: a peer of two processes with one seed each, and four seeds of ours."""
    peer = {
        "seconds": [[2.0], [4.0]],
        "cpu_seconds": 6.0,
        "scores": list(peer_scores),
        "precision": "float32",
    }
    our = {
        "seconds": seconds,
        "cpu_seconds": 2.0 * seconds,
        "compile_seconds": 8.0,
        "process_seconds": 12.0,
        "num_seeds": 4,
        "scores": list(our_scores),
        "precision": "float32",
        "differences": ["tanh for relu"],
    }
    return peer, our


def report_of(*rows):
    return {
        "format": peers.FORMAT,
        "date": "2026-01-02",
        "commit": "abc",
        "processor": "a processor",
        "cores": 2,
        "load": 0.1,
        "versions": {"jax": "0.10"},
        "peers": ["torch==2"],
        "study": rates.STUDY,
        "quick": False,
        "rows": list(rows),
        "not_run": [],
    }


def row_of(name, *rounds):
    return rates.compare(name, rounds) | {"wanted": 40.0, "differences": ["tanh for relu"]}


def test_rates_by_hand():
    assert rates.peer_rate([[2.0, 2.0], [4.0]]) == pytest.approx(1800 + 900)
    assert rates.warm_rate(8.0, 64) == pytest.approx(28800)
    # 256 seeds at 1/8 second and a compilation of 10 seconds: 42 seconds
    assert rates.cold_rate(10.0, 8.0, 64) == pytest.approx(3600 * 256 / 42)


def test_spread_is_that_of_numpy():
    values = [3.0, 1.0, 10.0, 2.0]
    found = rates.spread(values)
    expected = np.percentile(values, [0, 25, 50, 75, 100])
    assert [found[name] for name in ("min", "low", "median", "high", "max")] == pytest.approx(
        expected
    )
    assert set(rates.spread([7.0]).values()) == {7.0}


def test_a_ratio_is_of_neighbours():
    slow, fast = sides(seconds=4.0), sides(seconds=1.0)
    slow[0]["seconds"] = [[4.0], [8.0]]
    row = rates.compare("bc", [slow, fast])
    # ours 3600 against 1350, and 14400 against 2700
    assert row["ratio"]["min"] == pytest.approx(3600 / 1350)
    assert row["ratio"]["max"] == pytest.approx(14400 / 2700)
    assert row["peer_score"] == {"mean": 500.0, "min": 500.0, "max": 500.0, "count": 4}
    assert row["cores_had"]["ours"] == pytest.approx(2.0)
    # three seconds of the peer's, and a median of (8/4 + 2/4) / 2 of ours
    assert row["ratio_of_processor_time"] == pytest.approx(3.0 / 1.25)


@pytest.mark.parametrize(
    ("name", "peer", "our"),
    [
        ("bc", [500.0, 500.0], [489.0] * 4),
        ("bc", [500.0, 500.0], [500.0, float("nan")]),
        ("bc", [], [500.0]),
        ("mce-irl-20", [9e-4], [9e-4, 1.1e-3]),
        ("mce-irl-20", [2e-3], [9e-4]),
    ],
)
def test_no_ratio_without_the_same_score(name, peer, our):
    with pytest.raises(rates.UnequalScores, match="no ratio") as refused:
        rates.check_scores(name, peer, our)
    assert "\n" not in str(refused.value)
    if peer:
        row = rates.compare(name, [sides(peer, our)])
        assert "ratio" not in row
        assert "ratio_cold" not in row
        assert row["refused"] == str(refused.value)


def test_scores_that_may_be_compared():
    rates.check_scores("bc", [500.0], [491.0])
    rates.check_scores("ppo", [400.0], [500.0])
    rates.check_scores("mce-irl-100", [9e-4], [1e-5])


def test_table_has_ratio_scores_and_differences():
    text = table.markdown(report_of(row_of("bc", sides())))
    (line,) = [line for line in text.splitlines() if line.startswith("| `bc`")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1] == "2,700 [2,700, 2,700]"
    assert cells[2] == "7,200 [7,200, 7,200]"
    assert cells[4].startswith("2.67 ")
    assert cells[7] == "500.0 (500), 500.0 (500)"
    assert "tanh for relu" in text
    assert "busy" in text  # six seconds of work in four seconds are 1.5 of two cores


def test_table_of_a_refusal_has_no_ratio():
    row = row_of("gail", sides(our_scores=(300.0,) * 4))
    text = table.markdown(report_of(row))
    (line,) = [line for line in text.splitlines() if line.startswith("| `gail`")]
    assert line.split("|")[5:7] == [" none ", " none "]
    assert row["refused"] in text


def test_sides_alternate():
    order = []

    def side(name):
        return lambda repeat: order.append((name, repeat)) or {"side": name}

    rounds = alternate.alternate(side("peer"), side("ours"), 2)
    assert order == [("peer", 0), ("ours", 0), ("peer", 1), ("ours", 1)]
    assert [one["side"] for one in rounds[1]] == ["peer", "ours"]


@pytest.mark.timeout(60)
def test_peer_processes_share_out_the_seeds(monkeypatch):
    monkeypatch.setattr(alternate, "num_cores", lambda: 2)
    python = Path(sys.executable)
    found = alternate.run_peer(python, "tests.fake_peer", "bc", 3, repeat=1)
    assert found["scores"] == [6, 7, 8, 9, 10, 11]
    assert found["seconds"] == [[7.0, 8.0, 9.0], [10.0, 11.0, 12.0]]
    assert found["cpu_seconds"] == 1.0


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("name", "said"),
    [("early", "no such package"), ("late", "the seed diverged"), ("silent", "without a line")],
)
def test_a_process_that_fails_says_so_in_one_line(monkeypatch, name, said):
    monkeypatch.setattr(alternate, "num_cores", lambda: 1)
    with pytest.raises(alternate.RunError, match=said) as error:
        alternate.run_peer(Path(sys.executable), "tests.fake_peer", name, 1, repeat=0)
    assert "\n" not in str(error.value)


def test_environment_is_built_once_and_anew_for_other_pins(monkeypatch, tmp_path):
    built, file = [], tmp_path / "peer.txt"

    def create(place, **_):
        (place / "bin").mkdir(parents=True, exist_ok=True)
        (place / "bin" / "python").touch()

    monkeypatch.setattr(environments.venv, "create", create)
    monkeypatch.setattr(environments, "pins", lambda peer: file)
    monkeypatch.setattr(environments, "_install", lambda python, peer: built.append(peer))
    for text in ("a==1", "a==1", "a==2"):
        file.write_text(text)
        environments.python_of(tmp_path / "all", "one")
    assert built == ["one", "one"]


def test_environment_that_cannot_be_built_is_not_taken_for_built(monkeypatch, tmp_path):
    def fail(python, peer):
        raise environments.BuildError("one: pip could not install one.txt: no such version")

    monkeypatch.setattr(environments.venv, "create", lambda place, **_: place.mkdir(parents=True))
    monkeypatch.setattr(environments, "pins", lambda peer: Path(__file__))
    monkeypatch.setattr(environments, "_install", fail)
    with pytest.raises(environments.BuildError, match="no such version"):
        environments.python_of(tmp_path, "one")
    assert not (tmp_path / "one" / "built").exists()


def test_pins_are_exact():
    for peer in {chosen.peer for chosen in peers.WORKLOADS.values()}:
        lines = environments.pins(peer).read_text().splitlines()
        named = [line for line in lines if line and not line.startswith("#")]
        assert named
        assert all(line.count("==") == 1 and "/" not in line for line in named)


def test_a_workload_that_cannot_run_leaves_the_others(monkeypatch, tmp_path, capsys):
    def measure(name, options):
        if name == "bc":
            raise environments.BuildError("imitation: pip could not install imitation.txt: offline")
        return row_of(name, sides())

    monkeypatch.setattr(peers, "measure", measure)
    status = peers.main(["--workloads", "bc", "dagger", "--out", str(tmp_path / "out")])
    assert status == 0
    report = json.loads((tmp_path / "out" / "peers.json").read_text())
    assert [row["workload"] for row in report["rows"]] == ["dagger"]
    assert report["not_run"] == ["not run: imitation: pip could not install imitation.txt: offline"]
    assert "offline" in (tmp_path / "out" / "peers.md").read_text()
    assert "dagger: 2.7 times" in capsys.readouterr().out


def test_table_can_be_written_anew_from_the_json_alone(tmp_path, capsys):
    report = report_of(row_of("bc", sides()))
    (tmp_path / "peers.json").write_text(json.dumps(report))
    assert peers.main(["--render", str(tmp_path)]) == 0
    assert (tmp_path / "peers.md").read_text() == table.markdown(report)
    (tmp_path / "peers.json").write_text(json.dumps({"format": "something else"}))
    assert peers.main(["--render", str(tmp_path)]) == 2
    assert "no peers.json" in capsys.readouterr().err


def test_grid_is_a_tabular_mdp_and_the_experts_reward_has_no_gap():
    assert grid.transition().sum(axis=-1) == pytest.approx(np.ones((100, 5)))
    assert grid.chances().diagonal() == pytest.approx(np.full(5, 0.92))
    assert list(grid.followers()[0]) == [0, 10, 0, 1, 0]
    assert grid.visits(grid.soft_policy(grid.reward(), 3)).sum() == pytest.approx(4.0)
    assert grid.gap(grid.reward() + 1.0, 5) < 1e-12
    assert grid.gap(np.zeros(100), 5) > workload.IRL_GAP


def test_our_program_runs_every_seed_once_and_in_order():
    job = ours.Job(lambda seed, given: given * seed, jnp.float32(3.0), block=2, precision="float32")
    program, width = ours.compiled(job, 5)
    per_round = 2 * jax.device_count()
    assert width % per_round == 0
    assert 5 <= width < 5 + per_round
    found = program(np.arange(width, dtype=np.int32), job.given)
    assert np.asarray(found).tolist() == [3.0 * seed for seed in range(width)]


def test_every_workload_of_ours_says_where_it_differs():
    for name in peers.WORKLOADS:
        family = "mce-irl" if name.startswith("mce-irl") else name
        assert family in ours.DIFFERENCES


@pytest.mark.parametrize("argv", [["--seeds", "0"], ["--repeats", "-1"], ["--workloads", "nine"]])
def test_a_command_line_without_meaning_ends_with_status_2(argv, capsys):
    with pytest.raises(SystemExit) as ended:
        peers.main(argv)
    assert ended.value.code == 2
    assert argv[1] in capsys.readouterr().err.splitlines()[-1]
