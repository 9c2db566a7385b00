"""What Ollama's two native dialects share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.channels import Channel
from gateway.content import FREE_KEYS
from gateway.conversation import ChannelUse, Stamp
from gateway.dialects.llama_fields import MOST_KEPT_TOKENS, number_use, spelt_use
from gateway.errors import BadRequestError
from gateway.intake import JsonObject

LEAST_CONTEXT_TOKENS: Final = 1024
"""Of which half may be left: some window of the guard's."""

MOST_CONTEXT_TOKENS: Final = 2**31 - 1
"""Go's conversion of a larger number may be a negative one."""

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


def cut_uses(body: JsonObject) -> Iterable[ChannelUse]:
    """The use of options by which the client chooses what Ollama leaves out of a prompt that does not fit its context.

    It keeps the first ``num_keep`` tokens and the last ones (server/prompt.go, runner); what was judged as one text, or
    after another, might reach the model as a part of it.
    """
    options = body.get("options")
    if not isinstance(options, dict):
        return
    yield from number_use(options, "num_ctx", LEAST_CONTEXT_TOKENS, MOST_CONTEXT_TOKENS, "options.")
    # Below zero it keeps all that there is room for.
    yield from number_use(options, "num_keep", 0, MOST_KEPT_TOKENS, "options.")


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
