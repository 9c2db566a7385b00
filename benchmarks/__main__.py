"""``python -m benchmarks [NAME ...]``: measure, keep what was found, and render ``docs/performance.md``."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Final

import typer

from benchmarks.context import Context
from benchmarks.results import keep, render

BENCHMARKS: Final = ("engine", "tuning", "depth", "peers", "lengths", "gateway", "load", "soak")
"""In the order of the page; each is a module with ``measure(Context) -> Section``."""


def main(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Which to measure: {', '.join(BENCHMARKS)} (default: all).")
    ] = None,
    rows: Annotated[int, typer.Option(help="Test rows at most.")] = 1000,
    rounds: Annotated[int, typer.Option(help="Rounds of each of the things compared.")] = 3,
    soak_seconds: Annotated[float, typer.Option(help="How long the soak takes.")] = 1800.0,
    only_render: Annotated[bool, typer.Option("--render", help="Measure nothing, write the page anew.")] = False,
) -> None:
    """Measure the guard beside what it is to be measured by."""
    if unknown := [name for name in names or () if name not in BENCHMARKS]:
        raise typer.BadParameter(f"no benchmark {unknown[0]!r}, wanted {', '.join(BENCHMARKS)}")
    context = Context(rows=rows, rounds=rounds, soak_seconds=soak_seconds)
    for name in () if only_render else names or BENCHMARKS:
        print(f"measuring {name}")
        keep(import_module(f"benchmarks.{name}").measure(context), context.machine())
    render(BENCHMARKS)


if __name__ == "__main__":
    typer.run(main)
