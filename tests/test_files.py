"""`imitax.core.files`: a file is as before or complete, and nothing else is left."""

import os

import pytest

from imitax.bench.errors import StoreError
from imitax.bench.files import replace as told
from imitax.bench.files import slug
from imitax.core import files


def test_a_file_is_written_anew(tmp_path):
    path = tmp_path / "one"
    for content in (b"first", b"second"):
        files.replace(path, content)
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"one": content}


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_what_is_interrupted_leaves_the_old_file_alone(tmp_path, monkeypatch, broken):
    path = tmp_path / "one"
    path.write_bytes(b"old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, broken, interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.replace(path, b"new")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"one": b"old"}


def test_a_file_that_is_there_is_not_created_again(tmp_path, monkeypatch):
    path = tmp_path / "one"
    for content in (b"first", b"second"):
        files.create(path, content)
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"one": b"first"}

    def no_links(*_):
        raise PermissionError

    monkeypatch.setattr(os, "link", no_links)
    files.create(tmp_path / "two", b"without links")
    assert (tmp_path / "two").read_bytes() == b"without links"


def test_the_harness_says_which_file_in_one_line(tmp_path):
    path = tmp_path / "no folder" / "one"
    with pytest.raises(FileNotFoundError):
        files.replace(path, b"")
    with pytest.raises(StoreError, match=r"no folder/one: cannot be written \(No such file"):
        told(path, b"")


def test_specs_become_names():
    assert slug("gail:rate=0.5,size=3x2") == "gail-rate-0.5-size-3x2"
    assert len(slug("x" * 300)) == 100
    assert slug("a:b/c", 3) == "a-b"
