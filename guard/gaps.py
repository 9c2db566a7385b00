"""Wide gaps in a text: much that the guard reads as next to nothing, and a model reads token by token."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from guard.normalise import normalise

_SLICE_CHARACTERS: Final = 128
_LEAST_CHARACTERS: Final = 3 * _SLICE_CHARACTERS
"""Of a gap: half of the smallest context that strangers may ask for has some 500 tokens."""

_NEXT_TO_NOTHING: Final = 12
"""So much may be left of a slice within a gap."""


def after_gaps(text: str, normalised: str) -> list[str]:
    """What follows each wide gap, up to the next one, normalised; if it is more than a word.

    Args:
        text: as typed.
        normalised: the same.
    """
    if len(text) - len(normalised) < _LEAST_CHARACTERS // 2 or len(text) < _LEAST_CHARACTERS:
        return []
    starts = range(0, len(text) - _SLICE_CHARACTERS + 1, _SLICE_CHARACTERS)
    empty = [start for start in starts if len(normalise(text[start : start + _SLICE_CHARACTERS])) <= _NEXT_TO_NOTHING]
    bounds = pairwise([*empty, len(text)])
    pieces = (normalise(text[start + _SLICE_CHARACTERS : end]) for start, end in bounds)
    return [piece for piece in pieces if len(piece.split()) > 1]
