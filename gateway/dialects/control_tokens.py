"""What templates put between turns, in prompts that no template is laid around."""

from __future__ import annotations

import re
from typing import Final

_CONTROL_TOKEN: Final = re.compile(r"<[|/\uff5c]?[^<>\s]{1,40}[|\uff5c]?>|\[/?(?:INST|SYS[A-Z_]*)\]")
"""Those of the common templates; a piece between two of them may be a turn of its own."""

_ROLE_NAMES: Final = frozenset({"user", "assistant", "system", "model", "tool"})


def turn_pieces(prompt: str) -> tuple[str, ...]:
    """The texts between control tokens, less the names of roles; none where there is no control token."""
    if not _CONTROL_TOKEN.search(prompt):
        return ()
    pieces = (piece.strip() for piece in _CONTROL_TOKEN.split(prompt))
    return tuple(piece for piece in pieces if piece and piece not in _ROLE_NAMES)
