"""Clean rows: exact and near duplicates out, contradictions out, nothing shared between the sides."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from guard.normalise import normalise
from train.generate import Side
from train.rows import Row
from train.words import stands_alone, words_of

NEAR_DUPLICATE_JACCARD: Final = 0.7
"""Two rows of two sides whose word trigrams overlap more are near duplicates; the one on the training side goes."""

_AROUND: Final = re.compile(
    r"^[.,;:!?…¿¡'\"’‘“”„«»()\[\]{}<>*_~`–—-]+|[.,;:!?…'\"’‘“”«»()\[\]{}<>*_~`–—。、，！？：；-]+$"
)
"""Punctuation before and after a word; signs within it, such as those of ``f(x)`` and ``Qxf7#``, are its own."""


@dataclass(frozen=True, slots=True)
class LeakageReport:
    """What was removed, and what the sides still share.

    Attributes:
        rows: by side, after cleaning.
        exact_duplicates: removed, case and punctuation aside.
        contradictions: removed texts that had both labels.
        near_duplicates: removed from the training side because a held-out row is like them.
        shared_groups: groups on two sides; zero, or :func:`clean` is broken.
        largest_overlap: the greatest trigram overlap (Jaccard) left between a training and a held-out row.
    """

    rows: dict[str, int]
    exact_duplicates: int
    contradictions: int
    near_duplicates: int
    shared_groups: int
    largest_overlap: float

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def clean(sides: Mapping[Side, Sequence[Row]]) -> tuple[dict[Side, list[Row]], LeakageReport]:
    """Remove duplicates within and across sides; held-out rows win over training rows.

    Returns:
        The rows by side, in their order, and what was found.
    """
    texts = {side: [(row, row_key(row)) for row in sides.get(side, ())] for side in Side}
    contradictory = _contradictions(pair for pairs in texts.values() for pair in pairs)
    seen: set[str] = set()
    kept: dict[Side, list[Row]] = {}
    for side in (Side.TEST, Side.VALIDATION, Side.TRAIN):
        kept[side] = []
        for row, key in texts[side]:
            if key not in seen and key not in contradictory:
                seen.add(key)
                kept[side].append(row)
    held_out = Shingles([*kept[Side.TEST], *kept[Side.VALIDATION]])
    overlaps = [held_out.largest_overlap(row) for row in kept[Side.TRAIN]]
    near = sum(overlap > NEAR_DUPLICATE_JACCARD for overlap in overlaps)
    kept[Side.TRAIN] = [
        row for row, overlap in zip(kept[Side.TRAIN], overlaps, strict=True) if overlap <= NEAR_DUPLICATE_JACCARD
    ]
    before = sum(len(rows) for rows in sides.values())
    contradicting = sum(key in contradictory for pairs in texts.values() for _, key in pairs)
    after = sum(len(rows) for rows in kept.values())
    report = LeakageReport(
        rows={str(side): len(rows) for side, rows in kept.items()},
        exact_duplicates=before - after - near - contradicting,
        contradictions=len(contradictory),
        near_duplicates=near,
        shared_groups=_shared_groups(kept),
        largest_overlap=max((o for o in overlaps if o <= NEAR_DUPLICATE_JACCARD), default=0.0),
    )
    return kept, report


@dataclass(frozen=True, slots=True)
class Copy:
    """An evaluation row that is much like a training row.

    Attributes:
        row: its number among the evaluation rows, from 1.
        overlap: of word trigrams (Jaccard), 0 to 1; 1 where the words are the same.
    """

    row: int
    overlap: float


def find_copies(rows: Sequence[Row], training: Sequence[Row]) -> list[Copy]:
    """The rows that stand in the training rows too, word for word or nearly so."""
    keys, shingles = {row_key(row) for row in training}, Shingles(training)
    overlaps = [1.0 if row_key(row) in keys else shingles.largest_overlap(row) for row in rows]
    return [Copy(number, overlap) for number, overlap in enumerate(overlaps, 1) if overlap > NEAR_DUPLICATE_JACCARD]


def row_key(row: Row) -> str:
    """Words of the judged text and its context, case and the punctuation round them aside.

    ``C++`` and ``C#`` are two words, and a vowel's mark is part of one; a text without words is itself.
    """
    return "\x1f".join(_key(normalise(turn.text).casefold()) for turn in row.turns)


def _key(text: str) -> str:
    words = (_AROUND.sub("", word) for word in text.split())
    return " ".join(word for word in words if word) or text


def _contradictions(pairs: Iterable[tuple[Row, str]]) -> set[str]:
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for row, key in pairs:
        labels[key].add(row.label)
    return {key for key, names in labels.items() if len(names) > 1}


def _shared_groups(sides: Mapping[Side, Sequence[Row]]) -> int:
    counts = Counter(group for rows in sides.values() for group in {row.group for row in rows if row.group})
    return sum(count > 1 for count in counts.values())


class Shingles:
    """Word trigrams of the judged texts of some rows, for finding the most similar.

    Two conversations are left to exact matching: in each, "can you explain that in more detail" asks something else.

    Args:
        rows: among which to look; texts of under four words and short last turns of conversations are left to exact
            matching. Where no spaces stand between words, the trigrams are of characters.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self._sets = [_trigrams(row) for row in rows]
        self._single = [len(row.turns) == 1 for row in rows]
        self._index: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for place, shingles in enumerate(self._sets):
            for shingle in shingles:
                self._index[shingle].append(place)

    def largest_overlap(self, row: Row) -> float:
        """The greatest Jaccard overlap with any of the rows, 0 to 1."""
        own, single = _trigrams(row), len(row.turns) == 1
        shared = Counter(place for shingle in own for place in self._index.get(shingle, ()))
        # All of them, not the first few: which those are depends on the order of a set, which differs by process.
        return max(
            (
                n / (len(own) + len(self._sets[place]) - n)
                for place, n in shared.items()
                if single or self._single[place]
            ),
            default=0.0,
        )


def _trigrams(row: Row) -> frozenset[tuple[str, ...]]:
    words = [word.casefold() for word in words_of(row.text)]
    # With context a follow-up such as "tell me more" is another row each time.
    if len(words) < 4 or not stands_alone(row):
        return frozenset()
    return frozenset(zip(words, words[1:], words[2:], strict=False))
