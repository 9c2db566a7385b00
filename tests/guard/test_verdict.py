"""The verdict on a text from its windows."""

from __future__ import annotations

import math

import pytest

from guard.calibration import UNCALIBRATED, Calibration, Decision, LabelLogits
from guard.labels import DEFAULT_LABELS
from guard.verdict import Reason, Verdict, judge

ON = LabelLogits(off_topic=-3.0, on_topic=3.0)
OFF = LabelLogits(off_topic=3.0, on_topic=-3.0)
BROKEN = LabelLogits(off_topic=math.nan, on_topic=3.0)


def verdict(*windows: LabelLogits, calibration: Calibration = UNCALIBRATED) -> Verdict:
    """The verdict with the default labels."""
    return judge(windows, calibration, DEFAULT_LABELS)


def test_on_topic_is_allowed() -> None:
    """With label and reason."""
    answer = verdict(ON)
    assert (answer.decision, answer.label, answer.reason) == (Decision.ALLOW, "related", Reason.ON_TOPIC)


def test_off_topic_is_blocked() -> None:
    """With label and reason."""
    answer = verdict(OFF)
    assert (answer.blocked, answer.label, answer.reason) == (True, "not_related", Reason.OFF_TOPIC)


def test_one_window_off_topic_is_enough() -> None:
    """Padding does not hide it, wherever it stands."""
    assert all(verdict(*windows).blocked for windows in ((OFF, ON, ON), (ON, OFF, ON), (ON, ON, OFF)))


def test_one_window_without_a_number_is_enough() -> None:
    """Whether the others are on topic or not."""
    assert verdict(ON, BROKEN, OFF).reason is Reason.NO_SCORE
    assert verdict(ON, BROKEN).blocked


def test_the_uncertain_band_is_a_reason() -> None:
    """And flagged texts go on."""
    calibration = Calibration(uncertain_low=0.4, uncertain_high=0.6, uncertain_decision=Decision.FLAG)
    answer = verdict(LabelLogits(0.0, 0.1), calibration=calibration)
    assert (answer.decision, answer.reason, answer.blocked) == (Decision.FLAG, Reason.UNCERTAIN, False)


def test_a_verdict_needs_a_window() -> None:
    """Nothing judged is an error, never an allow."""
    with pytest.raises(ValueError, match="at least one window"):
        verdict()
