"""Anthropic's ``/v1/messages``, as Ollama and llama-server speak it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Final

from gateway.channels import Channel
from gateway.content import FREE_KEYS, array, dropped, flag, objects, string
from gateway.conversation import ChannelUse, Conversation, Edit, Message, Speaker, Stamp, system_use
from gateway.dialects.anthropic_blocks import BlockTexts, check_is_read, read_content, text_blocks
from gateway.dialects.base import Dialect, Flavour
from gateway.dialects.json_body import JsonBody
from gateway.dialects.llama_fields import search_use, spelt_use, template_kwargs_use
from gateway.dialects.openai_content import Content, call_uses, told_beside
from gateway.errors import BadRequestError
from gateway.framing import compact_json, sse_frame
from gateway.intake import JsonObject, KeyRules
from gateway.styles import JSON, JSON_UTF8, SSE

_SPEAKERS: Final = {"user": Speaker.USER, "assistant": Speaker.ASSISTANT}
_SYSTEM: Final = "system"


class AnthropicMessages(JsonBody):
    """Messages in, one object or named events out.

    Args:
        flavour: llama-server adds keys to what Ollama answers.
    """

    stream_content_type = SSE
    key_rules: ClassVar = KeyRules(
        known=frozenset(
            {"model", "max_tokens", "messages", "system", "stream", "temperature", "top_p", "top_k", "stop_sequences"}
            | {"tools", "tool_choice", "thinking", "metadata", "output_config", "output_format", "effort", "role"}
            | {"content", "type", "text", "source", "id", "name", "input", "tool_use_id", "is_error", "signature"}
            | {"data", "media_type", "url", "citations", "title", "context", "cited_text", "error_code"}
            | {"cache_control", "chat_template_kwargs", "budget_tokens", "user_id", "tool_calls", "reasoning_content"}
        ),
        free=FREE_KEYS | {"tools", "input"},
    )

    def __init__(self, flavour: Flavour) -> None:
        self._llama_server = flavour is Flavour.LLAMA_SERVER
        self.content_type = JSON_UTF8 if self._llama_server else JSON

    def parse(self, body: JsonObject, path: str) -> Conversation:  # noqa: ARG002 -- one route
        """See :meth:`gateway.dialects.base.Dialect.parse`."""
        items = objects(body, "messages")
        read = [_read(item, f"messages[{index}].content") for index, item in enumerate(items)]
        schemas = _schemas(body)
        channels = (
            *_system_use(body, items, read),
            *(use for texts in read for use in texts.uses),
            *spelt_use(Channel.TOOLS, body.get("tools"), "tools"),
            *search_use(body),
            *call_uses(body),
            *_format_use(schemas),
            *template_kwargs_use(body),
        )
        return Conversation(
            body=body,
            model=string(body, "model"),
            messages=tuple(_messages(items, read)),
            channels=channels,
            stream=flag(body, "stream", default=False),
            error_only=bool(schemas),
        )

    def refusal(self, conversation: Conversation, text: str, stamp: Stamp) -> bytes:
        """One object; Ollama ends it with a line break."""
        content = [{"type": "text", "text": text}]
        message = self._message(conversation, stamp, content, "end_turn", output_tokens=1)
        return compact_json(message) + (b"" if self._llama_server else b"\n")

    def refusal_stream(self, conversation: Conversation, text: str, stamp: Stamp) -> Iterator[bytes]:
        """A message with one block of text, begun, filled and ended."""
        start = self._message(conversation, stamp, [], None, output_tokens=0)
        stop = {"stop_reason": "end_turn"} | self._stop_sequence()
        usage = {"output_tokens": 1} if self._llama_server else {"input_tokens": 1, "output_tokens": 1}
        yield _event("message_start", message=start)
        yield _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        yield _event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})
        yield _event("content_block_stop", index=0)
        yield _event("message_delta", delta=stop, usage=usage)
        yield _event("message_stop")

    def rewrite(self, body: JsonObject, edit: Edit) -> JsonObject:
        """See :meth:`gateway.dialects.base.Dialect.rewrite`."""
        messages = dropped(array(body, "messages"), edit.drop)
        if edit.system is None:
            return body | {"messages": messages}
        others = [item for item in messages if not (isinstance(item, dict) and item.get("role") == _SYSTEM)]
        return body | {"system": edit.system, "messages": others}

    def _message(
        self,
        conversation: Conversation,
        stamp: Stamp,
        content: list[dict[str, str]],
        stop_reason: str | None,
        *,
        output_tokens: int,
    ) -> JsonObject:
        """The message; Ollama leaves out what is not known yet, llama-server says null."""
        name = f"chatcmpl-{stamp.nonce}" if self._llama_server else f"msg_{stamp.nonce[:24]}"
        reason = {"stop_reason": stop_reason} if stop_reason or self._llama_server else {}
        cached = {"cache_read_input_tokens": 0} if self._llama_server else {}
        return {
            "id": name,
            "type": "message",
            "role": "assistant",
            "model": conversation.model,
            "content": content,
            **reason,
            **self._stop_sequence(),
            "usage": {**cached, "input_tokens": 1, "output_tokens": output_tokens},
        }

    def _stop_sequence(self) -> JsonObject:
        return {"stop_sequence": None} if self._llama_server else {}


def dialect(flavour: Flavour) -> Dialect:
    """The dialect."""
    return AnthropicMessages(flavour)


def _read(item: JsonObject, where: str) -> BlockTexts:
    content = item.get("content")
    texts = read_content(content, where)
    check_is_read(content, where)
    return texts


def _messages(items: list[JsonObject], read: list[BlockTexts]) -> Iterable[Message]:
    """Each message, after the results of tools in it: Ollama makes messages before it of those."""
    for index, (item, texts) in enumerate(zip(items, read, strict=True)):
        role = _role(item, index)
        if role == _SYSTEM:
            continue
        yield from (result.message(Speaker.TOOL, index) for result in texts.results)
        own = texts.content.with_more(_others(item, f"messages[{index}]")).message(_SPEAKERS[role], index)
        if own.texts or not texts.results:
            yield own


def _role(item: JsonObject, index: int) -> str:
    role = string(item, "role", f"messages[{index}].role")
    if role not in _SPEAKERS and role != _SYSTEM:
        raise BadRequestError(f"messages[{index}].role is unknown, wanted user or assistant")
    return role


def _others(item: JsonObject, where: str) -> Content:
    """What else is in a message: llama-server hands the whole of it to the template where its content is a string."""
    return told_beside(item, {"role", "content", "cache_control"}, where)


def _system_use(body: JsonObject, items: list[JsonObject], read: list[BlockTexts]) -> Iterable[ChannelUse]:
    """The system's texts, which are in messages, too.

    Raises:
        BadRequestError: if there is a tool's result among them: Ollama makes a tool's turn of it, whoever's it was.
    """
    contents = [text_blocks(body.get(_SYSTEM), _SYSTEM)]
    for index, (item, texts) in enumerate(zip(items, read, strict=True)):
        if item.get("role") == _SYSTEM:
            if texts.results:
                raise BadRequestError(f"messages[{index}].content has a tool's result, wanted text of the system")
            contents.append(texts.content.with_more(_others(item, f"messages[{index}]")))
    messages = (content.message(Speaker.USER) for content in contents)
    return system_use([message for message in messages if message.texts], _SYSTEM)


def _schemas(body: JsonObject) -> list[JsonObject]:
    """The demanded schemas, in either of the places that Anthropic's API has had for one.

    Raises:
        BadRequestError: if there is something else.
    """
    config = body.get("output_config")
    if config is not None and not isinstance(config, dict):
        raise BadRequestError("output_config has the wrong type, wanted an object")
    found = [place for place in (body.get("output_format"), (config or {}).get("format")) if place is not None]
    if not all(isinstance(schema, dict) for schema in found):
        raise BadRequestError("the format of the output has the wrong type, wanted an object")
    return [schema for schema in found if isinstance(schema, dict)]


def _format_use(schemas: list[JsonObject]) -> Iterable[ChannelUse]:
    for schema in schemas:
        words = {key: value for key, value in schema.items() if key != "type"}
        yield from spelt_use(Channel.FORMAT, words, "output_config")


def _event(name: str, **fields: object) -> bytes:
    return sse_frame({"type": name, **fields}, name)
