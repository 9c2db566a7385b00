"""How right a guard is on each part of the hard set: ``python -m scripts.hard_parts [GUARD]``, in a whole clone.

Parts were added one after the other; the corpus was extended where the guard was weak on those there were.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections import Counter
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

from guard.labels import DEFAULT_LABELS
from guard.verdict import judge
from startrek_guard.guards import DEFAULT_GUARD
from startrek_guard.scoring import gguf_scorer
from train.hard import read_hard
from train.rows import Row
from train.run import DATA

ROOT: Final = Path(__file__).parents[1]
HARD: Final = Path("train/data/startrek/hard")

COMMITS: Final = ("97682b5", "b821240", "898f882", "1cb6b8e", "20823ed", "81a9094", "0e8c1a2", "382c2b8")
"""Each added a part."""

Key: TypeAlias = tuple[str, ...]


def key_of(row: Row) -> Key:
    """What makes a row the same row at another commit."""
    return tuple(turn.text for turn in row.turns)


def rows_at(commit: str) -> list[Row]:
    """The hard set as it was at a commit."""
    command = ["git", "archive", commit, str(HARD)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)  # noqa: S603 - the user's own git
    if done.returncode:
        sys.exit(f"{ROOT} has no commit {commit} with {HARD}, wanted a whole clone: {done.stderr.decode().strip()}")
    archive = done.stdout
    with TemporaryDirectory() as folder, tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
        return read_hard(Path(folder) / HARD, DEFAULT_LABELS)


def main(guard: str) -> None:
    """Print rows and accuracy of each part."""
    part_of: dict[Key, int] = {}
    for number, commit in enumerate(COMMITS, start=1):
        for row in rows_at(commit):
            part_of.setdefault(key_of(row), number)
    rows = read_hard(DATA / "startrek" / "hard", DEFAULT_LABELS)
    with gguf_scorer(guard) as scored:
        manifest, windows = scored.manifest, scored.scorer(rows)
    total, right = Counter[int](), Counter[int]()
    for row, asked in zip(rows, windows, strict=True):
        # A row that was mended later counts to the last part.
        part = part_of.get(key_of(row), len(COMMITS))
        total[part] += 1
        right[part] += judge(asked, manifest.calibration, manifest.labels).label == row.label
    for part in sorted(total):
        sys.stdout.write(f"part {part}: {right[part]} of {total[part]} rows, {right[part] / total[part]:.1%}\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else DEFAULT_GUARD)
