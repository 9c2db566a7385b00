"""Rows are judged as the gateway judges them, and told apart by slice, kind and baseline."""

from __future__ import annotations

import json

import pytest

from guard.labels import DEFAULT_LABELS
from tests.train.reported import CALIBRATION, ROWS, evaluation, scorer
from train.evaluate import MAX_ERRORS, Subject, evaluate, kind_of
from train.metrics import Confusion, Proportion
from train.rows import prompt_row


def test_outcomes_are_the_verdicts() -> None:
    """A flagged row is let through, a row without a score is refused."""
    found = evaluation()
    assert found.overall.confusion == Confusion(3, 2, 2, 1)
    assert (found.flagged, found.overall.unscored) == (2, 1)


def test_slices_and_kinds_are_told_apart() -> None:
    """Every row counts once in either."""
    found = evaluation()
    assert {name: (m.accuracy.hits, m.rows) for name, m in found.slices.items()} == {
        "canon": (2, 3),
        "conversation_on": (1, 1),
        "evasion_persona": (0, 2),
        "other_insects": (1, 2),
    }
    assert {name: m.rows for name, m in found.kinds.items()} == {"single prompts": 5, "conversations": 1, "evasion": 2}


def test_a_baseline_is_put_to_the_same_rows() -> None:
    """By slice and kind as well."""
    keywords = evaluation().baselines["keyword list"]
    assert keywords.overall.accuracy == Proportion(5, 8)
    assert keywords.slices["other_insects"] == Proportion(2, 2)
    assert keywords.kinds["evasion"] == Proportion(0, 2)


def test_mistakes_come_worst_first() -> None:
    """A row without a score before all, then by how far the score is from where it should be."""
    mistakes = evaluation().mistakes
    assert [(mistake.row, mistake.label) for mistake in mistakes] == [
        (7, "related"),
        (6, "not_related"),
        (3, "related"),
        (4, "not_related"),
    ]
    assert (mistakes[0].score, mistakes[0].text, mistakes[0].source) == (None, "?", "persona.txt:2")


def test_a_users_rows_are_not_quoted() -> None:
    """Their numbers will do."""
    found = evaluation(show_texts=False)
    assert {mistake.text for mistake in found.mistakes} == {None}
    assert "wasp" not in json.dumps(found.as_dict())


def test_mistakes_are_bounded() -> None:
    """A guard that is always wrong fills no report."""
    rows = [prompt_row(f"tax {number}", "related") for number in range(3 * MAX_ERRORS)]
    subject = Subject(name="a", title="a", scored_by="a")
    found = evaluate(rows, subject=subject, labels=DEFAULT_LABELS, scorer=scorer, calibration=CALIBRATION)
    assert len(found.mistakes) == MAX_ERRORS


def test_another_form_of_the_guard_is_compared() -> None:
    """Here with itself."""
    other = evaluation().others["float model"]
    assert (other.same_decision, other.largest_difference) == (Proportion(8, 8), 0.0)


def test_copies_of_training_rows_are_told() -> None:
    """With the accuracy that is left without them."""
    copies = evaluation(training=[prompt_row("A bee!", "related")]).copies
    assert copies is not None
    assert ([copy.row for copy in copies.rows], copies.accuracy_without) == ([1], Proportion(3, 7))
    assert evaluation().copies is None


def test_the_rows_are_known_by_their_hash() -> None:
    """The same rows, the same hash."""
    assert evaluation().rows_sha256 == evaluation(show_texts=False).rows_sha256


def test_an_evaluation_is_json() -> None:
    """Without NaN, which JSON has not."""
    json.dumps(evaluation().as_dict(), allow_nan=False)


def test_no_rows_are_refused() -> None:
    """They would have any accuracy."""
    subject = Subject(name="a", title="a", scored_by="a")
    with pytest.raises(ValueError, match="no rows"):
        evaluate([], subject=subject, labels=DEFAULT_LABELS, scorer=scorer, calibration=CALIBRATION)


def test_a_name_that_is_no_file_name_is_refused() -> None:
    """Plots are named by it."""
    with pytest.raises(ValueError, match="wanted lower-case letters"):
        Subject(name="../x", title="", scored_by="")


def test_kinds_are_what_is_put_to_the_test() -> None:
    """A slice of evasion counts as such, whatever its form."""
    assert [kind_of(row) for row in (ROWS[0], ROWS[6], ROWS[7])] == ["single prompts", "evasion", "conversations"]
