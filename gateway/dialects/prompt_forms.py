"""Every form that a prompt takes in a completion or an embedding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gateway.channels import Channel
from gateway.content import array
from gateway.conversation import ChannelUse
from gateway.dialects.control_tokens import turn_pieces
from gateway.errors import BadRequestError

MAX_PROMPTS: Final = 256
"""To answer in one request. Each costs verdicts and a choice of the refusal, and two bytes of the body."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt.

    Attributes:
        parts: its texts in order, without empty ones.
        token_ids: whether it has tokens by their ids, which can't be read without the model's vocabulary.
        media: whether it brings images or sound.
    """

    parts: tuple[str, ...] = ()
    token_ids: bool = False
    media: bool = False

    @property
    def text(self) -> str:
        """What can be read of it."""
        return "".join(self.parts)


def read_prompts(value: object, where: str) -> list[Prompt]:
    """Every prompt of a request (llama.cpp tools/server/server-common.cpp, ``tokenize_input_prompts``).

    An array with a number in it is one prompt, any other array has a prompt in each item.

    Args:
        value: what the request has at ``where``.
        where: the key, for error messages.

    Raises:
        BadRequestError: if there is something else in it.
    """
    if value is None:
        return []
    if isinstance(value, list) and not any(_is_token_id(item) for item in value):
        return [_prompt(item, where) for item in value]
    return [_prompt(value, where)]


def read_asked_prompts(value: object, where: str) -> list[Prompt]:
    """Every prompt of a request that is answered in words, one answer each.

    Args:
        value: what the request has at ``where``.
        where: the key, for error messages.

    Raises:
        BadRequestError: if there are too many, or there is something else in it.
    """
    if prompt_count(value) > MAX_PROMPTS:
        raise BadRequestError(f"{where} has too many prompts, wanted {MAX_PROMPTS} at the most")
    return read_prompts(value, where)


def prompt_count(value: object) -> int:
    """How many prompts :func:`read_prompts` reads."""
    if value is None:
        return 0
    return len(value) if isinstance(value, list) and not any(_is_token_id(item) for item in value) else 1


def opaque_prompt_uses(prompts: Sequence[Prompt], where: str) -> Iterable[ChannelUse]:
    """The parts of prompts that can't be read."""
    if any(prompt.token_ids for prompt in prompts):
        yield ChannelUse(Channel.TOKEN_PROMPT, where)
    if any(prompt.media for prompt in prompts):
        # Either: the server tells pictures from sound by the bytes.
        yield ChannelUse(Channel.IMAGES, "multimodal_data")
        yield ChannelUse(Channel.AUDIO, "multimodal_data")


def raw_prompt_use(prompts: Sequence[Prompt], where: str) -> Iterable[ChannelUse]:
    """The texts of prompts that could be turns of their own, beside all of them as one."""
    texts = [prompt.text for prompt in prompts]
    pieces = [piece for text in texts for piece in turn_pieces(text)]
    # Each of several prompts is answered by itself, so none may hide among the others.
    alone = texts if len(prompts) > 1 else []
    if raw := tuple(dict.fromkeys(text for text in (*alone, *pieces) if text)):
        yield ChannelUse(Channel.RAW, where, raw)


def _prompt(value: object, where: str) -> Prompt:
    if isinstance(value, str):
        return Prompt((value,) if value else ())
    if isinstance(value, list):
        return _mixed(value, where)
    if isinstance(value, dict) and isinstance(inner := value.get("prompt_string"), str | list):
        return replace(_prompt(inner, where), media=bool(array(value, "multimodal_data")))
    raise BadRequestError(f"{where} has the wrong type, wanted a string, an array or an object with prompt_string")


def _mixed(items: Sequence[object], where: str) -> Prompt:
    """Texts and token ids in one array."""
    if not all(isinstance(item, str) or _is_token_id(item) for item in items):
        raise BadRequestError(f"{where} has an array of other things than strings and token ids")
    texts = tuple(item for item in items if isinstance(item, str) and item)
    return Prompt(texts, token_ids=any(_is_token_id(item) for item in items))


def _is_token_id(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
