"""llama-server's ``/completion`` and ``/completions``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.channels import Channel
from gateway.content import array, flag, string
from gateway.conversation import ChannelUse, Conversation, Message, Speaker
from gateway.dialects.base import Dialect, Flavour
from gateway.dialects.control_tokens import turn_pieces
from gateway.dialects.llama_fields import wants_grammar
from gateway.dialects.llama_native import LlamaNative, native_uses
from gateway.errors import BadRequestError
from gateway.intake import JsonObject


class LlamaCompletion(LlamaNative):
    """One prompt or several in; an answer to several is an array, which no refusal is."""

    def parse(self, body: JsonObject, path: str) -> Conversation:  # noqa: ARG002 -- both routes are one
        """See :meth:`gateway.dialects.base.Dialect.parse`."""
        prompts = _prompts(body.get("prompt"))
        return Conversation(
            body=body,
            model=string(body, "model"),
            messages=tuple(Message(Speaker.USER, prompt.parts) for prompt in prompts if prompt.parts),
            channels=(*_prompt_uses(prompts), *native_uses(body)),
            stream=flag(body, "stream", default=False),
            error_only=len(prompts) > 1 or wants_grammar(body),
        )


def dialect(flavour: Flavour) -> Dialect:  # noqa: ARG001 -- Ollama does not speak it
    """The dialect."""
    return LlamaCompletion()


@dataclass(frozen=True, slots=True)
class _Prompt:
    """One prompt.

    Attributes:
        parts: its texts in order.
        token_ids: whether it has tokens by their ids, which can't be read without the model's vocabulary.
        media: whether it brings images or sound.
    """

    parts: tuple[str, ...] = ()
    token_ids: bool = False
    media: bool = False


def _prompts(value: object) -> list[_Prompt]:
    """Every prompt of a request (tools/server/server-common.cpp, ``tokenize_input_prompts``).

    An array with a number in it is one prompt, any other array has a prompt in each item.

    Raises:
        BadRequestError: if there is something else in it.
    """
    if value is None:
        return []
    if isinstance(value, list) and not any(_is_token_id(item) for item in value):
        return [_prompt(item) for item in value]
    return [_prompt(value)]


def _prompt(value: object) -> _Prompt:
    if isinstance(value, str):
        return _Prompt((value,) if value else ())
    if isinstance(value, list):
        return _mixed(value)
    if isinstance(value, dict) and "prompt_string" in value:
        inner = value["prompt_string"]
        if not isinstance(inner, str | list):
            raise BadRequestError("prompt_string has the wrong type, wanted a string")
        read = _prompt(inner)
        return _Prompt(read.parts, read.token_ids, bool(array(value, "multimodal_data")))
    raise BadRequestError("prompt has the wrong type, wanted a string, an array or an object with prompt_string")


def _mixed(items: Sequence[object]) -> _Prompt:
    """Texts and token ids in one array."""
    if not all(isinstance(item, str) or _is_token_id(item) for item in items):
        raise BadRequestError("prompt has an array of other things than strings and token ids")
    texts = tuple(item for item in items if isinstance(item, str) and item)
    return _Prompt(texts, token_ids=any(_is_token_id(item) for item in items))


def _is_token_id(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _prompt_uses(prompts: Sequence[_Prompt]) -> Iterable[ChannelUse]:
    if any(prompt.token_ids for prompt in prompts):
        yield ChannelUse(Channel.TOKEN_PROMPT, "prompt")
    if any(prompt.media for prompt in prompts):
        # Either: the server tells pictures from sound by the bytes.
        yield ChannelUse(Channel.IMAGES, "multimodal_data")
        yield ChannelUse(Channel.AUDIO, "multimodal_data")
    texts = ["".join(prompt.parts) for prompt in prompts]
    pieces = [piece for text in texts for piece in turn_pieces(text)]
    # Each of several prompts is answered by itself, so none may hide among the others.
    alone = texts if len(prompts) > 1 else []
    if raw := tuple(dict.fromkeys(text for text in (*alone, *pieces) if text)):
        yield ChannelUse(Channel.RAW, "prompt", raw)
