"""The package as a user meets it: what an import brings along, and what the README shows."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import imitax

ROOT = Path(__file__).resolve().parent.parent
NEEDED = "jax, flax, optax, gymnax, chex, numpy"
SIDE_JOBS = ("matplotlib", "pandas", "pyarrow", "scipy", "rich", "tyro", "argparse", "seaborn")


def loaded(statement):
    """Names of all modules after a statement in a fresh interpreter."""
    code = f"{statement}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def brought_along():
    every = "import imitax\nfor name in imitax.__all__:\n    getattr(imitax, name)"
    return loaded(f"import {NEEDED}\n{every}") - loaded(f"import {NEEDED}")


def test_import_adds_no_module_for_side_jobs(brought_along):
    tops = {name.split(".")[0] for name in brought_along}
    assert not tops & set(SIDE_JOBS)
    ours = {name for name in brought_along if name.startswith("imitax")}
    assert ours
    assert not [name for name in ours if name.startswith("imitax.bench")]


def test_import_adds_no_third_party_package(brought_along):
    known = {*NEEDED.split(", "), "imitax", "jaxlib", "absl", "typing_extensions"}
    tops = {name.split(".")[0] for name in brought_along}
    assert tops - known - set(sys.stdlib_module_names) == set()


def test_library_never_imports_the_harness():
    for path in (ROOT / "imitax").rglob("*.py"):
        if not {"bench", "cli"} & set(path.relative_to(ROOT).parts):
            assert "imitax.bench" not in re.sub(r"`imitax.bench[^`]*`", "", path.read_text()), path


def test_a_type_checker_sees_the_names_that_are_loaded():
    stub = (ROOT / "imitax" / "__init__.pyi").read_text()
    found = {}
    for node in ast.parse(stub).body:
        if isinstance(node, ast.ImportFrom):
            found |= {name.asname: node.module for name in node.names}
    assert found == imitax._MODULES
    assert sorted(found) == imitax.__all__ == dir(imitax)
    with pytest.raises(AttributeError, match="no attribute 'behavioural_cloning'"):
        imitax.behavioural_cloning  # noqa: B018


def readme_block(language):
    text = (ROOT / "README.md").read_text()
    return re.search(rf"```{language}\n(.*?)```", text, re.DOTALL).group(1)


def test_the_readme_program_runs(capsys):
    exec(compile(readme_block("python"), "README.md", "exec"), {})
    mean, error = map(float, capsys.readouterr().out.split("+-"))
    from oracles import bc_regret_expected

    exact = bc_regret_expected(
        "reset-cliff", 21, 5, "dyadic", "dense", "state", "uniform", horizon=32, num_demos=100
    )
    assert abs(mean - exact) < 5 * error


def snippet_regret(capacity, horizon, num_demos):
    """Mean regret of the README's program with other numbers in it."""
    text = readme_block("python").split("print(")[0]
    edits = {
        "Capacity(horizon=64, num_demos=100)": f"Capacity{capacity}",
        "jnp.int32(32), jnp.int32(100)": f"jnp.int32({horizon}), jnp.int32({num_demos})",
    }
    for old, new in edits.items():
        assert old in text
        text = text.replace(old, new)
    found = {}
    exec(compile(text, "README.md", "exec"), found)
    return float(found["regret"].mean()), float(found["regret"].std()) / 1000**0.5


def test_the_readme_program_with_larger_numbers_says_nan_and_never_a_wrong_number():
    import numpy as np
    from oracles import bc_regret_expected

    assert np.isnan(snippet_regret((64, 100), 32, 1000)[0])
    assert np.isnan(snippet_regret((64, 100), 128, 100)[0])
    mean, error = snippet_regret((64, 1000), 32, 1000)
    setting = ("reset-cliff", 21, 5, "dyadic", "dense", "state", "uniform")
    assert abs(mean - bc_regret_expected(*setting, horizon=32, num_demos=1000)) < 5 * error


def test_derivatives_are_what_the_readme_says():
    """Forward mode, beside a finite difference of the float64 oracle; reverse mode is refused."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import oracles

    from imitax.tabular.mdp import TabularMDP, regret

    rng, H = np.random.default_rng(0), 4
    P, rho = rng.dirichlet(np.ones(3), (3, 2)), rng.dirichlet(np.ones(3))
    reward, rows = rng.normal(size=(3, 2)), rng.dirichlet(np.ones(2), (2, H, 3))
    turn = np.array([1.0, -1.0]) * rng.normal(size=(H, 3, 1))

    def lost(policy, horizon):
        return regret(TabularMDP(P, reward, None, rho), rows[0], policy, horizon)

    ahead, behind = (
        oracles.regret(P, reward, None, rho, rows[0], rows[1] + step * turn, H)
        for step in (1e-6, -1e-6)
    )
    numbers = (jnp.asarray(rows[1], jnp.float32), jnp.int32(H))
    slope = jnp.vdot(jax.jit(jax.jacfwd(lost))(*numbers), jnp.asarray(turn, jnp.float32))
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-6, rtol=1e-4)
    with pytest.raises(ValueError, match="Reverse-mode differentiation"):
        jax.jit(jax.grad(lost))(*numbers)


def test_the_readme_shows_what_the_program_wrote():
    text = (ROOT / "README.md").read_text()
    kept = ROOT / "benchmarks" / "results" / "quickstart"
    manifest = json.loads((kept / "manifest.json").read_text())
    assert manifest["device"] in text
    summary = (kept / "summary.csv").read_text().splitlines()[1:]
    for line in summary:
        environment, algorithm, axis, _, exponent, low = line.split(",")[:6]
        if axis == "horizon" and low:
            row = f"| `{environment}` | `{algorithm}` |"
            shown = [x for x in text.splitlines() if x.startswith(row)]
            assert len(shown) == 1
            assert f"{float(exponent):.2f}" in shown[0]
