"""What a guard is evaluated on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from startrek_guard.evaluation import _hard_set, run_of
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
