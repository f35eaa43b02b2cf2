"""Seeds per hour, ratios and their spread, and the check that two scores are the same."""

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.peer import workload

STUDY = 256
"""Seeds of a study, for which a program is compiled once."""
RETURN_TOLERANCE = 0.02
"""How far our mean return may lie below the peer's, as a share of the largest return."""


class UnequalScores(ValueError):
    """Sides that may not be compared: no score, or ours is the worse; the message is one line."""


def peer_rate(processes: Sequence[Sequence[float]]) -> float:
    """Seeds per hour of processes that run side by side, from the seconds of their seeds."""
    return sum(3600.0 * len(seconds) / sum(seconds) for seconds in processes)


def warm_rate(seconds: float, num_seeds: int) -> float:
    """Seeds per hour of a compiled program."""
    return 3600.0 * num_seeds / seconds


def cold_rate(compile_seconds: float, seconds: float, num_seeds: int) -> float:
    """Seeds per hour of a study of `STUDY` seeds, its one compilation counted."""
    return 3600.0 * STUDY / (compile_seconds + STUDY * seconds / num_seeds)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, quartiles (linear between order statistics) and extremes."""
    ordered = sorted(values)

    def quantile(share: float) -> float:
        place = share * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (place - below) * (ordered[above] - ordered[below])

    names = {"min": 0.0, "low": 0.25, "median": 0.5, "high": 0.75, "max": 1.0}
    return {name: quantile(share) for name, share in names.items()}


def summary(scores: Sequence[float]) -> dict[str, float]:
    """What is said of one side's scores."""
    return {
        "mean": statistics.fmean(scores),
        "min": min(scores),
        "max": max(scores),
        "count": len(scores),
    }


def check_scores(name: str, peer: Sequence[float], ours: Sequence[float]) -> None:
    """Refuse to compare a faster run that is a worse one.

    Args:
        name: of the workload.
        peer: its scores: mean returns, or occupancy gaps for `mce-irl-*`.
        ours: the same.

    Raises:
        UnequalScores: a side has no score or one that is no number, our mean return is lower by
            more than the tolerance, or a gap is above the one that both sides stop at. Where the
            peer's is lower the comparison stands, with both scores beside it.
    """
    if not peer or not ours:
        raise UnequalScores(f"{name}: one side has no score, so there is no ratio")
    if any(score != score for score in [*peer, *ours]):
        raise UnequalScores(f"{name}: a score is no number, so there is no ratio")
    if name.startswith("mce-irl"):
        worst = {"the peer's": max(peer), "our": max(ours)}
        for side, gap in worst.items():
            if gap > workload.IRL_GAP:
                raise UnequalScores(
                    f"{name}: {side} largest gap {gap:.2g} is above {workload.IRL_GAP:g}, so there "
                    "is no ratio"
                )
        return
    means = statistics.fmean(peer), statistics.fmean(ours)
    if means[0] - means[1] > RETURN_TOLERANCE * workload.MAX_RETURN:
        raise UnequalScores(
            f"{name}: our mean return {means[1]:.1f} is below the peer's {means[0]:.1f} by more "
            f"than {RETURN_TOLERANCE:.0%} of {workload.MAX_RETURN:g}, so there is no ratio"
        )


def cores_had(rounds: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, float]:
    """Median number of cores that each side had while its clock ran: processor time by time."""
    peers = [peer["cpu_seconds"] / max(sum(one) for one in peer["seconds"]) for peer, _ in rounds]
    ours = [our["cpu_seconds"] / our["seconds"] for _, our in rounds]
    return {"peer": statistics.median(peers), "ours": statistics.median(ours)}


def processor_ratio(rounds: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> float:
    """The peer's processor time of a seed by ours, medians; what a busy machine still tells."""
    peers = [peer["cpu_seconds"] / len(peer["scores"]) for peer, _ in rounds]
    ours = [our["cpu_seconds"] / our["num_seeds"] for _, our in rounds]
    return statistics.median(peers) / statistics.median(ours)


def compare(name: str, rounds: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    """One workload's row from rounds of (peer, ours), as `benchmarks.peer.alternate` has them.

    The ratios are missing, and `refused` says why, where the scores are not the same.
    """
    scores = [[score for pair in rounds for score in pair[side]["scores"]] for side in (0, 1)]
    peers = [peer_rate(peer["seconds"]) for peer, _ in rounds]
    warm = [warm_rate(our["seconds"], our["num_seeds"]) for _, our in rounds]
    cold = [
        cold_rate(our["compile_seconds"], our["seconds"], our["num_seeds"]) for _, our in rounds
    ]
    row: dict[str, Any] = {
        "workload": name,
        "repeats": len(rounds),
        "peer_seeds_per_hour": spread(peers),
        "our_seeds_per_hour": spread(warm),
        "our_seeds_per_hour_cold": spread(cold),
        "compile_seconds": spread([our["compile_seconds"] for _, our in rounds]),
        "process_seconds": spread([our["process_seconds"] for _, our in rounds]),
        "cores_had": cores_had(rounds),
        "ratio_of_processor_time": processor_ratio(rounds),
        "num_seeds": rounds[0][1]["num_seeds"],
        "peer_score": summary(scores[0]),
        "our_score": summary(scores[1]),
        "peer_precision": rounds[0][0]["precision"],
        "our_precision": rounds[0][1]["precision"],
    }
    try:
        check_scores(name, *scores)
    except UnequalScores as error:
        return row | {"refused": str(error)}
    return row | {
        "ratio": spread([our / peer for our, peer in zip(warm, peers, strict=True)]),
        "ratio_cold": spread([our / peer for our, peer in zip(cold, peers, strict=True)]),
    }
