"""Demonstrations recorded by other projects."""

from imitax.data.recorded import DataError, Recorded, load

__all__ = ["DataError", "Recorded", "load"]
