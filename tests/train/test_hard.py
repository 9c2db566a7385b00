"""The hard set is read as authored, one row where one is meant."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from guard.labels import DEFAULT_LABELS
from train.dataset import find_copies
from train.errors import DataError
from train.generate import Side
from train.hard import read_hard
from train.rows import Row


@pytest.fixture
def rows(topic: Path) -> list[Row]:
    """The tiny topic's hard set."""
    return read_hard(topic / "hard", DEFAULT_LABELS)


def test_slices_and_labels_come_from_files_and_marks(rows: list[Row]) -> None:
    """A slice of both labels is two."""
    assert [(row.slice, row.label) for row in rows] == [
        ("canon", "related"),
        ("canon", "related"),
        ("short_on", "related"),
        ("short_on", "related"),
        ("other_insects", "not_related"),
        ("other_insects", "not_related"),
        ("short_off", "not_related"),
        ("evasion_buried", "not_related"),
        ("evasion_buried", "related"),
        ("conversation_drift_off", "not_related"),
        ("conversation_followup_on", "related"),
        ("conversation_followup_on", "related"),
    ]


def test_a_rows_source_is_its_file_and_line(rows: list[Row]) -> None:
    """Comments and empty lines count."""
    assert [row.source for row in rows[:2]] == ["singles/related/canon.txt:2", "singles/related/canon.txt:4"]
    assert rows[-1].source == "conversations/followup_on.txt:6"


def test_the_last_user_turn_is_the_row(rows: list[Row]) -> None:
    """Earlier ones are its context; what comes after it is not read."""
    assert [turn.text for turn in rows[-1].turns] == ["nice weather", "Yes.", "good for foraging?"]


def test_an_escaped_line_break_is_one(rows: list[Row]) -> None:
    """As in the training corpus."""
    assert rows[5].text == "ants in the kitchen\nwhat kills them"


def test_a_copy_of_a_training_row_is_found(rows: list[Row], sides: dict[Side, list[Row]]) -> None:
    """The tiny set has one on purpose."""
    everything = [row for side in Side for row in sides[side]]
    assert [rows[copy.row - 1].text for copy in find_copies(rows, everything)] == ["waggle dance"]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    """No rows would be a perfect score."""
    with pytest.raises(DataError, match="has no singles, evasion or conversations"):
        read_hard(tmp_path, DEFAULT_LABELS)


def test_a_conversation_without_a_user_is_refused(topic: Path, tmp_path: Path) -> None:
    """Nobody asks anything."""
    folder = Path(shutil.copytree(topic / "hard", tmp_path / "hard"))
    path = folder / "conversations" / "bad.txt"
    path.write_text("# comment\nA: hello\n", "utf-8")
    with pytest.raises(DataError, match=r"bad\.txt, line 2: begins a conversation without a user turn"):
        read_hard(folder, DEFAULT_LABELS)
