"""Ollama's ``/api/chat``, which a llama-server serves as well: as OpenAI's chat, whose fields it reads there.

Nobody tells us which of them is behind, so every request is read as both would: what Ollama ignores is judged too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Final

from gateway.channels import Channel
from gateway.content import array, dropped, flag, objects, string
from gateway.conversation import ChannelUse, Conversation, Edit, Message, Speaker, Stamp, system_use
from gateway.dialects.base import Dialect, Flavour
from gateway.dialects.json_body import JsonBody
from gateway.dialects.native import NATIVE_FREE_KEYS, NATIVE_KEYS, cut_uses, final_fields, format_use, wants_format
from gateway.dialects.openai_content import Content, told_beside
from gateway.dialects.openai_fields import field_uses
from gateway.dialects.openai_fields import wants_format as wants_openai_format
from gateway.errors import BadRequestError
from gateway.framing import compact_json, ndjson_line
from gateway.intake import JsonObject, KeyRules
from gateway.styles import JSON_UTF8, NDJSON

_SPEAKERS: Final = {
    "user": Speaker.USER,
    "assistant": Speaker.ASSISTANT,
    "tool": Speaker.TOOL,
    "function": Speaker.TOOL,
}
_SYSTEM_ROLES: Final = frozenset({"system", "developer"})

_TEXT_KEYS: Final = ("content", "thinking", "tool_name")

_LOAD_KEYS: Final = frozenset({"model", "messages", "keep_alive", "stream", "options", "format", "think", "tools"})
"""All that a request to load or unload a model has, in any client; other keys could bring a text from elsewhere."""


class OllamaChat(JsonBody):
    """Messages in, NDJSON or one object out; streams unless told otherwise."""

    content_type = JSON_UTF8
    stream_content_type = NDJSON
    key_rules: ClassVar = KeyRules(
        known=NATIVE_KEYS
        | {"messages", "tools", "role", "content", "thinking", "tool_calls", "tool_name", "tool_call_id"}
        | {"function", "name", "arguments", "index", "id"},
        free=NATIVE_FREE_KEYS,
    )

    def parse(self, body: JsonObject, path: str) -> Conversation:  # noqa: ARG002 -- one route
        """See :meth:`gateway.dialects.base.Dialect.parse`."""
        items = objects(body, "messages")
        roles = [_role(item, index) for index, item in enumerate(items)]
        messages = tuple(
            _message(item, _SPEAKERS[role], index)
            for index, (item, role) in enumerate(zip(items, roles, strict=True))
            if role not in _SYSTEM_ROLES
        )
        system = [
            _message(item, Speaker.USER, index)
            for index, (item, role) in enumerate(zip(items, roles, strict=True))
            if role in _SYSTEM_ROLES
        ]
        channels = (
            *system_use(system, "messages"),
            *_images(items),
            *format_use(body),
            *(cut_uses(body) if items else ()),
            *field_uses(body, {"messages", "format"}),
        )
        return Conversation(
            body=body,
            model=string(body, "model"),
            messages=messages,
            channels=channels,
            stream=flag(body, "stream", default=True),
            error_only=wants_format(body) or wants_openai_format(body),
            empty_load=not items and not channels and body.keys() <= _LOAD_KEYS,
        )

    def refusal(self, conversation: Conversation, text: str, stamp: Stamp) -> bytes:
        """One object."""
        return compact_json(_object(conversation, text, stamp) | final_fields(stamp))

    def refusal_stream(self, conversation: Conversation, text: str, stamp: Stamp) -> Iterator[bytes]:
        """One line with the text, one that ends it."""
        yield ndjson_line(_object(conversation, text, stamp) | {"done": False})
        yield ndjson_line(_object(conversation, "", stamp) | final_fields(stamp))

    def rewrite(self, body: JsonObject, edit: Edit) -> JsonObject:
        """See :meth:`gateway.dialects.base.Dialect.rewrite`."""
        messages = dropped(array(body, "messages"), edit.drop)
        if edit.system is not None:
            others = [item for item in messages if isinstance(item, dict) and _role(item, 0) not in _SYSTEM_ROLES]
            messages = [{"role": "system", "content": edit.system}, *others]
        return body | {"messages": messages}


def dialect(flavour: Flavour) -> Dialect:  # noqa: ARG001 -- llama-server does not speak it
    """The dialect."""
    return OllamaChat()


def _role(item: JsonObject, index: int) -> str:
    """The role as Ollama reads it, which lowers its case; other templates than Ollama's see an unknown role there."""
    role = string(item, "role", f"messages[{index}].role")
    lowered = role.lower() if role.isascii() else role
    if lowered not in _SPEAKERS and lowered not in _SYSTEM_ROLES:
        raise BadRequestError(f"messages[{index}].role is unknown, wanted system, user, assistant or tool")
    return lowered


def _message(item: JsonObject, speaker: Speaker, index: int) -> Message:
    """All that a template may write of a message: also what it thought, the tools it called, names and ids."""
    where = f"messages[{index}]"
    said, *others = (string(item, key, f"{where}.{key}") for key in _TEXT_KEYS)
    content = Content((said,) if said else (), beside=tuple(text for text in others if text))
    return content.with_more(told_beside(item, {"role", "images", *_TEXT_KEYS}, where)).message(speaker, index)


def _images(items: list[JsonObject]) -> Iterable[ChannelUse]:
    for index, item in enumerate(items):
        if array(item, "images", f"messages[{index}].images"):
            yield ChannelUse(Channel.IMAGES, f"messages[{index}].images")


def _object(conversation: Conversation, text: str, stamp: Stamp) -> JsonObject:
    message = {"role": "assistant", "content": text}
    return {"model": conversation.model, "created_at": stamp.rfc3339, "message": message}
