"""What OpenAI's dialects share: how their answers are dressed, in either server's spelling."""

from __future__ import annotations

from typing import Final

from gateway.content import flag
from gateway.conversation import Conversation, Stamp
from gateway.dialects.base import Flavour
from gateway.errors import BadRequestError
from gateway.framing import compact_json
from gateway.intake import JsonObject
from gateway.styles import JSON, JSON_UTF8

MAX_CHOICES: Final = 128

ZERO_USAGE: Final = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
USAGE: Final = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
"""At least 1, for clients that divide by them."""

FINGERPRINTS: Final = {Flavour.OLLAMA: "fp_ollama", Flavour.LLAMA_SERVER: "fp_startrek_guard"}


def whole_type(flavour: Flavour) -> str:
    """The content type of a whole answer."""
    return JSON if flavour is Flavour.OLLAMA else JSON_UTF8


def whole(flavour: Flavour, value: JsonObject) -> bytes:
    """A whole answer; Go's encoder ends it with a line end."""
    return compact_json(value) + (b"\n" if flavour is Flavour.OLLAMA else b"")


def head(conversation: Conversation, flavour: Flavour, prefix: str, kind: str, stamp: Stamp) -> JsonObject:
    """The fields that every object of an answer begins with.

    Args:
        conversation: the request.
        flavour: whose spelling.
        prefix: of the id.
        kind: ``object``.
        stamp: of the answer.
    """
    return {
        "id": f"{prefix}-{stamp.nonce}",
        "object": kind,
        "created": stamp.unix,
        "model": conversation.model,
        "system_fingerprint": FINGERPRINTS[flavour],
    }


def check_stream_options(body: JsonObject) -> None:
    """Check what :func:`include_usage` reads.

    Raises:
        BadRequestError: if it has the wrong type.
    """
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise BadRequestError("stream_options has the wrong type, wanted an object")
    flag(options or {}, "include_usage", default=False)


def include_usage(body: JsonObject) -> bool:
    """Whether a stream is to end with the token counts."""
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def choice_count(body: JsonObject) -> int:
    """How many answers are asked for with ``n``.

    Raises:
        BadRequestError: if it is no number of answers.
    """
    value = body.get("n")
    if value is None:
        return 1
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_CHOICES:
        raise BadRequestError(f"n is unusable, wanted 1 to {MAX_CHOICES}")
    return value
