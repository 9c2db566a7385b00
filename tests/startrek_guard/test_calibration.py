"""Rows that a threshold may not rest on."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from startrek_guard.calibration import held_out_warnings, trained_in
from startrek_guard.train import app
from tests.train.reported import adapter_in
from train.errors import CalibrationError
from train.generate import Side
from train.rows import prompt_row, read_rows, to_json
from train.run_dir import RunDir


def run_in(folder: Path) -> RunDir:
    """A run with rows of its own on each side."""
    run = RunDir(folder)
    for side in Side:
        rows = [prompt_row(f"bees of the {side} side dance in hive number {n}", "related") for n in range(4)]
        run.rows(side).parent.mkdir(parents=True, exist_ok=True)
        run.rows(side).write_text("".join(to_json(row) + "\n" for row in rows), "utf-8")
    return run


def test_a_run_is_found_where_its_rows_lie(tmp_path: Path) -> None:
    """Of a copy of an adapter, say; another run's rows say nothing of it."""
    run = run_in(tmp_path / "run")
    data = run.rows(Side.VALIDATION)
    assert trained_in(adapter_in(tmp_path / "copy", data_sha256=run.data_sha256()), data) == run
    assert trained_in(adapter_in(tmp_path / "other", data_sha256="0" * 64), data) is None
    assert trained_in(adapter_in(tmp_path / "imported", data_sha256=""), data) is None


def test_a_threshold_is_not_fitted_on_training_rows(tmp_path: Path) -> None:
    """Scores of these are surer than those of prompts to come."""
    run = run_in(tmp_path)
    data = run.rows(Side.TRAIN)
    with pytest.raises(CalibrationError, match="4 of 4 rows are training rows"):
        held_out_warnings(read_rows(data), data, run)


def test_a_few_training_rows_among_others_are_told(tmp_path: Path) -> None:
    """As in one's own traffic."""
    run = run_in(tmp_path)
    rows = [*read_rows(run.rows(Side.VALIDATION)), read_rows(run.rows(Side.TRAIN))[0]]
    (warning,) = held_out_warnings(rows, run.rows(Side.VALIDATION), run)
    assert warning.startswith("1 of the 5 rows in ")


def test_the_test_side_is_told(tmp_path: Path) -> None:
    """What is measured on it later is no test any more."""
    run = run_in(tmp_path)
    data = run.rows(Side.TEST)
    (warning,) = held_out_warnings(read_rows(data), data, run)
    assert "is the run's test side" in warning


def test_validation_rows_are_taken_without_a_word(tmp_path: Path) -> None:
    """They are what a threshold is fitted on."""
    run = run_in(tmp_path)
    data = run.rows(Side.VALIDATION)
    assert held_out_warnings(read_rows(data), data, run) == []


def test_a_promise_and_a_balance_are_two_aims() -> None:
    """One of them would be passed over in silence."""
    arguments = ["calibrate", "any", "--data", "rows.jsonl", "--balanced", "--max-false-block", "0.05"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert "--balanced promises nothing" in done.output
