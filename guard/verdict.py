"""What the guard says of a conversation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from guard.calibration import Calibration, Decision, LabelLogits
from guard.labels import Labels


class Reason(StrEnum):
    """Why a decision was taken."""

    ON_TOPIC = "on_topic"
    OFF_TOPIC = "off_topic"
    UNCERTAIN = "uncertain"
    """The score lies in the calibration's uncertain band."""
    NO_SCORE = "no_score"
    """The model gave no usable number."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The guard's word on the last turn of a conversation.

    Attributes:
        decision: what to do.
        label: the label's name, by the threshold.
        score: calibrated probability of on topic, 0 to 1; NaN where the model gave none.
        reason: why.
    """

    decision: Decision
    label: str
    score: float
    reason: Reason

    @property
    def blocked(self) -> bool:
        """Whether the prompt must not reach the model."""
        return self.decision is Decision.BLOCK


def judge(windows: Sequence[LabelLogits], calibration: Calibration, labels: Labels) -> Verdict:
    """The verdict on a text from the logits of each of its windows: the least on-topic window decides.

    Raises:
        ValueError: if there is no window.
    """
    if not windows:
        raise ValueError("a verdict needs the logits of at least one window")
    scores = [calibration.score(logits) for logits in windows]
    score = math.nan if any(math.isnan(value) for value in scores) else min(scores)
    decision = calibration.decide(score)
    return Verdict(decision, _label(score, calibration, labels), score, _reason(score, calibration))


def _label(score: float, calibration: Calibration, labels: Labels) -> str:
    return labels.on_topic if score >= calibration.threshold else labels.off_topic


def _reason(score: float, calibration: Calibration) -> Reason:
    if math.isnan(score):
        return Reason.NO_SCORE
    if calibration.uncertain_low <= score < calibration.uncertain_high:
        return Reason.UNCERTAIN
    return Reason.ON_TOPIC if score >= calibration.threshold else Reason.OFF_TOPIC
