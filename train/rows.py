"""Labelled rows, and the JSON Lines they are stored as.

The predecessor's format is ``{"input": "What planet is Spock from?", "label": "related"}``; a row may have
``messages`` in place of ``input`` (``guard/rows.py``), and say its ``slice``, ``group`` and ``source``.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from guard.labels import Labels
from guard.prompt import Role, Turn
from guard.rows import RowError, read_turns
from train.errors import DataError

_HASHED_BYTES: Final = 1 << 20
"""At once; a base's weights have gigabytes."""

_TOLD_LABELS: Final = 6
"""Of a file that has more than two."""


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled conversation; its last turn is the user's, and the label is of that turn in its context.

    Attributes:
        turns: at least one; the last is the user's.
        label: name of the label.
        slice: what kind of prompt it is, for reports.
        group: rows of one group (same entity, frame or authored prompt) are never split.
        source: which part of the corpus or which generator made it.
    """

    turns: tuple[Turn, ...]
    label: str
    slice: str = "all"
    group: str = ""
    source: str = ""

    @property
    def text(self) -> str:
        """The judged text."""
        return self.turns[-1].text


def prompt_row(text: str, label: str, **rest: str) -> Row:
    """A row of a single prompt."""
    return Row((Turn(Role.USER, text),), label, **rest)


def to_json(row: Row) -> str:
    """One line of our own format, without line end."""
    shape: dict[str, Any] = {}
    if len(row.turns) == 1:
        shape["input"] = row.text
    else:
        shape["messages"] = [{"role": str(turn.role), "content": turn.text} for turn in row.turns]
    shape |= {"label": row.label, "slice": row.slice, "group": row.group, "source": row.source}
    return json.dumps(shape, ensure_ascii=False)


def to_predecessor_json(row: Row) -> str:
    """One line of the predecessor's format: the judged text and the label alone."""
    return json.dumps({"input": row.text, "label": row.label}, ensure_ascii=False)


def read_rows(path: Path, labels: Labels | None = None) -> list[Row]:
    """All rows of a JSON Lines file.

    Args:
        path: the file.
        labels: the two labels; a row with another is an error. None accepts any names.

    Raises:
        DataError: for a missing or empty file, a malformed line, an unknown label, an empty text.
    """
    return [row for _, row in _numbered(path, labels)]


def find_labels(paths: Sequence[Path], on_topic: str | None = None) -> Labels:
    """The two labels of some files, whatever they are called.

    ``related`` or a name given as ``on_topic`` is the on-topic one; of ``not_x`` and ``x`` it is ``x``.

    Raises:
        DataError: if there are not exactly two labels, or it is open which of them is on topic.
    """
    counts, first_places = Counter[str](), dict[str, tuple[Path, int]]()
    for path in paths:
        for line, row in _numbered(path, None):
            counts[row.label] += 1
            first_places.setdefault(row.label, (path, line))
    if len(counts) != 2:
        # What is rarest is the likeliest typo.
        rarest = min(counts, key=counts.__getitem__)
        raise DataError(*first_places[rarest], f"has the label {rarest!r}, {_not_two(counts)}")
    first, second = sorted(counts)
    if on_topic is not None and on_topic not in counts:
        raise DataError(paths[0], None, f"has no label {on_topic!r} (on_topic), wanted {first!r} or {second!r}")
    if on_topic is None:
        on_topic = next((n for n, other in ((first, second), (second, first)) if _negates(other, n)), None)
    if on_topic is None:
        raise DataError(paths[0], None, f"which of {first!r} and {second!r} is on topic? Name it in the recipe")
    try:
        return Labels(off_topic=first if on_topic == second else second, on_topic=on_topic)
    except ValueError as error:
        raise DataError(paths[0], None, str(error)) from error


def spread(rows: Sequence[Row], most: int) -> list[Row]:
    """So many of the rows, from all over: the files of a user are often sorted by label."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(int)
    return [rows[place] for place in places]


def sha256_of(paths: Iterable[Path]) -> str:
    """SHA-256 over the contents of files, in the given order."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while part := file.read(_HASHED_BYTES):
                digest.update(part)
    return digest.hexdigest()


def _not_two(counts: Counter[str]) -> str:
    told = ", ".join(f"{name!r} ({count} rows)" for name, count in counts.most_common(_TOLD_LABELS))
    more = f" and {len(counts) - _TOLD_LABELS} more" if len(counts) > _TOLD_LABELS else ""
    return f"one of {len(counts)}: {told}{more}; wanted exactly two"


def _negates(other: str, name: str) -> bool:
    return other in {f"{prefix}{name}" for prefix in ("not_", "not-", "non_", "non-", "un", "off_", "off-", "no_")}


def _numbered(path: Path, labels: Labels | None) -> list[tuple[int, Row]]:
    """The rows of a file with their lines, from 1; there is at least one."""
    try:
        # Read as bytes: a file opened as text is decoded ahead, and could not say which line is no UTF-8.
        with path.open("rb") as lines:
            rows = [
                (number, _parse(path, number, line, labels)) for number, line in enumerate(lines, 1) if line.strip()
            ]
    except OSError as error:
        raise DataError(path, None, f"can't be read: {error}") from error
    if not rows:
        raise DataError(path, None, "has no rows")
    return rows


def _parse(path: Path, number: int, line: bytes, labels: Labels | None) -> Row:
    try:
        # Editors of Windows begin a file with a byte order mark.
        shape = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(path, number, f"is not UTF-8: {error}") from error
    except ValueError as error:
        raise DataError(path, number, f"is not JSON: {error}") from error
    if not isinstance(shape, dict):
        raise DataError(path, number, f"is {type(shape).__name__}, wanted an object")
    label = shape.get("label")
    if not isinstance(label, str) or (labels is not None and label not in labels.ordered):
        wanted = "a text" if labels is None else " or ".join(map(repr, labels.ordered))
        raise DataError(path, number, f"has the label {label!r}, wanted {wanted}")
    try:
        turns = read_turns(shape)
    except RowError as error:
        raise DataError(path, number, str(error)) from error
    if not turns[-1].text.strip():
        raise DataError(path, number, "has an empty text")
    if any("\ud800" <= character <= "\udfff" for turn in turns for character in turn.text):
        raise DataError(path, number, "has text that is not Unicode: a lone surrogate")
    rest = {key: str(shape[key]) for key in ("slice", "group", "source") if shape.get(key) is not None}
    return Row(turns, label, **rest)
