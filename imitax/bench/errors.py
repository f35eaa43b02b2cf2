"""What the harness refuses: a directory of results, and a report of it."""


class StoreError(ValueError):
    """A directory that cannot take these results; one line with the path and the remedy."""


class ReportError(ValueError):
    """A results directory that cannot be reported on; one line with the path and the remedy."""
