"""What holds for every test."""

import gc
import os

from marks import MARK_OF

# No test leaves compiled programs in the home directory; those about the cache name a folder.
os.environ.setdefault("JAX_ENABLE_COMPILATION_CACHE", "false")

# Tracing allocates many objects that stay; the search for cyclic garbage took a tenth of the time.
gc.set_threshold(100_000, 50, 100)


def pytest_collection_modifyitems(items):
    """Every test has the marker of its module."""
    for item in items:
        if item.path.stem in MARK_OF:
            item.add_marker(MARK_OF[item.path.stem])
