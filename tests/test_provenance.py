"""Where numbers are from: a change anywhere in the package is one that the manifest tells."""

import subprocess
from pathlib import Path

import pytest

import imitax
from imitax.bench.provenance import PACKAGE, checkout_of


def git(folder, *words):
    line = ["git", "-c", "user.name=one", "-c", "user.email=one@example.org", "-C", str(folder)]
    done = subprocess.run([*line, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def package(tmp_path):
    """A package with a folder inside, beside another file, all of it committed."""
    inside = tmp_path / "package" / "deep"
    inside.mkdir(parents=True)
    for path in (inside.parent / "__init__.py", inside / "one.py", tmp_path / "notes.txt"):
        path.write_text("1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "one")
    return inside.parent


def test_the_package_is_all_of_it():
    assert Path(imitax.__file__).parent == PACKAGE
    assert (PACKAGE / "algorithms").is_dir()


def test_a_change_in_any_folder_is_told(package):
    commit = git(package, "rev-parse", "HEAD")
    assert checkout_of(package) == (commit, False)
    (package.parent / "notes.txt").write_text("2\n")
    assert checkout_of(package) == (commit, False)
    (package / "deep" / "one.py").write_text("2\n")
    assert checkout_of(package) == (commit, True)
    git(package, "checkout", "-q", ".")
    (package / "new.py").write_text("1\n")
    assert checkout_of(package) == (commit, True)


def test_without_a_checkout_nothing_is_said(tmp_path):
    (tmp_path / "__init__.py").write_text("")
    assert checkout_of(tmp_path) == (None, None)
