"""The command line of ``startrek-guard export``."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from export.errors import QuantiseError
from startrek_guard.app import app
from tests.export.samples import CONFIGS, save_folder


@pytest.mark.parametrize("name", ["", "config.json", "other.json"])
def test_a_plan_takes_a_configuration_or_its_folder(tmp_path: Path, name: str) -> None:
    """As the documents have it: ``export plan config.json``, whatever the file is called."""
    folder = save_folder(tmp_path / "model", CONFIGS["qwen3"])
    (folder / "other.json").write_bytes((folder / "config.json").read_bytes())

    result = CliRunner().invoke(app, ["export", "plan", str(folder / name)])

    assert result.exit_code == 0, result.output
    assert "| Q4_0 |" in result.output


@pytest.mark.parametrize("command", [["gguf"], ["verify", "--data", "rows.jsonl"]])
def test_an_unknown_quantisation_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """Before anything is computed or written, with those that there are."""
    monkeypatch.setenv("STARTREK_GUARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text('{"input": "Who is Spock?", "label": "related"}\n')

    result = CliRunner().invoke(app, ["export", *command, "--quantisation", "q4_0"])

    assert isinstance(result.exception, QuantiseError)
    assert str(result.exception).startswith("unknown quantisation 'q4_0', wanted one of F16, Q8_0")
    assert not Path("cache").exists()
