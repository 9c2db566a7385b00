"""NDJSON and server-sent events, without input or output: encoders, and decoders that are pushed bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass


def compact_json(value: object) -> bytes:
    """JSON as Go's encoder writes it, less the escaping of ``<``, ``>`` and ``&``, which means the same.

    Raises:
        ValueError: if ``value`` has NaN or an infinity.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def ndjson_line(value: object) -> bytes:
    """One line; clients parse every line, so there is never an empty one."""
    return compact_json(value) + b"\n"


def sse_frame(data: object, event: str | None = None) -> bytes:
    """One server-sent event; a string is sent as it is (``[DONE]``), anything else as JSON."""
    payload = data.encode() if isinstance(data, str) else compact_json(data)
    name = b"" if event is None else b"event: " + event.encode() + b"\n"
    return name + b"data: " + payload + b"\n\n"


class LineDecoder:
    r"""Cuts pushed bytes into lines at ``\n``, whatever the pieces they come in."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def decode(self, data: bytes) -> list[bytes]:
        """The lines that ``data`` completes, without their line ends."""
        if b"\n" not in data:
            self._rest += data
            return []
        *lines, rest = (bytes(self._rest) + data).split(b"\n")
        self._rest = bytearray(rest)
        return [line.removesuffix(b"\r") for line in lines]

    def flush(self) -> list[bytes]:
        """The last line, if it has no line end."""
        rest, self._rest = bytes(self._rest), bytearray()
        return [rest.removesuffix(b"\r")] if rest else []


class NdjsonDecoder:
    """Pushed bytes to JSON values; empty lines are skipped.

    Raises:
        ValueError: from both methods, if a line is no JSON.
    """

    def __init__(self) -> None:
        self._lines = LineDecoder()

    def decode(self, data: bytes) -> list[object]:
        """The values that ``data`` completes."""
        return [json.loads(line) for line in self._lines.decode(data) if line.strip()]

    def flush(self) -> list[object]:
        """The value of a last line without a line end."""
        return [json.loads(line) for line in self._lines.flush() if line.strip()]


@dataclass(frozen=True, slots=True)
class SseEvent:
    r"""One server-sent event.

    Attributes:
        event: its name, None where it has none.
        data: its data lines, joined by ``\n``.
    """

    event: str | None
    data: str


class SseDecoder:
    """Pushed bytes to server-sent events; comments (llama-server's pings) and other fields are skipped."""

    def __init__(self) -> None:
        self._lines = LineDecoder()
        self._event: str | None = None
        self._data: list[str] = []

    def decode(self, data: bytes) -> list[SseEvent]:
        """The events that ``data`` completes."""
        return [event for line in self._lines.decode(data) for event in self._take(line.decode(errors="replace"))]

    def flush(self) -> list[SseEvent]:
        """A last event that no empty line ends."""
        events = [event for line in self._lines.flush() for event in self._take(line.decode(errors="replace"))]
        return [*events, *self._finish()]

    def _take(self, line: str) -> Iterator[SseEvent]:
        if not line:
            yield from self._finish()
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._event = value
        elif field == "data":
            self._data.append(value)

    def _finish(self) -> Iterator[SseEvent]:
        if self._data:
            yield SseEvent(self._event, "\n".join(self._data))
        self._event, self._data = None, []
