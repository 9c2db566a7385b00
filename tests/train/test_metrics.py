"""Numbers that were worked out by hand or by another library."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.metrics import (
    MAX_ROC_POINTS,
    Confusion,
    Interval,
    Proportion,
    calibration_bins,
    calibration_error,
    confusion_of,
    largest_threshold,
    measure,
    roc_points,
    score_histogram,
    wilson,
)

ON_TOPIC = np.array([True, True, True, True, False, False, False, False])
SCORES = np.array([0.9, 0.8, 0.7, 0.3, 0.6, 0.2, 0.1, 0.1])


def test_wilsons_interval_is_the_textbooks() -> None:
    """Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    for hits, of, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert wilson(hits, of).low == pytest.approx(low, abs=5e-5)
        assert wilson(hits, of).high == pytest.approx(high, abs=5e-5)


@given(of=st.integers(0, 10_000), share=st.floats(0, 1))
def test_an_interval_holds_its_share(of: int, share: float) -> None:
    """And lies within 0 and 1; of more rows it is narrower."""
    hits = round(of * share)
    interval = wilson(hits, of)
    assert 0 <= interval.low <= (hits / of if of else 0.5) <= interval.high <= 1
    wider, narrower = interval, wilson(4 * hits, 4 * of)
    assert narrower.high - narrower.low <= wider.high - wider.low


def test_no_rows_have_no_share() -> None:
    """The interval is everything."""
    nothing = Proportion(0, 0)
    assert math.isnan(nothing.share)
    assert nothing.interval == Interval(0.0, 1.0)
    assert nothing.as_dict() == {"hits": 0, "of": 0, "share": None, "low": 0.0, "high": 1.0}


def test_more_hits_than_rows_are_a_mistake() -> None:
    """Of the caller."""
    with pytest.raises(ValueError, match="3 of 2 rows"):
        wilson(3, 2)


def test_metrics_of_eight_rows() -> None:
    """One on-topic row refused, one off-topic row allowed."""
    metrics = measure(ON_TOPIC, SCORES, SCORES < 0.5)
    assert metrics.confusion == Confusion(3, 1, 1, 3)
    assert metrics.accuracy == Proportion(6, 8)
    assert metrics.confusion.false_blocks == Proportion(1, 4)
    assert metrics.confusion.recall == Proportion(3, 4)
    assert (metrics.off_topic.precision, metrics.off_topic.recall, metrics.off_topic.f1) == (0.75, 0.75, 0.75)
    assert metrics.off_topic.rows == metrics.on_topic.rows == 4
    # Of 16 pairs only (0.3, 0.6) is the wrong way round.
    assert metrics.roc_auc == 15 / 16
    assert metrics.recall_at_few_false_blocks == Proportion(3, 4)
    assert metrics.unscored == 0


def test_a_row_without_a_score_ranks_below_all() -> None:
    """It is refused, so it counts as a false block where it is on topic, and not towards calibration."""
    scores = np.array([math.nan, 0.8, 0.2])
    metrics = measure(np.array([True, True, False]), scores, np.array([True, False, True]))
    assert metrics.unscored == 1
    assert metrics.roc_auc == 0.5
    assert metrics.calibration_error == pytest.approx(0.2)


def test_one_class_has_no_curve() -> None:
    """A slice is often of one label."""
    metrics = measure(ON_TOPIC[:4], SCORES[:4], SCORES[:4] < 0.5)
    assert (metrics.roc_auc, metrics.recall_at_few_false_blocks) == (None, None)
    assert metrics.accuracy == Proportion(3, 4)
    assert roc_points(ON_TOPIC[:4], SCORES[:4]) == []


def test_shapes_that_differ_are_a_mistake() -> None:
    """And so are no rows."""
    with pytest.raises(ValueError, match="wanted one"):
        measure(ON_TOPIC, SCORES[:3], SCORES < 0.5)
    with pytest.raises(ValueError, match="with rows"):
        measure(ON_TOPIC[:0], SCORES[:0], ON_TOPIC[:0])


@given(scores=st.lists(st.integers(0, 20).map(lambda n: n / 20), min_size=1, max_size=300), share=st.floats(0, 0.5))
def test_the_largest_threshold_keeps_the_share_and_no_larger_does(scores: list[float], share: float) -> None:
    """Ties included."""
    array = np.array(scores)
    threshold = largest_threshold(array, math.floor(share * len(array)))
    assert np.mean(array < threshold) <= share + 1e-9
    assert np.mean(array < np.nextafter(threshold, 2)) > share


def test_calibration_error_is_the_mean_distance() -> None:
    """Ten rows at 0.9 of which eight are on topic, ten at 0.1 of which none is."""
    scores = np.repeat([0.9, 0.1], 10)
    on_topic = np.array([True] * 8 + [False] * 12)
    assert calibration_error(on_topic, scores) == pytest.approx(0.1)
    assert [(found.rows, found.on_topic_share) for found in calibration_bins(on_topic, scores)] == [
        (10, 0.0),
        (10, 0.8),
    ]


def test_scores_of_exactly_one_have_a_bin() -> None:
    """The last one."""
    (found,) = calibration_bins(np.array([True]), np.array([1.0]))
    assert found.mean_score == 1.0


def test_a_curve_is_short_and_whole() -> None:
    """From no refusals to nothing but."""
    random = np.random.default_rng(1)
    on_topic = random.random(5000) < 0.5
    points = roc_points(on_topic, random.random(5000))
    assert len(points) <= MAX_ROC_POINTS
    assert (points[0], points[-1]) == ((0.0, 0.0), (1.0, 1.0))
    assert points == sorted(points)


def test_a_histogram_counts_every_scored_row() -> None:
    """Zero and one too."""
    off, on = score_histogram(np.array([False, True, True]), np.array([0.0, 1.0, math.nan]))
    assert (off[0], on[-1], sum(off), sum(on)) == (1, 1, 1, 1)


def test_outcomes_are_counted_by_truth() -> None:
    """Refused and right, refused and wrong, ..."""
    refused = np.array([True, False, False, False, True, True, True, False])
    assert confusion_of(ON_TOPIC, refused) == Confusion(3, 1, 1, 3)
