"""Files are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.atomic import replacing


def test_the_new_file_takes_the_old_ones_place(tmp_path: Path) -> None:
    """Until the block ends, the old content stands; then the new one does."""
    target = tmp_path / "deep" / "guard.gguf"
    target.parent.mkdir()
    target.write_text("old")

    with replacing(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"

    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def test_a_failure_leaves_the_old_file_alone(tmp_path: Path) -> None:
    """An exception within the block removes the temporary file and nothing else."""
    target = tmp_path / "guard.gguf"
    target.write_text("old")

    def fail() -> None:
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("the machine stumbled")

    with pytest.raises(RuntimeError, match="stumbled"):
        fail()

    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_missing_folders_are_made(tmp_path: Path) -> None:
    """A cache folder need not exist, and the file is readable by others, as one written plainly would be."""
    target = tmp_path / "a" / "b" / "c.txt"

    with replacing(target) as temporary:
        temporary.write_text("x")

    assert target.read_text() == "x"
    assert target.stat().st_mode & 0o777 == 0o644


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    """An abandoned temporary file of this target goes; that of a writer still at work, and of another target, stay."""
    target = tmp_path / "guard[1].gguf"
    abandoned, other = tmp_path / ".guard[1].gguf.abc.part", tmp_path / ".other.gguf.abc.part"
    abandoned.touch()
    other.touch()

    with replacing(target) as first, replacing(target) as second:
        assert first.exists()
        assert second.exists()
        assert not abandoned.exists()

    assert sorted(tmp_path.iterdir()) == [other, target]
