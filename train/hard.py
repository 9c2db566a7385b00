"""The hard evaluation set: authored after the training data, never trained on.

``singles/<label>/<slice>.txt`` has a prompt a line, ``evasion/<kind>.txt`` blocks of ``+ `` and ``- `` lines,
``conversations/<kind>.txt`` blocks of ``U+ ``, ``U- `` and ``A: `` lines whose last user turn is the row.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from guard.labels import Labels
from guard.prompt import Role, Turn
from train.corpus import Dialogue, Piece, read_dialogues, read_lines, read_twins
from train.errors import DataError
from train.rows import Row

_SIDES = ((True, "on"), (False, "off"))


def read_hard(folder: Path, labels: Labels) -> list[Row]:
    """All rows of the set in ``folder``; a row's ``source`` is its file and line.

    A slice that both labels have (``short``) becomes two (``short_on``, ``short_off``): they are asked apart.

    Raises:
        DataError: for a folder without rows, or a line that is not as described.
    """
    rows = [*_singles(folder, labels), *_evasion(folder, labels), *_conversations(folder, labels)]
    if not rows:
        raise DataError(folder, None, "has no singles, evasion or conversations")
    return rows


def _singles(folder: Path, labels: Labels) -> Iterator[Row]:
    names = {on_topic: labels.on_topic if on_topic else labels.off_topic for on_topic, _ in _SIDES}
    pieces = {on_topic: list(read_lines(folder / "singles" / names[on_topic], on_topic)) for on_topic, _ in _SIDES}
    shared = {piece.kind for piece in pieces[True]} & {piece.kind for piece in pieces[False]}
    for on_topic, suffix in _SIDES:
        for piece in pieces[on_topic]:
            slice_ = f"{piece.kind}_{suffix}" if piece.kind in shared else piece.kind
            yield _row(piece, slice_, f"singles/{names[on_topic]}", labels)


def _evasion(folder: Path, labels: Labels) -> Iterator[Row]:
    for piece in read_twins(folder / "evasion"):
        yield _row(piece, f"evasion_{piece.kind}", "evasion", labels)


def _conversations(folder: Path, labels: Labels) -> Iterator[Row]:
    for dialogue in read_dialogues(folder / "conversations"):
        last = _last_user_turn(folder, dialogue)
        label = labels.on_topic if dialogue.on_topic[last] else labels.off_topic
        source = f"conversations/{dialogue.kind}.txt:{dialogue.line}"
        yield Row(dialogue.turns[: last + 1], label, f"conversation_{dialogue.kind}", dialogue.origin, source)


def _last_user_turn(folder: Path, dialogue: Dialogue) -> int:
    for place in reversed(range(len(dialogue.turns))):
        if dialogue.turns[place].role is Role.USER:
            return place
    path = folder / "conversations" / f"{dialogue.kind}.txt"
    raise DataError(path, dialogue.line, "begins a conversation without a user turn")


def _row(piece: Piece, slice_: str, where: str, labels: Labels) -> Row:
    label = labels.on_topic if piece.on_topic else labels.off_topic
    return Row((Turn(Role.USER, piece.text),), label, slice_, piece.origin, f"{where}/{piece.kind}.txt:{piece.line}")
