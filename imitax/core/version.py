"""The version of the package, written here and nowhere else."""

__version__ = "0.2.0"
"""Goes up whenever a spec comes to mean other numbers: rows of two versions are never mixed."""
