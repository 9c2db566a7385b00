"""``startrek-guard model``: build the guard's GGUF, or show what it is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from startrek_guard.consoles import out
from startrek_guard.guards import DEFAULT_GUARD, build, copy_whole, guard_path, open_adapter

app = typer.Typer(no_args_is_help=True, help="Build the guard's GGUF, or show what it is.")


@app.command("build")
def model_build(
    guard: Annotated[str, typer.Argument(help="The name of a shipped adapter, or an adapter folder.")] = DEFAULT_GUARD,
    quantisation: Annotated[str, typer.Option(help="F16, Q8_0, Q6_K, Q5_K_M, Q4_K_M or Q4_0.")] = "Q4_0",
    output: Annotated[Path | None, typer.Option(help="Also copy the GGUF to this path.")] = None,
    base: Annotated[
        Path | None, typer.Option(help="The base's GGUF or folder, in place of the one that the adapter names.")
    ] = None,
) -> None:
    """Build a guard's GGUF, or find it in the cache, and print its path."""
    path = build(open_adapter(guard), quantisation, base)
    if output is not None:
        copy_whole(path, output)
    out.print(str(output or path))


@app.command("info")
def model_info(
    guard: Annotated[
        str, typer.Option(help="A guard GGUF, an adapter folder, or the name of a shipped adapter.")
    ] = DEFAULT_GUARD,
) -> None:
    """Print a guard's path, SHA-256, base, labels and calibration, as JSON."""
    from guard.engines.llama_cpp import LlamaCppEngine

    path = guard_path(guard)
    engine = LlamaCppEngine(path)
    try:
        manifest = engine.start_sync()
        info = {"path": str(path), "sha256": engine.fingerprint.removeprefix("sha256:"), "bytes": path.stat().st_size}
    finally:
        engine.close()
    out.print(json.dumps(info | dataclasses.asdict(manifest), indent=2))
