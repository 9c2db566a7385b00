"""Classes C4, C5 and C6: what two parsers could read differently is refused."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequestError, BodyTooLargeError, UnsupportedMediaError
from gateway.intake import MAX_DEPTH, MAX_ITEMS, MAX_VALUES, KeyRules, RawBody, decoded, read_object, strings

RULES = KeyRules(known=frozenset({"prompt", "messages", "content", "role", "kind"}), free=frozenset({"options"}))


@pytest.mark.parametrize(
    "body",
    [
        '{"prompt":"a","prompt":"b"}',
        '{"prompt":"a","Prompt":"b"}',
        '{"PROMPT":"b"}',
        '{"me\u017f\u017fages":[]}',
        '{"\u212aind":"x"}',
        '{"messages":[{"role":"user","Content":"b"}]}',
        '{"x":{"prompt":1,"prompt":2}}',
        '{"options":{"a":1,"a":2}}',
        '{"extra":1,"Extra":2}',
    ],
)
def test_keys_that_go_would_take_for_another_are_refused(body: str) -> None:
    """Duplicates, other cases, letters that fold to ASCII ones, at any level."""
    with pytest.raises(BadRequestError):
        read_object(body.encode(), RULES)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  \n",
        b"{",
        b"[]",
        b"1",
        b'"x"',
        b"null",
        b'{"prompt":"a"} x',
        b'{"prompt":"a"}{"prompt":"b"}',
        b'{"prompt":"a"}\0',
        b'\xef\xbb\xbf{"prompt":"a"}',
        '{"prompt":"a"}'.encode("utf-16"),
        '{"prompt":"a"}'.encode("utf-32-le"),
        b'{"prompt":"\xff"}',
        b'{"prompt":"\\ud800"}',
        b'{"\\udc00":1}',
        b'{"x":NaN}',
        b'{"x":-Infinity}',
        b'{"x":1e999}',
        b'{"x":' + b"9" * 5000 + b"}",
        b'{"x":' + b"1" * 5000 + b".0}",
        b'{"prompt":"a\nb"}',
        b'{"x":01}',
        b"{'prompt':'a'}",
        b"{'prompt':'a',}",
        b'{"x":' + b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1) + b"}",
        b'{"x":' * 100_000,
    ],
)
def test_what_is_not_one_plain_json_object_is_refused(body: bytes) -> None:
    """Trailing bytes, byte order marks, other encodings, half surrogates, odd numbers, depth."""
    with pytest.raises(BadRequestError):
        read_object(body, RULES)


def test_the_error_never_quotes_the_body() -> None:
    """Neither in its text nor in what it was raised from."""
    with pytest.raises(BadRequestError) as caught:
        read_object(b'{"prompt":"a secret wish"', RULES)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"prompt": "secret\0more"}, "prompt"),
        ({"messages": [{"role": "user", "content": "a"}, {"content": "\0"}]}, "messages[1].content"),
        ({"messages": [{"content": [["a", "b\0"]]}]}, "messages[0].content[0][1]"),
        ({"options": {"secret": {"kind": "\0"}}}, "*.*.kind"),
        ({"options": {"a\0secret": 1}}, "*.*"),
    ],
)
def test_a_nul_is_refused_wherever_it_is(body: dict[str, object], place: str) -> None:
    """A server in C++ may end the text there; the error names the place, and quotes nothing."""
    with pytest.raises(BadRequestError) as caught:
        read_object(json.dumps(body).encode(), RULES)
    assert str(caught.value) == f"the body has U+0000 at {place}, wanted text without it"


def test_a_nul_is_refused_at_any_depth() -> None:
    """Down to the deepest that is read."""
    body = b'{"x":' + b"[" * (MAX_DEPTH - 1) + b'"\\u0000"' + b"]" * (MAX_DEPTH - 1) + b"}"
    with pytest.raises(BadRequestError, match=r"U\+0000"):
        read_object(body, RULES)


def test_an_escaped_backslash_before_u0000_is_text() -> None:
    """Six characters that no parser makes one of."""
    assert read_object(b'{"prompt":"a\\\\u0000b"}', RULES) == {"prompt": "a\\u0000b"}


def test_names_below_a_free_key_are_the_callers_own() -> None:
    """A schema may well have a property called Prompt."""
    assert read_object(b'{"options":{"Prompt":1,"prompt":2}}', RULES) == {"options": {"Prompt": 1, "prompt": 2}}


def test_brackets_within_strings_are_no_depth() -> None:
    """Also behind escaped quotes."""
    text = '\\"' + "[" * 1000
    assert read_object(json.dumps({"prompt": text}).encode(), RULES) == {"prompt": text}


@pytest.mark.parametrize("flood", ['""', '"', "]", "}", '"a" ', '"":""'])
def test_a_flood_that_is_no_json_is_refused_at_once(flood: str) -> None:
    """Seven hundred bytes of zstd are ten million strings; a generous bound, as counting them takes seconds."""
    body = b'{"prompt":' + flood.encode() * (10_000_000 // len(flood)) + b"}"
    started = time.process_time()
    with pytest.raises(BadRequestError):
        read_object(body, RULES)
    assert time.process_time() - started < 0.5


ODD_TEXT = st.text('ab,[]{}"\\', max_size=3)


@given(st.recursive(ODD_TEXT | st.none(), lambda inner: st.lists(inner) | st.dictionaries(ODD_TEXT, inner)))
def test_no_json_has_more_strings_than_places_for_them(value: object) -> None:
    """However strings, objects and arrays are nested."""
    assert read_object(json.dumps({"options": value}).encode(), RULES) == {"options": value}


def test_an_unfinished_string_of_quotes_is_read_once() -> None:
    """Not anew from each escaped quote; a generous bound, to catch squares only."""
    started = time.process_time()
    with pytest.raises(BadRequestError):
        read_object(b'{"prompt":"' + b'\\"' * 200_000, RULES)
    assert time.process_time() - started < 2.0


def test_a_body_of_very_many_values_is_refused() -> None:
    """A hundred bytes of zstd can hold a million."""
    with pytest.raises(BadRequestError, match=f"more than {MAX_VALUES} objects and arrays"):
        read_object(b'{"prompt":[' + b"[]," * MAX_VALUES + b"0]}", RULES)


def test_a_body_of_very_many_items_is_refused() -> None:
    """Numbers and strings are work as well, and compress to next to nothing; commas in strings are none."""
    with pytest.raises(BadRequestError, match=f"more than {MAX_ITEMS} items"):
        read_object(b'{"prompt":[' + b"1," * (MAX_ITEMS + 1) + b"0]}", RULES)
    assert read_object(b'{"prompt":"' + b"," * (MAX_ITEMS + 1) + b'"}', RULES)


TEXT = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(TEXT),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), JSON))
def test_every_ordinary_body_is_read_as_it_is(body: dict[str, object]) -> None:
    """Whatever JSON an official client may write."""
    assert read_object(json.dumps(body).encode(), RULES) == body
    assert read_object(json.dumps(body, ensure_ascii=False).encode(), RULES) == body


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Never another exception."""
    with contextlib.suppress(BadRequestError):
        assert isinstance(read_object(data, RULES), dict)


def test_strings_are_all_strings_in_order() -> None:
    """Keys too."""
    assert list(strings({"a": ["b", {"c": "d"}], "e": 1})) == ["a", "b", "c", "d", "e"]


def test_zstd_is_read_in_all_its_frames() -> None:
    """A decoder that stops after the first frame would judge half of what Ollama reads."""
    data = zstandard.compress(b'{"prompt":') + zstandard.compress(b'"a"}')
    assert decoded(RawBody(data, content_encoding="zstd"), zstd=True) == b'{"prompt":"a"}'


@pytest.mark.parametrize(("encoding", "zstd"), [("gzip", True), ("zstd", False), ("ZSTD", True), ("zstd, zstd", True)])
def test_another_encoding_is_refused(encoding: str, zstd: bool) -> None:
    """Whatever the upstream would make of it."""
    with pytest.raises(UnsupportedMediaError):
        decoded(RawBody(b"{}", content_encoding=encoding), zstd=zstd)


def test_a_zstd_bomb_is_refused() -> None:
    """By what it becomes, not by what it weighs."""
    with pytest.raises(BodyTooLargeError):
        decoded(RawBody(zstandard.compress(b" " * 10_000), content_encoding="zstd"), zstd=True, max_bytes=9_999)


@pytest.mark.parametrize("data", [b"", b"no zstd", zstandard.compress(b"{}")[:-1]])
def test_broken_zstd_is_refused(data: bytes) -> None:
    """Cut off, or something else; an empty result is an empty body."""
    with pytest.raises(BadRequestError):
        read_object(decoded(RawBody(data, content_encoding="zstd"), zstd=True), RULES)
