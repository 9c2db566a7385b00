"""What templates put between turns, in prompts that no template is laid around, and in texts of those that one is."""

from __future__ import annotations

import re
from typing import Final

# Mistral's, EXAONE's, MiniMax's, Pangu's, YandexGPT's. Repetitions are bounded, so none costs more than its own length.
_BRACKETED: Final = (
    r"\[/?(?:INST|SEP|SYS[A-Z_]{0,40}|AVAILABLE_TOOLS|TOOL_(?:CALLS|RESULTS|CONTENT))\]"
    r"|\[\|[^|\[\]\s]{1,40}\|\]|\]~!?b[\[\]]|\[e~\[|\[unused\d{1,4}\]|\[UNUSED_TOKEN_\d{1,4}\]"
)

_CONTROL_TOKEN: Final = re.compile(r"<[|/\uff5c]?[^<>\s]{1,40}[|\uff5c]?>|" + _BRACKETED)
"""Those of the common templates; a piece between two of them may be a turn of its own."""

_CHAT_TOKEN: Final = re.compile(
    # Gemma 4's have the line on one side only.
    "<[|\uff5c][^<>|\\s]{1,40}[|\uff5c]?>|<[^<>|\\s]{1,40}[|\uff5c]>|<(?:start_of_turn|end_of_turn|end_of_utterance|turn[|]|[|]turn|eos|bos|/?s)>"
    # EXAONE Deep's: its template shows what follows the last one, whoever's turn it is.
    r"|</thought>"
    # Ling's, Seed-OSS's, Nemotron's of two generations, MiniCPM's, Baichuan's, Reka's.
    r"|</?role>|</?seed:[a-z_]{1,40}>|<SPECIAL_\d{1,4}>|<extra_id_\d{1,4}>|<(?:用户|AI)>|<reserved_\d{1,4}>|<sep>"
    r"|" + _BRACKETED
)
"""Those that nobody types in a chat by chance; in a chat ``<b>`` is no token."""

_THOUGHT_MARK: Final = re.compile(
    r"(?P<begin><think(?:ing)?>|<\|channel>|\[THINK\]|\u25c1think\u25b7)"
    r"|</think(?:ing)?>|<channel\|>|\[/THINK\]|\u25c1/think\u25b7"
)
_SWITCHES: Final = ("/think", "/no_think", "/system_override")

_ROLE_NAMES: Final = frozenset({"user", "assistant", "system", "model", "tool", "human", "observation"})


def turn_pieces(prompt: str) -> tuple[str, ...]:
    """The texts between control tokens, less the names of roles; none where there is no control token."""
    return _pieces(prompt, _CONTROL_TOKEN)


def chat_pieces(text: str) -> tuple[str, ...]:
    """The same of a chat's turn: llama-server reads a template's tokens in it, too, so it may be several turns."""
    return _pieces(text, _CHAT_TOKEN)


def spoken(answer: str) -> tuple[str, ...]:
    """What templates show of an earlier answer with thoughts in it: the rest of it, or what follows the last one."""
    kept: list[str] = []
    begin: int | None = None
    end = 0
    for mark in _THOUGHT_MARK.finditer(answer):
        if mark["begin"] is None:
            kept.append(answer[end : mark.start() if begin is None else begin])
            begin, end = None, mark.end()
        elif begin is None:
            begin = mark.start()
    rest = answer[end:]
    shown = ("".join((*kept, rest)).strip(), rest.strip()) if end else ()
    return tuple(dict.fromkeys(text for text in shown if text))


def without_switches(text: str) -> str:
    """The text as templates show it that have thinking switched on and off by words, which they delete one by one."""
    for switch in _SWITCHES:
        text = text.replace(switch, "")
    return text


def _pieces(text: str, token: re.Pattern[str]) -> tuple[str, ...]:
    if not token.search(text):
        return ()
    pieces = (piece.strip() for piece in token.split(text))
    return tuple(piece for piece in pieces if piece and piece.lower() not in _ROLE_NAMES)
