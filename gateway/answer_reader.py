"""Reads what the model said out of an answer on its way to the client, whichever API the answer is in.

Upstreams write these answers, not clients, so they are told apart by their shape. What has none of the shapes below
is not read, which costs no more than that it is judged when a client sends it back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from gateway.answer_memory import AnswerMemory
from gateway.framing import NdjsonDecoder, SseDecoder

MAX_READ_BYTES: Final = 4 * 1024 * 1024
"""Of one answer; what is longer is relayed all the same, but not read."""

_SAID: Final = "said"
_THOUGHT: Final = "thought"

_KEYS: Final = {
    "content": _SAID,
    "thinking": _THOUGHT,
    "reasoning": _THOUGHT,
    "reasoning_content": _THOUGHT,
}
"""Where a message of Ollama's or OpenAI's chat has text."""

_EVENTS: Final = {
    "response.output_text.delta": _SAID,
    "response.reasoning_summary_text.delta": _THOUGHT,
}
"""Events of OpenAI's responses."""

_Piece = tuple[str, str]


class AnswerReader:
    """Pushed bytes of one answer to digests of its texts; never raises, as nobody waits for it.

    Args:
        memory: where the answer goes once it is whole.
        question: the text that is answered.
        content_type: of the answer.
    """

    def __init__(self, memory: AnswerMemory, question: str, content_type: str) -> None:
        self._memory = memory
        self._texts = {kind: memory.begin(question) for kind in (_SAID, _THOUGHT)}
        self._kind = content_type.partition(";")[0].strip().lower()
        self._ndjson, self._sse, self._whole = NdjsonDecoder(), SseDecoder(), bytearray()
        self._size = 0
        self._given_up = False

    def take(self, data: bytes) -> None:
        """Read on."""
        self._size += len(data)
        self._given_up = self._given_up or self._size > MAX_READ_BYTES
        self._read(data, last=False)

    def finish(self) -> None:
        """The answer is whole: remember it."""
        self._read(b"", last=True)
        if not self._given_up:
            for text in self._texts.values():
                self._memory.remember(text)

    def _read(self, data: bytes, *, last: bool) -> None:
        if self._given_up:
            return
        try:
            for value in self._values(data, last=last):
                self._note(value)
        except (ValueError, RecursionError):
            self._given_up = True

    def _note(self, value: object) -> None:
        if not isinstance(value, dict) or value.get("error") is not None:
            # Half an answer, or none of a chat.
            self._given_up = True
            return
        for kind, text in _pieces(value):
            self._texts[kind].update(text)

    def _values(self, data: bytes, *, last: bool) -> Iterator[object]:
        if self._kind == "application/x-ndjson":
            yield from self._ndjson.flush() if last else self._ndjson.decode(data)
        elif self._kind == "text/event-stream":
            events = self._sse.flush() if last else self._sse.decode(data)
            yield from (json.loads(event.data) for event in events if event.data != "[DONE]")
        elif self._kind == "application/json":
            self._whole += data
            if last:
                yield json.loads(self._whole)
        else:
            self._given_up = True


def _pieces(value: dict[str, object]) -> Iterator[_Piece]:
    """The texts of one object: a whole answer or a piece of a stream."""
    event = value.get("type")
    if isinstance(event, str) and event in _EVENTS:
        yield from _text(value, "delta", _EVENTS[event])
    elif event == "content_block_delta":
        yield from _block(value.get("delta"))
    yield from _message(value.get("message"))
    for choice in _list(value.get("choices")):
        if isinstance(choice, dict) and choice.get("index", 0) == 0:
            yield from _message(choice.get("message"))
            yield from _message(choice.get("delta"))
    for block in _list(value.get("content")):
        yield from _block(block)
    for item in _list(value.get("output")):
        if isinstance(item, dict) and item.get("type") == "message":
            for block in _list(item.get("content")):
                yield from _block(block)


def _message(value: object) -> Iterator[_Piece]:
    """A message, or what a stream adds to one; content that is no text (Anthropic's opening event) is none yet."""
    if isinstance(value, dict):
        for key, kind in _KEYS.items():
            yield from _text(value, key, kind)


def _block(value: object) -> Iterator[_Piece]:
    """A block of Anthropic's or of OpenAI's responses, or what a stream adds to one."""
    if isinstance(value, dict):
        yield from _text(value, "text", _SAID)
        yield from _text(value, "thinking", _THOUGHT)


def _text(value: dict[str, object], key: str, kind: str) -> Iterator[_Piece]:
    text = value.get(key)
    if isinstance(text, str):
        yield kind, text


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
