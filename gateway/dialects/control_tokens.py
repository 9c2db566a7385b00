"""What templates put between turns, in prompts that no template is laid around, and in texts of those that one is."""

from __future__ import annotations

import re
from typing import Final

# Mistral's, EXAONE's, MiniMax's, Pangu's. Every repetition is bounded, so none costs more than its own length.
_BRACKETED: Final = (
    r"\[/?(?:INST|SYS[A-Z_]{0,40}|AVAILABLE_TOOLS|TOOL_(?:CALLS|RESULTS|CONTENT))\]"
    r"|\[\|[^|\[\]\s]{1,40}\|\]|\]~!?b[\[\]]|\[e~\[|\[unused\d{1,4}\]|\[UNUSED_TOKEN_\d{1,4}\]"
    # Templates cut an earlier answer at the end of what was thought.
    "|\\[/?THINK\\]|\u25c1/?think\u25b7"
)

_CONTROL_TOKEN: Final = re.compile(r"<[|/\uff5c]?[^<>\s]{1,40}[|\uff5c]?>|" + _BRACKETED)
"""Those of the common templates; a piece between two of them may be a turn of its own."""

_CHAT_TOKEN: Final = re.compile(
    "<[|\uff5c][^<>|\\s]{1,40}[|\uff5c]>|<(?:start_of_turn|end_of_turn|end_of_utterance|turn[|]|[|]turn|eos|bos|/?s)>"
    # Ling's, Seed-OSS's, Nemotron's, MiniCPM's.
    r"|</?role>|</?seed:[a-z_]{1,40}>|<SPECIAL_\d{1,4}>|<(?:用户|AI)>|<reserved_\d{1,4}>|</?think(?:ing)?>"
    r"|" + _BRACKETED
)
"""Those that nobody types in a chat by chance; in a chat ``<b>`` is no token."""

_SPACE: Final = (
    "\\s\x00-\x1f\x7f\xad\u034f\u115f\u1160\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff"
)
_COLLAPSING: Final = re.compile(f"[{_SPACE}]{{8,}}+|([^\\W\\d_])\\1{{7,}}+")
"""What the guard reads as one space, or as two letters (:mod:`guard.normalise`)."""

_GAP_CHARACTERS: Final = 200
"""A run of so many is a gap: an upstream that drops the beginning of what does not fit its model's context may be made
by it to drop what stands before, which the guard would read with what stands behind."""

_ROLE_NAMES: Final = frozenset({"user", "assistant", "system", "model", "tool", "human", "observation"})


def turn_pieces(prompt: str) -> tuple[str, ...]:
    """The texts between control tokens and wide gaps, less the names of roles; none where there is neither."""
    return _pieces(prompt, _CONTROL_TOKEN)


def chat_pieces(text: str) -> tuple[str, ...]:
    """The same of a chat's turn: llama-server reads a template's tokens in it, too, so it may be several turns."""
    return _pieces(text, _CHAT_TOKEN)


def _pieces(text: str, token: re.Pattern[str]) -> tuple[str, ...]:
    gaps = [gap.span() for gap in _COLLAPSING.finditer(text) if gap.end() - gap.start() >= _GAP_CHARACTERS]
    if not (gaps or token.search(text)):
        return ()
    ends = [*(start for start, _ in gaps), len(text)]
    parts = [text[start:end] for start, end in zip((0, *(end for _, end in gaps)), ends, strict=True)]
    pieces = [piece.strip() for part in parts for piece in token.split(part)]
    return tuple(piece for piece in pieces if piece and piece.lower() not in _ROLE_NAMES)
