"""Settings: frozen dataclasses in which floats are traced and everything else is static.

A float may be swept, vmapped or made a tracer without a new compilation; an int, bool, string or
tuple decides shapes or the program, so another value of it is another program.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, dataclass_transform

import jax
import jax.core
import numpy as np

from imitax.core.errors import SpecError

T = TypeVar("T")


class Condition(NamedTuple):
    """What another setting has to be for a setting to be read."""

    other: str
    holds: Callable[[Any], bool]
    """Of the other setting's value."""
    text: str
    remedy: str
    """A spec's own words that make it hold."""


def among(other: str, *words: str) -> Condition:
    """The other setting is one of some words."""
    return Condition(
        other, lambda value: value in words, f"{other}={'|'.join(words)}", f"{other}={words[0]}"
    )


def above_zero(other: str, example: int) -> Condition:
    """The other setting is a positive number."""
    return Condition(other, lambda value: value > 0, f"{other} > 0", f"{other}={example}")


def setting(
    default: Any,
    text: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: Sequence[str] = (),
    when: Condition | None = None,
) -> Any:
    """A field of a `config`: its default, what it is, and the values that are allowed.

    Args:
        default: value where nothing is said.
        text: one line for `imitax list`, with units.
        low: smallest allowed number, itself allowed.
        high: largest allowed number, itself allowed.
        above: largest number that is too small.
        choices: allowed words; a tuple field with choices takes a tuple or one of the words.
        when: what another setting has to be for this one to be read; unread values are refused.
    """
    metadata = {"text": text, "low": low, "high": high, "above": above, "choices": tuple(choices)}
    metadata["when"] = when
    return dataclasses.field(default=default, metadata=metadata)


@dataclass_transform(kw_only_default=True, frozen_default=True)
def config(cls: type[T]) -> type[T]:
    """Make a frozen, keyword-only dataclass and a pytree: floats are leaves, the rest static.

    A config with a concrete value out of range is refused (`SpecError`) when it is made. What JAX
    makes of its structure, such as a gradient or `in_axes`, may hold any leaves.
    """
    cls.__post_init__ = _check_new  # pyright: ignore[reportAttributeAccessIssue]
    cls = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    fields = dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]
    data = tuple(field.name for field in fields if field.type is float)
    meta = tuple(field.name for field in fields if field.type is not float)

    def flatten(settings):
        leaves = tuple(getattr(settings, name) for name in data)
        return leaves, tuple(getattr(settings, name) for name in meta)

    def flatten_with_keys(settings):
        leaves, static = flatten(settings)
        names = map(jax.tree_util.GetAttrKey, data)
        return tuple(zip(names, leaves, strict=True)), static

    def unflatten(static, leaves):
        settings = object.__new__(cls)
        for name, value in zip((*data, *meta), (*leaves, *static), strict=True):
            object.__setattr__(settings, name, value)
        return settings

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls


def _check_new(settings: Any) -> None:
    """Of a config that is written down; trees of its structure may hold anything."""
    check_ranges(type(settings), vars(settings), type(settings).__name__)


def is_concrete(value: Any) -> bool:
    """Whether `value` can be checked now, that is, holds no tracer."""
    return not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value))


def allowed(field: dataclasses.Field) -> str:
    """The allowed values of a setting, for messages and listings."""
    meta = field.metadata
    parts = []
    if meta["choices"]:
        parts.append("|".join(meta["choices"]))
    if field.type is bool:
        parts.append("true|false")
    if meta["above"] is not None:
        parts.append(f"> {meta['above']}")
    if meta["low"] is not None:
        parts.append(f">= {meta['low']}")
    if meta["high"] is not None:
        parts.append(f"<= {meta['high']}")
    if "tuple" in str(field.type):
        parts.append("numbers joined by x")
    return ", ".join(parts) if parts else getattr(field.type, "__name__", str(field.type))


def conditions_of(settings: Any, field: dataclasses.Field) -> tuple[Condition, ...]:
    """When a field is read: what its class says of it in a mapping `WHEN`, and what it says itself.

    Args:
        settings: a config or its class.
        field: one of its fields.
    """
    both = getattr(settings, "WHEN", {}).get(field.name), field.metadata.get("when")
    return tuple(condition for condition in both if condition is not None)


def check_settings(settings: Any, owner: str) -> None:
    """Refuse concrete values that are out of range, or differ from their default and are not read.

    Tracers pass.

    Raises:
        SpecError: names the owner, the setting, the value and the allowed values or the remedy.
    """
    check_ranges(type(settings), vars(settings), owner)
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if not is_concrete(value) or value == field.default:
            continue
        for condition in conditions_of(settings, field):
            other = getattr(settings, condition.other)
            if not condition.holds(other):
                raise SpecError(
                    f"{owner}: {field.name}={show(value)} has no meaning with {condition.other}="
                    f"{show(other)}; set {condition.remedy} or leave {field.name} out"
                )


def check_ranges(cls: Any, values: Mapping[str, Any], owner: str) -> None:
    """Refuse concrete values of a config's fields that are of another kind or out of range.

    Args:
        cls: the config's class.
        values: some or all of its fields.
        owner: for the message.

    Raises:
        SpecError: names the owner, the setting, the value and the allowed values.
    """
    for field in dataclasses.fields(cls):
        value = values.get(field.name, field.default)
        if not field.metadata or not is_concrete(value):
            continue
        wrong = _wrong(value, field)
        if wrong:
            raise SpecError(f"{owner}: {field.name}={value} {wrong}; allowed: {allowed(field)}")


def _wrong(value: Any, field: dataclasses.Field) -> str:
    """What is wrong with a value of a field, as the middle of a sentence; empty for nothing."""
    kind, is_tuple = field.type, "tuple" in str(field.type)
    if isinstance(value, str):
        is_word = kind is str or field.metadata["choices"]
        inside = value in field.metadata["choices"]
        return "" if inside else "is out of range" if is_word else "is a word"
    if kind is str:
        return "is not a word"
    if kind is bool:
        return "" if isinstance(value, bool | np.bool_) else "is neither True nor False"
    if kind is float and (value is None or np.asarray(value).dtype.kind not in "fiu"):
        return "is not a number"
    if is_tuple and not (isinstance(value, tuple) and all(map(_is_whole, value))):
        return "is not a tuple of whole numbers"
    if kind is int and not _is_whole(value):
        return "is not a whole number"
    inside = _within(np.asarray(value, dtype=float), field.metadata)
    return "" if inside else "is out of range"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _within(numbers: np.ndarray, meta: Mapping[str, Any]) -> bool:
    """Whether all numbers are finite and between the bounds of a field."""
    if numbers.size == 0:
        return True
    if not np.all(np.isfinite(numbers)):
        return False
    if meta["low"] is not None and np.any(numbers < meta["low"]):
        return False
    if meta["high"] is not None and np.any(numbers > meta["high"]):
        return False
    return not (meta["above"] is not None and np.any(numbers <= meta["above"]))


def labels_setting() -> Any:
    """The setting `labels` of every algorithm that fits a policy to the expert's actions."""
    return setting(
        0,
        "expert labels at most: whole episodes as far as they go, then a part of one; 0 for all",
        low=0,
        high=2**31 - 1,
    )


def show(value: Any) -> str:
    """A setting's value as a spec writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "x".join(show(item) for item in value) if value else "none"
    if isinstance(value, float):
        return repr(value)
    return str(value)
