"""Settings of a policy network, what an environment's spaces make of them, and what is refused."""

import math
from typing import Any

import jax
import numpy as np
from gymnax.environments import spaces

from imitax.core.config import above_zero, among, config, is_concrete, labels_setting, setting, show
from imitax.core.errors import SpecError
from imitax.core.family import Family
from imitax.networks.head import Head
from imitax.networks.losses import CONTINUOUS, DISCRETE, LIKELIHOODS
from imitax.networks.mlp import CONV_WIDTH, MLP

DESCENDS = among("solver", "auto", "adam")
"""Whether gradient steps may be taken."""


@config
class NetworkSettings:
    """Settings of a policy network and its training."""

    policy: str = setting("auto", "representation", choices=("auto", "mlp"))
    network: str = setting(
        "auto",
        "auto: conv for images, observations [H, W, C], else mlp",
        choices=("auto", "mlp", "conv"),
    )
    hidden: tuple[int, ...] = setting((64, 64), "hidden layer widths; none is linear", low=1)
    loss: str = setting(
        "auto",
        "auto: cross-entropy for discrete actions, mse for continuous ones",
        choices=("auto", *DISCRETE, *CONTINUOUS),
    )
    huber_width: float = setting(
        1.0, "error where the loss turns linear", above=0.0, when=among("loss", "huber")
    )
    scale: str = setting(
        "free",
        "of a normal: one parameter per coordinate, or an output of the network",
        choices=("free", "state"),
        when=among("loss", "gaussian", "squashed"),
    )
    components: int = setting(
        5, "normal distributions in the mixture", low=1, when=among("loss", "mixture")
    )
    act: str = setting("mode", "how the trained policy acts", choices=("mode", "sample"))
    solver: str = setting(
        "auto",
        "exact solves hidden=none, loss=mse; auto does so unless gradient steps are counted",
        choices=("auto", "adam", "exact"),
    )
    learning_rate: float = setting(
        1e-3, "Adam step size per gradient step", above=0.0, when=DESCENDS
    )
    decay: str = setting(
        "none",
        "of the learning rate to 0 over the gradient steps of a fit",
        choices=("none", "linear", "cosine"),
    )
    batch_size: int = setting(64, "samples per gradient step", low=1, when=DESCENDS)
    minibatches: str = setting(
        "replacement",
        "drawn with replacement, or without until an epoch's last whole batch",
        choices=("replacement", "epochs"),
        when=DESCENDS,
    )
    entropy: float = setting(0.0, "weight of the policy's entropy, cross-entropy only", low=0.0)
    l2: float = setting(0.0, "half of it times the squared weights is added to the loss", low=0.0)
    normalise: str = setting(
        "auto",
        "observations in units of their spread in the labels; auto: where they are vectors",
        choices=("auto", "true", "false"),
    )
    augment: str = setting(
        "none",
        "randomness while training: of hidden units, of inputs",
        choices=("none", "dropout", "noise", "both"),
    )
    dropout: float = setting(
        0.1, "share of hidden units", low=0.0, high=0.95, when=among("augment", "dropout", "both")
    )
    input_noise: float = setting(
        0.1,
        "standard deviation in units of the network's input",
        low=0.0,
        when=among("augment", "noise", "both"),
    )
    validation: int = setting(
        0, "percent of samples held out; the best parameters on them are kept", low=0, high=90
    )
    check_every: int = setting(
        50,
        "gradient steps between looks at the held-out samples",
        low=1,
        when=above_zero("validation", 20),
    )
    patience: int = setting(
        0,
        "looks without a better one before training stops; 0 never stops for that",
        low=0,
        when=above_zero("validation", 20),
    )
    labels: int = labels_setting()


def resolve_loss(settings: NetworkSettings, env: Family, name: str) -> str:
    """The loss for the environment's actions.

    Raises:
        SpecError: the loss has no meaning for them.
    """
    discrete = isinstance(env.action_space(env.default_params), spaces.Discrete)
    meaningful = DISCRETE if discrete else CONTINUOUS
    loss = meaningful[0] if settings.loss == "auto" else settings.loss
    if loss not in meaningful:
        kind = "discrete" if discrete else "continuous"
        raise SpecError(
            f"{name}: loss={loss} has no meaning for the {kind} actions of {env.name}; "
            f"allowed: auto, {', '.join(meaningful)}"
        )
    if is_concrete(settings.entropy) and settings.entropy and loss != "cross-entropy":
        raise SpecError(
            f"{name}: entropy={show(settings.entropy)} has no meaning with loss={loss}; leave "
            "entropy out"
        )
    if settings.act == "sample" and not discrete and loss not in LIKELIHOODS:
        raise SpecError(
            f"{name}: act=sample has no meaning with loss={loss}, which says one action and no "
            f"distribution; set loss={'|'.join(LIKELIHOODS)} or act=mode"
        )
    return loss


def head(settings: NetworkSettings, env: Family, name: str) -> Head:
    """The policy network for an environment's spaces.

    Args:
        settings: of the network; floats may be traced.
        env: an environment family.
        name: of the algorithm, for messages.

    Raises:
        SpecError: a setting without meaning for the spaces, or beside the other settings.
    """
    with jax.ensure_compile_time_eval():
        params = env.default_params
        action_space, obs_space = env.action_space(params), env.observation_space(params)
    loss = resolve_loss(settings, env, name)
    num_states = obs_space.n if isinstance(obs_space, spaces.Discrete) else None
    _check_inputs(settings, env, num_states, name)
    discrete = isinstance(action_space, spaces.Discrete)
    size = action_space.n if discrete else math.prod(action_space.shape)
    free_scale = loss in ("gaussian", "squashed") and settings.scale == "free"
    network = MLP(
        tuple(settings.hidden),
        _num_outputs(settings, loss, size),
        image=_is_convolved(settings, obs_space, env, name),
    )
    bounds = _bounds(action_space, env, name) if loss == "squashed" else None
    widths = None if num_states is not None or network.image else _half_widths(obs_space)
    reading = (loss, num_states, settings.act, settings.components, bounds, widths)
    return Head(network, *reading, free_scale=free_scale)


def normalises(settings: NetworkSettings, head: Head) -> bool:
    """Whether observations are normalised; a configuration in Python may also say True or False."""
    if settings.normalise == "auto":
        return head.reads_vectors
    return settings.normalise in (True, "true")


def _half_widths(obs_space: Any) -> tuple[float, ...]:
    """Half the extent of each coordinate of a box; 0 where one side has no bound."""
    low, high = (
        np.broadcast_to(np.asarray(side, float), obs_space.shape).ravel()
        for side in (obs_space.low, obs_space.high)
    )
    bounded = np.maximum(-low, high) < float(np.finfo(np.float32).max) / 2
    return tuple(np.where(bounded, (high - low) / 2.0, 0.0).tolist())


def _num_outputs(settings: NetworkSettings, loss: str, size: int) -> int:
    """Outputs for `size` actions or coordinates: means, scales and weights as the loss asks."""
    if loss == "mixture":
        return settings.components * (1 + 2 * size)
    stated = loss in ("gaussian", "squashed") and settings.scale == "state"
    return 2 * size if stated else size


def _check_inputs(
    settings: NetworkSettings, env: Family, num_states: int | None, name: str
) -> None:
    if settings.normalise in (True, "true") and num_states is not None:
        raise SpecError(
            f"{name}: normalise=true has no meaning for {env.name}, whose observation is the "
            f"number of a state; leave normalise out"
        )
    if settings.augment in ("dropout", "both") and not settings.hidden:
        raise SpecError(
            f"{name}: augment={settings.augment} drops hidden units, and hidden=none has none; "
            f"set augment=noise or a hidden layer"
        )


def _is_convolved(settings: NetworkSettings, obs_space: Any, env: Family, name: str) -> bool:
    shape = tuple(getattr(obs_space, "shape", ()))
    is_image = len(shape) == 3 and min(shape[:2]) >= CONV_WIDTH
    if settings.network == "conv" and not is_image:
        raise SpecError(
            f"{name}: network=conv needs observations [H, W, C] with H, W >= {CONV_WIDTH}, and "
            f"{env.name} has {list(shape)}; set network=mlp or auto"
        )
    return is_image and settings.network != "mlp"


def _bounds(box: Any, env: Family, name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    low, high = (np.broadcast_to(np.asarray(x, float), box.shape) for x in (box.low, box.high))
    largest = float(np.finfo(np.float32).max)
    if not (np.all(low < high) and np.all(np.maximum(-low, high) < largest)):
        raise SpecError(
            f"{name}: loss=squashed needs a bounded action box, and that of {env.name} goes from "
            f"{low.ravel().tolist()} to {high.ravel().tolist()}; set loss=gaussian"
        )
    return tuple(low.ravel().tolist()), tuple(high.ravel().tolist())
