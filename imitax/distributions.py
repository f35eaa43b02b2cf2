"""What a policy returns: a distribution over actions, as a pytree with a few methods."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

_BELOW_ONE = 1.0 - 2.0**-22
"""Keeps an inverse-CDF draw below the total mass after rounding."""


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


Distribution = Categorical | Normal | Point | Uniform | Mixture
