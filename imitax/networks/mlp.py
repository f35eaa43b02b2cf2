"""Networks: multilayer perceptrons and a small convolution, as flax modules."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from imitax.numerics.matmul import dot_general
from imitax.numerics.sums import HIGHEST

CONV_CHANNELS, CONV_WIDTH = 16, 3
"""Of the one convolution in front of an image: the network of MinAtar (Young and Tian 2019)."""

LOG_SCALE_LOW, LOG_SCALE_HIGH = -5.0, 2.0
"""Bounds of the log standard deviation of a head."""


class MLP(nn.Module):
    """Fully connected layers with tanh between them; no hidden layer makes it linear."""

    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    num_outputs: int
    free_scale: bool = False
    """Whether to carry one more parameter per output, a log standard deviation."""
    image: bool = False
    """Whether inputs are [..., H, W, C] and pass through a convolution first."""

    @nn.compact
    def __call__(
        self,
        inputs: jax.Array,
        key: jax.Array | None = None,
        dropout: jax.Array | float = 0.0,
    ) -> tuple[jax.Array, jax.Array | None]:
        """Outputs [..., num_outputs] and the log scales [num_outputs] or None.

        Args:
            inputs: [..., D], or [..., H, W, C] with H, W >= 3 for an image.
            key: for dropout; None drops nothing.
            dropout: share of hidden units set to zero, the others divided by the rest (Srivastava
                et al. 2014); drawn anew for each row of the inputs. In [0, 1), may be traced.
        """
        if self.image:
            inputs = self._convolve(inputs)
        # Not orthogonal initialisation: a batched QR inside shard_map hangs on several CPU devices.
        for layer, width in enumerate(self.hidden):
            inputs = nn.tanh(nn.Dense(width, dot_general=dot_general)(inputs))
            if key is not None:
                inputs = drop(jax.random.fold_in(key, layer), inputs, dropout)
        outputs = nn.Dense(self.num_outputs, dot_general=dot_general)(inputs)
        if not self.free_scale:
            return outputs, None
        log_scale = self.param("log_scale", nn.initializers.zeros, (self.num_outputs,))
        return outputs, jnp.clip(log_scale, LOG_SCALE_LOW, LOG_SCALE_HIGH)

    def _convolve(self, inputs: jax.Array) -> jax.Array:
        """A 3 x 3 convolution without padding, relu, flattened: [..., (H-2) (W-2) 16].

        Written as a matrix product over patches: with a network per seed, a convolution becomes a
        grouped one, and took 1.7 times as long on a CPU.
        """
        dense = nn.Dense(CONV_CHANNELS, precision=HIGHEST, name="Conv_0")
        outputs = nn.relu(dense(patches(inputs)))
        return outputs.reshape(*outputs.shape[:-3], -1)


def patches(images: jax.Array) -> jax.Array:
    """What each place of a convolution without padding sees: of [..., H, W, C] the
    [..., H-2, W-2, 9 C].
    """
    height, width = (size - CONV_WIDTH + 1 for size in images.shape[-3:-1])
    shifts = [(row, column) for row in range(CONV_WIDTH) for column in range(CONV_WIDTH)]
    shifted = [images[..., i : i + height, j : j + width, :] for i, j in shifts]
    return jnp.concatenate(shifted, axis=-1)


def drop(key: jax.Array, values: jax.Array, rate: jax.Array | float) -> jax.Array:
    """Each value zero with probability `rate`, else divided by 1 - rate."""
    kept = jax.random.uniform(key, values.shape, values.dtype) >= rate
    return jnp.where(kept, values / (1.0 - rate), 0.0).astype(values.dtype)
