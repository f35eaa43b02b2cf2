"""The form of a learned reward, from what is known of the environment's ends.

Where an end is bad a reward that is never negative keeps a learner from it, where it is good one
that is never positive drives towards it, and the other way round nothing is learned: whatever the
reward player says, ending early, or never, pays best (Kostrikov et al. 2019, section 3). `auto` is

    ends      GAIL's form                   sign of any other reward      absorbing states
    bad       softplus  -log(1 - D) >= 0    positive                      no
    good      log       log D <= 0          negative                      no
    none      softplus                      none                          no: nothing ends
    else      logit                         none                          yes: free of the bias

(over images, which have no absorbing states, the last line without them: not free of it).
The kind of the ends is knowledge that a method was given, so the choice is written into a column,
`reward_form`, and the report shows it. `discriminator=constant` takes the same form: what it scores
is what the ends give away.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from imitax.core.config import config, setting
from imitax.core.family import Family

FORMS = {"bad": "softplus", "good": "log", "none": "softplus"}
"""Kind of ending -> form of GAIL's reward."""
SIGNS = {"bad": "positive", "good": "negative", "none": "none"}
"""Kind of ending -> sign that other rewards are shifted to."""
_WHY = {
    "bad": "ends are bad",
    "good": "ends are good",
    "none": "no early ends",
    "both": "ends are good or bad",
    "unknown": "ends unknown",
}
_WORDS = {"none": "either sign", "positive": "never negative", "negative": "never positive"}


@config
class SignSettings:
    """What a game has whose reward has no sign of its own."""

    sign: str = setting(
        "auto",
        "of rewards, by a shift; auto: positive where ends are bad, negative where they are good",
        choices=("auto", "none", "positive", "negative"),
    )


class Choice(NamedTuple):
    """What a game's settings mean on one environment. Static."""

    form: str
    """Of the reward, as GAIL's setting has it; `logit` is whatever the reward player says."""
    sign: str
    """That rewards are shifted to."""
    absorbing: bool
    """Whether ends are followed by absorbing states."""
    text: str
    """For the column `reward_form`: the form or the sign, and what it was chosen by."""


def reward_form(env: Family, word: str, *, absorbing: bool, is_image: bool) -> Choice:
    """The form of GAIL's reward on an environment.

    Args:
        env: an environment family.
        word: the setting `reward`.
        absorbing: the setting of this name.
        is_image: whether observations are images, which have no absorbing state.
    """
    known, absorbing = _known(env, word, absorbing, is_image)
    form = FORMS.get(known, "logit") if known else word
    return Choice(form, "none", absorbing, _text(form, absorbing, known))


def reward_sign(env: Family, word: str, *, absorbing: bool, is_image: bool) -> Choice:
    """The sign that a reward is shifted to; arguments as of `reward_form`."""
    known, absorbing = _known(env, word, absorbing, is_image)
    sign = SIGNS.get(known, "none") if known else word
    return Choice("logit", sign, absorbing, _text(_WORDS[sign], absorbing, known))


def extreme(sign: str, values: jax.Array) -> jax.Array:
    """What is taken from rewards so that they have this sign: their smallest, largest, or zero."""
    if sign == "none":
        return jnp.zeros(())
    return jnp.min(values) if sign == "positive" else jnp.max(values)


def _known(env: Family, word: str, absorbing: bool, is_image: bool) -> tuple[str, bool]:
    """The kind of the ends where it is asked for, else empty; whether absorbing states are on."""
    if word != "auto":
        return "", absorbing
    ending = env.ending
    return ending, absorbing or (ending not in FORMS and not is_image)


def _text(word: str, absorbing: bool, known: str) -> str:
    text = word + (", absorbing states" if absorbing else "")
    return f"{text} ({_WHY[known]})" if known else text
