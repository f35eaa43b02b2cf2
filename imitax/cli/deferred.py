"""Modules that are imported when something is first drawn."""

import contextlib
import importlib.util
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any


class _Deferred(types.ModuleType):
    """Stands for a module, which is imported when something is first read from it."""

    def __getattr__(self, name: str) -> Any:
        _withdraw(self)
        return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def deferred(names: Sequence[str]) -> Iterator[None]:
    """Importing one of these modules within the block gives a stand-in; after it, the module.

    Stand-ins stay where they were bound, and behave as the module. One that is needed within the
    block is imported there.

    Args:
        names: of modules; those that are imported already, or not installed, are left alone.
    """
    placed = [_place(name) for name in names if name not in sys.modules and _installed(name)]
    try:
        yield
    finally:
        for module in placed:
            _withdraw(module)


def _installed(name: str) -> bool:
    """Whether there is such a module; imports the packages around it."""
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False


def _place(name: str) -> _Deferred:
    module = _Deferred(name)
    package, _, last = name.rpartition(".")
    if package:
        setattr(sys.modules[package], last, module)
    sys.modules[name] = module
    return module


def _withdraw(module: _Deferred) -> None:
    name = module.__name__
    package, _, last = name.rpartition(".")
    if sys.modules.get(name) is not module:
        return
    del sys.modules[name]
    if package and getattr(sys.modules[package], last, None) is module:
        delattr(sys.modules[package], last)
