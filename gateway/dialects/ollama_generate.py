"""Ollama's ``/api/generate``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from gateway.channels import Channel
from gateway.content import array, flag, opaque_use, string, text_use
from gateway.conversation import ChannelUse, Conversation, Edit, Message, Speaker, Stamp
from gateway.dialects.base import Dialect, Flavour
from gateway.dialects.control_tokens import turn_pieces
from gateway.dialects.json_body import JsonBody
from gateway.dialects.native import NATIVE_FREE_KEYS, NATIVE_KEYS, cut_uses, final_fields, format_use, wants_format
from gateway.framing import compact_json, ndjson_line
from gateway.intake import JsonObject, KeyRules
from gateway.styles import JSON_UTF8, NDJSON


class OllamaGenerate(JsonBody):
    """A prompt in, NDJSON or one object out; streams unless told otherwise."""

    content_type = JSON_UTF8
    stream_content_type = NDJSON
    key_rules: ClassVar = KeyRules(
        known=NATIVE_KEYS | {"prompt", "suffix", "system", "template", "context", "raw", "width", "height", "steps"},
        free=NATIVE_FREE_KEYS,
    )

    def parse(self, body: JsonObject, path: str) -> Conversation:  # noqa: ARG002 -- one route
        """See :meth:`gateway.dialects.base.Dialect.parse`."""
        prompt = string(body, "prompt")
        channels = tuple(_channels(body, prompt))
        return Conversation(
            body=body,
            model=string(body, "model"),
            messages=(Message(Speaker.USER, (prompt,)),) if prompt else (),
            channels=channels,
            stream=flag(body, "stream", default=True),
            error_only=wants_format(body),
            empty_load=not prompt and not channels,
        )

    def refusal(self, conversation: Conversation, text: str, stamp: Stamp) -> bytes:
        """One object."""
        return compact_json(_object(conversation, text, stamp) | final_fields(stamp))

    def refusal_stream(self, conversation: Conversation, text: str, stamp: Stamp) -> Iterator[bytes]:
        """One line with the text, one that ends it."""
        yield ndjson_line(_object(conversation, text, stamp) | {"done": False})
        yield ndjson_line(_object(conversation, "", stamp) | final_fields(stamp))

    def rewrite(self, body: JsonObject, edit: Edit) -> JsonObject:
        """See :meth:`gateway.dialects.base.Dialect.rewrite`; a prompt has no turns that could be dropped."""
        return body if edit.system is None else body | {"system": edit.system}


def dialect(flavour: Flavour) -> Dialect:  # noqa: ARG001 -- llama-server does not speak it
    """The dialect."""
    return OllamaGenerate()


def _channels(body: JsonObject, prompt: str) -> Iterable[ChannelUse]:
    for key in ("system", "template", "suffix"):
        string(body, key)
    yield from text_use(Channel.SYSTEM, body, "system")
    yield from opaque_use(Channel.TEMPLATE, body, "template")
    if suffix := string(body, "suffix"):
        # The model fills in between, so a question may also be made of both ends.
        yield ChannelUse(Channel.SUFFIX, "suffix", (suffix, prompt + suffix))
    if array(body, "context"):
        yield ChannelUse(Channel.CONTEXT, "context")
    if array(body, "images"):
        yield ChannelUse(Channel.IMAGES, "images")
    if flag(body, "raw", default=False):
        yield ChannelUse(Channel.RAW, "raw", turn_pieces(prompt))
    yield from format_use(body)
    if prompt:
        yield from cut_uses(body)
    yield from opaque_use(Channel.DEBUG_RENDER, body, "_debug_render_only")


def _object(conversation: Conversation, text: str, stamp: Stamp) -> JsonObject:
    return {"model": conversation.model, "created_at": stamp.rfc3339, "response": text}
