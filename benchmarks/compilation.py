"""Where the time of a compilation goes, learner by learner.

    python -m benchmarks.compilation --out benchmarks/results/compilation

Builds the sweep's program of each learner on one tabular environment, for one device, and writes
processor seconds of tracing, lowering and compiling, and how many instructions, fusions and loops
the compiled program has, to `compilation.json` and, as a table, to `compilation.md`.
"""

import argparse
import functools
import itertools
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.second_start import processor
from imitax import catalogue
from imitax.bench.programs import instances
from imitax.bench.programs.experiment import Setup, experiment_on
from imitax.bench.programs.program import (
    AXIS,
    as_arguments,
    compiler_options,
    seed_mesh,
    sharded,
)
from imitax.core.types import Capacity
from imitax.envs.tabular import stand_in

ENVIRONMENT = "reset-cliff"
ALGORITHMS = ("expert", "bc", "dagger", "maxent-irl", "gail")
CAPACITY, WIDTH, BLOCK = Capacity(64, 100), 512, 128
INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?\S+ = ", re.MULTILINE)


def main() -> int:
    options = parse()
    jax.config.update("jax_enable_compilation_cache", False)
    rows = [measure(options.environment, name) for name in options.algorithm]
    report = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "jax": jax.__version__,
        "environment": options.environment,
        "capacity": [CAPACITY.horizon, CAPACITY.num_demos],
        "block": BLOCK,
        "rows": rows,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1) + "\n"
    (options.out / "compilation.json").write_text(text, encoding="utf-8")
    (options.out / "compilation.md").write_text(table(report), encoding="utf-8")
    print(table(report))
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compilation", description="where compiling takes its time"
    )
    parser.add_argument("--environment", default=ENVIRONMENT, help="of tables that are data")
    parser.add_argument("--algorithm", nargs="+", default=list(ALGORITHMS))
    parser.add_argument("--out", type=Path, default=Path("runs/compilation"))
    return parser.parse_args()


def measure(environment: str, algorithm: str) -> dict[str, Any]:
    """One learner's program; seconds are of the processor."""
    env = catalogue.environment(environment)
    both = stand_in(env)
    if both is None:
        raise SystemExit(f"{environment}: has a program of its own; give a tabular environment")
    chosen, mesh = catalogue.algorithm(algorithm, env), seed_mesh(1)
    scalar = jax.ShapeDtypeStruct((), jnp.int32)
    sizes = jax.ShapeDtypeStruct((WIDTH,), jnp.int32), scalar, scalar
    drawing = instances.drawing(both[0], CAPACITY.horizon, mesh, AXIS)
    given = (*jax.eval_shape(drawing, *sizes), scalar, scalar, as_arguments(chosen.config))
    setup = Setup(both[1], chosen.factory, CAPACITY, 1)
    jitted = sharded(functools.partial(experiment_on, setup), mesh, BLOCK, len(given) - 1)
    pairs = env.num_states * env.num_actions
    times = [time.process_time()]
    traced = jitted.trace(*given)
    times.append(time.process_time())
    lowered = traced.lower()
    times.append(time.process_time())
    compiled = lowered.compile(compiler_options=compiler_options(pairs))
    times.append(time.process_time())
    text = compiled.as_text()
    seconds = [after - before for before, after in itertools.pairwise(times)]
    return {
        "algorithm": algorithm,
        **dict(zip(("traced", "lowered", "compiled"), seconds, strict=True)),
        "instructions": len(INSTRUCTION.findall(text)),
        "fusions": text.count(" fusion("),
        "loops": text.count(" while("),
    }


def table(report: dict[str, Any]) -> str:
    """The record as Markdown."""
    lines = [
        f"`{report['environment']}`, capacity {report['capacity']}, blocks of {report['block']}, "
        f"{report['processor']}, {report['cores']} cores, load {report['load']:.1f}, "
        f"jax {report['jax']}. Written by `python -m benchmarks.compilation`.",
        "",
        "| learner | traced (s) | lowered (s) | compiled (s) | instructions | fusions | loops |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        times = " | ".join(f"{row[key]:.2f}" for key in ("traced", "lowered", "compiled"))
        counts = " | ".join(f"{row[key]:,}" for key in ("instructions", "fusions", "loops"))
        lines.append(f"| `{row['algorithm']}` | {times} | {counts} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
