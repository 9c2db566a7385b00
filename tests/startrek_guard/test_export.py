"""The command line of ``startrek-guard export``."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

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
