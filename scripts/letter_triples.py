"""Writes ``gateway/dialects/letter_triples.txt``: how likely three letters in a row are in a text.

Run from the repository's root after the corpus has changed much: ``python -m scripts.letter_triples``.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from pathlib import Path
from string import ascii_lowercase

PROMPTS = Path("train/data/startrek/prompts")
TABLE = Path("gateway/dialects/letter_triples.txt")


def main() -> None:
    """A line for each two letters, a digit in it for each third one; 5 is as likely as any letter."""
    counts: Counter[str] = Counter()
    for path in sorted(PROMPTS.glob("*/*.txt")):
        for line in path.read_text("utf-8").splitlines():
            # Without spaces, as there are none in ids.
            letters = re.sub("[^a-z]", "", unicodedata.normalize("NFKD", line.lower()))
            counts.update(letters[at : at + size] for size in (1, 2, 3) for at in range(len(letters) - size + 1))
    lines = (_line(counts, first + second) for first in ascii_lowercase for second in ascii_lowercase)
    TABLE.write_text("".join(f"{line}\n" for line in lines), "ascii")


def _line(counts: Counter[str], pair: str) -> str:
    return "".join(str(_digit(counts, pair, third)) for third in ascii_lowercase)


def _digit(counts: Counter[str], pair: str, third: str) -> int:
    """What was seldom seen is guessed from the last two letters."""
    pairs = (counts[pair[1] + third] + 0.3) / (counts[pair[1]] + 26 * 0.3)
    share = (counts[pair + third] + 10 * pairs) / (counts[pair] + 10)
    return max(0, min(9, round(5 + 1.25 * math.log(26 * share))))


if __name__ == "__main__":
    main()
