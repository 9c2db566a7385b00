"""Put a guard, and what it has to beat, to labelled rows."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from guard.calibration import Calibration, Decision
from guard.labels import Labels
from guard.verdict import Verdict, judge
from train.baselines import Baseline
from train.dataset import Copy, find_copies
from train.metrics import (
    Bools,
    CalibrationBin,
    Floats,
    Metrics,
    Proportion,
    calibration_bins,
    confusion_of,
    measure,
    roc_points,
    score_histogram,
)
from train.rows import Row, to_json
from train.scoring import Scorer

MAX_ERRORS: Final = 40
"""How many errors a report lists, the worst first."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is evaluated, on what.

    Attributes:
        name: of the rows, also in file names: lower-case letters, digits, ``-`` and ``_``.
        title: of the rows, for people.
        scored_by: what gave the scores, such as the GGUF's file name with its SHA-256.
        show_texts: whether the report may quote rows; only of the project's own.

    Raises:
        ValueError: if ``name`` is not as described.
    """

    name: str
    title: str
    scored_by: str
    show_texts: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"the evaluation {self.name!r}, wanted lower-case letters, digits, '-' and '_'")


@dataclass(frozen=True, slots=True)
class Mistake:
    """A row whose outcome is wrong.

    Attributes:
        row: its number among the rows, from 1.
        slice: of the row.
        label: what is right.
        score: probability of on topic; None where the model gave none.
        source: of the row.
        text: the judged text; None where rows must not be quoted.
    """

    row: int
    slice: str
    label: str
    score: float | None
    source: str
    text: str | None


@dataclass(frozen=True, slots=True)
class BaselineResult:
    """A baseline on the same rows: everything over all of them, the accuracy by kind and slice."""

    overall: Metrics
    kinds: dict[str, Proportion]
    slices: dict[str, Proportion]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How another form of the same guard, such as the float model, compares.

    Attributes:
        accuracy: of the other form.
        same_decision: rows on which both do the same.
        largest_difference: of a score, 0 to 1; None where no row has both.
    """

    accuracy: Proportion
    same_decision: Proportion
    largest_difference: float | None


@dataclass(frozen=True, slots=True)
class Copies:
    """What of the rows the guard may know by heart.

    Attributes:
        rows: those that stand in the training rows too, word for word or nearly so.
        accuracy_without: of the others.
    """

    rows: list[Copy]
    accuracy_without: Proportion


@dataclass(frozen=True)
class Evaluation:
    """A guard on some rows.

    Attributes:
        subject: what on what.
        rows_sha256: of the rows as JSON Lines.
        overall: over all rows.
        kinds: over single prompts, conversations and attempts at evasion, where there are any.
        slices: by slice.
        flagged: rows let through with a mark.
        baselines: by name.
        others: other forms of the guard, by name.
        roc: false-block rate and recall.
        bins: of the reliability diagram.
        histogram: rows by score, off topic and on topic.
        mistakes: the worst first.
        copies: None where they were not looked for.
    """

    subject: Subject
    rows_sha256: str
    overall: Metrics
    kinds: dict[str, Metrics]
    slices: dict[str, Metrics]
    flagged: int
    baselines: dict[str, BaselineResult]
    others: dict[str, Agreement]
    roc: list[tuple[float, float]]
    bins: list[CalibrationBin]
    histogram: tuple[list[int], list[int]]
    mistakes: list[Mistake]
    copies: Copies | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON; :mod:`train.report` describes it."""
        return {
            **{key: value for key, value in asdict(self.subject).items() if key != "show_texts"},
            "rows_sha256": self.rows_sha256,
            "overall": self.overall.as_dict(),
            "flagged": self.flagged,
            "kinds": {name: metrics.as_dict() for name, metrics in self.kinds.items()},
            "slices": {name: metrics.as_dict() for name, metrics in self.slices.items()},
            "baselines": {
                name: {
                    "overall": result.overall.as_dict(),
                    "kinds": {kind: accuracy.as_dict() for kind, accuracy in result.kinds.items()},
                    "slices": {slice_: accuracy.as_dict() for slice_, accuracy in result.slices.items()},
                }
                for name, result in self.baselines.items()
            },
            "others": {
                name: {
                    "accuracy": other.accuracy.as_dict(),
                    "same_decision": other.same_decision.as_dict(),
                    "largest_difference": other.largest_difference,
                }
                for name, other in self.others.items()
            },
            "roc": [list(point) for point in self.roc],
            "calibration_bins": [asdict(found) for found in self.bins],
            "histogram": {"off_topic": self.histogram[0], "on_topic": self.histogram[1]},
            "mistakes": [asdict(mistake) for mistake in self.mistakes],
            "copies": self.copies
            and {
                "rows": [asdict(copy) for copy in self.copies.rows],
                "accuracy_without": self.copies.accuracy_without.as_dict(),
            },
        }


def evaluate(  # noqa: PLR0913 - a stage takes what it needs by name
    rows: Sequence[Row],
    *,
    subject: Subject,
    labels: Labels,
    scorer: Scorer,
    calibration: Calibration,
    baselines: Iterable[Baseline] = (),
    others: Mapping[str, Scorer] | None = None,
    training: Sequence[Row] = (),
) -> Evaluation:
    """Judge every row as the gateway would, and measure.

    Args:
        rows: labelled with ``labels``.
        subject: what is evaluated, for the report.
        labels: the two labels.
        scorer: the guard.
        calibration: the guard's.
        baselines: what it has to beat.
        others: other forms of the same guard, to be compared, by name.
        training: the rows it was trained on, to look for copies; none to leave it.

    Raises:
        ValueError: if there are no rows.
    """
    if not rows:
        raise ValueError("no rows to evaluate")
    on_topic = np.asarray([row.label == labels.on_topic for row in rows], dtype=bool)
    outcomes = _judge(rows, scorer, calibration, labels)
    kinds, slices = _places([kind_of(row) for row in rows]), _places([row.slice for row in rows])

    def by(places: Mapping[str, Bools]) -> dict[str, Metrics]:
        return {
            key: measure(on_topic[here], outcomes.scores[here], outcomes.refused[here]) for key, here in places.items()
        }

    def rival(baseline: Baseline) -> BaselineResult:
        scores = baseline.scores(rows)
        right = (scores >= 0.5) == on_topic
        shares = [
            {key: Proportion(int(right[here].sum()), int(here.sum())) for key, here in places.items()}
            for places in (kinds, slices)
        ]
        return BaselineResult(measure(on_topic, scores, scores < 0.5), *shares)

    return Evaluation(
        subject=subject,
        rows_sha256=hashlib.sha256("".join(to_json(row) + "\n" for row in rows).encode()).hexdigest(),
        overall=measure(on_topic, outcomes.scores, outcomes.refused),
        kinds=by(kinds),
        slices=by(slices),
        flagged=outcomes.flagged,
        baselines={baseline.name: rival(baseline) for baseline in baselines},
        others={
            name: _agreement(on_topic, outcomes, _judge(rows, other, calibration, labels))
            for name, other in (others or {}).items()
        },
        roc=roc_points(on_topic, outcomes.scores),
        bins=calibration_bins(on_topic, outcomes.scores),
        histogram=score_histogram(on_topic, outcomes.scores),
        mistakes=_mistakes(rows, on_topic, outcomes, show_texts=subject.show_texts),
        copies=_copies(rows, training, outcomes.refused != on_topic) if training else None,
    )


def kind_of(row: Row) -> str:
    """What a row puts to the test, beside its slice."""
    if row.slice.startswith("evasion_"):
        return "evasion"
    return "conversations" if len(row.turns) > 1 else "single prompts"


@dataclass(frozen=True)
class _Outcomes:
    """By row: probability of on topic (NaN for none), whether it is refused; and how many are flagged."""

    scores: Floats
    refused: Bools
    flagged: int


def _judge(rows: Sequence[Row], scorer: Scorer, calibration: Calibration, labels: Labels) -> _Outcomes:
    verdicts: list[Verdict] = [judge(windows, calibration, labels) for windows in scorer(rows)]
    return _Outcomes(
        np.asarray([verdict.score for verdict in verdicts], dtype=np.float64),
        np.asarray([verdict.blocked for verdict in verdicts], dtype=bool),
        sum(verdict.decision is Decision.FLAG for verdict in verdicts),
    )


def _places(keys: Sequence[str]) -> dict[str, Bools]:
    """Where each key stands, in the order of the alphabet."""
    array = np.asarray(keys, dtype=object)
    return {key: array == key for key in sorted(set(keys))}


def _agreement(on_topic: Bools, outcomes: _Outcomes, other: _Outcomes) -> Agreement:
    both = np.isfinite(outcomes.scores) & np.isfinite(other.scores)
    return Agreement(
        accuracy=confusion_of(on_topic, other.refused).accuracy,
        same_decision=Proportion(int(np.sum(outcomes.refused == other.refused)), len(on_topic)),
        largest_difference=float(np.abs(outcomes.scores - other.scores)[both].max()) if both.any() else None,
    )


def _copies(rows: Sequence[Row], training: Sequence[Row], right: Bools) -> Copies:
    copies = find_copies(rows, training)
    others = np.ones(len(rows), dtype=bool)
    others[[copy.row - 1 for copy in copies]] = False
    return Copies(copies, Proportion(int(right[others].sum()), int(others.sum())))


def _mistakes(rows: Sequence[Row], on_topic: Bools, outcomes: _Outcomes, *, show_texts: bool) -> list[Mistake]:
    wrong = np.flatnonzero(on_topic == outcomes.refused)
    # How far the score is from where it should be; a row without one is as wrong as can be.
    distance = {
        int(i): 2.0 if math.isnan(outcomes.scores[i]) else abs(float(on_topic[i]) - outcomes.scores[i]) for i in wrong
    }
    worst = sorted(distance, key=lambda i: (-distance[i], i))[:MAX_ERRORS]
    return [
        Mistake(
            row=place + 1,
            slice=rows[place].slice,
            label=rows[place].label,
            score=None if math.isnan(outcomes.scores[place]) else float(outcomes.scores[place]),
            source=rows[place].source,
            text=rows[place].text if show_texts else None,
        )
        for place in worst
    ]
