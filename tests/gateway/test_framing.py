"""Lines and events, however the bytes are cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.framing import NdjsonDecoder, SseDecoder, SseEvent, compact_json, ndjson_line, sse_frame

VALUES = [{"a": "ü\n"}, {"b": [1, None]}, {}]
EVENTS = [SseEvent("x", '{"a":1}'), SseEvent(None, "two\nlines"), SseEvent(None, "[DONE]")]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """``data`` in pieces."""
    ends = sorted({place % (len(data) + 1) for place in places})
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]


@given(st.lists(st.integers(0, 10_000), max_size=20))
def test_any_cut_of_ndjson_gives_the_same_values(places: list[int]) -> None:
    """Also within a character."""
    decoder = NdjsonDecoder()
    data = b"".join(ndjson_line(value) for value in VALUES).removesuffix(b"\n")
    found = [value for piece in cut(data, places) for value in decoder.decode(piece)]
    assert [*found, *decoder.flush()] == VALUES


@given(st.lists(st.integers(0, 10_000), max_size=20))
def test_any_cut_of_an_event_stream_gives_the_same_events(places: list[int]) -> None:
    """Comments, other fields and CRLF too."""
    decoder = SseDecoder()
    data = b': ping\n\nevent: x\nid: 1\ndata: {"a":1}\n\ndata: two\r\ndata:lines\r\n\r\ndata: [DONE]'
    found = [event for piece in cut(data, places) for event in decoder.decode(piece)]
    assert [*found, *decoder.flush()] == EVENTS


def test_encoders_write_what_clients_read() -> None:
    """Compact, one line each."""
    assert ndjson_line({"a": "ü"}) == '{"a":"ü"}\n'.encode()
    assert sse_frame({"a": 1}, "x") == b'event: x\ndata: {"a":1}\n\n'
    assert sse_frame("[DONE]") == b"data: [DONE]\n\n"


def test_no_number_that_is_no_json() -> None:
    """NaN would break the client's parser."""
    with pytest.raises(ValueError, match="JSON compliant"):
        compact_json({"score": float("nan")})


def test_a_broken_line_is_an_error() -> None:
    """Not skipped."""
    with pytest.raises(json.JSONDecodeError):
        NdjsonDecoder().decode(b"{\n")
