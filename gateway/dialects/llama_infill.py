"""llama-server's ``/infill``: text to put between a prefix and a suffix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.channels import Channel
from gateway.content import flag, objects, string
from gateway.conversation import ChannelUse, Conversation, Message, Speaker
from gateway.dialects.base import Dialect, Flavour
from gateway.dialects.control_tokens import turn_pieces
from gateway.dialects.llama_fields import wants_grammar
from gateway.dialects.llama_native import LlamaNative, native_uses
from gateway.intake import JsonObject

_READ_KEYS: Final = frozenset({"prompt", "input_prefix", "input_suffix", "input_extra"})

_NEVER_CUT_BYTES: Final = 254
"""Of suffix and prompt: a quarter of the smallest batch of llama.cpp's presets, less two; no token is empty."""

_LEAST_CHARACTERS: Final = 32
"""Of what may be left of a text that is cut."""

_JOINED_CHARACTERS: Final = 200
"""Of what stands before a suffix that is cut: a question may be made of both ends."""


class LlamaInfill(LlamaNative):
    """What the model continues is the prefix and the prompt in one piece; the rest stands around it."""

    def parse(self, body: JsonObject, path: str) -> Conversation:  # noqa: ARG002 -- one route
        """See :meth:`gateway.dialects.base.Dialect.parse`."""
        before = tuple(text for key in ("input_prefix", "prompt") if (text := string(body, key)))
        return Conversation(
            body=body,
            model=string(body, "model"),
            messages=(Message(Speaker.USER, before),) if before else (),
            channels=(*_around(body, "".join(before)), *native_uses(body, _READ_KEYS)),
            stream=flag(body, "stream", default=False),
            error_only=wants_grammar(body),
        )


def dialect(flavour: Flavour) -> Dialect:  # noqa: ARG001 -- Ollama does not speak it
    """The dialect."""
    return LlamaInfill()


def _around(body: JsonObject, before: str) -> Iterable[ChannelUse]:
    """What stands after the gap and in further files (tools/server/server-common.cpp, ``format_prompt_infill``)."""
    if suffix := string(body, "input_suffix"):
        # The model fills in between, so a question may also be made of both ends.
        texts = (suffix, before + suffix, *_beginnings(suffix, before, string(body, "prompt")))
        yield ChannelUse(Channel.SUFFIX, "input_suffix", tuple(dict.fromkeys(texts)))
    if files := [text for text in _files(body) if text]:
        together = "\n".join(files)
        # As many of their last tokens are taken as there is room for.
        ends = (together[-size:] for size in _halves(together)) if _may_be_cut(together) else ()
        yield ChannelUse(Channel.SUFFIX, "input_extra", tuple(dict.fromkeys((*files, together, *ends))))
    if pieces := turn_pieces(before):
        yield ChannelUse(Channel.RAW, "prompt", pieces)


def _beginnings(suffix: str, before: str, prompt: str) -> Iterable[str]:
    """What may be left of a suffix: the client chooses by the length of its prompt how many of its first tokens are.

    The rest would hide them from us; at the most half of one of these is such a rest.
    """
    for size in _halves(suffix) if _may_be_cut(suffix + prompt) else ():
        yield from (suffix[:size], before[-_JOINED_CHARACTERS:] + suffix[:size])


def _may_be_cut(text: str) -> bool:
    return len(text.encode()) > _NEVER_CUT_BYTES


def _halves(text: str) -> Iterable[int]:
    """Half of its length, half of that and so on."""
    size = len(text) // 2
    while size >= _LEAST_CHARACTERS:
        yield size
        size //= 2


def _files(body: JsonObject) -> Iterable[str]:
    for index, item in enumerate(objects(body, "input_extra")):
        where = f"input_extra[{index}]"
        name, text = string(item, "filename", f"{where}.filename"), string(item, "text", f"{where}.text")
        yield "\n".join(part for part in (name, text) if part)
