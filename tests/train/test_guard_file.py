"""``guard.json`` is changed value by value, and what is unusable in it is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from guard.calibration import Calibration, Decision
from guard.labels import Labels
from train.errors import RunError
from train.guard_file import (
    GUARD_FILE,
    calibration_as_dict,
    calibration_of,
    guard_name,
    labels_of,
    read_guard_file,
    update_guard_file,
)

CALIBRATION = Calibration(1.5, 0.7, 0.6, 0.7, Decision.BLOCK)


def _write(folder: Path, value: Any) -> Path:
    (folder / GUARD_FILE).write_text(json.dumps(value), "utf-8")
    return folder


def test_a_calibration_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Every value of it."""
    assert calibration_of(_write(tmp_path, {"calibration": calibration_as_dict(CALIBRATION)})) == CALIBRATION


@pytest.mark.parametrize(
    ("text", "name"),
    [("chess-guard-my_own topic", "chess-guard-my-own-topic"), ("Qwen3 (0.6B)", "Qwen3-0.6B"), ("_", "guard")],
)
def test_a_guards_name_is_one_for_files_and_ollama(text: str, name: str) -> None:
    """A recipe's file name may have blanks."""
    assert guard_name(text) == name


def test_an_update_keeps_the_other_values(tmp_path: Path) -> None:
    """And the order of the keys."""
    update_guard_file(_write(tmp_path, {"name": "a", "accuracy": None, "topic": "bees"}), {"accuracy": 0.9})
    assert list(read_guard_file(tmp_path).items()) == [("name", "a"), ("accuracy", 0.9), ("topic", "bees")]


def test_labels_are_by_class_id(tmp_path: Path) -> None:
    """Off topic first."""
    assert labels_of(_write(tmp_path, {"labels": ["no", "yes"]})) == Labels("no", "yes")


@pytest.mark.parametrize("labels", [None, ["one"], ["a", "a"], ["a", "b", "c"]])
def test_labels_that_are_no_pair_are_refused(tmp_path: Path, labels: Any) -> None:
    """The error quotes them."""
    with pytest.raises(RunError, match="wanted two names"):
        labels_of(_write(tmp_path, {"labels": labels}))


@pytest.mark.parametrize(
    "calibration",
    [None, {}, {**calibration_as_dict(CALIBRATION), "temperature": 0}, {**calibration_as_dict(CALIBRATION), "more": 1}],
)
def test_an_unusable_calibration_is_refused(tmp_path: Path, calibration: Any) -> None:
    """A guard is never judged by half of one."""
    with pytest.raises(RunError, match="unusable calibration"):
        calibration_of(_write(tmp_path, {"calibration": calibration}))


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_folder_without_the_file_is_no_guard(tmp_path: Path, content: str | None) -> None:
    """Missing, broken, or no object."""
    if content is not None:
        (tmp_path / GUARD_FILE).write_text(content, "utf-8")
    with pytest.raises(RunError, match=r"guard\.json"):
        read_guard_file(tmp_path)
