"""The engines that ``export verify`` can ask."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guard.engines.base import EngineUnavailableError
from startrek_guard.app import app
from startrek_guard.llama_server import check_installed, llama_server


def test_an_unknown_engine_is_refused() -> None:
    """With those that there are."""
    result = CliRunner().invoke(app, ["export", "verify", "--engine", "vllm"], env={"COLUMNS": "200"})

    assert result.exit_code == 2
    assert "--engine 'vllm', wanted llama.cpp or llama-server" in result.output


def test_a_missing_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the package that has it."""
    monkeypatch.setitem(sys.modules, "xllamacpp", None)

    with pytest.raises(EngineUnavailableError, match="needs xllamacpp, which is not installed"):
        check_installed()


@pytest.mark.slow
def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    """The file is named, and the end of what the server said."""
    path = tmp_path / "guard.gguf"
    path.write_bytes(b"no model at all")

    with pytest.raises(EngineUnavailableError, match=r"did not start with .*guard\.gguf: \S"), llama_server(path):
        pass
