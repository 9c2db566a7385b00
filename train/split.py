"""Split a user's labelled rows by group."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from guard.normalise import normalise
from train.generate import Mixture, Side, side_of
from train.rows import Row

_WORDS: Final = re.compile(r"\w+")


def split_rows(rows: Sequence[Row], seed: int, validation_share: float, test_share: float) -> dict[Side, list[Row]]:
    """Rows by side: all rows of a group stand on one.

    A row without a group gets its text's shape for one, capitalised names and numbers blanked, so that
    ``What planet is Spock from?`` and ``What planet is Worf from?`` stay together.
    """
    mixture = Mixture(validation_share=validation_share, test_share=test_share)
    sides: dict[Side, list[Row]] = {side: [] for side in Side}
    for row in rows:
        grouped = row if row.group else replace(row, group=_shape(row.text))
        sides[side_of(grouped.group, seed, mixture)].append(grouped)
    return sides


def _shape(text: str) -> str:
    words = _WORDS.findall(normalise(text))
    blanked = [
        "_" if (place and word[:1].isupper()) or word.isdigit() else word.casefold() for place, word in enumerate(words)
    ]
    return " ".join(blanked) or text
