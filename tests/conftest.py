"""What holds for every test."""

import os

# No test leaves compiled programs in the home directory; those about the cache name a folder.
os.environ.setdefault("JAX_ENABLE_COMPILATION_CACHE", "false")
