"""What theory predicts: exponents per environment, algorithm and setting, and what to expect.

A prediction is made only where theory.md has one for that environment *and* those settings;
everything else is None, an empty cell in the table. "Section" and "claim" below are those of
theory.md (claims matrix: section 0), with the paper behind them.

A power law holds only inside a window (section 1.2): u H << 1, which the report enforces by
excluding points with regret/H above 0.1, and, where the initial distribution is a fixed dyadic
one, demonstrations too few to exhaust its tail (section 1.4), which is checked here.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from imitax.algorithms.adversarial.gail import GAILConfig
from imitax.algorithms.baselines import NoisyExpertConfig
from imitax.algorithms.cloning.bc import NetworkBCConfig, TabularBCConfig
from imitax.algorithms.interactive.dagger import TabularDaggerConfig
from imitax.bench.spec_facts import has_soft_expert
from imitax.bench.theory.closed_forms import Cliff, is_tie_broken, read_cliff
from imitax.catalogue import settings_of
from imitax.core.errors import SpecError
from imitax.core.spec import split
from imitax.envs.linear import LinearSettings
from imitax.envs.random_mdp import RandomMDPSettings

AXES = ("horizon", "num_demos")

TAIL = 0.5
"""Largest draws times mass of the rarest dyadic state: beyond it, decay leaves -1 by over 0.1."""

SEEN = 10
"""Demonstrations per state of a soft expert: with fewer, unseen states are most of the error.

Local slopes with 300 seeds, H = 10: 8 states -.83 -.59 -.49 at N = 30 100 300, 20 states -1.11 -.87
-.53, and -.46 to -.57 beyond.
"""

MANY_ACTIONS = 5
"""Actions per step of the longest horizon that count as "A >~ H" (section 1.7)."""


class Prediction(NamedTuple):
    """An exponent of the regret, and where it is from."""

    exponent: float
    source: str
    statistic: str = "mean"
    """What it is an exponent of: the `mean` regret, or its root mean square, `rms`."""


class Query(NamedTuple):
    """One question: a cliff, the config of an algorithm, and the points of the axis."""

    cliff: Cliff
    settings: Any
    axis: str
    points: Sequence[int]
    fixed: int | None


def predicted_exponent(
    environment: str,
    algorithm: str,
    axis: str,
    points: Sequence[int] = (),
    fixed: int | None = None,
) -> Prediction | None:
    """The exponent that theory predicts, or None where it predicts nothing.

    Args:
        environment: normalised spec.
        algorithm: normalised spec.
        axis: `horizon` or `num_demos`.
        points: values of the axis; without them the window is taken for granted.
        fixed: value of the other axis, likewise.

    Raises:
        ValueError: an axis of another name.
    """
    if axis not in AXES:
        raise ValueError(f"axis must be one of {AXES}, got '{axis}'")
    settings = settings_of(algorithm)
    if getattr(settings, "labels", 0):  # neither axis is then what it is in the theory
        return None
    is_cloning = isinstance(settings, TabularBCConfig)
    if is_cloning and axis == "num_demos" and has_soft_expert(environment):
        return _soft_cloning(environment, settings, points)
    if environment == "three-state" and isinstance(settings, NoisyExpertConfig):
        return _three_state(settings) if axis == "horizon" else None
    cliff, rule = read_cliff(environment), RULES.get(type(settings))
    if cliff is None or rule is None:
        return None
    return rule(Query(cliff, settings, axis, points, fixed))


def expectation_note(environment: str, algorithm: str) -> str | None:
    """A sentence on what theory expects of this pair beyond an exponent, or None."""
    try:
        (place, _), (name, _) = split(environment), split(algorithm)
    except SpecError:
        return None
    if place == "reset-cliff" and name == "dagger":
        return (
            "theory expects DAgger to be no better than BC here: once lost nothing can be "
            "recovered, and the lower bound S H²/N also holds for active querying (claim 2, "
            "Rajaraman et al. 2020; at equal labelled episodes it is somewhat worse, section 1.7)"
        )
    if place in ("reset-cliff", "recoverable-cliff") and name in ("maxent-irl", "gail"):
        return (
            "given the dynamics, and known dynamics give the answer away on the cliffs: only the "
            "expert's actions stay among the good states, so matching state visits reveals them "
            "at every step but the last (section 1.5); not comparable with BC and DAgger, which "
            "know no dynamics"
        )
    if isinstance(settings_of(environment), LinearSettings) and name == "bc":
        return (
            "exponential in the horizon is each unstable seed's deviation, not the mean regret: "
            "the cost is at most 1 a step, and its mean over seeds bends towards linear growth "
            "or, with process noise, none (theory-2, section 2; Simchowitz et al. 2025); single "
            "seeds may beat the expert, who is not optimal for this cost"
        )
    cliff = read_cliff(environment)
    settings = settings_of(algorithm)
    if cliff is None or not isinstance(settings, TabularBCConfig):
        return None
    return _cloning_note(cliff, settings.unseen == "first")


def _cloning_note(cliff: Cliff, first: bool) -> str | None:
    if first and cliff.labels == "first":
        return "unseen states are given the expert's only action: zero regret proves nothing"
    if cliff.name == "recoverable-cliff" and not first:
        return (
            "an unseen state's uniform action often recovers by luck, so BC looks linear in the "
            "horizon unless the actions outnumber the steps (section 1.7)"
        )
    if cliff.initial == "uniform":
        return (
            "with a uniform initial distribution BC's regret decays exponentially in the number "
            "of demonstrations, not as a power (section 1.4)"
        )
    return None


def _bc(query: Query) -> Prediction | None:
    if isinstance(query.settings, NetworkBCConfig):
        return _bc_shared(query, "; a network shares its parameters over time")
    first, shared = query.settings.unseen == "first", query.settings.stationary
    if first and query.cliff.labels == "first":
        return None
    if query.axis == "num_demos":
        return None if shared and query.cliff.name != "standard-imitation" else _bc_demos(query)
    if query.cliff.name == "standard-imitation":
        source = "section 1.3, exactly H (1-1/A) q_N"
        return None if query.cliff.terminal else Prediction(1.0, source)
    if shared:
        return _bc_shared(query, "")
    if query.cliff.name == "reset-cliff":
        return _bc_reset_cliff(query.cliff)
    return _bc_recoverable(query, first)


def _soft_cloning(
    environment: str, settings: TabularBCConfig, points: Sequence[int]
) -> Prediction | None:
    """Tables of a soft expert in `random-mdp`, whose first states are alike: the central limit."""
    place, own = split(environment)
    if place != "random-mdp" or not set(own) <= {"num_states", "num_actions", "temperature"}:
        return None
    if settings.stationary:
        return None
    num_states = int(own.get("num_states", RandomMDPSettings().num_states))
    if min(points, default=SEEN * num_states) < SEEN * num_states:
        return None
    source = "theory-2, section 0: maximum likelihood is unbiased, its error of order N^-1/2"
    return Prediction(-0.5, source, "rms")


def _bc_demos(query: Query) -> Prediction | None:
    source = "section 1.4 and claim 1 (Rajaraman et al. 2020), S H²/N"
    if query.cliff.initial == "rajaraman":
        return Prediction(-1.0, f"{source}; instance changes with N")
    most = max(query.points, default=0)
    if query.cliff.initial == "dyadic" and _in_tail(query.cliff, most):
        return Prediction(-1.0, f"{source}; heavy-tailed initial states")
    return None


def _bc_reset_cliff(cliff: Cliff) -> Prediction:
    if cliff.terminal:
        return Prediction(1.0, "section 1.6, claim 7 (Foster et al. 2024): log|Π| ~ H, R = 1")
    source = "sections 1.2 and 1.6, claims 1 and 2 (Rajaraman et al. 2020); locally u H(H+1)/2"
    return Prediction(2.0, source)


def _bc_shared(query: Query, remark: str) -> Prediction | None:
    """The reset cliff for a learner with one policy for all steps (section 1.6, dyadic)."""
    cliff = query.cliff
    if cliff.name != "reset-cliff" or query.axis != "horizon" or cliff.initial != "dyadic":
        return None
    if not _in_tail(cliff, max(query.points, default=0) * (query.fixed or 0)):
        return None
    source = "section 1.6, claim 7 (Foster et al. 2024): log|Π| free of H"
    return Prediction(0.0 if cliff.terminal else 1.0, source + remark)


def _bc_recoverable(query: Query, first: bool) -> Prediction | None:
    if query.cliff.terminal:
        return None
    longest = max(query.points, default=0)
    many = longest > 0 and query.cliff.num_actions >= MANY_ACTIONS * longest
    if not (first or many):
        return None
    return Prediction(2.0, "section 1.7, claim 4 (Rajaraman et al. 2021): offline S H²/N")


def _dagger(query: Query) -> Prediction | None:
    """That of section 1.1: any other setting than the rule for unseen states, and none."""
    cliff, settings = query.cliff, query.settings
    plain = TabularDaggerConfig(policy=settings.policy, unseen=settings.unseen)
    if settings != plain or cliff.terminal:
        return None
    if settings.unseen == "first" and cliff.labels == "first":
        return None
    claims = {
        "reset-cliff": (2.0, "claim 2 and section 1.7 (Rajaraman et al. 2020): no better than BC"),
        "recoverable-cliff": (1.0, "claim 4 and section 1.7 (Rajaraman et al. 2021): μ S H/N"),
    }
    if cliff.name not in claims:
        return None
    exponent, source = claims[cliff.name]
    if query.axis == "horizon":
        return Prediction(exponent, source)
    return Prediction(-1.0, source) if cliff.initial == "rajaraman" else None


def _gail(query: Query) -> Prediction | None:
    """Total-variation matching with exact players; the Jensen-Shannon game has no prediction."""
    cliff = query.cliff
    if not is_tie_broken(query.settings) or cliff.terminal or cliff.name == "recoverable-cliff":
        return None
    if query.axis == "num_demos":
        source = "section 1.5, claims 10 and 11 (Xu et al. 2021, 2022): sqrt(S/N)"
        return Prediction(-0.5, source) if cliff.initial == "uniform" else None
    if cliff.name == "reset-cliff":
        return Prediction(0.0, "section 1.5, claim 10 (Xu et al. 2022): only the last step is free")
    return Prediction(1.0, "section 1.5, claim 11 (Xu et al. 2021): H sqrt(S/N)")


def _three_state(settings: NoisyExpertConfig) -> Prediction | None:
    if settings.slip != "every":
        return None
    if settings.off_support == "stay":
        return Prediction(2.0, "section 1.9, claim 13 (Ross and Bagnell 2010): ε H²")
    return Prediction(1.0, "section 1.9, claim 13 (Ross et al. 2011): recoverable, ε H")


def _in_tail(cliff: Cliff, num_draws: int) -> bool:
    """Whether so many draws leave the dyadic tail unexhausted: n 2^-(G-1) at most `TAIL`."""
    return num_draws * 0.5 ** (cliff.num_good - 1) <= TAIL


RULES: dict[type, Callable[[Query], Prediction | None]] = {
    TabularBCConfig: _bc,
    NetworkBCConfig: _bc,
    TabularDaggerConfig: _dagger,
    GAILConfig: _gail,
}
"""What theory says on the cliffs, by the config of an algorithm."""
