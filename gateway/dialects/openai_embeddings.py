"""OpenAI's ``/v1/embeddings``, by Ollama and by llama-server, whose own ``/embedding`` it also is."""

from __future__ import annotations

from typing import ClassVar

from gateway.channels import Channel
from gateway.content import string
from gateway.conversation import ChannelUse, Conversation
from gateway.dialects.base import Dialect, Flavour
from gateway.dialects.numbers_only import NumbersOnly
from gateway.dialects.openai_fields import openai_keys
from gateway.dialects.prompt_forms import opaque_prompt_uses, read_prompts
from gateway.intake import JsonObject


class OpenAiEmbeddings(NumbersOnly):
    """Texts in, vectors out."""

    key_rules: ClassVar = openai_keys("prompt_string", "multimodal_data", "dimensions")

    def parse(self, body: JsonObject, path: str) -> Conversation:  # noqa: ARG002 -- all its routes are one
        """See :meth:`gateway.dialects.base.Dialect.parse`.

        llama-server reads ``content`` where there is no ``input`` (tools/server/server-context.cpp,
        ``handle_embeddings_impl``); both are read here. Token ids are no text, so they are denied like a prompt's.
        """
        forms = {key: read_prompts(body.get(key), key) for key in ("input", "content")}
        texts = {key: tuple(prompt.text for prompt in prompts if prompt.text) for key, prompts in forms.items()}
        return Conversation(
            body=body,
            model=string(body, "model"),
            messages=(),
            channels=(
                *(ChannelUse(Channel.EMBEDDINGS, key, found) for key, found in texts.items() if found),
                *(use for key, prompts in forms.items() for use in opaque_prompt_uses(prompts, key)),
            ),
            error_only=True,
        )


def dialect(flavour: Flavour) -> Dialect:  # noqa: ARG001 -- both servers' errors are written elsewhere
    """The dialect."""
    return OpenAiEmbeddings()
