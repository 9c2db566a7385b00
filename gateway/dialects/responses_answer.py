"""Answers of ``/v1/responses`` with one text in them, in either server's spelling."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from gateway.conversation import Conversation, Stamp
from gateway.dialects.base import Flavour
from gateway.framing import sse_frame
from gateway.intake import JsonObject


class ResponsesAnswer(Protocol):
    """Writes answers."""

    def whole(self, conversation: Conversation, text: str, stamp: Stamp) -> JsonObject:
        """The object of an answer at once."""

    def events(self, conversation: Conversation, text: str, stamp: Stamp) -> Iterator[bytes]:
        """The events of a streamed answer."""


class OllamaAnswer:
    """Repeats the request's parameters in every object, and numbers the events (ollama/openai/responses.go)."""

    def whole(self, conversation: Conversation, text: str, stamp: Stamp) -> JsonObject:
        """See :class:`ResponsesAnswer`."""
        done = {"status": "completed", "completed_at": stamp.unix, "usage": _OLLAMA_USAGE}
        return _parameters(conversation.body) | _born(conversation, stamp) | done | {"output": [_message(text, stamp)]}

    def events(self, conversation: Conversation, text: str, stamp: Stamp) -> Iterator[bytes]:
        """See :class:`ResponsesAnswer`."""
        begun = _parameters(conversation.body) | _born(conversation, stamp)
        begun |= {"status": "in_progress", "completed_at": None, "usage": None, "output": []}
        whole = self.whole(conversation, text, stamp)
        item = {"output_index": 0}
        part = {"item_id": f"msg_{stamp.nonce}", "output_index": 0, "content_index": 0}
        events: list[tuple[str, JsonObject]] = [
            ("response.created", {"response": begun}),
            ("response.in_progress", {"response": begun}),
            ("response.output_item.added", item | {"item": _begun_message(stamp)}),
            ("response.content_part.added", part | {"part": _part("")}),
            ("response.output_text.delta", part | {"delta": text, "logprobs": []}),
            ("response.output_text.done", part | {"text": text, "logprobs": []}),
            ("response.content_part.done", part | {"part": _part(text)}),
            ("response.output_item.done", item | {"item": _message(text, stamp)}),
            ("response.completed", {"response": whole}),
        ]
        for number, (name, data) in enumerate(events):
            yield sse_frame(data | {"type": name, "sequence_number": number}, name)


class LlamaServerAnswer:
    """Says as little as its clients need (llama.cpp tools/server/server-task.cpp, ``to_json_oaicompat_resp``)."""

    def whole(self, conversation: Conversation, text: str, stamp: Stamp) -> JsonObject:
        """See :class:`ResponsesAnswer`."""
        done = {"status": "completed", "completed_at": stamp.unix, "usage": _LLAMA_USAGE}
        return _born(conversation, stamp) | done | {"output": [_message(text, stamp)]}

    def events(self, conversation: Conversation, text: str, stamp: Stamp) -> Iterator[bytes]:
        """See :class:`ResponsesAnswer`."""
        begun = {"id": f"resp_{stamp.nonce}", "object": "response", "status": "in_progress"}
        part: JsonObject = {"item_id": f"msg_{stamp.nonce}"}
        events: list[tuple[str, JsonObject]] = [
            ("response.created", {"response": begun}),
            ("response.in_progress", {"response": begun}),
            ("response.output_item.added", {"item": _begun_message(stamp)}),
            ("response.content_part.added", part | {"part": {"type": "output_text", "text": ""}}),
            ("response.output_text.delta", part | {"delta": text}),
            ("response.output_text.done", part | {"text": text}),
            ("response.content_part.done", part | {"part": _part(text)}),
            ("response.output_item.done", {"item": _message(text, stamp)}),
            ("response.completed", {"response": self.whole(conversation, text, stamp)}),
        ]
        for name, data in events:
            yield sse_frame(data | {"type": name}, name)


ANSWERS: Final[Mapping[Flavour, ResponsesAnswer]] = {
    Flavour.OLLAMA: OllamaAnswer(),
    Flavour.LLAMA_SERVER: LlamaServerAnswer(),
}

_LLAMA_USAGE: Final = {
    "input_tokens": 1,
    "output_tokens": 1,
    "total_tokens": 2,
    "input_tokens_details": {"cached_tokens": 0},
}
_OLLAMA_USAGE: Final = _LLAMA_USAGE | {"output_tokens_details": {"reasoning_tokens": 0}}


def _born(conversation: Conversation, stamp: Stamp) -> JsonObject:
    return {
        "id": f"resp_{stamp.nonce}",
        "object": "response",
        "created_at": stamp.unix,
        "model": conversation.model,
    }


def _parameters(body: JsonObject) -> JsonObject:
    """What Ollama repeats of a request, its defaults where there is nothing; a refusal's format is always text."""
    return {
        "incomplete_details": None,
        "previous_response_id": None,
        "instructions": body.get("instructions"),
        "error": None,
        "tools": body.get("tools") or [],
        "tool_choice": "auto",
        "truncation": body.get("truncation") or "disabled",
        "parallel_tool_calls": True,
        "text": {"format": {"type": "text"}},
        "top_p": _or_one(body.get("top_p")),
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "top_logprobs": 0,
        "temperature": _or_one(body.get("temperature")),
        "reasoning": _reasoning(body.get("reasoning")),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": None,
        "store": False,
        "background": body.get("background") or False,
        "service_tier": "default",
        "metadata": {},
        "safety_identifier": None,
        "prompt_cache_key": None,
    }


def _or_one(value: object) -> object:
    return 1 if value is None else value


def _reasoning(value: object) -> JsonObject | None:
    if not isinstance(value, dict) or not (value.get("effort") or value.get("summary")):
        return None
    return {"effort": value.get("effort"), "summary": value.get("summary")}


def _begun_message(stamp: Stamp) -> JsonObject:
    return {"id": f"msg_{stamp.nonce}", "type": "message", "status": "in_progress", "role": "assistant", "content": []}


def _message(text: str, stamp: Stamp) -> JsonObject:
    return _begun_message(stamp) | {"status": "completed", "content": [_part(text)]}


def _part(text: str) -> JsonObject:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
