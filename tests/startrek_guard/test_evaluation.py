"""What a guard is evaluated on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from guard.labels import DEFAULT_LABELS
from startrek_guard.evaluation import (
    _calibrated_on,
    _hard_set,
    _of_the_served_file,
    _rows_of,
    evaluate_guard,
    own_run,
    run_of,
)
from startrek_guard.guards import DEFAULT_GUARD, build, open_adapter
from tests.train.reported import adapter_in, evaluation
from train.errors import DataError, RunError
from train.generate import Side
from train.run_dir import RunDir


def adapter_of(folder: Path, data: str) -> Path:
    """An adapter's folder with the recipe that it was trained by."""
    adapter = folder / "adapter"
    adapter.mkdir()
    (adapter / "run.json").write_text(json.dumps({"recipe": f"[data]\n{data}\n"}))
    return adapter


@pytest.mark.parametrize(("data", "found"), [('topic = "startrek"', True), ('files = ["mine.jsonl"]', False)])
def test_a_hard_set_is_its_own_topics_only(tmp_path: Path, data: str, found: bool) -> None:
    """A guard on sourdough is not asked about Spock."""
    assert (_hard_set(adapter_of(tmp_path, data), RunDir(tmp_path)) is not None) is found


def test_a_guard_that_lies_in_its_run_has_its_topics_hard_set(tmp_path: Path) -> None:
    """A run keeps its record beside the adapter, not in it."""
    (tmp_path / "run.json").write_text(json.dumps({"recipe": '[data]\ntopic = "startrek"\n'}))
    assert _hard_set(tmp_path / "adapter", RunDir(tmp_path)) is not None


def test_a_guard_from_elsewhere_has_no_hard_set(tmp_path: Path) -> None:
    """Nothing says what it was trained on."""
    assert _hard_set(tmp_path, RunDir(tmp_path / "run")) is None


def test_an_adapters_run_is_the_one_it_lies_in(tmp_path: Path) -> None:
    """Unless another is named, or it was copied out of its run."""
    adapter = adapter_of(tmp_path, "")
    assert run_of(adapter, None).path == Path("runs/adapter")
    (tmp_path / "run.json").write_text("{}")
    assert run_of(adapter, None).path == tmp_path
    assert run_of(adapter, tmp_path / "other").path == tmp_path / "other"


@pytest.mark.slow
def test_a_report_names_the_file_that_is_served() -> None:
    """The measured file did not have its accuracy in it yet."""
    (named,) = _of_the_served_file(DEFAULT_GUARD, [evaluation()])
    served = build(open_adapter(DEFAULT_GUARD), "Q4_0", None)
    assert named.subject.scored_by == f"{served.name}, SHA-256 {hashlib.sha256(served.read_bytes()).hexdigest()[:16]}"
    assert named.overall == evaluation().overall


def test_nothing_is_measured_for_a_report_that_can_not_be_written(tmp_path: Path) -> None:
    """It takes minutes."""
    (tmp_path / "plots").mkdir()
    with pytest.raises(RunError, match="is not of a report that was written here"):
        evaluate_guard("gemma3_270m", tmp_path / "no-such-rows.jsonl", None, tmp_path)


def run_in(folder: Path) -> RunDir:
    """A run's folder with a row on each side."""
    run = RunDir(folder)
    for side in Side:
        run.rows(side).parent.mkdir(parents=True, exist_ok=True)
        run.rows(side).write_text('{"input": "a", "label": "chess"}\n', "utf-8")
    return run


def test_a_guard_is_evaluated_on_its_own_run(tmp_path: Path) -> None:
    """By the hash of the rows; one that was trained elsewhere has none."""
    run = run_in(tmp_path / "run")
    for known in (run.data_sha256(), ""):
        assert own_run(adapter_in(tmp_path / "mine", data_sha256=known), run.path) == run


@pytest.mark.parametrize("lost", [[], [Side.TRAIN]])
def test_a_run_of_other_rows_is_refused(tmp_path: Path, lost: list[Side]) -> None:
    """Its test side may be what the guard was trained on; nor can a part of it be compared."""
    run = run_in(tmp_path / "run")
    for side in lost:
        run.rows(side).unlink()
    with pytest.raises(RunError, match=r"run/data are not those that .*mine was trained on"):
        own_run(adapter_in(tmp_path / "mine"), run.path)


def test_a_run_of_other_rows_that_was_not_named_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The shipped guard's recipe, run again on a later corpus, must not stand in the way of one's own rows."""
    monkeypatch.chdir(tmp_path)
    run_in(Path("runs/mine"))
    adapter = adapter_in(tmp_path / "mine")
    assert own_run(adapter, None) == RunDir(adapter)
    assert "evaluated without baselines" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("lost", [[Side.TRAIN], list(Side)])
def test_rows_of_ones_own_need_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], lost: list[Side]) -> None:
    """The run's may have been deleted, for privacy or space."""
    run = run_in(tmp_path)
    for side in lost:
        run.rows(side).unlink()
    adapter = adapter_in(run.adapter)
    run.record.write_text("{}", "utf-8")
    own_run(adapter, None, required=False)
    assert "not compared with the training rows" in " ".join(capsys.readouterr().err.split())


def test_rows_that_a_threshold_was_fitted_on_are_known(tmp_path: Path) -> None:
    """By their hash; a guard that was never calibrated has none."""
    data = tmp_path / "validation.jsonl"
    data.write_text("a row", "utf-8")
    fit = {"rows_sha256": hashlib.sha256(b"a row").hexdigest()}
    assert _calibrated_on(adapter_in(tmp_path / "fitted", calibration_fit=fit), data)
    assert not _calibrated_on(adapter_in(tmp_path / "other", calibration_fit=None), data)


def test_rows_of_other_labels_are_named(tmp_path: Path) -> None:
    """With file and line."""
    with pytest.raises(DataError, match=r"train\.jsonl, line 1: has the label 'chess', wanted 'not_related'"):
        _rows_of(run_in(tmp_path), "train", DEFAULT_LABELS)
