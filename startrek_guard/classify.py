"""``startrek-guard classify``."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from startrek_guard.consoles import err
from startrek_guard.guards import DEFAULT_GUARD, GuardOption, ManifestOption, ThreadsOption, open_engine

if TYPE_CHECKING:
    from guard.engines.base import Engine


def classify(
    texts: Annotated[list[str] | None, typer.Argument(help="Texts to judge.")] = None,
    input_file: Annotated[
        str | None,
        typer.Option("--input", help="A JSON Lines file with 'input' or 'messages'; '-' reads standard input."),
    ] = None,
    guard: GuardOption = DEFAULT_GUARD,
    guard_manifest: ManifestOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Judge texts and print one JSON object per line: the row with its label, score, decision and reason."""
    if bool(texts) == bool(input_file):
        raise typer.BadParameter("give either texts or --input FILE.jsonl")
    engine = open_engine(guard, guard_manifest, threads)
    with _lines(texts, input_file) as lines:
        bad = asyncio.run(_classify(lines, engine))
    if bad:
        err.print(f"bad rows: {bad}")
        raise typer.Exit(1)


async def _classify(lines: Iterator[str], engine: Engine) -> int:
    from guard.batch import classify as classify_rows

    bad = 0
    async with AsyncExitStack() as stack:
        stack.push_async_callback(engine.aclose)
        manifest = await engine.start()
        columns = (SpinnerColumn(), TextColumn("{task.completed:,} rows"), TimeElapsedColumn())
        progress = stack.enter_context(Progress(*columns, console=err, disable=not sys.stderr.isatty(), transient=True))
        task = progress.add_task("rows", total=None)
        async for outcome in classify_rows(lines, engine, manifest):
            progress.advance(task)
            if outcome.record is None:
                bad += 1
                err.print(f"line {outcome.line}: {outcome.error}", highlight=False, markup=False)
            else:
                sys.stdout.write(json.dumps(outcome.record, ensure_ascii=False) + "\n")
    sys.stdout.flush()
    return bad


@contextmanager
def _lines(texts: list[str] | None, input_file: str | None) -> Iterator[Iterator[str]]:
    from guard.batch import text_lines

    if texts:
        yield text_lines(texts)
    else:
        # A byte that is no UTF-8 spoils its row, not the file: it becomes a lone surrogate, which is a bad row.
        source = sys.stdin.fileno() if input_file == "-" else Path(str(input_file))
        with open(source, encoding="utf-8-sig", errors="surrogateescape", closefd=input_file != "-") as file:
            yield iter(file)
