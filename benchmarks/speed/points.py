"""The points of one workload on one set of devices, for growing numbers of seeds.

    python -m benchmarks.speed.points '{"workload": "bc", "seeds": [1, 8], ...}'

The number of CPU devices must be known before JAX starts, so the parent runs this in a process of
its own. It prints one line of JSON per point.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from benchmarks.speed import MARK, arithmetic, loads, workloads
from benchmarks.speed import reference as references
from benchmarks.speed.machine import device_bytes
from imitax.bench.plans.plan import CHUNK_SIZE
from imitax.bench.programs.program import seed_mesh

SHARE = 0.85
"""Of the device's memory that a program may take."""
MIN_BUDGET_RUNS = 2
"""A warm-up and a repeat have to fit into the budget."""


def series(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Measure each number of seeds; a point that cannot be run says why, and ends the series.

    Args:
        request: `workload`, `quick`, `seeds`, `devices`, `repeats`, `budget` (seconds a point),
            `chunk` and `block` (0: chosen here).
    """
    workload = workloads.find(request["workload"], quick=request["quick"])
    if len(jax.devices()) < request["devices"]:
        reason = f"{len(jax.devices())} devices here"
        yield from (_not_run(request, seeds, reason) for seeds in request["seeds"])
        return
    mesh = seed_mesh(request["devices"])
    size = references.size_of(jax.default_backend(), quick=request["quick"])
    measure_reference, last, reason, loaded = references.reference(mesh, size), None, "", None
    for seeds in request["seeds"]:
        too_long = _too_long(request, last, seeds)
        if not too_long and not reason:
            loaded, reason = _load(request, workload, mesh, seeds, loaded)
        if too_long or reason:
            yield _not_run(request, seeds, too_long or reason)
            continue
        point = _measure(request, workload, loaded, seeds, measure_reference)
        last = (seeds, point["median_seconds"])
        yield point


def prepare(request: dict[str, Any]) -> None:
    """Compile the programs of a series side by side, for JAX's cache.

    Args:
        request: of `series`.
    """
    workload = workloads.find(request["workload"], quick=request["quick"])
    if len(jax.devices()) < request["devices"]:
        return
    mesh = seed_mesh(request["devices"])
    with ThreadPoolExecutor() as threads:
        list(
            threads.map(lambda seeds: _load(request, workload, mesh, seeds, None), request["seeds"])
        )


def _not_run(request: dict[str, Any], seeds: int, reason: str) -> dict[str, Any]:
    return {
        "workload": request["workload"],
        "seeds": seeds,
        "devices": request["devices"],
        "status": f"not run: {reason}",
    }


def _too_long(request: dict[str, Any], last: tuple[int, float] | None, seeds: int) -> str:
    if last is None:
        return ""
    predicted = last[1] * seeds / last[0] * MIN_BUDGET_RUNS
    if predicted <= request["budget"]:
        return ""
    return (
        f"{MIN_BUDGET_RUNS} runs of {seeds} seeds would take about {predicted:.0f} s at the rate "
        f"of {last[0]} seeds, the budget is {request['budget']:g} s"
    )


def _load(request, workload, mesh, seeds: int, before: loads.Load | None):
    """The program for a number of seeds, and why there is none. Halves the chunk until it fits."""
    on_cpu = jax.default_backend() == "cpu"
    limit = request["chunk"] or (CHUNK_SIZE if on_cpu else seeds)
    width = loads.rounded_up(min(seeds, limit), mesh.size)
    wanted = request["block"] or (loads.wanted_block(workload) if on_cpu else 0)
    room = SHARE * device_bytes(jax.devices()[0]) / (mesh.size if on_cpu else 1)
    if before is not None and before.width == width:
        return before, ""
    while True:
        block = loads.divided(width, mesh.size, wanted)
        loaded = loads.load(workload, width, mesh, block)
        if loaded.device_bytes <= room:
            return loaded, ""
        if request["chunk"] or width <= mesh.size:
            return None, (
                f"the program of {width} seeds needs {loaded.device_bytes} bytes on each device, "
                f"and {room:.0f} are there"
            )
        width = loads.rounded_up(width // 2, mesh.size)


def _measure(request, workload, loaded: loads.Load, seeds: int, measure_reference: Callable):
    before = measure_reference()
    _, warm_up = _run(loaded, seeds)
    fits = int((request["budget"] - warm_up) / max(warm_up, 1e-9))
    seconds = []
    for _ in range(max(1, min(request["repeats"], fits))):
        output, spent = _run(loaded, seeds)
        seconds.append(spent)
    number = (seeds - 1) % loaded.width + 1
    found = loaded.summary(output, number)
    after = measure_reference()
    median = statistics.median(seconds)
    rates = _rates(workload, found, seeds / median)
    return {
        "workload": workload.name,
        "seeds": seeds,
        "devices": request["devices"],
        "status": "ok",
        "width": loaded.width,
        "block": loaded.block,
        "calls": -(-seeds // loaded.width),
        "lower_seconds": loaded.lower_seconds,
        "compile_seconds": loaded.compile_seconds,
        "program_bytes_per_device": loaded.device_bytes,
        "warm_up_seconds": warm_up,
        "seconds": seconds,
        "median_seconds": median,
        "quartiles": [float(value) for value in np.percentile(seconds, (25, 75))],
        "rates": rates,
        "reference": {"before": before, "after": after},
        "fractions": _fractions(rates, references.reached(before, after)),
        "found": found,
        "load_average": os.getloadavg()[0],
    }


def _run(loaded: loads.Load, seeds: int) -> tuple[Any, float]:
    """All seeds, in calls of the program's width; the next is sent while the last one computes."""
    started, waiting = time.perf_counter(), None
    for first in range(0, seeds, loaded.width):
        output = loaded.call(first, min(loaded.width, seeds - first))
        if waiting is not None:
            jax.block_until_ready(waiting)
        waiting = output
    jax.block_until_ready(waiting)
    return waiting, time.perf_counter() - started


def _rates(workload, found: dict[str, float], per_second: float) -> dict[str, float]:
    """Per second; what is not counted is left out."""
    work = arithmetic.work_of(workload)
    factor = per_second * (found["iterations"] if work.per == "iteration" else 1.0)
    counted = {
        "gradient_samples": work.gradient_samples * factor,
        "flops": work.flops * factor,
        "bytes": work.bytes * factor,
        "environment_steps": found.get("environment_steps", 0.0) * per_second,
        "all_environment_steps": all_steps(workload, found) * per_second,
    }
    return {"seeds": per_second} | {name: rate for name, rate in counted.items() if rate}


def all_steps(workload, found: dict[str, float]) -> float:
    """Environment steps of a seed, demonstrations and evaluation of both policies included."""
    if workload.kind == "training":
        return 0.0
    shown = 1 if workload.name == "dagger" else workload.num_demos
    judged = 0 if "median_return" not in found else 2 * workload.evaluation_episodes
    if workload.name in ("bc-exact", "maxent-irl"):
        judged = 0
    return found["environment_steps"] + (shown + judged) * workload.horizon


def _fractions(rates: dict[str, float], reached: dict[str, float]) -> dict[str, float]:
    pairs = {
        "of_product_highest": ("flops", "highest_flops"),
        "of_product_default": ("flops", "default_flops"),
        "of_copy": ("bytes", "copy_bytes"),
    }
    return {
        name: rates[rate] / reached[best] for name, (rate, best) in pairs.items() if rate in rates
    }


def main() -> None:
    """Print the points of the request in the first argument, or only compile for them."""
    request = json.loads(sys.argv[1])
    if request.get("prepare"):
        prepare(request)
        return
    for point in series(request):
        print(MARK + json.dumps(point), flush=True)


if __name__ == "__main__":
    main()
