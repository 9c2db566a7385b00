"""What reaches a model of a JSON schema or of tools: the rest of their words would hide it from us."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from gateway.intake import check_spelling, strings

_PLACES: Final = (("json_schema", "schema"), ("schema",), ("json_schema",), ())
"""Where a format may have its schema: which of them counts is the route's affair."""

_TOOL_SCHEMAS: Final = ("parameters", "input_schema")

_TOOL_KEYS: Final = frozenset(
    {"type", "function", "name", "description", "tools", "items", "required", "properties", "anyOf", "enum"}
    | set(_TOOL_SCHEMAS)
)
"""Keys that Ollama looks for in a tool and in the schemas below it, in any case."""


def forced_words(schema: object) -> tuple[str, ...]:
    """What a schema makes a model write, as a text: given values, and names of properties that it must have.

    In the order and with the precedence of llama.cpp (common/json-schema-to-grammar.cpp, ``visit``). Titles,
    descriptions, unknown keys and definitions that nothing refers to are in no grammar. None where nothing was left out
    but words that every schema has, or what is left asks for nothing: single names and values.
    """
    roots = [found for path in _PLACES if isinstance(found := _at(schema, path), dict)]
    forced = [list(_Forced(root).words()) for root in roots]
    asking = [words for words in forced if any(len(word.split()) > 1 for word in words)]
    return tuple(dict.fromkeys(text for words in asking for text in _text(words)))


class _Forced:
    """A walk through a schema."""

    def __init__(self, root: Mapping[str, object]) -> None:
        self._root = root
        self._visited: set[int] = set()

    def words(self) -> Iterator[str]:
        """In the order in which they are written."""
        # Names come before the values of their properties: the stack holds both.
        stack: list[object] = [self._root]
        while stack:
            item = stack.pop()
            if isinstance(item, str):
                yield item
            elif isinstance(item, list):
                stack.extend(_schemas(reversed(item)))
            elif isinstance(item, dict) and id(item) not in self._visited:
                self._visited.add(id(item))
                stack.extend(reversed(list(self._steps(item))))

    def _steps(self, item: Mapping[str, object]) -> Iterable[object]:
        """Words and schemas below one schema."""
        if isinstance(reference := item.get("$ref"), str):
            # Only schemas: a text would be yielded once for each that refers to it.
            return _schemas([_at(self._root, reference.lstrip("#/").split("/"))])
        for key in ("oneOf", "anyOf"):
            if isinstance(choices := item.get(key), list):
                return _schemas(choices)
        if "const" in item:
            return strings(item["const"])
        if "enum" in item:
            return strings(item["enum"])
        nested = [*self._properties(item, item.get("required")), *_schemas([item.get("additionalProperties")])]
        for part in _list(item.get("allOf")):
            if isinstance(part, dict):
                # All of their properties are required, whatever they say; a reference is followed.
                nested += [*self._properties(part, None), part]
        return [*nested, *_schemas([item.get("items"), *_list(item.get("prefixItems"))])]

    def _properties(self, item: Mapping[str, object], required: object) -> Iterator[object]:
        properties = item.get("properties")
        if isinstance(properties, dict):
            needed = set(strings(required)) if isinstance(required, list) else None
            for name, inner in properties.items():
                if needed is None or name in needed:
                    yield from (name, *_schemas([inner]))


def shown_tool_texts(tools: object) -> tuple[str, ...]:
    """What a server shows its model of tools: a text for each, and one for all together.

    Ollama makes its own objects of them (api/types.go, ``Tool``; openai/responses.go for tools within a namespace), so
    only names, descriptions, types and values to choose from are left; below ``items`` and ``$defs`` all is. None where
    it leaves nothing out.

    Raises:
        BadRequestError: if a key that it looks for is spelt in another case, which it would read and we would not.
    """
    pairs = list(_tools(tools))
    shown = [list(_tool_words(tool)) for tool, _ in pairs]
    # Around a function there are its type and, if it has any, its items; not for all APIs, so by themselves.
    shown += [[word for word in _around(outer) if word not in _TOOL_WORDS] for _, outer in pairs]
    every = [word for words in shown for word in words]
    if set(strings(tools)) - set(every) <= _TOOL_WORDS:
        return ()
    return tuple(dict.fromkeys(text for words in (*shown, every) for text in _text(words)))


_TOOL_WORDS: Final = frozenset(
    {"type", "function", "name", "description", "parameters", "input_schema", "properties", "required", "enum", "items"}
    | {"object", "string", "number", "integer", "boolean", "array", "null", "anyOf", "strict", "$defs", "custom", ""}
    | {"additionalProperties", "title", "default", "cache_control", "ephemeral", "$schema"}
    | {"http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"}
)
"""Words of tools themselves, which may be left out without hiding anything."""


def _around(outer: Mapping[str, object]) -> Iterable[str]:
    return strings([outer.get("type"), outer.get("items")])


def _tools(tools: object) -> Iterator[tuple[Mapping[str, object], Mapping[str, object]]]:
    """Each tool's function, and what it is in."""
    stack = [tools]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(reversed(item))
        elif isinstance(item, dict):
            members = item.get("tools")
            if isinstance(members, list):
                stack.extend(reversed(members))
            check_spelling(item, _TOOL_KEYS)
            function = item.get("function")
            yield (function if isinstance(function, dict) else item), item


def _tool_words(tool: Mapping[str, object]) -> Iterator[str]:
    """Of one tool; of the description of all its parameters together Ollama knows nothing."""
    check_spelling(tool, _TOOL_KEYS)
    yield from strings([tool.get("name"), tool.get("description")])
    tops = [tool.get(key) for key in _TOOL_SCHEMAS]
    stack: list[object] = tops[::-1]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, list):
            stack.extend(reversed(item))
        elif isinstance(item, dict):
            check_spelling(item, _TOOL_KEYS)
            described = None if any(item is top for top in tops) else item.get("description")
            yield from strings([described, *(item.get(key) for key in ("type", "enum", "required", "items", "$defs"))])
            properties = item.get("properties")
            stack.append(item.get("anyOf"))
            for name, inner in reversed(properties.items()) if isinstance(properties, dict) else ():
                stack += [inner, name]


def _at(value: object, path: Iterable[str]) -> object:
    for step in path:
        if isinstance(value, dict):
            value = value.get(step.replace("~1", "/").replace("~0", "~"))
        elif isinstance(value, list) and step.isascii() and step.isdigit() and len(step) < 7:
            value = value[int(step)] if int(step) < len(value) else None
        else:
            return None
    return value


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _schemas(values: Iterable[object]) -> list[object]:
    return [value for value in values if isinstance(value, dict | list)]


def _text(words: Iterable[str]) -> tuple[str, ...]:
    text = "\n".join(word for word in words if word.strip())
    return (text,) if any(char.isalnum() for char in text) else ()
