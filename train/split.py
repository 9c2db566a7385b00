"""Split a user's labelled rows by group."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from guard.normalise import normalise
from guard.prompt import Role
from train.generate import Mixture, Side, side_of
from train.rows import Row
from train.words import count_words

LEAST_WORDS: Final = 3
"""Many conversations begin with a greeting, which must not make one group of them."""

_WORDS: Final = re.compile(r"\w+")


def split_rows(rows: Sequence[Row], seed: int, validation_share: float, test_share: float) -> dict[Side, list[Row]]:
    """Rows by side: all rows of a group stand on one.

    A row without a group gets its text's shape for one, capitalised names and numbers blanked, so that
    ``What planet is Spock from?`` and ``What planet is Worf from?`` stay together. Of a conversation it is the shape of
    the user's first turn that says more than a greeting: rows that are one conversation at different lengths stay
    together, too.
    """
    mixture = Mixture(validation_share=validation_share, test_share=test_share)
    sides: dict[Side, list[Row]] = {side: [] for side in Side}
    for row in rows:
        grouped = row if row.group else replace(row, group=_shape(_subject(row)))
        sides[side_of(grouped.group, seed, mixture)].append(grouped)
    return sides


def _subject(row: Row) -> str:
    users = (turn.text for turn in row.turns if turn.role is Role.USER)
    return next((text for text in users if count_words(text) >= LEAST_WORDS), row.text)


def _shape(text: str) -> str:
    words = _WORDS.findall(normalise(text))
    blanked = [
        "_" if (place and word[:1].isupper()) or word.isdigit() else word.casefold() for place, word in enumerate(words)
    ]
    return " ".join(blanked) or text
