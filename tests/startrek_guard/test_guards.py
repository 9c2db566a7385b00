"""The guard that a person names."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from startrek_guard.guards import ADAPTERS, DEFAULT_GUARD, open_adapter, read_manifest
from tests import tiny


def test_a_manifest_is_read_from_a_gguf(tmp_path: Path) -> None:
    """What llama-server serves is what tells its labels."""
    path = tiny.write_model(tmp_path / "guard.gguf", tiny.folded(), tiny.MANIFEST)
    assert read_manifest(path) == tiny.MANIFEST


@pytest.mark.parametrize("name", ["", "guard.json"])
def test_a_manifest_is_read_from_an_adapter(name: str) -> None:
    """Named by its folder or by the file in it."""
    assert read_manifest(ADAPTERS / DEFAULT_GUARD / name) == open_adapter(DEFAULT_GUARD).manifest()


@pytest.mark.parametrize("name", ["gemma", "ollama://127.0.0.1:11434/startrek-guard", ADAPTERS.parent / "run.py"])
def test_a_guard_that_is_not_there_is_told_with_those_that_are(name: str | Path) -> None:
    """A misspelt name is no folder that lacks a file; a server's address is none where a folder is wanted."""
    with pytest.raises(typer.BadParameter) as caught:
        open_adapter(str(name))
    assert f"'{name}' is neither an adapter folder nor the name of a shipped adapter (gemma3_270m" in str(caught.value)
