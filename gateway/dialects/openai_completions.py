"""OpenAI's older ``/v1/completions``, by Ollama and by llama-server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Final

from gateway.channels import Channel
from gateway.content import flag, string
from gateway.conversation import ChannelUse, Conversation, Edit, Message, Speaker, Stamp
from gateway.dialects.base import Dialect, Flavour
from gateway.dialects.json_body import JsonBody
from gateway.dialects.llama_fields import timings
from gateway.dialects.openai_answer import (
    USAGE,
    ZERO_USAGE,
    check_stream_options,
    choice_count,
    head,
    include_usage,
    whole,
    whole_type,
)
from gateway.dialects.openai_fields import field_uses, openai_keys, wants_format
from gateway.dialects.prompt_forms import (
    Prompt,
    opaque_prompt_uses,
    prompt_count,
    raw_prompt_use,
    read_asked_prompts,
)
from gateway.errors import BadRequestError
from gateway.framing import sse_frame
from gateway.intake import JsonObject
from gateway.styles import SSE

MAX_ANSWERS: Final = 256
"""To one request: each is a choice of the refusal, which a short body must not blow up."""


class OpenAiCompletions(JsonBody):
    """A prompt in, llama-server: several; server-sent events or one object out.

    Args:
        flavour: whose answers.
    """

    stream_content_type = SSE
    key_rules: ClassVar = openai_keys("prompt", "prompt_string", "multimodal_data", "suffix", "echo", "best_of")

    def __init__(self, flavour: Flavour) -> None:
        self._flavour = flavour
        self.content_type = whole_type(flavour)

    def parse(self, body: JsonObject, path: str) -> Conversation:  # noqa: ARG002 -- all its routes are one
        """See :meth:`gateway.dialects.base.Dialect.parse`.

        Ollama takes a single string and answers anything else with an error of its own.
        """
        check_stream_options(body)
        prompts = read_asked_prompts(body.get("prompt"), "prompt")
        if _answer_count(body) > MAX_ANSWERS:
            raise BadRequestError(f"prompt and n ask for too many answers, wanted {MAX_ANSWERS} at the most")
        channels = (
            *opaque_prompt_uses(prompts, "prompt"),
            *raw_prompt_use(prompts, "prompt"),
            *_suffix_use(body, prompts),
            *field_uses(body, {"prompt", "suffix"}),
        )
        return Conversation(
            body=body,
            model=string(body, "model"),
            messages=tuple(Message(Speaker.USER, prompt.parts) for prompt in prompts if prompt.parts),
            channels=channels,
            stream=flag(body, "stream", default=False),
            error_only=wants_format(body),
        )

    def refusal(self, conversation: Conversation, text: str, stamp: Stamp) -> bytes:
        """One object."""
        value = head(conversation, self._flavour, "cmpl", "text_completion", stamp)
        choices = [self._choice(index, text, "stop") for index in self._indices(conversation)]
        return whole(self._flavour, value | {"choices": choices, "usage": USAGE} | self._timings(stamp))

    def refusal_stream(self, conversation: Conversation, text: str, stamp: Stamp) -> Iterator[bytes]:
        """The text and the end of each choice, the token counts, and ``[DONE]``."""
        value = head(conversation, self._flavour, "cmpl", "text_completion", stamp)
        with_usage = include_usage(conversation.body)
        indices = self._indices(conversation)
        begun = value | self._chunk_usage(with_usage)
        for index in indices:
            yield sse_frame(begun | {"choices": [self._choice(index, text, None)]})
        for index in indices:
            end = begun | {"choices": [self._choice(index, "", "stop")]}
            yield sse_frame(end | self._last_fields(stamp) if index == indices[-1] else end)
        if with_usage and self._flavour is Flavour.OLLAMA:
            yield sse_frame(value | {"choices": [], "usage": USAGE})
        yield sse_frame("[DONE]")

    def rewrite(self, body: JsonObject, edit: Edit) -> JsonObject:  # noqa: ARG002 -- nothing to edit
        """The same body: a prompt has no turns that could be dropped and no place for a system text."""
        return body

    def _indices(self, conversation: Conversation) -> range:
        """llama-server answers each prompt, and each as often as asked for; Ollama has one answer."""
        return range(1 if self._flavour is Flavour.OLLAMA else _answer_count(conversation.body))

    def _choice(self, index: int, text: str, finish_reason: str | None) -> JsonObject:
        choice: JsonObject = {"text": text, "index": index, "finish_reason": finish_reason}
        return choice if self._flavour is Flavour.OLLAMA else choice | {"logprobs": None}

    def _chunk_usage(self, with_usage: bool) -> JsonObject:
        """Ollama puts a usage of zeros into every chunk if one is asked for."""
        return {"usage": ZERO_USAGE} if with_usage and self._flavour is Flavour.OLLAMA else {}

    def _last_fields(self, stamp: Stamp) -> JsonObject:
        """llama-server puts the usage into the last chunk, asked for or not."""
        return {} if self._flavour is Flavour.OLLAMA else {"usage": USAGE} | self._timings(stamp)

    def _timings(self, stamp: Stamp) -> JsonObject:
        return {} if self._flavour is Flavour.OLLAMA else {"timings": timings(stamp)}


def dialect(flavour: Flavour) -> Dialect:
    """The dialect."""
    return OpenAiCompletions(flavour)


def _answer_count(body: JsonObject) -> int:
    return max(1, prompt_count(body.get("prompt"))) * choice_count(body)


def _suffix_use(body: JsonObject, prompts: Sequence[Prompt]) -> Iterable[ChannelUse]:
    """The model fills in between, so a question may also be made of both ends.

    Only Ollama fills in, and it takes one prompt: the ends of several with one suffix would be copies of it.

    Raises:
        BadRequestError: if there are several prompts.
    """
    suffix = string(body, "suffix")
    if not suffix:
        return
    if len(prompts) > 1:
        raise BadRequestError("suffix does not go with several prompts, wanted one")
    texts = (suffix, *(prompt.text + suffix for prompt in prompts))
    yield ChannelUse(Channel.SUFFIX, "suffix", tuple(dict.fromkeys(texts)))
