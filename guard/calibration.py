"""From the classifier's two logits to a probability, and from that to a decision."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Decision(StrEnum):
    """What is done with a prompt."""

    ALLOW = "allow"
    BLOCK = "block"
    FLAG = "flag"
    """Forwarded, and marked in headers, logs and metrics."""


@dataclass(frozen=True, slots=True)
class LabelLogits:
    """The two logits (or log-probabilities, which differ by a constant), natural logarithm."""

    off_topic: float
    on_topic: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a guard's logits become a decision.

    Attributes:
        temperature: divides the logits' difference before the sigmoid (Guo et al. 2017).
        threshold: scores (probability of on topic) below it are off topic.
        uncertain_low: scores from here up to ``uncertain_high`` get ``uncertain_decision``.
        uncertain_high: end of the uncertain band; the band is empty where both ends are the same.
        uncertain_decision: what is done within the band.

    Raises:
        ValueError: if a value is outside its range or the threshold outside a band that is not empty.
    """

    temperature: float = 1.0
    threshold: float = 0.5
    uncertain_low: float = 0.5
    uncertain_high: float = 0.5
    uncertain_decision: Decision = Decision.BLOCK

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature {self.temperature}, wanted a positive number")
        for name in ("threshold", "uncertain_low", "uncertain_high"):
            value: float = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} {value}, wanted a probability from 0 to 1")
        if self.uncertain_low > self.uncertain_high:
            raise ValueError(f"uncertain band from {self.uncertain_low} to {self.uncertain_high}, wanted low <= high")
        # Else a text that is blocked could pass with a worse one beside it, which falls into the band.
        if self.uncertain_low < self.uncertain_high and not self.uncertain_low <= self.threshold <= self.uncertain_high:
            raise ValueError(
                f"threshold {self.threshold}, wanted one from {self.uncertain_low} to {self.uncertain_high}, where the "
                "uncertain band is"
            )

    def score(self, logits: LabelLogits) -> float:
        """Probability of on topic; NaN where the logits are not finite, which :meth:`decide` blocks."""
        difference = (logits.on_topic - logits.off_topic) / self.temperature
        if not math.isfinite(difference):
            return math.nan
        # The branch keeps the exponent negative: exp() of a large positive number overflows.
        if difference >= 0:
            return 1.0 / (1.0 + math.exp(-difference))
        return math.exp(difference) / (1.0 + math.exp(difference))

    def decide(self, score: float) -> Decision:
        """The decision for a score; a score that is no number is blocked."""
        if not math.isfinite(score):
            return Decision.BLOCK
        if self.uncertain_low <= score < self.uncertain_high:
            return self.uncertain_decision
        return Decision.ALLOW if score >= self.threshold else Decision.BLOCK


UNCALIBRATED: Final = Calibration()
"""Temperature 1, threshold 0.5, no uncertain band."""
