"""The file that says which tokens of a base's vocabulary are kept: one id or range of ids a line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from export.errors import CheckpointError


def write_keep_list(path: Path, ids: Sequence[int]) -> None:
    """Write ascending ids as ranges."""
    lines = []
    for _, run in groupby(enumerate(ids), key=lambda pair: pair[1] - pair[0]):
        first, *rest = [token_id for _, token_id in run]
        lines.append(f"{first}-{rest[-1]}" if rest else f"{first}")
    path.write_text("\n".join(lines) + "\n", "ascii")


def read_keep_list(path: Path) -> list[int]:
    """Read what :func:`write_keep_list` wrote.

    Raises:
        CheckpointError: if the file is missing or a line is neither an id nor a range.
    """
    ids: list[int] = []
    try:
        lines = path.read_text("ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"can't read the keep-list {path}: {error}") from error
    for number, line in enumerate(lines, start=1):
        first, dash, last = line.partition("-")
        last = last if dash else first
        if not (first.isdigit() and last.isdigit() and int(first) <= int(last)):
            raise CheckpointError(f"{path}, line {number}: {line!r}, wanted an id or a range such as 12-40")
        ids.extend(range(int(first), int(last) + 1))
    return ids
