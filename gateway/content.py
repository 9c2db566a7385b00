"""Typed access to a parsed body: the wrong type is the client's error, never skipped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from gateway.channels import Channel
from gateway.conversation import ChannelUse
from gateway.errors import BadRequestError
from gateway.intake import JsonObject, strings

FREE_KEYS: Final = frozenset(
    {"arguments", "properties", "parameters", "format", "schema", "json_schema", "input_schema", "options", "metadata"}
)
"""Keys below which names are the caller's own in every API; see :class:`gateway.intake.KeyRules`."""

MANY_NUMBERS: Final = 8
"""A tool that is called with fewer says something by them, one that is called with more may be told a text."""

_NAMES: Final = {str: "a string", bool: "true or false", dict: "an object", list: "an array", int: "an integer"}


def _wrong(where: str, wanted: type) -> BadRequestError:
    return BadRequestError(f"{where} has the wrong type, wanted {_NAMES[wanted]}")


def string(body: JsonObject, key: str, where: str = "") -> str:
    """The string at ``key``, empty where it is absent or null.

    Raises:
        BadRequestError: if it is something else.
    """
    value = body.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(where or key, str)
    return value


def flag(body: JsonObject, key: str, *, default: bool) -> bool:
    """The boolean at ``key``, ``default`` where it is absent or null.

    Raises:
        BadRequestError: if it is something else.
    """
    value = body.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _wrong(key, bool)
    return value


def array(body: JsonObject, key: str, where: str = "") -> list[object]:
    """The array at ``key``, empty where it is absent or null.

    Raises:
        BadRequestError: if it is something else.
    """
    value = body.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _wrong(where or key, list)
    return value


def objects(body: JsonObject, key: str, where: str = "") -> list[JsonObject]:
    """The array of objects at ``key``, empty where it is absent or null.

    Raises:
        BadRequestError: if it is something else.
    """
    found: list[JsonObject] = []
    for index, item in enumerate(array(body, key, where)):
        if not isinstance(item, dict):
            raise _wrong(f"{where or key}[{index}]", dict)
        found.append(item)
    return found


def all_text(value: object) -> tuple[str, ...]:
    """Every string of a JSON value, keys included, as one text; none where there is no string with a letter.

    A schema or a list of tools is one text to a model, and a word split over two strings of it is still read by it.
    """
    text = "\n".join([*(item for item in strings(value) if item.strip()), *_spelt_numbers(value)])
    return (text,) if text else ()


def _spelt_numbers(value: object) -> tuple[str, ...]:
    """The numbers of a JSON value, if they are so many that they may spell a text; templates write them, too."""
    found: list[str] = []
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            stack.extend(reversed(item.values()))
        elif isinstance(item, list):
            stack.extend(reversed(item))
        elif isinstance(item, int | float) and not isinstance(item, bool):
            found.append(str(item))
    return (" ".join(found),) if len(found) >= MANY_NUMBERS else ()


def text_use(channel: Channel, body: JsonObject, key: str) -> Iterable[ChannelUse]:
    """The use of ``channel`` by any JSON value at ``key``; none where it is absent, null or empty."""
    value = body.get(key)
    if value is None or value in ("", [], {}):
        return ()
    return (ChannelUse(channel, key, all_text(value)),)


def opaque_use(channel: Channel, body: JsonObject, key: str) -> Iterable[ChannelUse]:
    """The use of a channel that can't be read by the value at ``key``; none where it is absent, null or empty."""
    value = body.get(key)
    if value is None or value is False or value in ("", [], {}):
        return ()
    return (ChannelUse(channel, key),)


def dropped(items: Sequence[object], positions: frozenset[int]) -> list[object]:
    """``items`` without those at ``positions``."""
    return [item for index, item in enumerate(items) if index not in positions]


_SCHEMA_WORDS: Final = frozenset(
    {"additionalProperties", "allOf", "anyOf", "array", "boolean", "const", "default", "definitions", "description"}
    | {"enum", "format", "function", "integer", "items", "maxItems", "maxLength", "maximum", "minItems", "minLength"}
    | {"minimum", "name", "not", "null", "number", "object", "oneOf", "parameters", "pattern", "properties"}
    | {"required", "schema", "strict", "string", "title", "type", "$defs", "$ref", "$schema"}
)
"""Words of JSON Schema and of tool definitions themselves: they say nothing about a topic."""


def schema_text(value: object) -> tuple[str, ...]:
    """Every string of a schema or a list of tools as one text, less the words that every schema has."""
    words = (item for item in strings(value) if item.strip() and item not in _SCHEMA_WORDS)
    text = "\n".join([*words, *_spelt_numbers(value)])
    return (text,) if text else ()
