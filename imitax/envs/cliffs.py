"""Reset cliff, recoverable cliff and standard imitation: the MDPs that separate the methods.

With G good states, an initial distribution rho over them, and an expert action e(s):

    reset-cliff        good: e(s) earns 1 and leads to rho, others lead to the bad state.
                       bad: absorbing, earns nothing (Rajaraman et al. 2020; Xu et al. 2022)
    recoverable-cliff  the same, but the action e(bad) leads back to rho, earning nothing
    standard-imitation every state absorbs; e(s) earns 1 (Xu et al. 2022)

The last state is the bad one. Definitions after the named papers; `dyadic` and the recoverable
variant are ours. With `reward=terminal` only the last step earns.
"""

import jax
import jax.numpy as jnp

from imitax.core.config import config, setting
from imitax.core.errors import SpecError
from imitax.core.family import subsampling
from imitax.envs.tabular import TabularFamily, one_hot_policy, working_precision
from imitax.numerics.draws import below
from imitax.tabular.mdp import TabularMDP


@config
class CliffSettings:
    """Settings of the three families."""

    num_states: int = setting(10, "states, the bad one included", low=2, high=4096)
    num_actions: int = setting(5, "actions", low=2, high=1024)
    initial: str = setting(
        "dyadic",
        "first-state distribution: 2^-k; equal; or 1/(N+1) each, N demonstrations",
        choices=("uniform", "dyadic", "rajaraman"),
    )
    reward: str = setting("dense", "earned at each step or the last", choices=("dense", "terminal"))
    labels: str = setting(
        "state", "expert action drawn per state, or action 0", choices=("state", "first")
    )
    subsample: int = subsampling()


def initial_distribution(kind: str, num_good: int, num_demos: jax.Array) -> jax.Array:
    """The distribution over the good states, [G].

    Args:
        kind: `uniform`; `dyadic`, 2^-k with the last state taking the remainder; `rajaraman`,
            1/(N+1) each with the last state taking the remainder.
        num_good: number of good states G.
        num_demos: number of demonstrations N; only `rajaraman` reads it.
    """
    if kind == "uniform":
        return jnp.full(num_good, 1.0 / num_good)
    if kind == "dyadic":
        powers = [2.0 ** -(k + 1) for k in range(num_good - 1)]
        return jnp.array([*powers, 1.0 - sum(powers)])
    each = 1.0 / (num_demos + 1.0)
    rest = 1.0 - (num_good - 1) * each
    return jnp.full(num_good, each).at[-1].set(rest)


class Cliff(TabularFamily):
    """Shared parts of the three families; see the head of the file."""

    has_bad_state = True

    def __init__(self, settings: CliffSettings | None = None):
        settings = settings or CliffSettings()
        super().__init__(settings, settings.num_states, settings.num_actions)
        self.num_good = settings.num_states - self.has_bad_state

    def check_grid(self, horizons: tuple[int, ...], num_demos: tuple[int, ...]) -> None:
        """Refuse `initial=rajaraman` where its remainder would be negative."""
        super().check_grid(horizons, num_demos)
        fewest = min(num_demos)
        if self.settings.initial == "rajaraman" and fewest + 1 < self.num_good - 1:
            raise SpecError(
                f"{self.family}: initial=rajaraman needs num_demos >= {self.num_good - 2} for "
                f"{self.num_good} good states, got {fewest}; ask for more demonstrations or "
                "fewer states"
            )

    def transition(self, rho: jax.Array, right: jax.Array) -> jax.Array:
        """Transition probabilities [S, A, S] from rho [S] and the expert's actions [S, A]."""
        raise NotImplementedError

    def instance(self, key, horizon, num_demos, max_horizon):
        """Draw the expert's actions and build the MDP around them."""
        num_states, num_actions = self.num_states, self.num_actions
        labels = jnp.zeros(num_states, jnp.int32)
        if self.settings.labels == "state":
            labels = below(jax.random.uniform(key, (num_states,)), num_actions)
        right = one_hot_policy(labels, num_actions)
        rho = initial_distribution(self.settings.initial, self.num_good, num_demos)
        rho = jnp.pad(rho, (0, num_states - self.num_good)).astype(working_precision())
        earns = right * (jnp.arange(num_states) < self.num_good)[:, None]
        dense = self.settings.reward == "dense"
        mdp = TabularMDP(
            transition=self.transition(rho, right),
            step_reward=earns if dense else jnp.zeros_like(earns),
            final_reward=None if dense else earns,
            initial=rho,
        )
        return mdp, right


class ResetCliff(Cliff):
    """One wrong action and the episode is lost."""

    family = "reset-cliff"
    says = "A wrong action is never made good: what copies actions compounds its errors."

    def transition(self, rho, right):
        """Right actions lead to rho, wrong ones to the bad state for ever."""
        bad = jax.nn.one_hot(self.num_states - 1, self.num_states)
        rows = jnp.where(right[..., None] > 0, rho, bad)
        return rows.at[-1].set(bad)


class RecoverableCliff(Cliff):
    """One wrong action, and one particular action leads back."""

    family = "recoverable-cliff"
    says = "One action leads back: whoever learns it loses a step by a mistake, not the rest."

    def transition(self, rho, right):
        """Right actions lead to rho, also from the bad state."""
        bad = jax.nn.one_hot(self.num_states - 1, self.num_states)
        return jnp.where(right[..., None] > 0, rho, bad)


class StandardImitation(Cliff):
    """Nothing moves: errors do not compound."""

    family = "standard-imitation"
    says = "The world stands still: no mistake leads to another, so nothing compounds."
    has_bad_state = False

    def transition(self, rho, right):
        """Every state leads to itself."""
        del rho
        stay = jnp.eye(self.num_states)
        return jnp.broadcast_to(stay[:, None], (*right.shape, self.num_states))
