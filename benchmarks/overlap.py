"""What the windows' overlap is for: an off-topic ask that a long on-topic text has where one window ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Final

from benchmarks.bodies import long_text
from benchmarks.context import Context
from benchmarks.llama_process import LlamaProcess
from benchmarks.results import Table
from export.llama import LlamaTokenizer
from guard.calibration import Decision
from guard.normalise import normalise
from guard.prompt import WINDOW_BYTES, WINDOW_OVERLAP_BYTES
from guard.verdict import judge
from guard.windows import split_windows
from startrek_guard.guards import open_adapter
from train.generate import Side

OVERLAPS: Final = (300, 250, 200, 150)
"""In bytes."""

_ASKS: Final = 40
_ASK_BYTES: Final = ((40, 150), (151, 400))
"""Asks of these lengths, so many of each."""

TEXT_BYTES: Final = 3200
_LONG_BYTES: Final = 100_000
_STRIDE_WORDS: Final = 97
"""From one stretch of on-topic text to the next: a prime, so that they seldom begin alike."""
_PADDING_SLICE: Final = "long"


@dataclass(frozen=True, slots=True)
class _Trial:
    """What is asked, and around it.

    Attributes:
        asks: off topic, by length.
        words: on topic.
    """

    asks: Sequence[Sequence[str]]
    words: Sequence[str]

    def padding(self, number: int) -> str:
        """Another stretch of on-topic text for each number."""
        first = _STRIDE_WORDS * number
        # No word is empty, so as many words as bytes are wanted are enough.
        return " ".join(islice(cycle(self.words), first, first + TEXT_BYTES))[:TEXT_BYTES]

    def text(self, ask: str, number: int, overlap_bytes: int) -> str:
        """With the ask where the windows cut most of it away: its middle in the middle of what they share."""
        padding = self.padding(number)
        place = padding.find(" ", WINDOW_BYTES - overlap_bytes // 2 - len(ask) // 2) + 1
        return f"{padding[:place]}{ask} {padding[place:]}"


class _Guard:
    """The shipped guard, with windows of another overlap."""

    def __init__(self, context: Context, process: LlamaProcess) -> None:
        self._process = process
        self._manifest = open_adapter(context.adapter_name).manifest()

    def windows(self, text: str, overlap_bytes: int) -> list[str]:
        """The rendered prompts of a text."""
        parts = split_windows(normalise(text), WINDOW_BYTES, overlap_bytes)
        return [self._manifest.template.render([part]) for part in parts]

    def refuses(self, text: str, overlap_bytes: int) -> bool:
        """Whether any window is off topic."""
        logits = self._process.score(self.windows(text, overlap_bytes))
        return judge(logits, self._manifest.calibration, self._manifest.labels).decision is Decision.BLOCK


def overlap_table(context: Context, process: LlamaProcess) -> Table:
    """Each overlap: the tokens that are read for one of the text, and how many of the asks are refused."""
    guard = _Guard(context, process)
    trial = _trial(context, guard)
    lengths = [f"refused, asks of {least} to {most} bytes" for least, most in _ASK_BYTES]
    columns = ["overlap, bytes", "tokens read for one", *lengths, "refused, no ask in the text"]
    return Table(columns, [_row(overlap, trial, guard, context) for overlap in OVERLAPS])


def _row(overlap_bytes: int, trial: _Trial, guard: _Guard, context: Context) -> list[str]:
    refused = [
        sum(guard.refuses(trial.text(ask, number, overlap_bytes), overlap_bytes) for number, ask in enumerate(asks))
        for asks in trial.asks
    ]
    without = sum(guard.refuses(trial.padding(number), overlap_bytes) for number in range(_ASKS))
    name = f"{overlap_bytes}{', the guard’s' if overlap_bytes == WINDOW_OVERLAP_BYTES else ''}"
    shares = [f"{count} of {len(asks)}" for count, asks in zip(refused, trial.asks, strict=True)]
    return [name, f"{_read_share(overlap_bytes, trial, guard, context):.2f}", *shares, f"{without} of {_ASKS}"]


def _read_share(overlap_bytes: int, trial: _Trial, guard: _Guard, context: Context) -> float:
    text = long_text(trial.words, _LONG_BYTES)
    tokenizer = LlamaTokenizer(context.guard)
    try:
        read = sum(len(tokenizer.tokenise(window, marks=True)) for window in guard.windows(text, overlap_bytes))
        return read / len(tokenizer.tokenise(text))
    finally:
        tokenizer.close()


def _trial(context: Context, guard: _Guard) -> _Trial:
    """Asks that the guard refuses by themselves, and rows that it allows by themselves."""
    long = [row for row in context.sides[Side.TEST] if row.slice == _PADDING_SLICE and len(row.turns) == 1]
    on_topic = (row.text for row in long if row.label == context.labels.on_topic)
    allowed = islice((text for text in on_topic if not guard.refuses(text, WINDOW_OVERLAP_BYTES)), _ASKS)
    words = [word for text in allowed for word in text.split()]
    return _Trial([list(islice(_asks(context, guard, *bytes_), _ASKS)) for bytes_ in _ASK_BYTES], words)


def _asks(context: Context, guard: _Guard, least_bytes: int, most_bytes: int) -> Iterator[str]:
    for row in context.sides[Side.TEST]:
        text = " ".join(row.text.split())
        off_topic = row.label == context.labels.off_topic and len(row.turns) == 1
        fits = off_topic and least_bytes <= len(text.encode()) <= most_bytes
        if fits and guard.refuses(text, WINDOW_OVERLAP_BYTES):
            yield text
