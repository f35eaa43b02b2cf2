"""The benchmark harness: sweeps, storage, statistics, figures, report and command line."""
