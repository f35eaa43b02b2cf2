"""What a directory of results says about the numbers in it, and which directories it refuses."""

import dataclasses
import json
import re
import tomllib
from pathlib import Path

import jax
import pandas as pd
import pytest
from recordings import written
from test_fit import leaning, task
from test_store import SWEEP, tree

import imitax
from imitax.algorithms import ALGORITHMS
from imitax.bench import provenance
from imitax.bench.errors import StoreError
from imitax.bench.fits import fit
from imitax.bench.fits import store as fitted
from imitax.bench.plans import numerics
from imitax.bench.plans.plan import Share, Sweep, resolve
from imitax.bench.report.write import write_report
from imitax.bench.results.store import Store
from imitax.bench.runs.local import run

PLACES = ("reset-cliff", "gridworld:size=3x2,goal=2x1", "lane", "sine-path", "CartPole-v1")


@pytest.fixture
def begun(tmp_path):
    """A directory of `SWEEP`, and a function that changes its manifest."""
    store = Store(tmp_path / "out", resolve(SWEEP))
    store.begin()
    store.close()
    path = store.directory / "manifest.json"

    def change(edit):
        content = json.loads(path.read_text())
        edit(content)
        path.write_text(json.dumps(content))

    return store.directory, change


def refusal(directory, share=Share(0, 1)):
    before = tree(directory)
    with pytest.raises(StoreError) as refused:
        Store(directory, resolve(SWEEP), share)
    assert tree(directory) == before
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_the_version_is_written_in_one_place():
    root = Path(imitax.__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text())
    attribute = project["tool"]["setuptools"]["dynamic"]["version"]["attr"]
    assert "version" in project["project"]["dynamic"]
    module, _, name = attribute.rpartition(".")
    text = (root / (module.replace(".", "/") + ".py")).read_text()
    assert re.search(rf'^{name} = "{re.escape(imitax.__version__)}"$', text, re.MULTILINE)
    assert not imitax.__version__.startswith("0.1")
    assert provenance.versions()["imitax"] == imitax.__version__


def test_every_setting_is_written_out():
    """Each pair of the catalogue, against the configs themselves."""
    sweep = Sweep.grid(PLACES, ALGORITHMS, [4], [3], 1)
    plan = resolve(sweep)
    found = json.loads(json.dumps(numerics.of_plan(plan)))
    assert found["imitax"] == imitax.__version__
    pairs = {
        (e["algorithm"], env): e["config"] for e in found["algorithms"] for env in e["environments"]
    }
    asked = {
        (t.algorithm.spec, g.env.spec): t.algorithm.config for g in plan.groups for t in g.tasks
    }
    assert pairs.keys() == asked.keys()
    for pair, config in asked.items():
        names = [field.name for field in dataclasses.fields(config)]
        assert list(pairs[pair]) == names
        for name in names:
            value = getattr(config, name)
            assert pairs[pair][name] == (list(value) if isinstance(value, tuple) else value)
    for env in {group.env.spec: group.env for group in plan.groups}.values():
        assert found["environments"][env.spec].keys() == dataclasses.asdict(env.settings).keys()


def test_another_version_is_refused(begun):
    directory, change = begun
    Store(directory, resolve(SWEEP))
    change(lambda content: content["numerics"].update(imitax="0.1.7"))
    message = refusal(directory)
    assert f"numerics: imitax 0.1.7 there, {f'imitax {imitax.__version__}'} here" in message
    assert "choose another --out, or continue with imitax 0.1.7" in message
    assert "numerics: imitax 0.1.7" in refusal(directory, Share(0, 2))


def test_another_default_is_refused(begun):
    directory, change = begun
    change(lambda content: content["numerics"]["algorithms"][0]["config"].update(unseen="first"))
    message = refusal(directory)
    assert 'numerics: bc on reset-cliff: unseen: "first" there, "uniform" here' in message
    assert "choose another --out" in message


def test_another_default_of_an_environment_is_refused(begun):
    directory, change = begun
    change(lambda content: content["numerics"]["environments"]["reset-cliff"].update(num_states=9))
    assert "numerics: reset-cliff: num_states: 9 there, " in refusal(directory)


@pytest.mark.parametrize("version", ["0.1.0", None])
def test_a_directory_from_before_is_refused(begun, version):
    directory, change = begun

    def age(content):
        del content["numerics"]
        content["versions"] = {} if version is None else {"imitax": version}

    change(age)
    there = "an unknown version" if version is None else "imitax 0.1.0"
    expected = f"numerics: {there} there, imitax {imitax.__version__} here"
    assert expected in refusal(directory)


def test_a_directory_from_before_is_still_reported(tmp_path):
    store = Store(tmp_path / "out", resolve(SWEEP))
    store.begin()
    for result in run(resolve(SWEEP)):
        store.write(result)
    store.close()
    new = ["gradient_updates", "training_loss", "held_out_loss", "fit_converged"]
    for path in store.results.iterdir():
        pd.read_parquet(path).drop(columns=new).to_parquet(path)
    path = store.directory / "manifest.json"
    old = json.loads(path.read_text())
    del old["numerics"]
    path.write_text(json.dumps(old))
    assert "## Exponents" in write_report(store.directory).read_text()


def test_precision_is_part_of_the_numerics(begun):
    directory, _ = begun
    with jax.enable_x64(True), pytest.raises(StoreError, match="x64: false there, true here"):
        Store(directory, resolve(SWEEP))


def test_fitted_policies_say_the_same(tmp_path):
    asked = task(written(tmp_path, leaning()), "--seeds", 1, "--num-demos", 1)
    fitted.save(tmp_path / "out", asked, fit.fit(asked))
    content = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert content["numerics"]["imitax"] == content["versions"]["imitax"] == imitax.__version__
    (entry,) = content["numerics"]["algorithms"]
    assert entry["environments"] == ["CartPole-v1"]
    assert entry["config"]["num_steps"] == 100
    assert entry["config"].keys() == dataclasses.asdict(asked.chosen.config).keys()
