"""What a policy returns: a distribution over actions, as a pytree with a few methods."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

_BELOW_ONE = 1.0 - 2.0**-22
"""Keeps an inverse-CDF draw below the total mass after rounding."""

EDGE = 1e-6
"""How far inside (-1, 1) an action is moved before its tanh is undone."""


def inverse_cdf(cdf: jax.Array, uniform: jax.Array) -> jax.Array:
    """The category whose stretch of a running sum holds `uniform` times the total.

    Args:
        cdf: running sum of non-negative weights over the last axis, [..., K].
        uniform: in [0, 1), [...].

    Returns:
        int32 [...]; never a category of weight zero.
    """
    threshold = uniform * cdf[..., -1] * _BELOW_ONE
    return jnp.sum(cdf <= threshold[..., None], axis=-1, dtype=jnp.int32)


class Categorical(NamedTuple):
    """A distribution over a finite set."""

    probs: jax.Array
    """[..., A], non-negative; rows sum to one."""

    def sample(self, key: jax.Array) -> jax.Array:
        """One draw, int32 [...], from one uniform number each."""
        return self.quantile(jax.random.uniform(key, self.probs.shape[:-1]))

    def quantile(self, uniform: jax.Array) -> jax.Array:
        """The draw that belongs to a uniform number in [0, 1), int32 [...]."""
        return inverse_cdf(jnp.cumsum(self.probs, axis=-1), uniform)

    def mode(self) -> jax.Array:
        """The most probable category, the first of equals, int32 [...]."""
        return jnp.argmax(self.probs, axis=-1).astype(jnp.int32)


class Certain(Categorical):
    """All mass on one category: a draw is that category, whatever the random number."""

    def sample(self, key: jax.Array) -> jax.Array:
        """The category, int32 [...]; the key is not used, so that nothing is drawn from it."""
        del key
        return self.mode()


def certain(category: jax.Array, num_categories: int, dtype: Any = float) -> Certain:
    """All mass on a category, int32 [...], of so many."""
    return Certain(jax.nn.one_hot(category, num_categories, dtype=dtype))


class Normal(NamedTuple):
    """Independent normal coordinates."""

    mean: jax.Array
    """[..., D], in units of the action."""
    scale: jax.Array
    """Standard deviation, [..., D], positive."""

    def sample(self, key: jax.Array) -> jax.Array:
        """One draw, [..., D]."""
        return self.mean + self.scale * jax.random.normal(key, self.mean.shape, self.mean.dtype)

    def mode(self) -> jax.Array:
        """The mean, [..., D]."""
        return self.mean

    def log_prob(self, action: jax.Array) -> jax.Array:
        """Log density of an action [..., D], added over its coordinates, [...]."""
        return jnp.sum(normal_log_density(action, self.mean, self.scale), axis=-1)


def normal_log_density(value: jax.Array, mean: jax.Array, scale: jax.Array) -> jax.Array:
    """-(x - m)^2 / (2 s^2) - log s - log(2 pi) / 2, elementwise."""
    scaled = (value - mean) / scale
    return -0.5 * scaled**2 - jnp.log(scale) - 0.5 * math.log(2 * math.pi)


class Squashed(NamedTuple):
    """A normal number behind tanh, spread over a box: centre + half * tanh(u), u ~ N(mean, scale).

    The density divides the normal one by |da/du| = half * (1 - tanh(u)^2), whose logarithm is
    log half + 2 (log 2 - u - softplus(-2 u)), stable for every u (Haarnoja et al. 2018, app. C,
    for the change of variables). An action at or beyond the box is read as `EDGE` inside it.
    """

    mean: jax.Array
    """Of u, [..., D]."""
    scale: jax.Array
    """Standard deviation of u, [..., D], positive."""
    low: jax.Array
    """Lower corner of the box, [D], in units of the action."""
    high: jax.Array
    """Upper corner, [D]."""

    def sample(self, key: jax.Array) -> jax.Array:
        """One draw, [..., D]."""
        return self._squash(Normal(self.mean, self.scale).sample(key))

    def mode(self) -> jax.Array:
        """The median, where u is its mean, [..., D]; the density may peak elsewhere."""
        return self._squash(self.mean)

    def log_prob(self, action: jax.Array) -> jax.Array:
        """Log density of an action [..., D], added over its coordinates, [...]."""
        half = 0.5 * (self.high - self.low)
        unit = (action - 0.5 * (self.low + self.high)) / half
        unsquashed = jnp.arctanh(jnp.clip(unit, -1.0 + EDGE, 1.0 - EDGE))
        slope = 2.0 * (math.log(2.0) - unsquashed - jax.nn.softplus(-2.0 * unsquashed))
        density = normal_log_density(unsquashed, self.mean, self.scale)
        return jnp.sum(density - jnp.log(half) - slope, axis=-1)

    def _squash(self, unsquashed: jax.Array) -> jax.Array:
        centre, half = 0.5 * (self.low + self.high), 0.5 * (self.high - self.low)
        return jnp.clip(centre + half * jnp.tanh(unsquashed), self.low, self.high)


class NormalMixture(NamedTuple):
    """A weighted sum of K diagonal normal distributions (Bishop 1994)."""

    log_weight: jax.Array
    """[..., K], logarithms of weights that sum to one."""
    mean: jax.Array
    """[..., K, D], in units of the action."""
    scale: jax.Array
    """Standard deviations, [..., K, D], positive."""

    def sample(self, key: jax.Array) -> jax.Array:
        """One draw, [..., D]: of a component, then of its normal distribution."""
        component_key, normal_key = jax.random.split(key)
        component = Categorical(jnp.exp(self.log_weight)).sample(component_key)
        return Normal(self._pick(self.mean, component), self._pick(self.scale, component)).sample(
            normal_key
        )

    def mode(self) -> jax.Array:
        """The mean of the component of largest weight, [..., D]; not the density's peak."""
        return self._pick(self.mean, jnp.argmax(self.log_weight, axis=-1))

    def log_prob(self, action: jax.Array) -> jax.Array:
        """Log density of an action [..., D], [...]."""
        each = normal_log_density(action[..., None, :], self.mean, self.scale)
        return jax.nn.logsumexp(self.log_weight + jnp.sum(each, axis=-1), axis=-1)

    @staticmethod
    def _pick(values: jax.Array, component: jax.Array) -> jax.Array:
        return jnp.take_along_axis(values, component[..., None, None], axis=-2)[..., 0, :]


class Point(NamedTuple):
    """All mass on one action."""

    value: jax.Array
    """The action, [...]."""

    def sample(self, key: jax.Array) -> jax.Array:
        """The action; the key is not used."""
        del key
        return self.value

    def mode(self) -> jax.Array:
        """The action."""
        return self.value


class Uniform(NamedTuple):
    """Uniform over a box."""

    low: jax.Array
    """Lower corner, [..., D]."""
    high: jax.Array
    """Upper corner, [..., D]."""

    def sample(self, key: jax.Array) -> jax.Array:
        """One draw, [..., D]."""
        unit = jax.random.uniform(key, self.low.shape, self.low.dtype)
        return self.low + unit * (self.high - self.low)

    def mode(self) -> jax.Array:
        """The middle of the box, [..., D]."""
        return 0.5 * (self.low + self.high)


class Mixture(NamedTuple):
    """One of two distributions, chosen anew at each draw."""

    first: Any
    second: Any
    share: jax.Array
    """Probability of the first."""

    def sample(self, key: jax.Array) -> jax.Array:
        """One draw."""
        choice_key, first_key, second_key = jax.random.split(key, 3)
        use_first = jax.random.uniform(choice_key) < self.share
        return jnp.where(use_first, self.first.sample(first_key), self.second.sample(second_key))

    def mode(self) -> jax.Array:
        """The mode of the likelier part."""
        return jnp.where(self.share > 0.5, self.first.mode(), self.second.mode())


Distribution = Categorical | Normal | Squashed | NormalMixture | Point | Uniform | Mixture
