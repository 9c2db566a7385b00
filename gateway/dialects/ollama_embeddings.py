"""Ollama's ``/api/embed`` and its older ``/api/embeddings``."""

from __future__ import annotations

from typing import ClassVar, Final

from gateway.channels import Channel
from gateway.content import FREE_KEYS, string
from gateway.conversation import ChannelUse, Conversation
from gateway.dialects.base import Dialect, Flavour
from gateway.dialects.numbers_only import NumbersOnly, texts_at
from gateway.intake import JsonObject, KeyRules

_OLDER_PATH: Final = "/api/embeddings"


class OllamaEmbeddings(NumbersOnly):
    """Text in, vectors out."""

    key_rules: ClassVar = KeyRules(
        known=frozenset({"model", "input", "prompt", "truncate", "dimensions", "options", "keep_alive"}),
        free=FREE_KEYS,
    )

    def parse(self, body: JsonObject, path: str) -> Conversation:
        """See :meth:`gateway.dialects.base.Dialect.parse`; each route reads a key of its own (ollama/api/types.go)."""
        if path == _OLDER_PATH:
            where, texts = "prompt", tuple(text for text in (string(body, "prompt"),) if text)
        else:
            where, texts = "input", texts_at(body, "input")
        return Conversation(
            body=body,
            model=string(body, "model"),
            messages=(),
            channels=(ChannelUse(Channel.EMBEDDINGS, where, texts),) if texts else (),
            error_only=True,
        )


def dialect(flavour: Flavour) -> Dialect:  # noqa: ARG001 -- llama-server does not speak it
    """The dialect."""
    return OllamaEmbeddings()
