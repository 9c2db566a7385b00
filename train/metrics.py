"""What scores are worth: shares with their intervals, curves, and calibration error.

The positive class of a refusal is *off topic*: recall is the share of off-topic rows that are refused, and a false
block is an on-topic row that is refused. A score is the probability of *on topic*; where the model gave none (NaN)
the row counts as refused, as it is when judging, and ranks below every score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score, roc_curve

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

Z_95: Final = 1.959963984540054
"""Standard normal quantile of 97.5 %: what lies within it of the mean, on either side, is 95 %."""

FEW_FALSE_BLOCKS: Final = 0.01
"""The share of on-topic rows refused at which :attr:`Metrics.recall_at_few_false_blocks` is taken."""

CALIBRATION_BINS: Final = 15
"""Guo et al. 2017 use 15."""

MAX_ROC_POINTS: Final = 100


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval of 95 % confidence, shares from 0 to 1."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Proportion:
    """``hits`` of ``of`` rows."""

    hits: int
    of: int

    @property
    def share(self) -> float:
        """From 0 to 1; NaN of no rows."""
        return self.hits / self.of if self.of else math.nan

    @property
    def interval(self) -> Interval:
        """Wilson's interval: unlike the normal one it stays within 0 and 1, and is right for few rows and rare hits."""
        return wilson(self.hits, self.of)

    def as_dict(self) -> dict[str, float | int | None]:
        """For JSON, which knows no NaN."""
        share = self.hits / self.of if self.of else None
        return {"hits": self.hits, "of": self.of, "share": share, "low": self.interval.low, "high": self.interval.high}


def wilson(hits: int, of: int, z: float = Z_95) -> Interval:
    """The score interval of a binomial share (Wilson 1927, J. Am. Stat. Assoc. 22, 209).

    Args:
        hits: how many.
        of: of how many; of none, the interval is everything.
        z: standard normal quantile; 95 % by default.

    Raises:
        ValueError: if ``hits`` is not from 0 to ``of``.
    """
    if not 0 <= hits <= of:
        raise ValueError(f"{hits} of {of} rows, wanted 0 to {of}")
    if of == 0:
        return Interval(0.0, 1.0)
    share = hits / of
    scale = 1 + z * z / of
    middle = (share + z * z / (2 * of)) / scale
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / scale
    # Rounding would leave 1e-17 where the interval's end is 0 or 1 exactly.
    low = 0.0 if hits == 0 else middle - half
    high = 1.0 if hits == of else middle + half
    return Interval(low, high)


@dataclass(frozen=True, slots=True)
class Confusion:
    """Rows by truth and outcome."""

    on_topic_allowed: int
    on_topic_refused: int
    off_topic_allowed: int
    off_topic_refused: int

    @property
    def accuracy(self) -> Proportion:
        """Rows whose outcome is right."""
        right = self.on_topic_allowed + self.off_topic_refused
        return Proportion(right, right + self.on_topic_refused + self.off_topic_allowed)

    @property
    def false_blocks(self) -> Proportion:
        """On-topic rows refused."""
        return Proportion(self.on_topic_refused, self.on_topic_refused + self.on_topic_allowed)

    @property
    def recall(self) -> Proportion:
        """Off-topic rows refused."""
        return Proportion(self.off_topic_refused, self.off_topic_refused + self.off_topic_allowed)


def confusion_of(on_topic: Bools, refused: Bools) -> Confusion:
    """Count outcomes.

    Args:
        on_topic: shape (rows,), the truth.
        refused: shape (rows,), what was done.
    """
    return Confusion(
        on_topic_allowed=int(np.sum(on_topic & ~refused)),
        on_topic_refused=int(np.sum(on_topic & refused)),
        off_topic_allowed=int(np.sum(~on_topic & ~refused)),
        off_topic_refused=int(np.sum(~on_topic & refused)),
    )


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """Of one label, shares from 0 to 1; 0 where nothing was given or has this label."""

    precision: float
    recall: float
    f1: float
    rows: int


@dataclass(frozen=True, slots=True)
class Metrics:
    """Of some rows.

    Attributes:
        confusion: rows by truth and outcome.
        off_topic: precision, recall and F1 of refusing.
        on_topic: of allowing.
        roc_auc: the chance that a random on-topic row scores higher than a random off-topic one; None of one class.
        recall_at_few_false_blocks: off-topic rows refused at the threshold that refuses at most
            :data:`FEW_FALSE_BLOCKS` of these on-topic rows; None of one class.
        calibration_error: see :func:`calibration_error`; None where no row has a score.
        unscored: rows for which the model gave no number.
    """

    confusion: Confusion
    off_topic: ClassMetrics
    on_topic: ClassMetrics
    roc_auc: float | None
    recall_at_few_false_blocks: Proportion | None
    calibration_error: float | None
    unscored: int

    @property
    def rows(self) -> int:
        """How many."""
        return self.confusion.accuracy.of

    @property
    def accuracy(self) -> Proportion:
        """Rows whose outcome is right."""
        return self.confusion.accuracy

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        recall = self.recall_at_few_false_blocks
        return {
            "rows": self.rows,
            "accuracy": self.accuracy.as_dict(),
            "false_blocks": self.confusion.false_blocks.as_dict(),
            "recall": self.confusion.recall.as_dict(),
            "confusion": {name: getattr(self.confusion, name) for name in Confusion.__slots__},
            "off_topic": {name: getattr(self.off_topic, name) for name in ClassMetrics.__slots__},
            "on_topic": {name: getattr(self.on_topic, name) for name in ClassMetrics.__slots__},
            "roc_auc": self.roc_auc,
            "recall_at_1_percent_false_blocks": None if recall is None else recall.as_dict(),
            "expected_calibration_error": self.calibration_error,
            "unscored": self.unscored,
        }


def measure(on_topic: Bools, scores: Floats, refused: Bools) -> Metrics:
    """Everything of some rows.

    Args:
        on_topic: shape (rows,), the truth.
        scores: shape (rows,), probability of on topic, NaN where there is none.
        refused: shape (rows,), what was done.

    Raises:
        ValueError: if the shapes differ or there are no rows.
    """
    if not (on_topic.shape == scores.shape == refused.shape) or not len(on_topic):
        raise ValueError(f"shapes {on_topic.shape}, {scores.shape}, {refused.shape}; wanted one, with rows")
    ranks, scored = _ranks(scores), np.isfinite(scores)
    both = 0 < int(on_topic.sum()) < len(on_topic)
    off_topic, on_topic_ = _by_class(on_topic, ~refused)
    return Metrics(
        confusion=confusion_of(on_topic, refused),
        off_topic=off_topic,
        on_topic=on_topic_,
        roc_auc=roc_auc(on_topic, scores) if both else None,
        recall_at_few_false_blocks=_recall_at(on_topic, ranks, FEW_FALSE_BLOCKS) if both else None,
        calibration_error=calibration_error(on_topic[scored], scores[scored]) if scored.any() else None,
        unscored=int((~scored).sum()),
    )


def roc_auc(on_topic: Bools, scores: Floats) -> float:
    """The share of pairs of an on-topic and an off-topic row that the scores put in order.

    Args:
        on_topic: shape (rows,), the truth; rows of both kinds.
        scores: shape (rows,), probability of on topic; NaN ranks below all.
    """
    return float(roc_auc_score(on_topic, _ranks(scores)))


def _by_class(on_topic: Bools, allowed: Bools) -> list[ClassMetrics]:
    columns = precision_recall_fscore_support(on_topic, allowed, labels=[False, True], zero_division=0)
    return [
        ClassMetrics(float(precision), float(recall), float(f1), int(rows))
        for precision, recall, f1, rows in zip(*columns, strict=True)
    ]


def largest_threshold(on_topic_scores: Floats, allowed: int) -> float:
    """The largest threshold below which at most so many of these on-topic scores lie.

    Raises:
        ValueError: if there is no score.
    """
    if not len(on_topic_scores):
        raise ValueError("a threshold needs the score of at least one on-topic row")
    ordered = np.sort(on_topic_scores)
    return float(ordered[min(allowed, len(ordered) - 1)])


def _recall_at(on_topic: Bools, ranks: Floats, max_false_block: float) -> Proportion:
    # A share such as 0.29 times 100 is 28.999999999999996.
    allowed = math.floor(max_false_block * int(on_topic.sum()) + 1e-9)
    threshold = largest_threshold(ranks[on_topic], allowed)
    return confusion_of(on_topic, ranks < threshold).recall


def _ranks(scores: Floats) -> Floats:
    return np.where(np.isfinite(scores), scores, -1.0)


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Rows whose scores lie in one bin.

    Attributes:
        rows: how many.
        mean_score: what the model promised.
        on_topic_share: what came true.
    """

    rows: int
    mean_score: float
    on_topic_share: float


def calibration_bins(on_topic: Bools, scores: Floats, bins: int = CALIBRATION_BINS) -> list[CalibrationBin]:
    """Bins of equal width over the probability of on topic, without the empty ones and the rows that have no score."""
    scored = np.isfinite(scores)
    on_topic, scores = on_topic[scored], scores[scored]
    places = np.minimum((scores * bins).astype(int), bins - 1)
    return [
        CalibrationBin(int(here.sum()), float(scores[here].mean()), float(on_topic[here].mean()))
        for here in (places == place for place in range(bins))
        if here.any()
    ]


def calibration_error(on_topic: Bools, scores: Floats, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error: the mean distance, over rows, of promise and truth of a row's bin.

    Naeini et al. 2015, as in Guo et al. 2017 (On Calibration of Modern Neural Networks, eq. 3), on the probability
    of on topic in place of that of the likelier class: it is the one that the threshold cuts.
    """
    found = calibration_bins(on_topic, scores, bins)
    return sum(b.rows * abs(b.mean_score - b.on_topic_share) for b in found) / sum(b.rows for b in found)


def roc_points(on_topic: Bools, scores: Floats) -> list[tuple[float, float]]:
    """False-block rate and recall for every threshold, at most :data:`MAX_ROC_POINTS`; empty of one class."""
    if not 0 < int(on_topic.sum()) < len(on_topic):
        return []
    false_blocks, recall, _ = roc_curve(~on_topic, -_ranks(scores))
    places: Sequence[int] = np.unique(np.linspace(0, len(recall) - 1, MAX_ROC_POINTS).round().astype(int)).tolist()
    return [(float(false_blocks[place]), float(recall[place])) for place in places]


def score_histogram(on_topic: Bools, scores: Floats, bins: int = 20) -> tuple[list[int], list[int]]:
    """Rows by score, in bins of equal width from 0 to 1: off topic, on topic."""
    edges = np.linspace(0.0, 1.0, bins + 1)
    scored = np.isfinite(scores)
    counts = [np.histogram(scores[scored & truth], edges)[0].tolist() for truth in (~on_topic, on_topic)]
    return counts[0], counts[1]
