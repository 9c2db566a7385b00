"""What the model said is found in an answer of any API."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.answer_memory import AnswerMemory
from gateway.answer_reader import MAX_READ_BYTES, AnswerReader
from tests.gateway.golden import FOLDER, Case, cases, pieces

CHATS = ("api_chat", "v1_chat_completions", "v1_responses", "v1_messages")


def read(data: bytes, content_type: str, cut: int = 11) -> AnswerMemory:
    """The memory after one answer to "q"."""
    memory = AnswerMemory(1 << 20, 60, lambda: 0.0)
    reader = AnswerReader(memory, "q", content_type)
    for start in range(0, len(data), cut):
        reader.take(data[start : start + cut])
    reader.finish()
    return memory


def _texts(value: Any) -> list[str]:
    """Whatever text the refusal of a golden exchange has, found without a look at its shape."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def _refusals() -> list[Any]:
    present = [name for name in CHATS if (FOLDER / f"{name}.json").exists()]
    return [
        pytest.param(case, id=f"{name}-{case['id']}")
        for name in present
        for case in cases(name)
        if not case["on_topic"] and "refusal" in case
    ]


REFUSAL = "I can only help with Star Trek topics."


@pytest.mark.parametrize("case", _refusals())
def test_the_text_of_every_golden_answer_is_found(case: Case) -> None:
    """Streamed or not; the golden refusals are answers with a known text."""
    answer = case["refusal"]
    assert REFUSAL in "".join(_texts(answer))
    memory = read(b"".join(pieces(answer, case["path"])), answer["headers"]["Content-Type"])
    assert memory.knows("q", [REFUSAL])


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        ("application/json", b'{"choices":[{"message":{"content":"a"}},{"index":1,"message":{"content":"b"}}]}'),
        ("application/json", b'{"content":[{"type":"thinking","thinking":"t"},{"type":"text","text":"a"}]}'),
        ("application/json", b'{"error":null,"output":[{"type":"message","content":[{"text":"a"}]}]}'),
        ("text/event-stream", b': ping\n\ndata: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n'),
        ("text/event-stream", b'data: {"choices":[{"delta":{"reasoning_content":"t"}},{"delta":{"content":"a"}}]}\n\n'),
        ("text/event-stream", b'data: {"choices":[{"delta":{"content":"a"}},{"index":1,"delta":{"content":"b"}}]}\n\n'),
        ("application/x-ndjson", b'{"message":{"content":"a"}}'),
    ],
)
def test_only_the_first_choice_is_the_answer(content_type: str, data: bytes) -> None:
    """Pings, reasoning and a missing line end disturb nothing."""
    memory = read(data, content_type)
    assert memory.knows("q", ["a"])
    assert not memory.knows("q", ["b"])
    assert memory.knows("q", ["t"]) == (b'"t"' in data)


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        ("text/plain", b'{"message":{"content":"a"}}'),
        ("application/json", b'{"message":{"content":"a"}'),
        ("application/json", b"[" * 100_000),
        ("application/json", b'[{"message":{"content":"a"}}]'),
        ("application/json", b'{"message":{"content":"a\\ud800"}}'),
        ("application/json", b'{"error":"x","message":{"content":"a"}}'),
        ("application/x-ndjson", b'{"message":{"content":"a"}}\n{"error":"x"}\n'),
        ("application/x-ndjson", b'{"message":{"content":"a"}}\n' + b" " * MAX_READ_BYTES),
        ("text/event-stream", b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"error":{}}\n\n'),
        ("text/event-stream", b"event: ping\ndata: x\n\n"),
        ("application/json", b'{"choices":7,"content":"a","output":[7],"message":"a"}'),
    ],
)
def test_what_cannot_be_read_is_not_remembered(content_type: str, data: bytes) -> None:
    """And disturbs nobody."""
    assert len(read(data, content_type, cut=100_000)) == 0
