"""Programs that a later start finds: the same results, and a name for all they depend on."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imitax import catalogue
from imitax.bench.programs import executables
from imitax.bench.programs.experiment import Setup
from imitax.bench.programs.program import Program, seed_mesh
from imitax.core.types import Capacity

SPEC = "reset-cliff:num_states=4"


def parts(spec=SPEC, algorithm="bc", capacity=(5, 3)):
    env = catalogue.environment(spec)
    chosen = catalogue.algorithm(algorithm, env)
    return Setup(env, chosen.factory, Capacity(*capacity), 1), chosen.config


@pytest.fixture
def cache_is_on(tmp_path):
    """JAX's cache is said to be on; nothing is compiled meanwhile."""
    names = ("jax_enable_compilation_cache", "jax_compilation_cache_dir")
    before = [getattr(jax.config, name) for name in names]
    for name, value in zip(names, (True, str(tmp_path)), strict=True):
        jax.config.update(name, value)
    yield tmp_path
    for name, value in zip(names, before, strict=True):
        jax.config.update(name, value)


def a_program(monkeypatch, path, algorithm="bc"):
    def place_of(mesh, made_from, *_):
        return path if isinstance(made_from, Setup) else path.with_name("instances.bin")

    monkeypatch.setattr(executables, "place_of", place_of)
    setup, config = parts(algorithm=algorithm)
    return Program(setup, config, 4, seed_mesh(1), 2), config


@pytest.mark.parametrize("algorithm", ["bc", "maxent-irl"])
def test_a_program_that_was_kept_gives_the_same_bits(monkeypatch, tmp_path, algorithm):
    path = tmp_path / "programs" / "one.bin"
    first, config = a_program(monkeypatch, path, algorithm)
    again, _ = a_program(monkeypatch, path, algorithm)
    assert (first.num_compilations, again.num_compilations) == (1, 0)
    assert again.cache.hits == 1
    assert again.bytes_per_device == first.bytes_per_device
    one, other = (program(7, 3, 5, 2, config) for program in (first, again))
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)
    assert float(one.row.outcome.expert_return[0]) > 0


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_file_is_written_anew(monkeypatch, tmp_path, damage):
    path = tmp_path / "one.bin"
    a_program(monkeypatch, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    again, config = a_program(monkeypatch, path)
    assert again.num_compilations == 1
    assert np.isfinite(again(0, 4, 5, 2, config).row.outcome.regret).all()
    assert a_program(monkeypatch, path)[0].num_compilations == 0


def test_a_folder_that_cannot_be_written_stops_nobody(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    program, _ = a_program(monkeypatch, tmp_path / "file" / "one.bin")
    assert program.num_compilations == 1


def test_a_name_says_what_a_program_depends_on(cache_is_on, monkeypatch):
    """Everything that may change the program changes its name; making it again does not."""
    mesh, other_mesh = seed_mesh(1), jax.make_mesh((1,), ("other",))

    def name(*made, extra=(4, 2), mesh=mesh):
        setup, config = made or parts()
        structure = str(jax.tree.structure(config))
        return executables.place_of(mesh, setup, type(config), structure, *extra)

    setup, config = parts()
    names = [
        name(),
        name(extra=(8, 2)),
        name(extra=(4, 4)),
        name(mesh=other_mesh),
        name(*parts(capacity=(6, 3))),
        name(*parts("reset-cliff:num_states=5")),
        name(*parts("reset-cliff:num_states=4,subsample=2")),
        name(*parts("standard-imitation:num_states=4")),
        name(*parts(algorithm="dagger")),
        name(*parts(algorithm="gail:num_steps=7")),
        name(setup._replace(checkpoints=3), config),
        name(setup._replace(evaluation_episodes=2), config),
    ]
    with jax.enable_x64(True):
        names.append(name())
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    names.append(name())
    monkeypatch.delenv("XLA_FLAGS")
    monkeypatch.setattr(executables, "_code", lambda: b"another version of a file")
    names.append(name())
    monkeypatch.undo()
    assert None not in names
    assert len(set(names)) == len(names)
    assert name() == names[0]
    assert names[0].parent == cache_is_on / "programs"


def test_values_that_are_arguments_are_no_part_of_a_name(cache_is_on):
    found = set()
    for rate in (1.0, 2.0):
        setup, config = parts(algorithm=f"gail:rate={rate}")
        structure = str(jax.tree.structure(config))
        found.add(executables.place_of(seed_mesh(1), setup, type(config), structure))
    assert len(found) == 1


@dataclasses.dataclass
class Foreign:
    """Of a module that no version stands for."""

    number: int = 1


def foreign(env, config):
    return None


@pytest.mark.parametrize("part", [Foreign(), foreign, lambda env, config: None, {"a": [Foreign]}])
def test_what_nobody_can_name_is_not_kept(cache_is_on, part):
    setup, _ = parts()
    assert executables.place_of(seed_mesh(1), setup) is not None
    assert executables.place_of(seed_mesh(1), setup, part) is None


def test_arrays_count_by_value(cache_is_on):
    one, same, other = (jnp.arange(3.0), jnp.arange(3.0), jnp.arange(1.0, 4.0))
    names = [executables.place_of(seed_mesh(1), array) for array in (one, same, other)]
    assert names[0] == names[1] != names[2]


def test_nothing_is_kept_without_a_local_cache(cache_is_on):
    jax.config.update("jax_compilation_cache_dir", "gs://bucket/cache")
    assert executables.place_of(seed_mesh(1)) is None
    jax.config.update("jax_compilation_cache_dir", str(cache_is_on))
    jax.config.update("jax_enable_compilation_cache", False)
    assert executables.place_of(seed_mesh(1)) is None


def test_files_change_the_digest_of_the_code(monkeypatch, tmp_path):
    """The digest is of the package's files, by content."""
    package = tmp_path / "imitax"
    package.mkdir()
    (package / "__init__.py").write_text("one = 1\n")
    monkeypatch.setattr(executables, "__file__", str(package / "bench" / "programs" / "one.py"))
    digest = executables._code.__wrapped__
    before = digest()
    assert digest() == before
    (package / "table.csv").write_text("1\n")
    with_table = digest()
    (package / "__init__.py").write_text("one = 2\n")
    assert len({before, with_table, digest()}) == 3
