"""What templates put between turns, in prompts that no template is laid around, and in texts of those that one is."""

from __future__ import annotations

import re
from typing import Final

# Mistral's, EXAONE's, MiniMax's, Pangu's. Every repetition is bounded, so none costs more than its own length.
_BRACKETED: Final = (
    r"\[/?(?:INST|SYS[A-Z_]{0,40}|AVAILABLE_TOOLS|TOOL_(?:CALLS|RESULTS|CONTENT))\]"
    r"|\[\|[^|\[\]\s]{1,40}\|\]|\]~!?b[\[\]]|\[e~\[|\[unused\d{1,4}\]"
)

_CONTROL_TOKEN: Final = re.compile(r"<[|/\uff5c]?[^<>\s]{1,40}[|\uff5c]?>|" + _BRACKETED)
"""Those of the common templates; a piece between two of them may be a turn of its own."""

_CHAT_TOKEN: Final = re.compile(
    "<[|\uff5c][^<>|\\s]{1,40}[|\uff5c]>|<(?:start_of_turn|end_of_turn|end_of_utterance|turn[|]|[|]turn|eos|bos|/?s)>"
    # Ling's, Seed-OSS's, Nemotron's, MiniCPM's.
    r"|</?role>|</?seed:[a-z_]{1,40}>|<SPECIAL_\d{1,4}>|<(?:用户|AI)>"
    r"|" + _BRACKETED
)
"""Those that nobody types in a chat by chance; in a chat ``<b>`` is no token."""

_ROLE_NAMES: Final = frozenset({"user", "assistant", "system", "model", "tool", "human", "observation"})


def turn_pieces(prompt: str) -> tuple[str, ...]:
    """The texts between control tokens, less the names of roles; none where there is no control token."""
    return _pieces(prompt, _CONTROL_TOKEN)


def chat_pieces(text: str) -> tuple[str, ...]:
    """The same of a chat's turn: llama-server reads a template's tokens in it, too, so it may be several turns."""
    return _pieces(text, _CHAT_TOKEN)


def _pieces(text: str, token: re.Pattern[str]) -> tuple[str, ...]:
    if not token.search(text):
        return ()
    pieces = (piece.strip() for piece in token.split(text))
    return tuple(piece for piece in pieces if piece and piece.lower() not in _ROLE_NAMES)
