"""Read an authored corpus: prompts, twins, dialogues, names, frames and wrappers, as plain text files.

``train/data/README.md`` describes the files. Every piece knows its ``origin``, which decides on which side of the
split it stands, so that whatever is composed from pieces can be kept on one side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from guard.labels import Labels
from guard.prompt import Role, Turn
from train.errors import DataError


@dataclass(frozen=True, slots=True)
class Piece:
    """An authored text.

    Attributes:
        text: as typed; a line break is a line break.
        kind: the file's name without ending (a slice, a kind of name, ...).
        on_topic: its label, None where it has none (frames, answers).
        origin: what must not stand on two sides of a split.
        line: of its file, from 1.
    """

    text: str
    kind: str
    on_topic: bool | None
    origin: str
    line: int


@dataclass(frozen=True, slots=True)
class Dialogue:
    """An authored conversation.

    Attributes:
        turns: user and assistant turns.
        on_topic: by turn; None for the assistant's.
        kind: the file's name without ending.
        origin: see :class:`Piece`.
        line: its first of its file, from 1.
    """

    turns: tuple[Turn, ...]
    on_topic: tuple[bool | None, ...]
    kind: str
    origin: str
    line: int


@dataclass(frozen=True, slots=True)
class Name:
    """A name or term.

    Attributes:
        text: the name.
        kind: what it names, such as ``starship``.
        where: the series, or for confusables the sense.
        on_topic: whether it is of the topic.
        origin: see :class:`Piece`.
    """

    text: str
    kind: str
    where: str
    on_topic: bool
    origin: str


@dataclass(frozen=True)
class Corpus:
    """Everything authored on a topic."""

    prompts: tuple[Piece, ...]
    twins: tuple[Piece, ...]
    dialogues: tuple[Dialogue, ...]
    names: tuple[Name, ...]
    frames: tuple[Piece, ...]
    dialogue_parts: tuple[Piece, ...]
    wrappers: tuple[Piece, ...]


_MARKS: Final = {"+": True, "-": False}


def read_corpus(folder: Path, labels: Labels) -> Corpus:
    """Read the corpus in ``folder``; its prompts lie in one folder a label.

    Raises:
        DataError: for a missing folder, or a line that is not as described.
    """
    prompts = [
        piece
        for on_topic, label in ((True, labels.on_topic), (False, labels.off_topic))
        for piece in read_lines(folder / "prompts" / label, on_topic)
    ]
    if not prompts:
        raise DataError(folder, None, f"has no prompts/{labels.on_topic} and prompts/{labels.off_topic}")
    return Corpus(
        prompts=tuple(prompts),
        twins=tuple(read_twins(folder / "twins")),
        dialogues=tuple(read_dialogues(folder / "dialogues")),
        names=(*_names(folder / "knowledge", on_topic=True), *_names(folder / "confusables", on_topic=False)),
        frames=tuple(_marked(folder / "frames")),
        dialogue_parts=tuple(read_lines(folder / "dialogue_parts", None)),
        wrappers=tuple(read_lines(folder / "wrappers", None)),
    )


def _files(folder: Path, ending: str = ".txt") -> list[Path]:
    return sorted(folder.glob(f"*{ending}")) if folder.is_dir() else []


def _content(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines without comments; empty lines are kept, since they end blocks."""
    try:
        # Editors of Windows begin a file with a byte order mark.
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(path, None, f"is not UTF-8: {error}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith("#"):
            yield number, line.strip().replace("\\n", "\n")


def read_lines(folder: Path, on_topic: bool | None) -> Iterator[Piece]:
    """One piece a line of the folder's files, ``on_topic`` all."""
    for path in _files(folder):
        for number, text in _content(path):
            if text:
                yield Piece(text, path.stem, on_topic, f"{folder.name}/{text.casefold()}", number)


def _marked(folder: Path) -> Iterator[Piece]:
    """Lines that may begin with a mark of their label."""
    for piece in read_lines(folder, None):
        mark, _, rest = piece.text.partition(" ")
        on_topic = _MARKS.get(mark)
        yield piece if on_topic is None else replace(piece, text=rest, on_topic=on_topic)


def _blocks(path: Path) -> Iterator[list[tuple[int, str]]]:
    block: list[tuple[int, str]] = []
    for number, line in _content(path):
        if line:
            block.append((number, line))
        elif block:
            yield block
            block = []
    if block:
        yield block


def read_twins(folder: Path) -> Iterator[Piece]:
    """Pieces of blocks of lines that begin with ``+ `` or ``- ``; a block's pieces share its origin.

    Raises:
        DataError: for a line that begins otherwise or has no prompt.
    """
    for path in _files(folder):
        for block in _blocks(path):
            origin = f"twins/{block[0][1].casefold()}"
            for number, line in block:
                mark, _, text = line.partition(" ")
                if mark not in _MARKS or not text:
                    raise DataError(path, number, f"begins with {mark!r}, wanted '+ ' or '- ' and a prompt")
                yield Piece(text, path.stem, _MARKS[mark], origin, number)


def read_dialogues(folder: Path) -> Iterator[Dialogue]:
    """Dialogues of blocks of lines that begin with ``U+ ``, ``U- `` or ``A: ``.

    Raises:
        DataError: for a line that begins otherwise or has no text.
    """
    for path in _files(folder):
        for block in _blocks(path):
            turns, labels = zip(*(_dialogue_turn(path, number, line) for number, line in block), strict=True)
            first, opening = block[0]
            yield Dialogue(turns, labels, path.stem, f"dialogues/{opening.casefold()}", first)


def _dialogue_turn(path: Path, number: int, line: str) -> tuple[Turn, bool | None]:
    mark, _, text = line.partition(" ")
    if mark in ("U+", "U-") and text:
        return Turn(Role.USER, text), _MARKS[mark[1]]
    if mark == "A:" and text:
        return Turn(Role.ASSISTANT, text), None
    raise DataError(path, number, f"begins with {mark!r}, wanted 'U+ ', 'U- ' or 'A: ' and a text")


def _names(folder: Path, *, on_topic: bool) -> Iterator[Name]:
    for path in _files(folder, ".tsv"):
        for number, line in _content(path):
            if not line:
                continue
            fields = line.split("\t")
            if len(fields) != 3:
                raise DataError(path, number, f"has {len(fields)} fields, wanted name, kind and series or sense")
            # Brackets tell two of one name apart in the list; people do not type them.
            text = fields[0].partition(" (")[0]
            yield Name(text, fields[1], fields[2], on_topic, origin=f"names/{text.casefold()}")
