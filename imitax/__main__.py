"""`python -m imitax`: the command line."""

import sys

from imitax.cli.start import main

if __name__ == "__main__":
    sys.exit(main())
