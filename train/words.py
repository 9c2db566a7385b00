"""The words of a text, also in scripts that put no spaces between them."""

from __future__ import annotations

import re
from typing import Final

from guard.normalise import normalise
from train.rows import Row

STANDS_ALONE_WORDS: Final = 6
"""A last turn that is as long asks by itself, mostly; ``and the second one?`` is another question in each talk."""

_NO_SPACES: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese."""

_WORDS: Final = re.compile(rf"[{_NO_SPACES}]|[^\W{_NO_SPACES}]+")

_COUNTED: Final = re.compile(rf"[{_NO_SPACES}]{{2}}|[^\W{_NO_SPACES}]+")


def words_of(text: str) -> list[str]:
    """Normalised words in their case; where no spaces stand between words, each character is one."""
    return _WORDS.findall(normalise(text))


def count_words(text: str) -> int:
    """How many words a text has; where no spaces stand between words, two characters count as one."""
    return len(_COUNTED.findall(normalise(text)))


def stands_alone(row: Row) -> bool:
    """Whether the judged text is a row, or could be one, without its conversation."""
    return len(row.turns) == 1 or count_words(row.text) >= STANDS_ALONE_WORDS
