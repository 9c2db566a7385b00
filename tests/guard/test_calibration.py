"""From two logits to a probability, and to a decision."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.calibration import UNCALIBRATED, Calibration, Decision, LabelLogits

LOGITS = st.floats(min_value=-1e4, max_value=1e4)


def test_equal_logits_are_even_odds() -> None:
    """No preference is a half."""
    assert UNCALIBRATED.score(LabelLogits(3.0, 3.0)) == 0.5


def test_score_is_the_softmax_of_the_two_logits() -> None:
    """Against the definition."""
    expected = math.exp(1.0) / (math.exp(1.0) + math.exp(-0.5))
    assert UNCALIBRATED.score(LabelLogits(off_topic=-0.5, on_topic=1.0)) == pytest.approx(expected)


@given(LOGITS, LOGITS, st.floats(min_value=-100, max_value=100))
def test_a_common_constant_changes_nothing(off_topic: float, on_topic: float, constant: float) -> None:
    """So log-probabilities serve as well as logits."""
    shifted = UNCALIBRATED.score(LabelLogits(off_topic + constant, on_topic + constant))
    assert shifted == pytest.approx(UNCALIBRATED.score(LabelLogits(off_topic, on_topic)), abs=1e-9)


@given(LOGITS, LOGITS, st.floats(min_value=0.01, max_value=100))
def test_every_finite_pair_has_a_probability(off_topic: float, on_topic: float, temperature: float) -> None:
    """Nothing overflows."""
    assert 0.0 <= Calibration(temperature=temperature).score(LabelLogits(off_topic, on_topic)) <= 1.0


@given(LOGITS, LOGITS)
def test_temperature_moves_no_score_over_a_half(off_topic: float, on_topic: float) -> None:
    """It makes a guard more or less sure, never of another mind."""
    logits = LabelLogits(off_topic, on_topic)
    hot, cold = Calibration(temperature=3.0).score(logits), UNCALIBRATED.score(logits)
    assert (hot >= 0.5) == (cold >= 0.5)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_logits_that_are_no_numbers_block(value: float) -> None:
    """Whichever of the two it is."""
    for logits in (LabelLogits(value, 1.0), LabelLogits(1.0, value)):
        assert UNCALIBRATED.decide(UNCALIBRATED.score(logits)) is Decision.BLOCK


def test_the_threshold_itself_is_on_topic() -> None:
    """At and above is allowed, below is blocked."""
    calibration = Calibration(threshold=0.7)
    assert calibration.decide(0.7) is Decision.ALLOW
    assert calibration.decide(math.nextafter(0.7, 0)) is Decision.BLOCK


def test_the_uncertain_band_has_a_decision_of_its_own() -> None:
    """From its low end up to, not with, its high end."""
    calibration = Calibration(uncertain_low=0.4, uncertain_high=0.6, uncertain_decision=Decision.FLAG)
    decisions = [calibration.decide(score) for score in (0.39, 0.4, 0.59, 0.6)]
    assert decisions == [Decision.BLOCK, Decision.FLAG, Decision.FLAG, Decision.ALLOW]


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": 0.0},
        {"temperature": math.nan},
        {"temperature": -1.0},
        {"threshold": 1.1},
        {"threshold": math.nan},
        {"uncertain_low": 0.6, "uncertain_high": 0.5},
        {"uncertain_low": -0.1},
        {"uncertain_low": 0.2, "uncertain_high": 0.4},
        {"uncertain_low": 0.6, "uncertain_high": 0.8},
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, float]) -> None:
    """A calibration that means nothing is never made."""
    with pytest.raises(ValueError, match="wanted"):
        Calibration(**values)  # type: ignore[arg-type]
