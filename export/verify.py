"""Prove that an exported guard answers as the model it was made of, on the same rows.

The reference's probabilities come as plain numbers, so that nothing here needs the library that computed them.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from export.errors import VerificationError
from guard.calibration import UNCALIBRATED, Calibration, LabelLogits

MIN_ROWS: Final = 1000
"""With fewer, 99.8 % of agreement would be all rows but one."""

MIN_AGREEMENT: Final = {"F16": 0.998, "Q8_0": 0.998, "Q6_K": 0.99, "Q5_K_M": 0.99, "Q4_K_M": 0.99, "Q4_0": 0.99}
"""The share of rows that must get the reference's label, by quantisation."""

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reference:
    """What the model says before it is exported. All sequences are by row.

    Attributes:
        prompts: rendered.
        class_ids: the true labels', 1 for on topic.
        probabilities: of on topic, under the same calibration as :func:`verify` is given.
        token_ids: of the prompts.
        rounding: the quantisation that its weights are rounded to, as they were in training; None for none.

    Raises:
        VerificationError: if the sequences differ in length or a probability is none.
    """

    prompts: Sequence[str]
    class_ids: Sequence[int]
    probabilities: Sequence[float]
    token_ids: Sequence[Sequence[int]]
    rounding: str | None = None

    def __post_init__(self) -> None:
        counts = [len(rows) for rows in (self.prompts, self.class_ids, self.probabilities, self.token_ids)]
        if len(set(counts)) != 1:
            raise VerificationError(
                f"prompts, labels, probabilities and token ids of {counts} rows, wanted the same number of each"
            )
        if strange := [p for p in self.probabilities if not 0.0 <= p <= 1.0]:
            raise VerificationError(f"the reference has the probability {strange[0]}, wanted 0 to 1")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An exported guard behind an engine.

    Attributes:
        engine: its name.
        quantisation: see :data:`export.quantise.FILE_TYPES`.
        score: from rendered prompts to the labels' logits, in their order.
        tokenise: from a rendered prompt to token ids; None where the engine does not tell.
        size_bytes: of the GGUF.
    """

    engine: str
    quantisation: str
    score: Callable[[Sequence[str]], Sequence[LabelLogits]]
    tokenise: Callable[[str], Sequence[int]] | None
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """One candidate against the reference.

    Attributes:
        engine: its name.
        quantisation: of the GGUF.
        size_bytes: of the GGUF.
        rows: how many were compared.
        tokens_equal: how many of them are the same token ids; None where the engine does not tell.
        agreement: share of rows with the same label.
        min_agreement: the share that is wanted.
        max_difference: the largest absolute difference of a probability.
        mean_difference: and the mean one.
        auc: area under the ROC curve; None where all rows have one label.
        auc_change: its difference from the reference's.
        row_ms: milliseconds a row.
        reference_rounding: the quantisation that the reference's weights are rounded to; None for none.
    """

    engine: str
    quantisation: str
    size_bytes: int
    rows: int
    tokens_equal: int | None
    agreement: float
    min_agreement: float
    max_difference: float
    mean_difference: float
    auc: float | None
    auc_change: float | None
    row_ms: float
    reference_rounding: str | None = None

    @property
    def faults(self) -> list[str]:
        """What is past the tolerance, a sentence each."""
        name = f"{self.quantisation} in {self.engine}"
        faults = []
        if self.tokens_equal is not None and self.tokens_equal < self.rows:
            faults.append(f"{name} reads {self.rows - self.tokens_equal} of {self.rows} rows as other tokens")
        if self.agreement < self.min_agreement:
            faults.append(f"{name} agrees on {self.agreement:.2%} of rows, wanted {self.min_agreement:.1%}")
        return faults


@dataclass(frozen=True, slots=True)
class Report:
    """All candidates against the reference."""

    comparisons: Sequence[Comparison]

    @property
    def faults(self) -> list[str]:
        """What is past the tolerance, over all candidates."""
        return [fault for comparison in self.comparisons for fault in comparison.faults]

    def check(self) -> None:
        """Do nothing if all is within the tolerance.

        Raises:
            VerificationError: listing what is not.
        """
        if self.faults:
            raise VerificationError("; ".join(self.faults))

    def markdown(self) -> str:
        """The report as a table, and what was rounded before it was compared."""
        title = (
            "| quantisation | engine | rows | same tokens | same label | wanted | max \\|Δp\\| | mean \\|Δp\\| "
            "| ROC-AUC | change | MB | ms a row | |"
        )
        rule = "|---|---|" + "---:|" * 10 + "---|"
        roundings = dict.fromkeys(comparison.reference_rounding for comparison in self.comparisons)
        notes = [
            f"\n{kind} is compared with the classifier as it was trained: with its weights rounded to {kind}."
            for kind in roundings
            if kind is not None
        ]
        return "\n".join([title, rule, *map(_table_row, self.comparisons), *notes]) + "\n"

    def json(self) -> str:
        """The report as JSON, an object a candidate, with its faults."""
        values = [{**asdict(comparison), "faults": comparison.faults} for comparison in self.comparisons]
        return json.dumps(values, indent=2) + "\n"


def check_rows(rows: int, min_rows: int) -> None:
    """Say that there are too few rows, before anything is computed for them.

    Raises:
        VerificationError: if there are fewer than ``min_rows``.
    """
    if rows < min_rows:
        raise VerificationError(f"{rows} rows, wanted at least {min_rows}")


def verify(
    reference: Reference,
    candidates: Iterable[Candidate],
    *,
    calibration: Calibration = UNCALIBRATED,
    min_rows: int = MIN_ROWS,
) -> Report:
    """Ask every candidate about every row.

    Args:
        reference: the rows and what the model says of them.
        candidates: the exported guards; each is asked before the next is taken, so that they need not be open at once.
        calibration: gives probabilities and labels.
        min_rows: fewer prove nothing.

    Raises:
        VerificationError: if there are fewer rows, a quantisation has no tolerance, or a candidate answers fewer
            prompts than it was asked, or with values that are no numbers.
    """
    check_rows(len(reference.prompts), min_rows)
    return Report([_compare(reference, candidate, calibration) for candidate in candidates])


def roc_auc(class_ids: Sequence[int], scores: Sequence[float] | Scores) -> float | None:
    """The chance that a random row of class 1 scores above one of class 0, ties counting half.

    None where a class has no row. Source: the Mann-Whitney statistic, from average ranks.
    """
    positive = np.asarray(class_ids) == 1
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return None
    _values, inverse, counts = np.unique(np.asarray(scores), return_inverse=True, return_counts=True)
    average_ranks = np.cumsum(counts) - (counts - 1) / 2.0
    ranks = average_ranks[inverse].reshape(-1)
    return float((ranks[positive].sum() - ones * (ones + 1) / 2.0) / (ones * zeros))


def _compare(reference: Reference, candidate: Candidate, calibration: Calibration) -> Comparison:
    min_agreement = MIN_AGREEMENT.get(candidate.quantisation)
    if min_agreement is None:
        wanted = ", ".join(MIN_AGREEMENT)
        raise VerificationError(f"no tolerance for the quantisation {candidate.quantisation!r}, wanted one of {wanted}")
    scores, seconds = _ask(candidate, reference.prompts, calibration)
    wanted_scores = np.asarray(reference.probabilities, dtype=np.float64)
    differences = np.abs(scores - wanted_scores)
    same_label = (scores >= calibration.threshold) == (wanted_scores >= calibration.threshold)
    auc, reference_auc = roc_auc(reference.class_ids, scores), roc_auc(reference.class_ids, wanted_scores)
    return Comparison(
        engine=candidate.engine,
        quantisation=candidate.quantisation,
        size_bytes=candidate.size_bytes,
        rows=len(scores),
        tokens_equal=_equal_tokens(reference, candidate),
        agreement=float(same_label.mean()),
        min_agreement=min_agreement,
        max_difference=float(differences.max()),
        mean_difference=float(differences.mean()),
        auc=auc,
        auc_change=None if auc is None or reference_auc is None else auc - reference_auc,
        row_ms=1000.0 * seconds / len(scores),
        reference_rounding=reference.rounding,
    )


def _ask(candidate: Candidate, prompts: Sequence[str], calibration: Calibration) -> tuple[Scores, float]:
    """Scores of all prompts, and the seconds that took."""
    name = f"{candidate.quantisation} in {candidate.engine}"
    start = time.perf_counter()
    logits = candidate.score(prompts)
    seconds = time.perf_counter() - start
    if len(logits) != len(prompts):
        raise VerificationError(f"{name} answered {len(logits)} of {len(prompts)} prompts")
    scores = [calibration.score(answer) for answer in logits]
    if (broken := next((place for place, score in enumerate(scores) if not math.isfinite(score)), None)) is not None:
        raise VerificationError(f"{name} answered {logits[broken]} to {prompts[broken]!r}, wanted numbers")
    return np.asarray(scores, dtype=np.float64), seconds


def _equal_tokens(reference: Reference, candidate: Candidate) -> int | None:
    if candidate.tokenise is None:
        return None
    found = map(candidate.tokenise, reference.prompts)
    return sum(list(ids) == list(wanted) for ids, wanted in zip(found, reference.token_ids, strict=True))


def _table_row(comparison: Comparison) -> str:
    auc, change = comparison.auc, comparison.auc_change
    cells = [
        comparison.quantisation,
        comparison.engine,
        f"{comparison.rows:,}",
        "–" if comparison.tokens_equal is None else f"{comparison.tokens_equal / comparison.rows:.2%}",
        f"{comparison.agreement:.2%}",
        f"{comparison.min_agreement:.1%}",
        f"{comparison.max_difference:.4f}",
        f"{comparison.mean_difference:.5f}",
        "–" if auc is None else f"{auc:.4f}",
        "–" if change is None else f"{change:+.4f}",
        f"{comparison.size_bytes / 1e6:.1f}",
        f"{comparison.row_ms:.1f}",
        "**failed**" if comparison.faults else "ok",
    ]
    return "| " + " | ".join(cells) + " |"
