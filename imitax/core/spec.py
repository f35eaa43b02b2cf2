"""The one way to write an environment or an algorithm: `name` or `name:key=value,key=value`.

The normalised form is the name and only the settings that differ from their defaults, keys in
alphabetical order, floats in their shortest form that reads back equal. Booleans are `true` and
`false`, tuples are joined with `x` (`goal=4x4`, `hidden=64x64`; an empty tuple is `none`).
"""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from imitax.core.config import allowed, check_ranges, check_settings, show
from imitax.core.errors import SpecError


def split(text: str) -> tuple[str, dict[str, str]]:
    """Split a spec into its name and its raw settings, by grammar alone.

    Raises:
        SpecError: the text is not of the form `name:key=value,key=value`, or repeats a key.
    """
    name, colon, rest = text.strip().partition(":")
    if not name or (colon and not rest):
        raise SpecError(f"'{text}' is not of the form name or name:key=value,key=value")
    settings: dict[str, str] = {}
    for item in rest.split(",") if rest else []:
        key, equals, value = item.partition("=")
        if not (key and equals and value):
            raise SpecError(f"'{item}' in '{text}' is not of the form key=value")
        if key in settings:
            raise SpecError(f"'{text}' sets {key} twice; give it once")
        settings[key] = value
    return name, settings


def nearest(word: str, options: Iterable[str]) -> str:
    """A hint `; did you mean 'x'?` where an option is close to `word`, else nothing."""
    found = difflib.get_close_matches(word, list(options), n=1, cutoff=0.5)
    return f"; did you mean '{found[0]}'?" if found else ""


def unknown(kind: str, word: str, options: Iterable[str]) -> SpecError:
    """The error for a name that does not exist: the value, the nearest match, what is allowed."""
    options = sorted(options)
    hint = nearest(word, options)
    return SpecError(f"unknown {kind} '{word}'{hint}; allowed: {', '.join(options)}")


def build(cls: type, name: str, raw: Mapping[str, str]) -> Any:
    """Make the config `cls` from raw settings, checked against the declared ranges.

    Args:
        cls: a class made by `imitax.core.config.config`.
        name: the spec's name, for messages.
        raw: settings as text, from `split`.

    Raises:
        SpecError: an unknown key, a value that cannot be read or is out of range.
    """
    fields = {field.name: field for field in dataclasses.fields(cls) if field.metadata}
    values = {}
    for key, text in raw.items():
        key, text = getattr(cls, "ALIASES", {}).get((key, text), (key, text))
        if key not in fields:
            raise unknown(f"setting of {name}", key, fields)
        values[key] = _read(text, fields[key], name)
    check_ranges(cls, values, name)
    settings = cls(**values)
    check_settings(settings, name)
    return settings


def write(name: str, settings: Any) -> str:
    """The normalised spec of a name and its config."""
    items = []
    for field in sorted(dataclasses.fields(settings), key=lambda field: field.name):
        value = getattr(settings, field.name)
        if field.metadata and value != field.default:
            items.append(f"{field.name}={show(value)}")
    return name if not items else f"{name}:{','.join(items)}"


def _read(text: str, field: dataclasses.Field, name: str) -> Any:
    choices = field.metadata["choices"]
    if text in choices:
        return text
    try:
        return _convert(text, field.type)
    except ValueError:
        hint = nearest(text, choices)
        raise SpecError(
            f"{name}: {field.name}={text} cannot be read{hint}; allowed: {allowed(field)}"
        ) from None


def _convert(text: str, kind: Any) -> Any:
    if kind is bool:
        if text not in ("true", "false"):
            raise ValueError(text)
        return text == "true"
    if kind is int:
        return int(text)
    if kind is float:
        return float(text)
    if "tuple" in str(kind):
        return () if text == "none" else tuple(int(part) for part in text.split("x"))
    raise ValueError(text)
