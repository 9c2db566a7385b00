"""What the model reads: ChatML, in which only this module writes control tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

DEFAULT_SYSTEM: Final = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
"""The template in the model's own file says so where a conversation has no system message."""

TEMPLATE: Final = (
    "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
)
"""The same template in Go's language, as ``/api/show`` shows it."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: in lower case; an unknown one is written as it is, as Ollama does.
        content: its text.
    """

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a prompt.

    Attributes:
        text: to be tokenised.
        control: whether control tokens may be read out of the text. Never so for what a user wrote in a chat,
            so that nothing typed can close a turn and open another.
    """

    text: str
    control: bool = False


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model continues.

    Attributes:
        segments: in their order.
        context: token ids before them, from an earlier answer.
    """

    segments: tuple[Segment, ...]
    context: tuple[int, ...] = ()


_START: Final = Segment("<|im_start|>", control=True)
_END: Final = (Segment("<|im_end|>", control=True), Segment("\n"))


def chat_prompt(messages: Iterable[Message], context: tuple[int, ...] = ()) -> Prompt:
    """A conversation that the assistant goes on with; a last message of the assistant is continued.

    Args:
        messages: at least one.
        context: token ids of an earlier prompt and its answer; they end inside the assistant's turn.
    """
    turns = list(messages)
    segments: list[Segment] = list(_END) if context else []
    if not context and turns[0].role != "system":
        turns.insert(0, Message("system", DEFAULT_SYSTEM))
    *before, last = turns
    for turn in before:
        segments += [_START, Segment(f"{turn.role}\n{turn.content}"), *_END]
    segments += [_START, Segment(f"{last.role}\n{last.content}")]
    if last.role != "assistant":
        segments += [*_END, _START, Segment("assistant\n")]
    return Prompt(tuple(segments), context)


def raw_prompt(text: str) -> Prompt:
    """A prompt without a template, which brings its own control tokens."""
    return Prompt((Segment(text, control=True),))
