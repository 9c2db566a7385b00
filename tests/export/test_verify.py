"""An exported guard against the model it was made of."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from export.errors import VerificationError
from export.verify import Candidate, Reference, roc_auc, verify
from guard.calibration import Calibration, LabelLogits

ROWS = 1000
PROMPTS = [f"<bos>prompt {row}<end>" for row in range(ROWS)]
PROBABILITIES = [(row + 0.5) / ROWS for row in range(ROWS)]
REFERENCE = Reference(
    prompts=PROMPTS,
    class_ids=[int(row >= 400) for row in range(ROWS)],
    probabilities=PROBABILITIES,
    token_ids=[[2, row, 5] for row in range(ROWS)],
)


def logits_of(probabilities: Sequence[float]) -> list[LabelLogits]:
    """Logits whose softmax is the probabilities."""
    return [LabelLogits(0.0, math.log(p / (1.0 - p))) for p in probabilities]


def candidate(shift: float = 0.0, *, quantisation: str = "Q4_0", wrong_tokens: int = 0, swapped: int = 0) -> Candidate:
    """A scorer that answers as the reference, shifted, with some labels and some tokens wrong."""
    answers = [min(max(p + shift, 1e-6), 1 - 1e-6) for p in PROBABILITIES]
    answers[:swapped] = [0.9] * swapped

    def tokenise(prompt: str) -> list[int]:
        row = PROMPTS.index(prompt)
        return [2, row, 5 if row >= wrong_tokens else 6]

    def score(prompts: Sequence[str]) -> list[LabelLogits]:
        assert list(prompts) == PROMPTS
        return logits_of(answers)

    return Candidate("llama.cpp", quantisation, score, tokenise, size_bytes=42_000_000)


def test_the_same_answers_pass() -> None:
    """All labels, no difference, no change of the area under the curve."""
    [comparison] = verify(REFERENCE, [candidate()]).comparisons

    assert comparison.faults == []
    assert comparison.agreement == 1.0
    assert comparison.tokens_equal == ROWS
    assert comparison.max_difference == pytest.approx(0.0, abs=1e-9)
    assert comparison.auc == 1.0
    assert comparison.auc_change == 0.0
    assert comparison.row_ms > 0.0


@pytest.mark.parametrize(
    ("quantisation", "swapped", "passes"),
    [
        ("Q8_0", 2, True),
        ("Q8_0", 3, False),
        ("Q4_0", 10, True),
        ("Q4_0", 11, False),
        ("Q4_K_M", 10, True),
        ("Q4_K_M", 11, False),
    ],
)
def test_the_tolerance_depends_on_the_quantisation(quantisation: str, swapped: int, passes: bool) -> None:
    """99.8 % of labels for Q8_0, 99.0 % for the four-bit ones; one row less fails."""
    report = verify(REFERENCE, [candidate(quantisation=quantisation, swapped=swapped)])

    assert (report.faults == []) is passes
    if not passes:
        with pytest.raises(VerificationError, match=f"{quantisation} in llama.cpp agrees on"):
            report.check()


def test_differences_are_measured() -> None:
    """The largest and the mean difference of a probability, and the area's change."""
    [comparison] = verify(REFERENCE, [candidate(shift=0.004, swapped=1)]).comparisons

    assert comparison.max_difference == pytest.approx(0.9 - 0.0005, abs=1e-6)
    assert comparison.mean_difference == pytest.approx(0.004 + 0.8995 / ROWS, abs=1e-4)
    assert comparison.auc_change is not None
    assert -0.01 < comparison.auc_change < 0.0


def test_candidates_are_taken_one_at_a_time() -> None:
    """The next one's weights are not loaded before the last one has answered."""
    done: list[str] = []

    def score(_prompts: Sequence[str]) -> list[LabelLogits]:
        done.append("asked")
        return logits_of(PROBABILITIES)

    def opened() -> Iterator[Candidate]:
        for kind in ("F16", "Q4_0"):
            done.append(kind)
            yield Candidate("e", kind, score, None, 1)

    verify(REFERENCE, opened())

    assert done == ["F16", "asked", "Q4_0", "asked"]


def test_other_tokens_fail_whatever_the_labels_say() -> None:
    """One row that is read otherwise is a fault."""
    report = verify(REFERENCE, [candidate(wrong_tokens=1)])

    assert report.faults == ["Q4_0 in llama.cpp reads 1 of 1000 rows as other tokens"]


def test_labels_follow_the_calibration() -> None:
    """With a higher threshold the same probabilities give other labels."""
    calibration = Calibration(threshold=0.9, uncertain_low=0.9, uncertain_high=0.9)

    [comparison] = verify(REFERENCE, [candidate(shift=-0.05)], calibration=calibration).comparisons

    assert comparison.agreement == pytest.approx(0.95)


def test_an_engine_that_does_not_tell_tokens_is_not_blamed() -> None:
    """Ollama tells no token ids."""
    silent = Candidate("ollama", "Q4_0", candidate().score, None, 1)

    report = verify(REFERENCE, [silent])

    assert report.faults == []
    assert "| – |" in report.markdown()


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (Candidate("e", "Q4_0", lambda _: logits_of(PROBABILITIES[1:]), None, 1), "answered 999 of 1000 prompts"),
        (Candidate("e", "Q4_0", lambda _: [LabelLogits(math.nan, 0.0)] * ROWS, None, 1), "wanted numbers"),
        (
            Candidate("e", "Q2_K", lambda _: logits_of(PROBABILITIES), None, 1),
            "no tolerance for the quantisation 'Q2_K'",
        ),
    ],
)
def test_an_unusable_candidate_is_an_error(broken: Candidate, complaint: str) -> None:
    """Never a pass: a missing answer, no number, an unknown quantisation."""
    with pytest.raises(VerificationError, match=complaint):
        verify(REFERENCE, [broken])


def test_too_few_rows_prove_nothing() -> None:
    """Fewer than a thousand are refused."""
    few = Reference(PROMPTS[:999], REFERENCE.class_ids[:999], PROBABILITIES[:999], REFERENCE.token_ids[:999])

    with pytest.raises(VerificationError, match="999 rows, wanted at least 1000"):
        verify(few, [candidate()])


def test_a_reference_that_is_none_is_refused() -> None:
    """Sequences of different length, or a probability that is none."""
    with pytest.raises(VerificationError, match=r"\[1, 2, 1, 1\] rows"):
        Reference(["a"], [0, 1], [0.5], [[1]])
    for value in (1.5, -0.1, math.nan):
        with pytest.raises(VerificationError, match="wanted 0 to 1"):
            Reference(["a"], [0], [value], [[1]])


def test_the_report_is_a_table_and_json() -> None:
    """A row a candidate, in both, failures marked."""
    report = verify(REFERENCE, [candidate(quantisation="F16"), candidate(swapped=20)])

    lines = report.markdown().splitlines()
    values = json.loads(report.json())

    assert len(lines) == 4
    assert len({line.count(" | ") for line in lines if line.startswith("| ")}) == 1
    assert lines[2].startswith("| F16 | llama.cpp | 1,000 | 100.00% | 100.00% | 99.8% |")
    assert lines[2].endswith("| ok |")
    assert lines[3].endswith("| **failed** |")
    assert [value["quantisation"] for value in values] == ["F16", "Q4_0"]
    assert values[0]["faults"] == []
    assert "98.00%" in values[1]["faults"][0]


def test_a_report_says_what_a_rounded_reference_is() -> None:
    """Beside the table and in its JSON; of a float one it says nothing."""
    report = verify(replace(REFERENCE, rounding="Q4_0"), [candidate()])

    assert "\n\nQ4_0 is compared with the classifier as it was trained: with its weights rounded" in report.markdown()
    assert json.loads(report.json())[0]["reference_rounding"] == "Q4_0"
    assert verify(REFERENCE, [candidate()]).markdown().count("\n") == 3


def test_the_area_under_the_curve_counts_ties_half() -> None:
    """As counted pair by pair."""
    generator = np.random.default_rng(0)
    class_ids = generator.integers(0, 2, size=80).tolist()
    scores = generator.integers(0, 10, size=80).tolist()

    ones = [score for score, class_id in zip(scores, class_ids, strict=True) if class_id]
    zeros = [score for score, class_id in zip(scores, class_ids, strict=True) if not class_id]
    pairs = [1.0 if one > zero else 0.5 if one == zero else 0.0 for one in ones for zero in zeros]

    assert roc_auc(class_ids, scores) == pytest.approx(np.mean(pairs))
    assert roc_auc([1, 1], [0.1, 0.2]) is None
