"""What the public names of `imitax` cost beside the imports they need: fresh interpreters, in turn.

python benchmarks/import_cost.py
"""

import statistics
import subprocess
import sys

NEEDED = "import jax, flax, optax, gymnax, chex, numpy"
EVERY = "import imitax; [getattr(imitax, name) for name in imitax.__all__]"
TIMED = "import time; start = time.perf_counter()\n{}\nprint(time.perf_counter() - start)"


def seconds(statement: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", TIMED.format(statement)], capture_output=True, text=True, check=True
    )
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    pairs = [(seconds(NEEDED), seconds(f"{NEEDED}\n{EVERY}")) for _ in range(8)][1:]
    ratios = [ours / needed for needed, ours in pairs]
    print(f"needed {statistics.median(pair[0] for pair in pairs):.2f} s, median of 7")
    print(f"with imitax {statistics.median(pair[1] for pair in pairs):.2f} s")
    print(f"ratio {statistics.median(ratios):.3f}, from {min(ratios):.3f} to {max(ratios):.3f}")


if __name__ == "__main__":
    main()
