"""What holds for every test."""

import os

import pytest

# No test leaves compiled programs in the home directory; those about the cache name a folder.
os.environ.setdefault("JAX_ENABLE_COMPILATION_CACHE", "false")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """With `--dist loadgroup` a file stays in one process: what its tests share is computed and
    compiled once, not once in each process."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(item.path.stem))
