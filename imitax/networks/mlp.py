"""The network: a multilayer perceptron, behind one small convolution where the input is an image.

Policies, their critics and reward players are all this flax module.
"""

import functools
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from imitax.kernels import api, shapes
from imitax.numerics.matmul import dot_general
from imitax.numerics.sums import HIGHEST

CONV_CHANNELS, CONV_WIDTH = 16, 3
"""Of the one convolution in front of an image: the network of MinAtar (Young and Tian 2019)."""
MANY = 8
"""Rows from which a kernel of its own pays."""


class MLP(nn.Module):
    """Fully connected layers with an activation between; no hidden layer makes it linear."""

    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    num_outputs: int
    image: bool = False
    """Whether inputs are [..., H, W, C] and pass through a convolution first."""
    last_scale: float = 1.0
    """Factor on the initial weights of the last layer."""
    activation: str = "tanh"
    """Between the layers: `tanh` or `relu`."""

    @nn.compact
    def __call__(
        self,
        inputs: jax.Array,
        key: jax.Array | None = None,
        dropout: jax.Array | float = 0.0,
    ) -> jax.Array:
        """Outputs, [..., num_outputs].

        Args:
            inputs: [..., D], or [..., H, W, C] with H, W >= 3 for an image.
            key: for dropout; None drops nothing.
            dropout: share of hidden units set to zero, the others divided by the rest (Srivastava
                et al. 2014); drawn anew for each row of the inputs. In [0, 1), may be traced.
        """
        if self.image:
            inputs = self._convolve(inputs)
        activate = nn.relu if self.activation == "relu" else nn.tanh
        # Not orthogonal initialisation: a batched QR inside shard_map hangs on several CPU devices.
        for layer, width in enumerate(self.hidden):
            inputs = activate(nn.Dense(width, dot_general=dot_general)(inputs))
            if key is not None:
                inputs = drop(jax.random.fold_in(key, layer), inputs, dropout)
        last = nn.initializers.variance_scaling(self.last_scale**2, "fan_in", "truncated_normal")
        return nn.Dense(self.num_outputs, kernel_init=last, dot_general=dot_general)(inputs)

    def _convolve(self, inputs: jax.Array) -> jax.Array:
        """A 3 x 3 convolution without padding, relu, flattened: [..., (H-2) (W-2) 16].

        Written as a matrix product over patches: with a network per seed, a convolution becomes a
        grouped one, and took 1.7 times as long on a CPU.
        """
        dense = nn.Dense(CONV_CHANNELS, precision=HIGHEST, name="Conv_0")
        outputs = nn.relu(dense(patches(inputs)))
        return outputs.reshape(*outputs.shape[:-3], -1)


def apply(network: MLP, params: Any, inputs: jax.Array) -> jax.Array:
    """The outputs of a network at inputs [B, ...]: [B, num_outputs].

    On a GPU it is one kernel, wherever nothing is differentiated.
    """
    is_matrix = inputs.ndim == 2 and not network.image and inputs.dtype == jnp.float32
    if is_matrix and len(inputs) >= MANY and api.available():
        widths = (inputs.shape[-1], *network.hidden, network.num_outputs)
        if shapes.fits(widths, shapes.BLOCK):
            return _fused(network, params, inputs)
    return cast(jax.Array, network.apply(params, inputs))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _fused(network: MLP, params: Any, inputs: jax.Array) -> jax.Array:
    return api.outputs(network.activation, params, inputs)


def _forward(network: MLP, params: Any, inputs: jax.Array):
    return jax.vjp(network.apply, params, inputs)


def _backward(network: MLP, back: Any, slope: jax.Array):
    del network
    return back(slope)


_fused.defvjp(_forward, _backward)


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
