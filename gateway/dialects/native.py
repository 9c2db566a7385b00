"""What Ollama's two native dialects share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.channels import Channel
from gateway.content import FREE_KEYS
from gateway.conversation import ChannelUse, Stamp
from gateway.dialects.llama_fields import spelt_use
from gateway.errors import BadRequestError
from gateway.intake import JsonObject

NATIVE_FREE_KEYS: Final = FREE_KEYS | {"tools"}

NATIVE_KEYS: Final = frozenset(
    {"model", "stream", "format", "keep_alive", "options", "think", "truncate", "shift"}
    | {"logprobs", "top_logprobs", "images", "_debug_render_only"}
)
"""Keys of both requests (ollama/api/types.go: GenerateRequest, ChatRequest)."""


def final_fields(stamp: Stamp) -> dict[str, object]:
    """The end of a last object; all six metrics at least 1, for clients that divide by them without a look."""
    elapsed = max(1, stamp.elapsed_ns)
    return {
        "done": True,
        "done_reason": "stop",
        "total_duration": elapsed,
        "load_duration": 1,
        "prompt_eval_count": 1,
        "prompt_eval_duration": elapsed,
        "eval_count": 1,
        "eval_duration": 1,
    }


def wants_format(body: JsonObject) -> bool:
    """Whether the request asks for JSON, which no refusal in words can be."""
    return body.get("format") not in (None, "", {})


def format_use(body: JsonObject) -> Iterable[ChannelUse]:
    """The text of a demanded schema.

    Raises:
        BadRequestError: if ``format`` is neither ``"json"`` nor a schema, as at Ollama.
    """
    value = body.get("format")
    if isinstance(value, dict):
        return spelt_use(Channel.FORMAT, value, "format")
    if value not in (None, "", "json"):
        raise BadRequestError('format is unusable, wanted "json" or a schema')
    return ()
