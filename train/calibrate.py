"""Fit a guard's temperature and threshold to a promise, on rows that it was not trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from guard.calibration import Calibration, Decision, LabelLogits
from guard.labels import Labels
from train.dataset import find_copies
from train.errors import CalibrationError
from train.guard_file import calibration_as_dict, update_guard_file
from train.metrics import Z_95, Bools, Confusion, Floats, calibration_error, confusion_of, largest_threshold, wilson
from train.rows import Row
from train.scoring import Scorer, least_difference

TEMPERATURES: Final = (0.05, 20.0)
"""Between these the temperature is looked for; outside, scores would be all 0 and 1, or all 0.5."""

DEFAULT_MAX_FALSE_BLOCK: Final = 0.01

MOST_SEEN_SHARE: Final = 0.5
"""Of rows that the guard was trained on; in one's own traffic a greeting or two are."""

_DECIMALS: Final = 6
"""Of what is stored: GGUF readers show metadata as text of six decimals, and both must decide alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a calibration is for.

    Attributes:
        max_false_block: the promise: at most this share of on-topic prompts is refused, at 95 % confidence. None
            promises nothing and takes the threshold at which both labels are wrong equally often.
        uncertain_share: share of all rows that fall into the uncertain band, those next to the threshold on the side
            of the band's decision: so the promise holds whatever it is.
        uncertain_decision: what is done within the band.

    Raises:
        CalibrationError: if a share is not between 0 and 1.
    """

    max_false_block: float | None = DEFAULT_MAX_FALSE_BLOCK
    uncertain_share: float = 0.0
    uncertain_decision: Decision = Decision.BLOCK

    def __post_init__(self) -> None:
        if self.max_false_block is not None and not 0 < self.max_false_block < 1:
            raise CalibrationError(f"a promise of {self.max_false_block} false blocks, wanted a share between 0 and 1")
        if not 0 <= self.uncertain_share < 1:
            raise CalibrationError(f"an uncertain share of {self.uncertain_share}, wanted 0 to 1, without 1")


@dataclass(frozen=True, slots=True)
class Fit:
    """A calibration, and what it does to the rows it was fitted on.

    Attributes:
        calibration: what is stored in the guard.
        aim: what it was fitted for.
        confusion: the rows by truth and outcome; its ``false_blocks`` and ``recall`` know their intervals.
        error_before: expected calibration error at temperature 1.
        error_after: at the fitted temperature.
    """

    calibration: Calibration
    aim: Aim
    confusion: Confusion
    error_before: float
    error_after: float


def calibrate(rows: Sequence[Row], labels: Labels, scorer: Scorer, aim: Aim) -> Fit:
    """Score rows and fit; of a long row the least on-topic window counts, as it does when judging.

    Args:
        rows: validation rows, never those of the training side.
        labels: the two labels.
        scorer: the guard as it will be served.
        aim: what for.

    Raises:
        CalibrationError: see :func:`fit_calibration`.
    """
    on_topic = np.asarray([row.label == labels.on_topic for row in rows], dtype=bool)
    differences = np.asarray([least_difference(windows) for windows in scorer(rows)], dtype=np.float64)
    return fit_calibration(on_topic, differences, aim)


def count_seen(rows: Sequence[Row], training: Sequence[Row]) -> int:
    """How many rows stand in the training rows too, word for word or nearly so.

    Raises:
        CalibrationError: if half of them or more do: a promise for prompts to come can't rest on those.
    """
    seen = len(find_copies(rows, training))
    if seen >= MOST_SEEN_SHARE * len(rows):
        raise CalibrationError(
            f"{seen} of {len(rows)} rows are training rows, word for word or nearly so; wanted rows that the guard was "
            "not trained on, such as the run's validation.jsonl"
        )
    return seen


def fit_calibration(on_topic: Bools, differences: Floats, aim: Aim) -> Fit:
    """Fit temperature, threshold and uncertain band.

    Args:
        on_topic: shape (rows,), the truth.
        differences: shape (rows,), on-topic less off-topic logit in nats; NaN where the model gave none.
        aim: what for.

    Raises:
        CalibrationError: if the rows are of one label, too few for the promise, or all without a number.
    """
    _check(on_topic, differences, aim)
    scored = np.isfinite(differences)
    temperature = round(fit_temperature(on_topic[scored], differences[scored]), _DECIMALS)
    # What has no number is refused at every threshold.
    cut = _choose_cut(on_topic, np.where(scored, differences, -math.inf), aim)
    scores = _scores(differences, temperature)
    threshold = _floor(Calibration(temperature).score(LabelLogits(0.0, cut)))
    low, high = _band(scores[scored], threshold, aim)
    calibration = Calibration(temperature, threshold, low, high, aim.uncertain_decision)
    refused = np.asarray([calibration.decide(float(score)) is Decision.BLOCK for score in scores], dtype=bool)
    return Fit(
        calibration,
        aim,
        confusion_of(on_topic, refused),
        calibration_error(on_topic[scored], _scores(differences[scored], 1.0)),
        calibration_error(on_topic[scored], scores[scored]),
    )


def rows_needed(max_false_block: float) -> int:
    """On-topic rows without which a promise can't be made at 95 % confidence.

    Of fewer, even not a single false block would leave the promise within what may be: Wilson's upper end for
    0 of n is z^2 / (n + z^2).
    """
    return math.ceil(Z_95**2 * (1 - max_false_block) / max_false_block)


def allowed_false_blocks(on_topic_rows: int, max_false_block: float) -> int:
    """How many of so many on-topic rows may be refused, so that Wilson's upper end keeps a promise.

    Fewer than the promised share of them: what is promised is the share of prompts to come, which the rows only tell
    within an interval.
    """
    allowed = 0
    while wilson(min(allowed + 1, on_topic_rows), on_topic_rows).high <= max_false_block:
        allowed += 1
    return allowed


def fit_temperature(on_topic: Bools, differences: Floats) -> float:
    """The temperature of the least negative log likelihood (Guo et al. 2017, section 4.2), within :data:`TEMPERATURES`.

    The targets are Platt's (1999): a count more on either side, without which rows that are told apart perfectly
    would drive the temperature to nothing.

    Args:
        on_topic: shape (rows,), the truth, of both labels.
        differences: shape (rows,), finite, in nats.
    """
    positives = int(on_topic.sum())
    negatives = len(on_topic) - positives
    targets = np.where(on_topic, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    # The likelihood is convex in 1 / temperature: halve the range by the sign of its slope.
    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    for _ in range(60):
        middle = (low + high) / 2
        probabilities = (1 + np.tanh(differences * middle / 2)) / 2
        slope = float(np.mean((probabilities - targets) * differences))
        low, high = (middle, high) if slope < 0 else (low, middle)
    return 2 / (low + high)


def store_calibration(adapter_folder: Path, fit: Fit, rows_sha256: str) -> None:
    """Put a calibration into an adapter folder's ``guard.json``, with what it rests on; whole or not at all.

    Args:
        adapter_folder: of the guard.
        fit: the calibration.
        rows_sha256: of the rows it was fitted on.

    Raises:
        RunError: if the folder has no ``guard.json``.
    """
    values: dict[str, Any] = {
        # It was measured with another threshold.
        "accuracy": None,
        "calibration": calibration_as_dict(fit.calibration),
        "calibration_fit": {
            "max_false_block": fit.aim.max_false_block,
            "confusion": asdict(fit.confusion),
            "false_blocks": fit.confusion.false_blocks.as_dict(),
            "recall": fit.confusion.recall.as_dict(),
            "error_before": fit.error_before,
            "error_after": fit.error_after,
            "rows_sha256": rows_sha256,
        },
    }
    update_guard_file(adapter_folder, values)


def describe(fit: Fit) -> str:
    """A fit in two sentences, for people."""
    blocks, recall = fit.confusion.false_blocks, fit.confusion.recall
    promise = "" if fit.aim.max_false_block is None else f", promised at most {fit.aim.max_false_block:.2%}"
    return (
        f"temperature {fit.calibration.temperature:.3f}, threshold {fit.calibration.threshold:.4f}: "
        f"{blocks.hits} of {blocks.of} on-topic rows refused ({blocks.share:.2%}, 95 % of the time between "
        f"{blocks.interval.low:.2%} and {blocks.interval.high:.2%}{promise}), "
        f"{recall.hits} of {recall.of} off-topic rows ({recall.share:.1%}). "
        f"Calibration error {fit.error_before:.3f} before, {fit.error_after:.3f} after."
    )


def _check(on_topic: Bools, differences: Floats, aim: Aim) -> None:
    positives = int(on_topic.sum())
    if positives in {0, len(on_topic)}:
        raise CalibrationError(f"all {len(on_topic)} validation rows have one label; a threshold needs rows of both")
    if not np.isfinite(differences[on_topic]).any() or not np.isfinite(differences[~on_topic]).any():
        raise CalibrationError("the model gave no number for any validation row of one label; it can't be calibrated")
    if aim.max_false_block is not None and positives < (needed := rows_needed(aim.max_false_block)):
        possible = Z_95**2 / (positives + Z_95**2)
        raise CalibrationError(
            f"a promise of at most {aim.max_false_block:.2%} false blocks needs {needed} on-topic validation rows, "
            f"there are {positives}: add rows, or promise {math.ceil(possible * 1000) / 1000:.1%}"
        )


def _choose_cut(on_topic: Bools, differences: Floats, aim: Aim) -> float:
    """The difference, in nats, below which rows are refused."""
    if aim.max_false_block is None:
        return _equal_error_cut(on_topic, differences)
    largest = largest_threshold(differences[on_topic], allowed_false_blocks(int(on_topic.sum()), aim.max_false_block))
    if largest == -math.inf:
        unscored = int(np.isinf(differences[on_topic]).sum())
        raise CalibrationError(
            f"the model gave no number for {unscored} of {int(on_topic.sum())} on-topic validation rows, which are "
            f"refused at every threshold: at most {aim.max_false_block:.2%} can't be promised"
        )
    refused = differences[~on_topic & (differences < largest)]
    if not np.isfinite(refused).any():
        return largest
    # Between the last off-topic row that is refused and the next on-topic one a larger cut refuses nothing more of
    # what it should: half way in between, no false block is made in vain.
    last = float(refused.max())
    return (last + float(differences[on_topic & (differences > last)].min())) / 2


def _equal_error_cut(on_topic: Bools, differences: Floats) -> float:
    """The cut at which the labels' error rates differ least (equal error rate); the middle one of several.

    The mean of both labels' recalls is all but flat about its peak, so that the peak's place is chance: where rows are
    drawn again from the same ones it moves twice as far as this.
    """
    values = np.unique(differences[np.isfinite(differences)])
    cuts = np.concatenate([values[:1], (values[1:] + values[:-1]) / 2])
    false_blocks = np.asarray([float(np.mean(differences[on_topic] < cut)) for cut in cuts])
    misses = np.asarray([float(np.mean(differences[~on_topic] >= cut)) for cut in cuts])
    apart = np.abs(false_blocks - misses)
    best = np.flatnonzero(apart <= apart.min() + 1e-12)
    return float(cuts[best[len(best) // 2]])


def _band(scores: Floats, threshold: float, aim: Aim) -> tuple[float, float]:
    wanted = round(aim.uncertain_share * len(scores))
    if not wanted:
        return threshold, threshold
    if aim.uncertain_decision is Decision.BLOCK:
        below = np.sort(scores[scores < threshold])[::-1][:wanted]
        return (_floor(float(below[-1])) if len(below) else threshold), threshold
    above = np.sort(scores[scores >= threshold])[:wanted]
    # The band's upper end lies outside it.
    return threshold, min(_floor(float(above[-1])) + 10**-_DECIMALS, 1.0) if len(above) else threshold


def _scores(differences: Floats, temperature: float) -> Floats:
    """By the guard's own arithmetic, so that what is fitted is what judges."""
    calibration = Calibration(temperature)
    return np.asarray([calibration.score(LabelLogits(0.0, float(value))) for value in differences])


def _floor(score: float) -> float:
    return math.floor(score * 10**_DECIMALS) / 10**_DECIMALS
