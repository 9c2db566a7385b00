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
        yield ChannelUse(Channel.SUFFIX, "input_suffix", (suffix, before + suffix))
    if files := [text for text in _files(body) if text]:
        yield ChannelUse(Channel.SUFFIX, "input_extra", tuple(dict.fromkeys((*files, "\n".join(files)))))
    if pieces := turn_pieces(before):
        yield ChannelUse(Channel.RAW, "prompt", pieces)


def _files(body: JsonObject) -> Iterable[str]:
    for index, item in enumerate(objects(body, "input_extra")):
        where = f"input_extra[{index}]"
        name, text = string(item, "filename", f"{where}.filename"), string(item, "text", f"{where}.text")
        yield "\n".join(part for part in (name, text) if part)
