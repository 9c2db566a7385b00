"""What OpenAI's dialects share: the fields around the conversation, those of llama-server's own included."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.channels import Channel
from gateway.content import FREE_KEYS, opaque_use, string
from gateway.conversation import ChannelUse
from gateway.dialects.llama_fields import (
    FORCING_KEYS,
    forced_uses,
    search_use,
    spelt_use,
    template_kwargs_use,
    wants_grammar,
)
from gateway.dialects.openai_content import CONTENT_KEYS, call_uses, told
from gateway.errors import BadRequestError
from gateway.intake import JsonObject, KeyRules, check_spelling

_SILENT_KEYS: Final = frozenset(
    {"model", "user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "stop", "n"}
    | {"stream", "stream_options", "store", "include", "modalities", "audio", "tool_choice", "parallel_tool_calls"}
    | {"response_fields", "samplers", "dry_sequence_breakers", "encoding_format", "keep_alive", "options"}
)
"""Fields that may hold text which neither Ollama nor llama-server shows to a model."""

_CHANNEL_KEYS: Final = FORCING_KEYS | {"response_format", "tools", "functions", "lora", "_debug_render_only"}
_WRAPPER_KEYS: Final = frozenset({"type", "name", "schema", "json_schema", "strict"})
_FORMAT_TYPES: Final = frozenset({"", "text", "json_object", "json_schema"})


def openai_keys(*keys: str) -> KeyRules:
    """The key rules of a dialect with ``keys`` of its own."""
    return KeyRules(
        known=_SILENT_KEYS | _CHANNEL_KEYS | CONTENT_KEYS | {"schema", "include_usage", "logit_bias", *keys},
        free=FREE_KEYS | {"tools", "functions"},
    )


def field_uses(body: JsonObject, read: Iterable[str]) -> Iterable[ChannelUse]:
    """Every channel of a request but the conversation itself.

    llama-server copies a chat's fields to its own completion (tools/server/server-common.cpp,
    ``oaicompat_chat_params_parse``), a Responses request's to a chat: what one route reads, all do.

    Args:
        body: the request.
        read: the keys that the dialect reads itself.

    Raises:
        BadRequestError: if a field that decides what the model sees has an unexpected type.
    """
    yield from spelt_use(Channel.TOOLS, body.get("tools"), "tools")
    yield from spelt_use(Channel.TOOLS, body.get("functions"), "functions")
    yield from search_use(body)
    yield from _format_use(body)
    yield from forced_uses(body)
    yield from template_kwargs_use(body)
    # An adapter of the server's, which changes what the model is, the guard too if it lives there.
    yield from opaque_use(Channel.TEMPLATE_KWARGS, body, "lora")
    yield from opaque_use(Channel.DEBUG_RENDER, body, "_debug_render_only")
    yield from call_uses(body)
    yield from further_uses(body, {*read, *_SILENT_KEYS, *_CHANNEL_KEYS})


def wants_format(body: JsonObject) -> bool:
    """Whether the answer must be JSON or follow a grammar, which no refusal in words does."""
    return wants_grammar(body) or is_schema(body.get("response_format"), "response_format")


def is_schema(value: object, where: str) -> bool:
    """Whether a format is another one than text.

    Raises:
        BadRequestError: if it is none, or has a key in another case than it should.
    """
    if value is None:
        return False
    if not isinstance(value, dict):
        raise BadRequestError(f"{where} has the wrong type, wanted an object")
    # Around a schema, whose names are the client's own, Go reads a key in any case.
    for item in (value, value.get("json_schema")):
        if isinstance(item, dict):
            check_spelling(item, _WRAPPER_KEYS)
    # Ollama trims and lowers it; other parsers would see another type there.
    kind = string(value, "type", f"{where}.type")
    if kind not in _FORMAT_TYPES:
        raise BadRequestError(f"{where}.type is unknown, wanted text, json_object or json_schema")
    return kind not in {"", "text"}


def format_use(value: object, where: str) -> Iterable[ChannelUse]:
    """The use of a format, less its type."""
    if isinstance(value, dict):
        yield from spelt_use(Channel.FORMAT, {key: inner for key, inner in value.items() if key != "type"}, where)


def _format_use(body: JsonObject) -> Iterable[ChannelUse]:
    value = body.get("response_format")
    is_schema(value, "response_format")
    yield from format_use(value, "response_format")


def further_uses(body: JsonObject, read: Iterable[str]) -> Iterable[ChannelUse]:
    """The texts of all other fields: a newer server may show them to its model, or make it say them.

    Args:
        body: the request.
        read: the keys that are read elsewhere, or that no model sees.
    """
    known = set(read)
    for key, value in body.items():
        texts = [] if key in known else [text for text in told(value) if not _is_number(text)]
        if texts:
            yield ChannelUse(Channel.FORMAT, "a field that this gateway does not know", ("\n".join(texts),))


def _is_number(text: str) -> bool:
    """Whether it is a token id as ``logit_bias`` has them for keys."""
    return text.isascii() and text.isdigit()
