"""A run that was started with something else, or is complete, is not touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.train.conftest import write_checkpoint
from train.errors import RunError
from train.run_dir import RunDir, commit, versions, write_json

MADE_OF = {"recipe": "recipe", "data_sha256": "hash"}


def test_a_run_is_begun_and_begun_again(tmp_path: Path) -> None:
    """With the same recipe and data it goes on."""
    run = RunDir(tmp_path / "run")
    run.begin(MADE_OF)
    run.begin(MADE_OF)
    started = json.loads(run.started.read_text("utf-8"))
    assert started == MADE_OF | {"commit": run.commit()}


def test_a_run_is_of_the_commit_that_it_was_started_at(tmp_path: Path) -> None:
    """However many there are before it ends."""
    run = RunDir(tmp_path)
    write_json(run.started, MADE_OF | {"commit": "abc"})
    run.begin(MADE_OF)
    assert run.commit() == "abc"


@pytest.mark.parametrize(
    ("recipe", "data", "problem"), [("other", "hash", "another recipe"), ("recipe", "x", "another data")]
)
def test_a_changed_run_is_not_resumed(tmp_path: Path, recipe: str, data: str, problem: str) -> None:
    """It says what changed, and nothing is overwritten."""
    run = RunDir(tmp_path)
    run.begin(MADE_OF)
    write_checkpoint(run)
    before = run.started.read_bytes()
    with pytest.raises(RunError, match=problem):
        run.begin({"recipe": recipe, "data_sha256": data})
    assert run.started.read_bytes() == before


def test_a_run_that_has_no_checkpoint_yet_takes_what_was_mended(tmp_path: Path) -> None:
    """A misspelt recipe does not lock its folder."""
    run = RunDir(tmp_path)
    run.begin(MADE_OF | {"recipe": "misspelt"})
    run.begin(MADE_OF)
    assert json.loads(run.started.read_text("utf-8"))["recipe"] == "recipe"


def test_a_part_of_a_checkpoint_is_none(tmp_path: Path) -> None:
    """Nothing can be resumed from it, so a mended recipe is taken and the part removed."""
    run = RunDir(tmp_path)
    run.begin(MADE_OF | {"recipe": "misspelt"})
    (run.checkpoints / "checkpoint-200").mkdir(parents=True)
    run.begin(MADE_OF)
    assert json.loads(run.started.read_text("utf-8"))["recipe"] == "recipe"
    assert not run.checkpoints.exists()


def test_a_complete_run_is_not_overwritten(tmp_path: Path) -> None:
    """``run.json`` marks it."""
    run = RunDir(tmp_path)
    run.begin(MADE_OF)
    write_json(run.record, {})
    with pytest.raises(RunError, match="holds a complete run"):
        run.begin(MADE_OF)


def test_a_json_file_is_replaced_whole(tmp_path: Path) -> None:
    """A value that is no JSON leaves the old file as it was."""
    path = tmp_path / "new" / "file.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text("utf-8")) == {"a": 1}
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]


def test_a_record_knows_versions_and_commit() -> None:
    """Of what decides a run's numbers."""
    assert versions()["torch"]
    assert commit()
