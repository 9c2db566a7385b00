"""OpenAI's ``/v1/chat/completions``, by Ollama and by llama-server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from gateway.content import array, dropped, flag, objects, string
from gateway.conversation import Conversation, Edit, Message, Speaker, Stamp, system_use
from gateway.dialects.base import Dialect, Flavour
from gateway.dialects.json_body import JsonBody
from gateway.dialects.llama_fields import timings
from gateway.dialects.openai_answer import (
    USAGE,
    check_stream_options,
    choice_count,
    head,
    include_usage,
    whole,
    whole_type,
)
from gateway.dialects.openai_content import Content, read_content, told_beside
from gateway.dialects.openai_fields import field_uses, openai_keys, wants_format
from gateway.errors import BadRequestError
from gateway.framing import sse_frame
from gateway.intake import JsonObject
from gateway.styles import SSE

_SPEAKERS: Final = {
    "system": None,
    "developer": None,
    "user": Speaker.USER,
    "assistant": Speaker.ASSISTANT,
    "tool": Speaker.TOOL,
    "function": Speaker.TOOL,
}
"""None for those whose text is the system's."""


@dataclass(frozen=True, slots=True)
class _Read:
    """One message as it was read; ``speaker`` is None for the system."""

    speaker: Speaker | None
    content: Content
    position: int

    @property
    def message(self) -> Message:
        return self.content.message(self.speaker or Speaker.USER, self.position)

    @property
    def messages(self) -> Iterable[Message]:
        """It as Ollama reads it, which makes a message of each of a user's parts, and may drop the first ones."""
        if self.speaker is not Speaker.USER or len(self.content.texts) < 2:
            yield self.message
            return
        first, *others = self.content.texts
        yield replace(self.message, parts=(first,))
        yield from (Message(Speaker.USER, (text,), self.position) for text in others)


class OpenAiChat(JsonBody):
    """Messages in, server-sent events or one object out.

    Args:
        flavour: whose answers.
    """

    stream_content_type = SSE
    key_rules: ClassVar = openai_keys("messages")

    def __init__(self, flavour: Flavour) -> None:
        self._flavour = flavour
        self.content_type = whole_type(flavour)

    def parse(self, body: JsonObject, path: str) -> Conversation:  # noqa: ARG002 -- all its routes are one
        """See :meth:`gateway.dialects.base.Dialect.parse`."""
        check_stream_options(body)
        choice_count(body)
        read = [_read(item, index) for index, item in enumerate(objects(body, "messages"))]
        system = [item.message for item in read if item.speaker is None]
        channels = (
            *system_use(system, "messages"),
            *(use for item in read for use in item.content.media),
            *field_uses(body, {"messages"}),
        )
        return Conversation(
            body=body,
            model=string(body, "model"),
            messages=tuple(message for item in read if item.speaker is not None for message in item.messages),
            channels=channels,
            stream=flag(body, "stream", default=False),
            error_only=wants_format(body),
        )

    def refusal(self, conversation: Conversation, text: str, stamp: Stamp) -> bytes:
        """One object; llama-server makes as many choices as are asked for, Ollama one."""
        message = {"role": "assistant", "content": text}
        choices = [{"index": i, "message": message, "finish_reason": "stop"} for i in self._indices(conversation)]
        value = head(conversation, self._flavour, "chatcmpl", "chat.completion", stamp)
        return whole(self._flavour, value | {"choices": choices, "usage": USAGE} | self._timings(stamp))

    def refusal_stream(self, conversation: Conversation, text: str, stamp: Stamp) -> Iterator[bytes]:
        """Who speaks, the text, the end, the token counts if they are asked for, and ``[DONE]``."""
        value = head(conversation, self._flavour, "chatcmpl", "chat.completion.chunk", stamp)
        with_usage = include_usage(conversation.body)
        indices = self._indices(conversation)
        for index in indices:
            for delta in self._deltas(text):
                yield sse_frame(value | {"choices": [{"index": index, "delta": delta, "finish_reason": None}]})
        for index in indices:
            end = value | {"choices": [{"index": index, "delta": {}, "finish_reason": "stop"}]}
            is_last = index == indices[-1] and not with_usage
            yield sse_frame(end | self._timings(stamp) if is_last else end)
        if with_usage:
            yield sse_frame(value | {"choices": [], "usage": USAGE} | self._timings(stamp))
        yield sse_frame("[DONE]")

    def rewrite(self, body: JsonObject, edit: Edit) -> JsonObject:
        """See :meth:`gateway.dialects.base.Dialect.rewrite`."""
        messages = dropped(array(body, "messages"), edit.drop)
        if edit.system is not None:
            others = [item for item in messages if isinstance(item, dict) and _speaker(item, 0) is not None]
            messages = [{"role": "system", "content": edit.system}, *others]
        return body | {"messages": messages}

    def _indices(self, conversation: Conversation) -> range:
        return range(1 if self._flavour is Flavour.OLLAMA else choice_count(conversation.body))

    def _deltas(self, text: str) -> list[JsonObject]:
        if self._flavour is Flavour.OLLAMA:
            return [{"role": "assistant", "content": text}]
        return [{"role": "assistant", "content": None}, {"content": text}]

    def _timings(self, stamp: Stamp) -> JsonObject:
        return {} if self._flavour is Flavour.OLLAMA else {"timings": timings(stamp)}


def dialect(flavour: Flavour) -> Dialect:
    """The dialect."""
    return OpenAiChat(flavour)


def _speaker(item: JsonObject, index: int) -> Speaker | None:
    role = string(item, "role", f"messages[{index}].role")
    if role not in _SPEAKERS:
        raise BadRequestError(f"messages[{index}].role is unknown, wanted system, user, assistant or tool")
    return _SPEAKERS[role]


def _read(item: JsonObject, index: int) -> _Read:
    """All that a template may write of a message: also what it thought, the tools it called, and names."""
    where = f"messages[{index}]"
    if item.get("content") == []:
        # Ollama makes a message of each part, so its neighbours would be one turn to the model, and two to us.
        raise BadRequestError(f"{where}.content is empty, wanted a string or at least one part")
    content = read_content(item, "content", where)
    beside = told_beside(item, {"role", "content"}, where)
    return _Read(_speaker(item, index), content.with_more(beside), index)
