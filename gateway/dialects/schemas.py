"""What reaches a model of a JSON schema or of tools: the rest of their words would hide it from us."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from gateway.intake import JsonObject, strings

_CHOICES: Final = ("anyOf", "oneOf", "allOf")
_FORMAT_NESTED: Final = frozenset({"items", "prefixItems", "additionalProperties", "schema", "json_schema", *_CHOICES})
"""Keys of a schema, or of what it comes in, below which more of it stands (common/json-schema-to-grammar.cpp)."""

_TOOL_NESTED: Final = frozenset({"function", "custom", "parameters", "input_schema", "items", *_CHOICES})
_TOOL_WORDS: Final = ("name", "description", "enum", "required")
"""Of Ollama's tools (api/types.go, ``Tool``); llama-server hands on what it is given."""

_DEFINITIONS: Final = ("$defs", "definitions", "properties")


def forced_words(schema: object) -> tuple[str, ...]:
    """What a schema makes a model write, as one text: given values, and names of properties that it must have.

    Titles, descriptions, unknown keys and definitions that nothing refers to are in no grammar.
    """
    definitions = _definitions(schema)
    found: list[str] = []
    stack = [schema]
    followed: set[str] = set()
    for item in _objects(stack, _FORMAT_NESTED):
        found += strings([item.get("const"), item.get("enum")])
        required = item.get("required")
        names = set(strings(required)) if required is not None else None
        stack.extend(_members(item, "properties", found, names))
        reference = item.get("$ref")
        if isinstance(reference, str) and reference not in followed:
            followed.add(reference)
            stack.extend(definitions.get(reference.rpartition("/")[2], ()))
    return _text(found)


def shown_tool_text(tools: object) -> tuple[str, ...]:
    """What a server shows its model of tools, as one text: names, descriptions, and values to choose from."""
    found: list[str] = []
    stack = [tools]
    for item in _objects(stack, _TOOL_NESTED):
        found += strings([item.get(key) for key in _TOOL_WORDS])
        for key in _DEFINITIONS:
            stack.extend(_members(item, key, found, None))
    return _text(found)


def _objects(stack: list[object], nested: frozenset[str]) -> Iterable[JsonObject]:
    """The objects of ``stack`` and those below ``nested`` keys, in document order; more may be pushed meanwhile."""
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(reversed(item))
        elif isinstance(item, dict):
            stack.extend(inner for key, inner in reversed(item.items()) if key in nested)
            yield item


def _members(item: Mapping[str, object], key: str, found: list[str], wanted: set[str] | None) -> list[object]:
    """The schemas below names that are the caller's own, the names noted; None for all names."""
    members = item.get(key)
    if not isinstance(members, dict):
        return []
    kept = {name: inner for name, inner in members.items() if wanted is None or name in wanted}
    found += kept
    return list(reversed(kept.values()))


def _definitions(schema: object) -> dict[str, list[object]]:
    """What a reference may mean, by the last part of its path."""
    found: dict[str, list[object]] = {}
    stack = [schema]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            for key in _DEFINITIONS:
                inner = item.get(key)
                for name, definition in inner.items() if isinstance(inner, dict) else ():
                    found.setdefault(name, []).append(definition)
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return found


def _text(words: Iterable[str]) -> tuple[str, ...]:
    text = "\n".join(word for word in words if word.strip())
    return (text,) if any(char.isalnum() for char in text) else ()
