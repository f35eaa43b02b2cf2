"""A peer's runner without a peer: says what seeds it was given; `python -m tests.fake_peer`."""

import json
import sys

if __name__ == "__main__":
    name, seeds = sys.argv[1], [int(seed) for seed in sys.argv[3:]]
    if name == "early":
        sys.exit("no such package")
    print("ready", flush=True)
    assert sys.stdin.readline() == "go\n"
    if name == "late":
        raise RuntimeError("the seed diverged")
    if name == "silent":
        sys.exit()
    sys.stderr.write("progress " * 20_000)
    seconds = [1.0 + seed for seed in seeds]
    said = {"seconds": seconds, "cpu_seconds": 0.5, "scores": seeds, "precision": "float32"}
    print(json.dumps(said))
