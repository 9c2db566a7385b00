"""The file of kept tokens."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from export.errors import CheckpointError
from export.keep_list import read_keep_list, write_keep_list


@pytest.mark.parametrize(
    "ids",
    [[0], [0, 1, 2], [5, 7, 9], sorted(random.Random(7).sample(range(262_144), 40_000)), list(range(262_144))],
    ids=["one", "range", "gaps", "random", "all"],
)
def test_what_is_written_is_read(tmp_path: Path, ids: list[int]) -> None:
    """Ascending ids come back as they were."""
    path = tmp_path / "keep.txt"

    write_keep_list(path, ids)

    assert read_keep_list(path) == ids


def test_runs_are_ranges(tmp_path: Path) -> None:
    """Neighbouring ids take one line."""
    path = tmp_path / "keep.txt"

    write_keep_list(path, [1, 2, 3, 8, 10, 11])

    assert path.read_text().splitlines() == ["1-3", "8", "10-11"]


@pytest.mark.parametrize("line", ["x", "3-", "-3", "3-x", "1.5", "²", "5-3"])
def test_a_strange_line_is_named(tmp_path: Path, line: str) -> None:
    """What is neither an id nor a range is refused, with its place."""
    path = tmp_path / "keep.txt"
    path.write_text(f"0-5\n{line}\n", "utf-8")

    with pytest.raises(CheckpointError, match=r"keep.*(line 2|ascii)"):
        read_keep_list(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The error says which file can't be read."""
    with pytest.raises(CheckpointError, match="nowhere"):
        read_keep_list(tmp_path / "nowhere.txt")
