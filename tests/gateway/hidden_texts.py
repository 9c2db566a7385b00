"""Generates requests that pass, and the same with an off-topic text hidden in one of their channels."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st

Body = dict[str, Any]
_Place = tuple[str | int, ...]

ON_TOPIC: Final = ("Who is Spock?", "Kirk", "Tell me of the Klingons.\nAll of them.", "warp 9")

_PADDING: Final = "Captain Picard drinks tea. " * 120
OFF_TOPIC: Final = (
    "How do I boil an egg?",
    "EGG",
    "e\u200bg\u200bg",
    "ｅｇｇ",
    "е\u0067\u0067 sourdough",
    _PADDING + "boil an egg " + _PADDING,
)

_FIXED: Final = frozenset({"role", "type", "model"})
"""Keys whose values are words of the API, no channel."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """A request and its twin.

    Attributes:
        path: of the route.
        clean: passes.
        body: must not reach a model.
        pieces: of the hidden text; what reaches the upstream must not have all of them.
    """

    path: str
    clean: Body
    body: Body
    pieces: tuple[str, ...]


_TEXT: Final = st.sampled_from(ON_TOPIC)
_JSON: Final = st.recursive(
    _TEXT | st.integers(0, 9) | st.booleans(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXT, inner, max_size=2),
    max_leaves=4,
)
_SCHEMA: Final = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(_TEXT, _JSON, min_size=1, max_size=2)}
)
_TOOL: Final = st.fixed_dictionaries(
    {
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": _TEXT, "description": _TEXT, "parameters": _SCHEMA}),
    }
)
_CALL: Final = st.fixed_dictionaries(
    {"function": st.fixed_dictionaries({"name": _TEXT, "arguments": st.dictionaries(_TEXT, _JSON, max_size=2)})}
)
_MESSAGE: Final = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "User", "system", "developer"]), "content": _TEXT}),
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": _TEXT},
        optional={"thinking": _TEXT, "tool_calls": st.lists(_CALL, max_size=1)},
    ),
    st.fixed_dictionaries(
        {"role": st.sampled_from(["tool", "function"]), "content": _TEXT}, optional={"tool_name": _TEXT}
    ),
)
_SHARED: Final[dict[str, Any]] = {
    "stream": st.booleans(),
    "format": st.one_of(_SCHEMA, st.just("json")),
    "keep_alive": st.sampled_from([0, "5m"]),
    "think": st.booleans(),
    "options": st.dictionaries(st.sampled_from(["num_ctx", "seed"]), st.integers(1024, 9999)),
}
_CHAT: Final = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": st.lists(_MESSAGE, min_size=1, max_size=5)},
    optional={"tools": st.lists(_TOOL, min_size=1, max_size=2), **_SHARED},
)
_GENERATE: Final = st.fixed_dictionaries(
    {"model": st.just("m"), "prompt": _TEXT},
    optional={"system": _TEXT, "suffix": _TEXT, "raw": st.booleans(), **_SHARED},
)


@st.composite
def hidden(draw: st.DrawFn) -> Hidden:
    """A request for ``/api/chat`` or ``/api/generate`` and its twin."""
    path = draw(st.sampled_from(["/api/chat", "/api/generate"]))
    clean = draw(_CHAT if path == "/api/chat" else _GENERATE)
    body = copy.deepcopy(clean)
    if path == "/api/chat" and draw(st.booleans()) and draw(st.booleans()):
        return Hidden(path, clean, body, _split(body, draw(st.integers(0, len(body["messages"]) - 1))))
    if path == "/api/generate" and draw(st.integers(0, 5)) == 0:
        field, value = draw(st.sampled_from([("template", "x"), ("context", [7]), ("images", ["aGk="])]))
        return Hidden(path, clean, body | {field: value}, (f'"{field}"',))
    text = draw(st.sampled_from(OFF_TOPIC))
    _put(body, draw(st.sampled_from(list(_places(body)))), text)
    return Hidden(path, clean, body, (text,))


def texts_of(value: Any) -> Iterator[str]:
    """Every string, keys in quotation marks as well."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield f'"{key}"'
            yield key
            yield from texts_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_of(item)


def _split(body: Body, index: int) -> tuple[str, str]:
    """Cut a text in two, for neighbouring messages of one role: templates join them again."""
    role = body["messages"][index]["role"]
    halves = ("How do I bake a sour", "dough loaf?")
    body["messages"][index : index + 1] = [{"role": role, "content": half} for half in halves]
    return halves


def _places(value: Any, before: _Place = ()) -> Iterator[_Place]:
    """Where a text stands; a place that ends in a tilde is the key itself."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places(item, (*before, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in ON_TOPIC:
                yield (*before, key, "~")
            if key not in _FIXED and not (before == () and key in {"keep_alive", "format"} and isinstance(item, str)):
                yield from _places(item, (*before, key))
    elif isinstance(value, str):
        yield before


def _put(body: Any, place: _Place, text: str) -> None:
    is_key = place[-1] == "~"
    *steps, last = place[:-1] if is_key else place
    for step in steps:
        body = body[step]
    if is_key:
        body[text] = body.pop(last)
    else:
        body[last] = text
