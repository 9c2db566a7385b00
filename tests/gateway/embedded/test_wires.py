"""What a client reads when an answer that began can't go on."""

from __future__ import annotations

import json

import pytest

from gateway.embedded.answer import Wire
from gateway.embedded.errors import GenerationFailedError
from gateway.embedded.ollama_api import ChatWire, GenerateWire
from gateway.embedded.openai_api import OpenAiWire


@pytest.mark.parametrize("wire", [ChatWire("m"), GenerateWire("m", raw=False)])
def test_a_broken_ollama_stream_ends_with_a_line_that_clients_raise(wire: Wire) -> None:
    """One object with an error and nothing else."""
    assert wire.failure(GenerationFailedError("it broke")) == b'{"error":"it broke"}\n'


def test_a_broken_openai_stream_ends_with_an_event_that_clients_raise() -> None:
    """OpenAI's client looks for ``error`` in every event."""
    frame = OpenAiWire("m", usage=True).failure(GenerationFailedError("it broke"))
    error = json.loads(frame.removeprefix(b"data: "))["error"]

    assert (error["message"], error["type"]) == ("it broke", "api_error")
