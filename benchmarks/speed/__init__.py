"""The parts of `python -m benchmarks.throughput`."""

MARK = "POINT "
"""Before each line of a child process that is a result, in JSON."""
