"""The engine's time against the length of a text, from a few words to some fifty pages."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks.context import Context
from benchmarks.llama_process import LlamaProcess
from benchmarks.overlap import TEXT_BYTES, overlap_table
from benchmarks.results import PAGE, Section, Table, Target
from benchmarks.rounds import Measured, interleave
from benchmarks.timing import milliseconds
from export.atomic import replacing
from export.llama import LlamaTokenizer
from guard.engines.loaded_guard import COMPANY_SLICE_TOKENS, SLICE_TOKENS
from guard.prompt import WINDOW_BYTES, WINDOW_OVERLAP_BYTES, Role, Turn, render_prompts
from train.generate import Side
from train.plots import STYLE

LENGTHS: Final = (10, 50, 100, 200, 500, 1000, 2000, 4000, 8000, 16000, 32000)
"""Tokens of a text, about."""

_LINEAR_FROM: Final = 500
"""Below, what a prompt costs whatever its length counts for more than its tokens."""

_MOST_REPEATS: Final = 20
_REPEATED_TOKENS: Final = 4000
"""A text is timed in each round as often as it takes to compute so many tokens, at least once."""

_STEPS: Final = (16, 32, 64, 128, 256, 512)
"""Tokens that llama.cpp computes at once; 512 is more than a window has."""

_STEPS_ROUNDS: Final = 7
_STEPS_LENGTH: Final = 2000
"""Tokens of the text that is computed so, one of :data:`LENGTHS`."""

_SLICE: Final = "long"
_PLOT: Final = "lengths.svg"

_TEXT: Final = """Long test rows joined and cut to length, in {rounds} rounds from the shortest to the longest; short
texts are timed several times a round, and medians are told. Texts longer than {window:,} bytes are read in windows that
overlap by {overlap} bytes, so the engine reads more tokens than the text has (*tokens read*): time per token rises by
that share between the longest text that fits one window and the long ones, and then stays. Fitted to all lengths from
{least} tokens on, time grows as the length to the power of {slope:.2f}. Per token read, the most is {read:.2f} times
the least.

The second table is why the overlap is not smaller. Off-topic asks of the test side, which the guard refuses by
themselves, stand in on-topic texts of {text_bytes:,} bytes (long test rows joined), where windows of that overlap cut
most of them away. What fits into the overlap lies whole in a window; longer asks are found less often the less windows
share. The table also shows a weakness of the guard: a short ask in a long text on the topic is mostly missed.

The third table is why a text that nobody else waits for is computed in slices of {slice} tokens, and not in the
{company} that short prompts have to wait for while they keep coming: the windows of {steps_length:,} tokens of text,
decoded by bare llama.cpp, which computes so many tokens at once (`n_ubatch`)."""


@dataclass(frozen=True, slots=True)
class _Text:
    """A text to time.

    Attributes:
        length: the tokens that were asked for, one of :data:`LENGTHS`.
        tokens: that it has.
        read: tokens of all its prompts.
        prompts: rendered, one a window.
    """

    length: int
    tokens: int
    read: int
    prompts: tuple[str, ...]


def measure(context: Context) -> Section:
    """All lengths in turn."""
    texts = _texts(context)
    with LlamaProcess(context.guard) as process:
        things = {str(text.length): partial(_time, process, text) for text in texts}
        timings = interleave(things, [1], context.rounds)
        overlaps = overlap_table(context, process)
        steps = _steps_table(context, process, next(text for text in texts if text.length == _STEPS_LENGTH))
    seconds = {text: timings[str(text.length)].at(50) for text in texts}
    _plot(seconds)
    text = _TEXT.format(
        rounds=context.rounds,
        window=WINDOW_BYTES,
        overlap=WINDOW_OVERLAP_BYTES,
        least=_LINEAR_FROM,
        slope=_slope(seconds),
        read=_most_over_least([time_s / text.read for text, time_s in _linear(seconds).items()]),
        text_bytes=TEXT_BYTES,
        slice=SLICE_TOKENS,
        company=COMPANY_SLICE_TOKENS,
        steps_length=_STEPS_LENGTH,
    )
    return Section("lengths", "Long texts", text, [_table(seconds), overlaps, steps], [_target(seconds)], [_PLOT])


def _texts(context: Context) -> list[_Text]:
    tokenizer = LlamaTokenizer(context.guard)
    try:
        rows = [row for row in context.sides[Side.TEST] if row.slice == _SLICE]
        words = [word for row in rows for word in row.text.split()]
        return [_text(words, length, tokenizer, context) for length in LENGTHS]
    finally:
        tokenizer.close()


def _text(words: Sequence[str], length: int, tokenizer: LlamaTokenizer, context: Context) -> _Text:
    def text(count: int) -> str:
        return " ".join(islice(cycle(words), count))

    def tokens(count: int) -> int:
        return len(tokenizer.tokenise(text(count)))

    # No word has less than one token.
    count = bisect_right(range(1, length + 1), length, key=tokens)
    prompts = render_prompts([Turn(Role.USER, text(count))], context.template)
    read = sum(len(tokenizer.tokenise(prompt, marks=True)) for prompt in prompts)
    return _Text(length, tokens(count), read, tuple(prompts))


def _time(process: LlamaProcess, text: _Text, _chunk: int) -> Measured:
    repeats = min(_MOST_REPEATS, max(1, _REPEATED_TOKENS // text.length))
    return process.engine([text.prompts] * repeats)


def _table(seconds: Mapping[_Text, float]) -> Table:
    columns = ["tokens", "windows", "tokens read", "ms", "ms per 1,000 tokens", "ms per 1,000 tokens read"]
    rows = [
        [
            f"{text.tokens:,}",
            str(len(text.prompts)),
            f"{text.read:,}",
            milliseconds(time_s),
            f"{time_s * 1e6 / text.tokens:.0f}",
            f"{time_s * 1e6 / text.read:.0f}",
        ]
        for text, time_s in seconds.items()
    ]
    return Table(columns, rows)


def _steps_table(context: Context, process: LlamaProcess, text: _Text) -> Table:
    windows = [[prompt] for prompt in text.prompts]
    things = {
        str(tokens): lambda _chunk, tokens=tokens: process.bare(context.guard, windows, {"n_ubatch": tokens})
        for tokens in _STEPS
    }
    timings = interleave(things, [len(windows)], _STEPS_ROUNDS)
    rows = [
        [tokens, milliseconds(timing.wall_s), f"{timing.wall_s * 1e6 / text.read:.0f}"]
        for tokens, timing in timings.items()
    ]
    return Table(["tokens at once", "ms", "ms per 1,000 tokens read"], rows)


def _target(seconds: Mapping[_Text, float]) -> Target:
    per_token = [time_s / text.tokens for text, time_s in _linear(seconds).items()]
    asked = f"time per token, the most over the least from {_LINEAR_FROM} to {LENGTHS[-1]:,} tokens"
    return Target(asked, _most_over_least(per_token), 1.2)


def _most_over_least(values: Sequence[float]) -> float:
    return max(values) / min(values)


def _slope(seconds: Mapping[_Text, float]) -> float:
    """Of a line through the logarithms: 1 is linear."""
    linear = _linear(seconds)
    slope, _offset = np.polyfit(np.log([text.tokens for text in linear]), np.log(list(linear.values())), 1)
    return float(slope)


def _linear(seconds: Mapping[_Text, float]) -> dict[_Text, float]:
    return {text: time_s for text, time_s in seconds.items() if text.length >= _LINEAR_FROM}


def _plot(seconds: Mapping[_Text, float]) -> None:
    tokens = [text.tokens for text in seconds]
    times_ms = [time_s * 1e3 for time_s in seconds.values()]
    # As long as the longest text's, a token: where the line leaves the points, time is not linear.
    linear_ms = [times_ms[-1] * count / tokens[-1] for count in tokens]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6, 3.6), layout="constrained")
        axes = figure.subplots()
        axes.loglog(tokens, linear_ms, ":", color="#888888", label="linear")
        axes.loglog(tokens, times_ms, "o-", color="#1f6fb4", markersize=4, label="engine")
        axes.set(xlabel="tokens of the text", ylabel="milliseconds", title="Time against length")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        with replacing(PAGE.parent / "performance" / _PLOT) as temporary:
            # A date in the file would make every run's file another.
            figure.savefig(temporary, format="svg", metadata={"Date": None})
