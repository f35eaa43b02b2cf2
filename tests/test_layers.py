"""The rule of layers: a folder imports only folders of a lower layer, and no files in a circle."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "imitax"

LAYERS = [
    {"core", "numerics", "kernels"},
    {"tabular", "networks", "data"},
    {"experts", "tasks"},
    {"envs", "rl"},
    {"games"},
    {"algorithms/baselines", "algorithms/cloning", "algorithms/inverse", "algorithms/adversarial"},
    {"algorithms/interactive"},
    {"algorithms"},
    {"catalogue"},
    {"bench"},
    {"bench/theory"},
    {"bench/plans"},
    {"bench/programs", "bench/analysis"},
    {"bench/runs"},
    {"bench/results"},
    {"bench/fits"},
    {"bench/report"},
    {"cli"},
    {"__main__"},
]
"""Lower ones first; equal layers never import each other. A file of a folder that has no entry of
its own belongs to the folder above."""
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}

STANDARD_ONLY = (
    "__init__.py",
    "__main__.py",
    *(f"cli/{name}.py" for name in ("__init__", "start", "deferred", "parser", "commands", "main")),
    *("core/__init__.py", "core/errors.py", "bench/__init__.py", "bench/errors.py"),
)
"""What is loaded before JAX is prepared: the standard library and each other."""
MOST_FILES = 14


def room_of(path):
    """The room of a file or of a module's path below `imitax/`; None where the table has none."""
    parts = path.removesuffix(".py").removesuffix("/__init__").split("/")
    for size in range(len(parts), 0, -1):
        if "/".join(parts[:size]) in LEVEL:
            return "/".join(parts[:size])
    return None


def imports(path, source, files):
    """(line, file) of every import of ours in a file, those within functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "imitax":
            base = node.module.replace(".", "/")
            for name in node.names:
                yield from _files(f"{base}/{name.name}", base, files, node.lineno)
        elif isinstance(node, ast.Import):
            for name in node.names:
                if name.name.split(".")[0] == "imitax":
                    base = name.name.replace(".", "/")
                    yield from _files(base, base, files, node.lineno)


def _files(module, package, files, line):
    for one in (module, package):
        below = one.removeprefix("imitax").removeprefix("/")
        for file in (f"{below}.py", f"{below}/__init__.py".removeprefix("/")):
            if file in files:
                yield line, file
                return


def tree():
    """Every file of the package, by its path below it."""
    return {str(path.relative_to(ROOT)): path.read_text() for path in ROOT.rglob("*.py")}


def violations(files):
    """Every import that does not run down, as `file:line imports file`."""
    for path, source in sorted(files.items()):
        room = room_of(path)
        if path == "__init__.py":
            continue
        if room is None:
            yield f"{path}: its folder is not in the table"
            continue
        for line, other in imports(path, source, files):
            there = room_of(other)
            if there != room and (there is None or LEVEL[there] >= LEVEL[room]):
                yield f"{path}:{line} imports {other}"


def circles(files):
    """Files that import each other, in a row or round about."""
    after = {path: {other for _, other in imports(path, files[path], files)} for path in files}
    done, found = set(), []

    def visit(path, trail):
        if path in trail:
            found.append(" -> ".join([*trail[trail.index(path) :], path]))
        elif path not in done:
            for other in sorted(after[path] - {path}):
                visit(other, [*trail, path])
            done.add(path)

    for path in sorted(files):
        visit(path, [])
    return found


def test_imports_run_down():
    assert not list(violations(tree()))


@pytest.mark.parametrize(
    ("path", "planted"),
    [
        ("core/keys.py", "from imitax.tabular import mdp\n"),
        ("core/keys.py", "def late():\n    from imitax import catalogue\n"),
        ("envs/lane.py", "import imitax.rl.ppo\n"),
        ("tabular/mdp.py", "from imitax.networks.head import Head\n"),
        ("attic/old.py", ""),
    ],
)
def test_a_planted_import_is_named_with_its_line(path, planted):
    found = list(violations(tree() | {path: planted}))
    assert len(found) == 1, found
    assert found[0].startswith(f"{path}:")


def test_no_files_import_each_other_in_a_circle():
    assert not circles(tree())
    planted = {"core/a.py": "from imitax.core import b", "core/b.py": "from imitax.core.a import x"}
    assert circles(planted) == ["core/a.py -> core/b.py -> core/a.py"]


def test_folders_are_small():
    count = {}
    for path in tree():
        folder = path.rpartition("/")[0]
        count[folder] = count.get(folder, 0) + (not path.endswith("__init__.py"))
    assert {folder for folder, number in count.items() if number > MOST_FILES} == set()


def test_what_comes_before_jax_loads_the_standard_library_only():
    """What a function imports is loaded when it is called."""
    files = tree()
    for path in STANDARD_ONLY:
        top = ast.parse(files[path])
        top.body = [node for node in top.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        source = ast.unparse(top)
        assert {file for _, file in imports(path, source, files)} <= set(STANDARD_ONLY), path
        names = [
            name.name for node in top.body if isinstance(node, ast.Import) for name in node.names
        ]
        names += [node.module for node in top.body if isinstance(node, ast.ImportFrom)]
        assert {name.split(".")[0] for name in names} - {"imitax"} <= sys.stdlib_module_names, path


def test_importing_imitax_loads_nothing_but_the_standard_library():
    code = (
        "import sys; before = set(sys.modules); import imitax, imitax.cli.start; dir(imitax)\n"
        "print(sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(ast.literal_eval(done.stdout)) - sys.stdlib_module_names == {"imitax"}


def test_a_name_is_asked_by_the_family_and_not_by_its_class():
    for path, source in tree().items():
        if not path.startswith("envs/"):
            assert "TabularFamily)" not in source.replace("`", ""), path
            assert "env: Any" not in source, path
