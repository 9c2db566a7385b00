"""Fields that llama-server reads on several of its routes, whatever their dialect."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.channels import Channel
from gateway.content import schema_text, string, text_use
from gateway.conversation import ChannelUse, Stamp
from gateway.dialects.forced_text import grammar_text, pattern_texts
from gateway.dialects.schemas import forced_words, shown_tool_texts
from gateway.errors import BadRequestError
from gateway.intake import JsonObject

_SWITCHES: Final = frozenset({"enable_thinking", "thinking", "preserve_thinking", "clear_thinking"})
_EFFORTS: Final = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})

_FORCED_KEYS: Final = (
    "reasoning_budget_message",
    "reasoning_budget_start_tag",
    "reasoning_budget_end_tag",
    "reasoning_budget_end_tags",
    "generation_prompt",
)
"""Text that the server writes into the answer as if the model had thought it (tools/server/server-schema.cpp)."""

FORCING_KEYS: Final = frozenset(
    {*_FORCED_KEYS, "grammar", "json_schema", "chat_template_kwargs", "n_keep", "n_discard"}
)
"""Keys that :func:`forced_uses` and :func:`template_kwargs_use` look for."""

MOST_KEPT_TOKENS: Final = 8
"""Ollama's default is 4, llama-server's none."""


def forced_uses(body: JsonObject) -> Iterable[ChannelUse]:
    """What makes the model write a given text: a grammar, a schema, and what is put into its mouth or cut out of it."""
    yield from spelt_use(Channel.FORMAT, body.get("json_schema"), "json_schema")
    yield from _grammar_use(body)
    for key in _FORCED_KEYS:
        yield from text_use(Channel.PREFILL, body, key)
    # A server with --context-shift removes n_discard tokens after the first n_keep of a prompt that fills its context.
    yield from number_use(body, "n_keep", 0, MOST_KEPT_TOKENS)
    yield from number_use(body, "n_discard", 0, 0)


def number_use(numbers: JsonObject, key: str, least: int, most: int, where: str = "") -> Iterable[ChannelUse]:
    """The use of a number beyond bounds by which the client chooses what a model gets of a prompt."""
    value = numbers.get(key)
    if isinstance(value, int | float) and not least <= value <= most:
        wanted = f"{least} to {most}" if least < most else str(least)
        yield ChannelUse(Channel.CONTEXT, f"{where}{key} other than {wanted}")


def spelt_use(channel: Channel, schema: object, where: str) -> Iterable[ChannelUse]:
    """The use of ``channel`` by a schema or by tools.

    All their words are judged, those by themselves that a model is shown or made to write, and what patterns spell:
    words that no model sees, such as a schema's comments, would hide the others from us.

    Args:
        channel: which.
        schema: any JSON value.
        where: it stands, for error messages.
    """
    if schema in (None, "", {}, []):
        return
    reaching = shown_tool_texts(schema) if channel is Channel.TOOLS else forced_words(schema)
    texts = dict.fromkeys((*schema_text(schema), *reaching, *pattern_texts(schema)))
    # Also without a text: a schema decides what the model says, so its answer is not the model's own.
    yield ChannelUse(channel, where, tuple(texts))


def search_use(body: JsonObject) -> Iterable[ChannelUse]:
    """The use of a tool that Ollama runs itself, so that the model reads what it finds on the web.

    Its type decides (anthropic/anthropic.go, ``convertTool``; openai/responses.go, ``isWebSearchTool``); its key has no
    other case (:func:`gateway.dialects.schemas.shown_tool_texts`).
    """
    stack = [body.get("tools")]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            if _is_search(item.get("type")):
                yield ChannelUse(Channel.CONTEXT, "a tool that searches the web")
                return
            stack.extend(item.values())


def wants_grammar(body: JsonObject) -> bool:
    """Whether the answer must follow a grammar or a schema, which no refusal in words does."""
    return any(body.get(key) not in (None, "", {}) for key in ("grammar", "json_schema"))


def template_kwargs_use(body: JsonObject) -> Iterable[ChannelUse]:
    """The use of ``chat_template_kwargs`` for more than how long a model thinks.

    They are laid over the template's own inputs, so ``{"messages": [...]}`` there takes the place of what is judged
    (common/chat.cpp, ``extra_context``).

    Raises:
        BadRequestError: if they are no object.
    """
    kwargs = body.get("chat_template_kwargs")
    if kwargs is None:
        return ()
    if not isinstance(kwargs, dict):
        raise BadRequestError("chat_template_kwargs has the wrong type, wanted an object")
    if all(_harmless(key, value) for key, value in kwargs.items()):
        return ()
    return (ChannelUse(Channel.TEMPLATE_KWARGS, "chat_template_kwargs"),)


def timings(stamp: Stamp) -> JsonObject:
    """The timings of an answer that the guard gave: one token in and out, since clients divide by them."""
    milliseconds = max(1, stamp.elapsed_ns) / 1_000_000
    return {
        "cache_n": 0,
        "prompt_n": 1,
        "prompt_ms": milliseconds,
        "prompt_per_token_ms": milliseconds,
        "prompt_per_second": 1000 / milliseconds,
        "predicted_n": 1,
        "predicted_ms": milliseconds,
        "predicted_per_token_ms": milliseconds,
        "predicted_per_second": 1000 / milliseconds,
    }


def _grammar_use(body: JsonObject) -> Iterable[ChannelUse]:
    source = string(body, "grammar")
    if not source:
        return
    forced = grammar_text(source)
    if forced.token_ids:
        yield ChannelUse(Channel.TOKEN_PROMPT, "grammar")
    # Also without a text: it still decides what the model says, so its answer is not the model's own.
    yield ChannelUse(Channel.GRAMMAR, "grammar", forced.texts)


def _is_search(kind: object) -> bool:
    return isinstance(kind, str) and kind.strip().lower().startswith("web_search")


def _harmless(key: str, value: object) -> bool:
    if key in _SWITCHES:
        return isinstance(value, bool)
    return key == "reasoning_effort" and isinstance(value, str) and value in _EFFORTS
