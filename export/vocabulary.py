"""Choose which tokens of a SentencePiece vocabulary a guard needs.

Cutting the vocabulary cuts the output matrix, which is most of a small model's megabytes and a good part of its
milliseconds. What stays is proven to read the given texts as before: llama.cpp merges the best-scored pair of
neighbours first, and a merge that is applied to a text is only ever decided by the merges applied to it, so keeping
every piece that occurs on the way keeps the way. Everything else is still read, in smaller pieces or as bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

from export.checkpoint import (
    TOKEN_TYPE_BYTE,
    TOKEN_TYPE_NORMAL,
    TOKEN_TYPE_USER_DEFINED,
    Vocabulary,
)
from export.errors import CheckpointError
from guard.prompt import PromptTemplate

SPACE: Final = "\u2581"
"""SentencePiece's mark for a space."""

SPARE_ENTRIES: Final = ("<unused0>", "<unused1>")
"""Gemma's entries that no text reaches, for the labels."""


def choose_tokens(  # noqa: PLR0913 - a stage takes what it needs by name
    vocabulary: Vocabulary,
    texts: Iterable[str],
    template: PromptTemplate,
    frequent: int,
    spare: Sequence[str],
    *,
    least: int = 1,
    labels: Sequence[str] = (),
) -> list[int]:
    """Ids to keep, ascending.

    Args:
        vocabulary: a ``llama`` (SentencePiece) vocabulary.
        texts: normalised; each whose tokens occur often enough is read by the cut vocabulary as by the whole one.
        template: the prompt's marks, kept.
        frequent: so many of the most frequent tokens (those merged first) are kept whatever the texts say.
        spare: texts of unused entries to keep, for labels that need one.
        least: how often a token must be come by in reading the texts.
        labels: those of them that are a token are kept: one that is cut off can't be made again where its pieces stay.

    Raises:
        CheckpointError: if the vocabulary is of another model or a mark is missing.
    """
    if vocabulary.model != "llama" or vocabulary.scores is None:
        raise CheckpointError(f"the vocabulary is of model {vocabulary.model!r}, wanted 'llama'")
    merger = _Merger(vocabulary)
    keep = {vocabulary.id_of(text) for text in (template.prefix, template.turn, template.suffix, *spare)}
    keep |= set(vocabulary.special_ids.values()) | _line_breaks(vocabulary)
    keep |= {i for i, kind in enumerate(vocabulary.types) if kind == TOKEN_TYPE_BYTE}
    occurrences: Counter[int] = Counter()
    for word, count in Counter(word for text in texts for word in _words(text)).items():
        # What is merged on the way to a token is come by at least as often, so no kept token is out of reach.
        for token_id in merger.ids_on_the_way(word):
            occurrences[token_id] += count
    keep |= {token_id for token_id, count in occurrences.items() if count >= least}
    for i in _most_frequent(vocabulary, frequent):
        keep |= merger.ids_on_the_way(vocabulary.tokens[i])
    for label in labels:
        on_the_way = merger.ids_on_the_way(label)
        keep |= on_the_way if label in {vocabulary.tokens[i] for i in on_the_way} else set()
    return sorted(keep)


def _line_breaks(vocabulary: Vocabulary) -> set[int]:
    """The token of a line break, where it is user-defined: the only such token that normalised text can hold."""
    types, tokens = vocabulary.types, vocabulary.tokens
    return {i for i, kind in enumerate(types) if kind == TOKEN_TYPE_USER_DEFINED and tokens[i] == "\n"}


def _words(text: str) -> list[str]:
    """``text`` cut before each space mark: no token has one elsewhere than at its front, so no merge crosses it."""
    marked = text.replace(" ", SPACE)
    return [SPACE + part if i else part for i, part in enumerate(marked.split(SPACE)) if i or part]


def _most_frequent(vocabulary: Vocabulary, count: int) -> list[int]:
    scores = vocabulary.scores or ()
    normal = [
        i for i, kind in enumerate(vocabulary.types) if kind == TOKEN_TYPE_NORMAL and len(vocabulary.tokens[i]) > 1
    ]
    return sorted(normal, key=lambda i: -scores[i])[:count]


class _Merger:
    """SentencePiece's merging of one word, as in llama.cpp's ``llm_tokenizer_spm_session``."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        scores = vocabulary.scores or ()
        self._ids = {text: i for i, text in enumerate(vocabulary.tokens) if vocabulary.types[i] == TOKEN_TYPE_NORMAL}
        self._scores = {text: scores[i] for text, i in self._ids.items()}
        self.ids_on_the_way = lru_cache(maxsize=None)(self._ids_on_the_way)

    def _ids_on_the_way(self, word: str) -> frozenset[int]:
        pieces = list(word)
        seen = set(pieces)
        while True:
            candidates = [
                (-self._scores[pair], place)
                for place, pair in enumerate(map("".join, pairwise(pieces)))
                if pair in self._scores
            ]
            if not candidates:
                return frozenset(self._ids[piece] for piece in seen if piece in self._ids)
            _, place = min(candidates)
            pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]
            seen.add(pieces[place])
