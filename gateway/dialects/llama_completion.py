"""llama-server's ``/completion`` and ``/completions``."""

from __future__ import annotations

from gateway.content import flag, string
from gateway.conversation import Conversation, Message, Speaker
from gateway.dialects.base import Dialect, Flavour
from gateway.dialects.llama_fields import wants_grammar
from gateway.dialects.llama_native import LlamaNative, native_uses
from gateway.dialects.prompt_forms import opaque_prompt_uses, raw_prompt_use, read_asked_prompts
from gateway.intake import JsonObject


class LlamaCompletion(LlamaNative):
    """One prompt or several in; an answer to several is an array, which no refusal is."""

    def parse(self, body: JsonObject, path: str) -> Conversation:  # noqa: ARG002 -- both routes are one
        """See :meth:`gateway.dialects.base.Dialect.parse`."""
        prompts = read_asked_prompts(body.get("prompt"), "prompt")
        return Conversation(
            body=body,
            model=string(body, "model"),
            messages=tuple(Message(Speaker.USER, prompt.parts) for prompt in prompts if prompt.parts),
            channels=(
                *opaque_prompt_uses(prompts, "prompt"),
                *raw_prompt_use(prompts, "prompt"),
                *native_uses(body, {"prompt"}),
            ),
            stream=flag(body, "stream", default=False),
            error_only=len(prompts) > 1 or wants_grammar(body),
        )


def dialect(flavour: Flavour) -> Dialect:  # noqa: ARG001 -- Ollama does not speak it
    """The dialect."""
    return LlamaCompletion()
