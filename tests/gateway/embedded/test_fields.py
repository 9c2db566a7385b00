"""Bodies are read with their types or refused."""

from __future__ import annotations

import pytest

from gateway.embedded.errors import BadCallError
from gateway.embedded.fields import Fields, read_object


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" \n",
        b"{",
        b"[]",
        b"null",
        b'{"a": NaN}',
        b"{} {}",
        b'{"a": "\xff"}',
        b"[" * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_json_object_is_a_bad_call(data: bytes) -> None:
    """Never another exception, whatever the bytes."""
    with pytest.raises(BadCallError):
        read_object(data)


def test_an_empty_body_is_reported_in_ollamas_words() -> None:
    """Clients know this sentence."""
    with pytest.raises(BadCallError, match=r"^missing request body$"):
        read_object(b"")


def test_a_wrong_type_is_named_but_not_quoted() -> None:
    """The message says where and what was wanted; the value may be a prompt."""
    message = read_object(b'{"messages": [{"content": ["secret"]}]}').nested_list("messages")[0]

    with pytest.raises(BadCallError, match=r"^field 'messages\[0\].content' must be a string, not an array$"):
        message.text("content")


def test_null_is_absent() -> None:
    """As in Go, where null leaves the zero value."""
    body = Fields({"model": None, "stream": None, "seed": None, "options": None, "stop": None})

    assert (body.text("model"), body.flag("stream", default=True), body.integer("seed")) == ("", True, None)
    assert (body.nested("options").mapping(), body.strings("stop")) == ({}, ())


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    """Such a string can be written in JSON but not encoded again."""
    assert read_object(rb'{"prompt": "a\ud800b"}').text("prompt") == "a?b"


@pytest.mark.parametrize("value", [True, "1", 1.5, 10**400])
def test_what_is_no_integer_is_refused(value: object) -> None:
    """Booleans are numbers in Python, not in JSON."""
    with pytest.raises(BadCallError):
        Fields({"seed": value}).integer("seed")
