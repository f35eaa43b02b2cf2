"""`throughput.md`: the record as a page that a person can read."""

from typing import Any


def page(found: dict[str, Any], figures: list[str]) -> str:
    """The page, with links to figures beside it."""
    parts = ["# Throughput", *_machine(found), *[f"![{name}]({name})" for name in figures]]
    parts += ["## Points", _points(found["points"]), *_not_run(found)]
    if found["memory"]:
        parts += ["## Bytes per seed", _memory(found["memory"])]
    if found["time_to_score"]:
        parts += ["## Time to a score", _scores(found["time_to_score"])]
    return "\n\n".join(parts) + "\n"


def _machine(found: dict[str, Any]) -> list[str]:
    machine, settings = found["machine"], found["settings"]
    state = " with changes" if machine["dirty"] else ""
    commit = (machine["commit"] or "unknown")[:10]
    accelerator = "" if machine["platform"] == "cpu" else f"{machine['device_kind']}; "
    lines = [
        f"{accelerator}{machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_bytes'] / 2**30:.0f} GiB; Python {machine['python']}, jax "
        f"{machine['versions']['jax']}; commit {commit}{state}; {machine['date']}; load average "
        f"{machine['load_average'][0]:.1f} at the start. "
        f"Medians of up to {settings['repeats']} runs, quartiles in brackets. Written by "
        "`benchmarks/throughput.py`."
    ]
    if settings.get("prepare"):
        lines.append(
            "All programs were compiled beforehand, side by side, into a cache, in "
            f"{found['prepare_seconds']:.0f} s; `compile s` is what reading them took."
        )
    if settings["quick"]:
        lines.append("**A quick run of tiny workloads: these figures mean nothing.**")
    return [*lines, found["counted"][0].upper() + found["counted"][1:] + "."]


def _points(points: list[dict[str, Any]]) -> str:
    header = (
        "workload", "devices", "seeds", "seeds/s", "s", "gradient samples/s", "own env steps/s",
        "GFLOP/s", "of product", "of default product", "GB/s", "of copy",
        "lower s", "compile s", "found",
    )  # fmt: skip
    return table(header, [_row(point) for point in points if point["status"] == "ok"])


def _row(point: dict[str, Any]) -> tuple[str, ...]:
    rates, fractions = point["rates"], point["fractions"]
    low, high = point["quartiles"]
    flops, moved = rates.get("flops"), rates.get("bytes")
    return (
        point["workload"],
        str(point["devices"]),
        str(point["seeds"]),
        number(rates["seeds"]),
        f"{number(point['median_seconds'])} [{number(low)}, {number(high)}]",
        number(rates.get("gradient_samples")),
        number(rates.get("environment_steps")),
        number(flops and flops / 1e9),
        percent(fractions.get("of_product_highest")),
        percent(fractions.get("of_product_default")),
        number(moved and moved / 1e9),
        percent(fractions.get("of_copy")),
        number(point["lower_seconds"]),
        number(point["compile_seconds"]),
        _found(point["found"]),
    )


def _found(found: dict[str, float]) -> str:
    names = {
        "median_return": "return",
        "median_agreement": "agreement",
        "last_mean_length": "length",
    }
    return ", ".join(f"{word} {found[name]:.4g}" for name, word in names.items() if name in found)


def _not_run(found: dict[str, Any]) -> list[str]:
    lines = [
        f"- {point['workload']}, {point['seeds']} seeds, {point['devices']} devices: "
        f"{point['status']}"
        for point in found["points"]
        if point["status"] != "ok"
    ]
    notes = sorted({point["note"] for point in found["points"] if "note" in point})
    lines += [f"- {note}: oversubscribed" for note in notes]
    return ["\n".join(lines)] if lines else []


def _memory(rows: list[dict[str, Any]]) -> str:
    kinds = ("parameters", "moments", "demonstrations", "data", "rollout", "rest")
    header = ("workload", "bytes per seed", "shared bytes", *kinds)
    lines = []
    for row in rows:
        if "status" in row:
            lines.append((row["workload"], row["status"], *[""] * (len(header) - 2)))
            continue
        counts = [number(row["counted"].get(kind)) for kind in kinds]
        lines.append(
            (row["workload"], f"{row['bytes_per_seed']:.0f}", f"{row['shared_bytes']:.0f}", *counts)
        )
    return (
        "The first two columns are XLA's analysis of the program at two widths, a slope and a rest "
        "(negative where the two programs differ); the others count arrays by their shapes.\n\n"
        + table(header, lines)
    )


def _scores(rows: list[dict[str, Any]]) -> str:
    header = ("workload", "cache", "seeds", "target", "median return", "steps", "s from start", "s")
    lines = []
    for row in rows:
        if "status" in row:
            lines.append((row["workload"], row["cache"], row["status"], *[""] * 5))
            continue
        reached = "" if row["reached"] else " (not reached)"
        lines.append(
            (
                row["workload"],
                row["cache"],
                str(row["seeds"]),
                f"{row['target']:g}",
                f"{row['median_return']:.4g}{reached}",
                f"{row['steps']} of {row['steps_at_most']}",
                number(row["seconds_from_start"]),
                number(row["seconds_compiled"]),
            )
        )
    return (
        "From the start of the process, import and compilation included; the last column: once "
        "more in the same process. Judged after each tenth of the steps.\n\n" + table(header, lines)
    )


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A markdown table."""
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None) -> str:
    """Three digits, with k, M or G; empty for nothing."""
    if not value:
        return ""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def percent(value: float | None) -> str:
    """Of one, in percent; empty for None."""
    return "" if value is None else f"{100 * value:.1f} %"
