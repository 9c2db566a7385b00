"""llama-server's ``/rerank`` and its aliases: documents in the order of how well they answer a query."""

from __future__ import annotations

from typing import ClassVar

from gateway.channels import Channel
from gateway.content import FREE_KEYS, string
from gateway.conversation import ChannelUse, Conversation
from gateway.dialects.base import Dialect, Flavour
from gateway.dialects.numbers_only import NumbersOnly, texts_at
from gateway.intake import JsonObject, KeyRules


class LlamaRerank(NumbersOnly):
    """Jina's ``documents`` or TEI's ``texts``; the server takes one where the other is unusable, so both are read."""

    key_rules: ClassVar = KeyRules(
        known=frozenset({"model", "query", "documents", "texts", "top_n", "return_text"}), free=FREE_KEYS
    )

    def parse(self, body: JsonObject, path: str) -> Conversation:  # noqa: ARG002 -- all routes are one
        """See :meth:`gateway.dialects.base.Dialect.parse`."""
        texts = {
            "query": tuple(text for text in (string(body, "query"),) if text),
            "documents": texts_at(body, "documents"),
            "texts": texts_at(body, "texts"),
        }
        return Conversation(
            body=body,
            model=string(body, "model"),
            messages=(),
            channels=tuple(ChannelUse(Channel.EMBEDDINGS, where, found) for where, found in texts.items() if found),
            error_only=True,
        )


def dialect(flavour: Flavour) -> Dialect:  # noqa: ARG001 -- Ollama does not speak it
    """The dialect."""
    return LlamaRerank()
