"""Demonstrations recorded by other projects."""

from imitax.core.errors import DataError
from imitax.data.recorded import Recorded, load

__all__ = ["DataError", "Recorded", "load"]
