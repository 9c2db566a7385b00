"""Classify many rows of JSON Lines in constant memory: the tool for filtering a forum's posts."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from guard.engines.base import Engine
from guard.manifest import GuardManifest
from guard.prompt import render_prompts
from guard.rows import RowError, read_turns
from guard.verdict import Verdict, judge

CHUNK_ROWS: Final = 256
"""Rows that are read, judged and written together."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one row.

    Attributes:
        line: its number, from 1.
        record: the row with ``label``, ``score``, ``decision`` and ``reason``; None for a bad row.
        error: what is wrong with a bad row; None for a good one.
    """

    line: int
    record: dict[str, Any] | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _Read:
    line: int
    record: dict[str, Any]
    prompts: list[str]


async def classify(lines: Iterable[str], engine: Engine, manifest: GuardManifest) -> AsyncIterator[Outcome]:
    """Outcomes in the order of ``lines``; a bad row does not stop the others, an empty line is passed over.

    Args:
        lines: JSON objects with ``input`` or ``messages``.
        engine: started.
        manifest: of the engine's guard.

    Raises:
        EngineError: if the engine fails; rows before that have been given out.
    """
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    while chunk := list(islice(numbered, CHUNK_ROWS)):
        read = [_read(number, line, manifest) for number, line in chunk]
        prompts = [prompt for row in read if isinstance(row, _Read) for prompt in row.prompts]
        logits = iter(await engine.score(prompts)) if prompts else iter(())
        for row in read:
            if isinstance(row, Outcome):
                yield row
                continue
            verdict = judge(list(islice(logits, len(row.prompts))), manifest.calibration, manifest.labels)
            yield Outcome(row.line, {**row.record, **verdict_fields(verdict)})


def verdict_fields(verdict: Verdict) -> dict[str, Any]:
    """What a verdict adds to a row; a score that is no number is null."""
    return {
        "label": verdict.label,
        "score": None if math.isnan(verdict.score) else round(verdict.score, 6),
        "decision": str(verdict.decision),
        "reason": str(verdict.reason),
    }


def text_lines(texts: Sequence[str]) -> Iterator[str]:
    """Texts as the rows that :func:`classify` reads."""
    return (json.dumps({"input": text}) for text in texts)


def _read(number: int, line: str, manifest: GuardManifest) -> _Read | Outcome:
    try:
        record = _parse(line)
        return _Read(number, record, render_prompts(read_turns(record), manifest.template))
    except (ValueError, RecursionError) as error:
        return Outcome(number, None, str(error))


def _parse(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        # The message of the error itself has no text of the row; the error's own fields do.
        raise RowError(f"not JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(record, dict):
        raise RowError(f"is {type(record).__name__}, wanted an object with 'input' or 'messages'")
    return record
