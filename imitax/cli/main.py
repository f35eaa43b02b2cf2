"""Running a command line inside a process where JAX is set up, as `imitax.cli.start` does it."""

import os
import signal
import sys
from collections.abc import Sequence

INTERRUPTED = 128 + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        argv: without the program's name; by default those of the process.

    Returns:
        The exit status: 0, 2 where the input is wrong (said in one line on standard error, and
        nothing is written), 130 after an interrupt (finished chunks stay).
    """
    try:
        from imitax.cli import commands

        return commands.main(argv)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


if __name__ == "__main__":
    # Importing this package has started JAX, too early to give it the devices.
    sys.exit("imitax: use the command imitax, or python -m imitax.cli.start")
