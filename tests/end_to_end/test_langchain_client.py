"""langchain-ollama works unchanged through the gateway, before a scripted upstream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_ollama import ChatOllama, OllamaLLM

from gateway.framing import ndjson_line
from tests.gateway.running import Gateway, running_gateway

REFUSAL: Final = "I can only help with Star Trek topics."
ON_TOPIC: Final = "Who is Spock?"
OFF_TOPIC: Final = "How do I boil an egg?"


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """A gateway whose upstream answers in three pieces."""
    async with running_gateway() as running:
        running.upstream.pieces = [
            _line("A "),
            _line("Vulcan."),
            _line("", done=True, done_reason="stop", eval_count=2, prompt_eval_count=3, eval_duration=9),
        ]
        yield running


def _line(text: str, **more: Any) -> bytes:
    said = {"message": {"role": "assistant", "content": text}, "response": text, "done": False}
    return ndjson_line({"model": "m", "created_at": "2026-01-01T00:00:00Z", **said, **more})


# Nobody closes the client's connections, so none is kept.
CLIENT: Final = {"limits": httpx.Limits(max_keepalive_connections=0)}


def chat_model(gateway: Gateway) -> ChatOllama:
    """The client that people use."""
    return ChatOllama(model="m", base_url=gateway.url, client_kwargs=CLIENT)


async def test_a_chat_is_answered_or_refused(gateway: Gateway) -> None:
    """In one piece; the client streams underneath."""
    model = chat_model(gateway)
    answer = await asyncio.to_thread(model.invoke, ON_TOPIC)
    refused = await asyncio.to_thread(model.invoke, OFF_TOPIC)
    assert (answer.content, refused.content) == ("A Vulcan.", REFUSAL)
    assert refused.response_metadata["done_reason"] == "stop"
    assert isinstance(refused, AIMessage)
    assert refused.usage_metadata is not None
    assert refused.usage_metadata["output_tokens"] == 1
    assert len(gateway.upstream.requests) == 1


async def test_a_chat_streams(gateway: Gateway) -> None:
    """Piece by piece, the refusal too."""

    def pieces(text: str) -> list[AIMessageChunk]:
        return list(chat_model(gateway).stream(text))

    answer = await asyncio.to_thread(pieces, ON_TOPIC)
    refused = await asyncio.to_thread(pieces, OFF_TOPIC)
    assert [chunk.content for chunk in answer if chunk.content] == ["A ", "Vulcan."]
    assert [chunk.content for chunk in refused if chunk.content] == [REFUSAL]


async def test_a_chat_goes_on_after_a_refusal(gateway: Gateway) -> None:
    """The client sends the whole conversation back; what strayed is left out."""
    turns = [HumanMessage(OFF_TOPIC), AIMessage(REFUSAL), HumanMessage(ON_TOPIC)]
    answer = await asyncio.to_thread(chat_model(gateway).invoke, turns)
    assert answer.content == "A Vulcan."
    assert b"egg" not in gateway.upstream.requests[0].body


async def test_a_prompt_is_answered_or_refused(gateway: Gateway) -> None:
    """The older interface, on the other prompt route."""
    model = OllamaLLM(model="m", base_url=gateway.url, client_kwargs=CLIENT)
    assert await asyncio.to_thread(model.invoke, ON_TOPIC) == "A Vulcan."
    assert await asyncio.to_thread(model.invoke, OFF_TOPIC) == REFUSAL
