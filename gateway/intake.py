"""Strict reading of a request body: what two parsers could read differently is refused.

Ollama (Go) and llama-server (C++) take the last of duplicate keys, Go also matches keys without regard to case and
ignores what follows the first value. A body is only forwarded as it came if none of that can matter.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeAlias

import zstandard

from gateway.errors import BadRequestError, BodyTooLargeError, UnsupportedMediaError

JsonObject: TypeAlias = dict[str, object]

MAX_DEPTH: Final = 128
MAX_VALUES: Final = 100_000
"""Objects and arrays in a body. A million are two megabytes, or a hundred bytes of zstd, and a second of work."""

MAX_ITEMS: Final = 400_000
"""Of all objects and arrays together: of numbers and short strings, a few bytes of zstd make millions, too."""

MAX_DIGITS: Final = 40
"""Of an integer. Python refuses from 4,300 digits on, Go and C++ read such a number as they like."""

MAX_ZSTD_BYTES: Final = 20 * 1024 * 1024
"""Ollama's own bound on a decompressed body."""

MAX_ZSTD_WINDOW_BYTES: Final = 8 * 1024 * 1024

# Linear on an unfinished string, too: possessive quantifiers give nothing back, and since the closing quote may be
# missing, no quote within the string is tried as the beginning of another.
_STRING_OR_BRACKET: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_ESCAPED_NUL: Final = r"\u0000"
"""The only spelling of U+0000 in a string of JSON; behind an escaped backslash it is another text."""


@dataclass(frozen=True, slots=True)
class RawBody:
    """A request body and what decides how it is read.

    Attributes:
        data: the bytes as they came, or decoded.
        content_type: the header, empty where there is none.
        content_encoding: the header, empty where there is none.
        query: the request's query string, without the question mark.
    """

    data: bytes
    content_type: str = ""
    content_encoding: str = ""
    query: bytes = b""


@dataclass(frozen=True, slots=True)
class KeyRules:
    """Which keys an API knows.

    Attributes:
        known: every key that the upstream looks for, at any level.
        free: keys below which the names are the caller's own (a schema's properties, a tool's arguments). All text
            below them belongs to one channel and is judged whole, names included, so their case can't hide any.
    """

    known: frozenset[str]
    free: frozenset[str]


def decoded(body: RawBody, *, zstd: bool, max_bytes: int = MAX_ZSTD_BYTES) -> bytes:
    """The body's bytes without their content encoding.

    Args:
        body: as it came.
        zstd: whether the upstream reads zstd on this route.
        max_bytes: bound on what a compressed body may become.

    Raises:
        UnsupportedMediaError: if the encoding is another one.
        BadRequestError: if the body is not zstd.
        BodyTooLargeError: if it becomes too large.
    """
    if body.content_encoding in {"", "identity"}:
        return body.data
    # The exact lower-case value: Ollama compares so, and passes other spellings on as they are.
    if not zstd or body.content_encoding != "zstd":
        raise UnsupportedMediaError("this content encoding is not read here, wanted none" + " or zstd" * zstd)
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW_BYTES)
    try:
        # All frames: Ollama's decoder reads on where the one-shot function stops after the first.
        with decompressor.stream_reader(io.BytesIO(body.data), read_across_frames=True) as reader:
            data = reader.read(max_bytes + 1)
    except zstandard.ZstdError as error:
        raise BadRequestError("the body is not well-formed zstd") from error
    if len(data) > max_bytes:
        raise BodyTooLargeError(f"the decompressed body is larger than {max_bytes} bytes")
    return data


def read_object(data: bytes, rules: KeyRules) -> JsonObject:
    """The JSON object that any parser would read from ``data``.

    Raises:
        BadRequestError: if there is none, or parsers could differ about it.
    """
    if not data.strip():
        raise BadRequestError("missing request body")
    text = _text(data)
    _check_depth(text)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_float,
        )
    except (json.JSONDecodeError, RecursionError, MemoryError) as error:
        # The decoder's message has a position and no text of the body, but its `doc` has: cut the chain.
        raise BadRequestError(f"invalid JSON: {_position(error)}") from None
    if not isinstance(value, dict):
        raise BadRequestError("the body is not a JSON object")
    if _ESCAPED_SURROGATE.search(text):
        _check_surrogates(value)
    if _ESCAPED_NUL in text:
        _check_nul(value, rules)
    _check_keys(value, rules)
    return value


def _text(data: bytes) -> str:
    try:
        text = data.decode("utf-8", "strict")
    except UnicodeDecodeError:
        raise BadRequestError("the body is not well-formed UTF-8") from None
    if text.startswith("\ufeff"):
        raise BadRequestError("the body starts with a byte order mark")
    return text


def _position(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    return "too large"


def _check_depth(text: str) -> None:
    depth = values = items = strings_seen = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        mark = match.group() if match.end() - match.start() == 1 else ""
        if mark in {"[", "{"}:
            depth += 1
            values += 1
            if values > MAX_VALUES:
                raise BadRequestError(f"the body has more than {MAX_VALUES} objects and arrays")
            if depth > MAX_DEPTH:
                raise BadRequestError(f"the body is nested deeper than {MAX_DEPTH} levels")
        elif mark in {"]", "}"}:
            depth -= 1
            if depth < 0:
                raise BadRequestError("invalid JSON: a bracket closes nothing")
        elif mark == ",":
            items += 1
            if items > MAX_ITEMS:
                raise BadRequestError(f"the body has more than {MAX_ITEMS} items in its objects and arrays")
        else:
            # A key and its value for each item at the most: without commas there are no bounds above on how many.
            strings_seen += 1
            if strings_seen > 2 * (items + values):
                raise BadRequestError("invalid JSON: strings with nothing between them")


def _unique(pairs: Sequence[tuple[str, object]]) -> JsonObject:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadRequestError("the body has the same key twice in one object")
    return found


def _no_constant(name: str) -> object:
    raise BadRequestError(f"{name} is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise BadRequestError(f"the body has an integer of more than {MAX_DIGITS} digits")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits) if len(digits) <= 10 * MAX_DIGITS else float("inf")
    if value in {float("inf"), float("-inf")}:
        raise BadRequestError("the body has a number out of range")
    return value


def strings(value: object) -> Iterable[str]:
    """Every string of a JSON value, keys included, in document order."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            for key in reversed(item):
                stack.extend((item[key], key))
        elif isinstance(item, list):
            stack.extend(reversed(item))


def _check_surrogates(value: JsonObject) -> None:
    if any(_SURROGATE.search(text) for text in strings(value)):
        raise BadRequestError("the body has half a surrogate pair")


def _check_nul(value: JsonObject, rules: KeyRules) -> None:
    """Refuse U+0000: servers in C and C++ may end a text there, so the model would see less than was judged."""
    place = _nul_place(value, rules)
    if place is not None:
        raise BadRequestError(f"the body has U+0000 at {place.removeprefix('.')}, wanted text without it")


def _nul_place(value: object, rules: KeyRules) -> str | None:
    """Where the first U+0000 of ``value`` is; a key that the API does not know is the caller's text: not quoted."""
    if isinstance(value, str):
        return "" if "\0" in value else None
    if isinstance(value, list):
        steps: Iterable[tuple[str, object]] = ((f"[{index}]", inner) for index, inner in enumerate(value))
    elif isinstance(value, dict):
        steps = ((f".{key}" if key in rules.known else ".*", key if "\0" in key else value[key]) for key in value)
    else:
        return None
    # No deeper than `MAX_DEPTH`.
    found = ((step, _nul_place(inner, rules)) for step, inner in steps)
    return next((step + place for step, place in found if place is not None), None)


def _check_keys(value: JsonObject, rules: KeyRules) -> None:
    """Refuse keys that Go would take for a known one, or for each other."""
    folded = _folded(rules.known)
    stack: list[object] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            _check_level(item, folded)
            stack.extend(inner for key, inner in item.items() if key not in rules.free)


def check_spelling(item: Mapping[str, object], known: frozenset[str]) -> None:
    """Refuse keys of one object that Go would take for a known one, or for each other.

    For objects below keys that are free, where an API still looks for some.

    Raises:
        BadRequestError: if there is one.
    """
    _check_level(item, _folded(known))


@cache
def _folded(keys: frozenset[str]) -> Mapping[str, str]:
    return {key.casefold(): key for key in keys}


def _check_level(item: Mapping[str, object], folded: Mapping[str, str]) -> None:
    seen: set[str] = set()
    for key in item:
        fold = key.casefold()
        if folded.get(fold, key) != key:
            raise BadRequestError(f"the key {folded[fold]!r} is spelt in another case")
        if fold in seen:
            raise BadRequestError("two keys of one object differ in case only")
        seen.add(fold)
