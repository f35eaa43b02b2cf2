"""Running a command line inside a process where JAX is set up, as `imitax.cli.start` does it."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence

from imitax.cli import commands

INTERRUPTED = 128 + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        argv: without the program's name; by default those of the process.

    Returns:
        The exit status: 0, 2 where the input is wrong (said in one line on standard error, and
        nothing is written), 130 after an interrupt (finished chunks stay).
    """
    return _guarded(lambda: commands.main(argv))


def run(args: argparse.Namespace) -> int:
    """Run a command that `imitax.cli.parser` has read; the exit status of `main`."""
    return _guarded(lambda: commands.run(args))


def _guarded(command: Callable[[], int]) -> int:
    try:
        return command()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
