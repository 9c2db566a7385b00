"""Wide gaps in a text: much that the guard reads as next to nothing, and a model reads token by token."""

from __future__ import annotations

from typing import Final

from guard.normalise import normalise

_SLICE_CHARACTERS: Final = 128
_LEAST_CHARACTERS: Final = 3 * _SLICE_CHARACTERS
"""Of a gap: half of the smallest context that strangers may ask for has some 500 tokens."""

_NEXT_TO_NOTHING: Final = 12
"""So much may be left of a slice within a gap."""

_MOST_GAPS: Final = 4


def after_gaps(text: str, normalised: str) -> list[str]:
    """What follows each of the last wide gaps, normalised, if it is more than a word.

    Args:
        text: as typed.
        normalised: the same.
    """
    if len(text) - len(normalised) < _LEAST_CHARACTERS // 2 or len(text) < _LEAST_CHARACTERS:
        return []
    starts = range(0, len(text) - _SLICE_CHARACTERS + 1, _SLICE_CHARACTERS)
    empty = [len(normalise(text[start : start + _SLICE_CHARACTERS])) <= _NEXT_TO_NOTHING for start in starts]
    ends = [
        start + _SLICE_CHARACTERS
        for start, is_empty, is_next_empty in zip(starts, empty, [*empty[1:], False], strict=True)
        if is_empty and not is_next_empty
    ]
    rests = [normalise(text[end:]) for end in ends[-_MOST_GAPS:]]
    return [rest for rest in rests if len(rest.split()) > 1]
