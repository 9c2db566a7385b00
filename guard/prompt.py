"""The text that the model reads: one source for training, export and judging.

``<prefix> earlier turn <turn> earlier turn <turn> last user turn <suffix>``, where the three marks are single
control tokens of the base model. Earlier turns alternate user and assistant, so their place says who spoke.
A fine-tuned model needs no instructions, and each token costs time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from guard.gaps import after_gaps
from guard.normalise import normalise, without_concealed, written_above
from guard.windows import clip_utf8, split_windows

PROMPT_VERSION: Final = 1
"""Raised whenever texts that a guard learns from are rendered otherwise: a guard trained on another version is refused.
Undoing one more disguise, which none of them has, does not raise it."""

MAX_CONTEXT_TURNS: Final = 6
"""Earlier turns that are read before the last one."""

MAX_EARLIER_TURNS: Final = 4 * MAX_CONTEXT_TURNS
"""Of which those are taken: neighbours of one side are joined first."""

MAX_CONTEXT_USER_BYTES: Final = 300
MAX_CONTEXT_ASSISTANT_BYTES: Final = 160
"""What is read of an earlier turn. Nothing escapes by this: each earlier user turn is judged in full on its own."""

WINDOW_BYTES: Final = 2000
WINDOW_OVERLAP_BYTES: Final = 300
"""A longer last turn is read in overlapping windows. A byte is at least a share of a token, so bytes bound tokens."""

MAX_PROMPT_BYTES: Final = (
    WINDOW_BYTES + (MAX_CONTEXT_TURNS // 2) * (MAX_CONTEXT_USER_BYTES + MAX_CONTEXT_ASSISTANT_BYTES) + 256
)
"""No rendered prompt is longer, its marks included; so no prompt has more tokens than this."""


class Role(StrEnum):
    """Who spoke."""

    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation, text as typed."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """The base model's marks, each the text of one control token."""

    prefix: str
    turn: str
    suffix: str

    def render(self, texts: Sequence[str]) -> str:
        """The prompt for normalised ``texts``, the judged one last."""
        return self.prefix + self.turn.join(texts) + self.suffix


def prompt_texts(turns: Sequence[Turn]) -> list[list[str]]:
    """The normalised texts of every prompt that judges the last turn: one list a window, the judged text last.

    An empty last turn gives one prompt with an empty text. The last turn must be the user's.

    Raises:
        ValueError: if there is no turn, the last is not the user's, or a text is not well-formed Unicode.
    """
    return _windows(turns, normalise(_judged(turns)))


def render_prompts(turns: Sequence[Turn], template: PromptTemplate) -> list[str]:
    """The rendered prompts that judge the last turn; see :func:`prompt_texts`.

    A last turn in which characters conceal others is read without them, too; and by themselves, what is written above
    its letters, and what follows a wide gap: a server may drop the beginning of what does not fit its model's context.
    """
    text = _judged(turns)
    whole = normalise(text)
    plain = without_concealed(text)
    readings = [whole, *after_gaps(text, whole)]
    if plain != text:
        open_whole = normalise(plain)
        readings += [open_whole, *after_gaps(plain, open_whole), normalise(written_above(text))]
    kept = [reading for reading in dict.fromkeys(readings) if reading or not whole]
    return [template.render(texts) for reading in kept for texts in _windows(turns, reading)]


def _judged(turns: Sequence[Turn]) -> str:
    if not turns or turns[-1].role is not Role.USER:
        raise ValueError("the last turn of a conversation to judge must be the user's")
    return turns[-1].text


def _windows(turns: Sequence[Turn], judged: str) -> list[list[str]]:
    context = _context(turns[:-1])
    windows = split_windows(judged, WINDOW_BYTES, WINDOW_OVERLAP_BYTES)
    return [[*context, window] for window in windows]


def _context(earlier: Sequence[Turn]) -> list[str]:
    """The bounded window of earlier turns, strictly user, assistant, user, assistant."""
    merged: list[Turn] = []
    for turn in earlier[-MAX_EARLIER_TURNS:]:
        if merged and merged[-1].role is turn.role:
            merged[-1] = Turn(turn.role, f"{merged[-1].text}\n{turn.text}")
        else:
            merged.append(turn)
    if merged and merged[-1].role is Role.USER:
        merged.append(Turn(Role.ASSISTANT, ""))
    if merged and merged[0].role is Role.ASSISTANT:
        merged.insert(0, Turn(Role.USER, ""))
    return [_clip(turn) for turn in merged[-MAX_CONTEXT_TURNS:]]


def _clip(turn: Turn) -> str:
    limit = MAX_CONTEXT_USER_BYTES if turn.role is Role.USER else MAX_CONTEXT_ASSISTANT_BYTES
    # Normalising is linear but not free: no more of an old turn is looked at than can matter.
    return clip_utf8(normalise(turn.text[: 4 * limit]), limit)
