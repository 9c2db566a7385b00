"""What a guard has to beat: filters that anyone could write in an afternoon.

All read the judged text alone, normalised as the guard reads it, without its conversation.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, Protocol

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from guard.labels import Labels
from guard.normalise import normalise
from train.corpus import Name
from train.errors import RunError
from train.metrics import Floats
from train.rows import Row

_WORDS: Final = re.compile(r"\w+")

_MIN_KEYWORD_LETTERS: Final = 3
"""A list with ``Q`` and ``Bo`` in it would call half of all prompts on topic."""


class Baseline(Protocol):
    """A filter that needs no training run.

    Attributes:
        name: as reports show it.
    """

    @property
    def name(self) -> str:
        """As reports show it."""

    def scores(self, rows: Sequence[Row]) -> Floats:
        """Shape (rows,): probability of on topic; refused below 0.5."""


class Keywords:
    """On topic is what has a word of a list, a word being one or several.

    Args:
        keywords: names and terms of the topic; case and punctuation do not matter.
    """

    name: Final = "keyword list"

    def __init__(self, keywords: Iterable[str]) -> None:
        split = (tuple(_words(keyword)) for keyword in keywords)
        self._keywords = frozenset(words for words in split if sum(map(len, words)) >= _MIN_KEYWORD_LETTERS)
        self._lengths = sorted({len(words) for words in self._keywords})

    def scores(self, rows: Sequence[Row]) -> Floats:
        """1 where a keyword stands, else 0."""
        return np.asarray([float(self._has_keyword(_words(row.text))) for row in rows])

    def _has_keyword(self, words: list[str]) -> bool:
        return any(
            tuple(words[start : start + length]) in self._keywords
            for length in self._lengths
            for start in range(len(words) - length + 1)
        )


class BagOfWords:
    """A scikit-learn classifier on words, fitted on the run's own training rows."""

    def __init__(self, name: str, pipeline: Any, rows: Sequence[Row], labels: Labels) -> None:  # noqa: ANN401
        classes = [labels.class_id(row.label) for row in rows]
        if len(set(classes)) < 2:
            raise RunError(f"{name} needs training rows of both labels, got {len(rows)} rows of {len(set(classes))}")
        self.name = name
        self._pipeline = pipeline.fit([normalise(row.text) for row in rows], classes)

    def scores(self, rows: Sequence[Row]) -> Floats:
        """The classifier's own probabilities."""
        found: Floats = self._pipeline.predict_proba([normalise(row.text) for row in rows])[:, 1]
        return found


def naive_bayes(rows: Sequence[Row], labels: Labels) -> BagOfWords:
    """Multinomial naive Bayes on word counts, Laplace smoothing."""
    pipeline = make_pipeline(CountVectorizer(token_pattern=_WORDS.pattern), MultinomialNB())
    return BagOfWords("naive Bayes", pipeline, rows, labels)


def logistic_regression(rows: Sequence[Row], labels: Labels) -> BagOfWords:
    """Logistic regression on TF-IDF of words and word pairs."""
    vectors = TfidfVectorizer(token_pattern=_WORDS.pattern, ngram_range=(1, 2), sublinear_tf=True)
    return BagOfWords("TF-IDF", make_pipeline(vectors, LogisticRegression(C=10.0, max_iter=1000)), rows, labels)


def fit_baselines(rows: Sequence[Row], labels: Labels, keywords: Collection[str] = ()) -> list[Baseline]:
    """All baselines; without keywords there is no keyword list.

    Args:
        rows: the training side.
        labels: the two labels.
        keywords: see :func:`topic_keywords`.

    Raises:
        RunError: if the rows have one label only.
    """
    fitted: list[Baseline] = [naive_bayes(rows, labels), logistic_regression(rows, labels)]
    return [Keywords(keywords), *fitted] if keywords else fitted


def topic_keywords(names: Sequence[Name], topic_words: str) -> frozenset[str]:
    """The keyword list that a topic's knowledge gives: its names, less those that mean something else elsewhere too.

    Args:
        names: of the topic and the confusable ones.
        topic_words: the topic itself, such as ``Star Trek``.
    """
    elsewhere = {name.text.casefold() for name in names if not name.on_topic}
    return frozenset(
        {name.text for name in names if name.on_topic and name.text.casefold() not in elsewhere} | {topic_words}
    )


def _words(text: str) -> list[str]:
    return _WORDS.findall(normalise(text).casefold())
