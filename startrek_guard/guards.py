"""Find the guard that a person names, and whatever asks it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from startrek_guard.consoles import err

if TYPE_CHECKING:
    from export.build import AdapterFolder
    from guard.engines.base import Engine
    from guard.manifest import GuardManifest

DEFAULT_GUARD: Final = "gemma3_270m"
"""The shipped adapter that is right more often."""

ADAPTERS: Final = Path(__file__).parents[1] / "train" / "adapters"
"""The adapters that ship."""

GuardOption = Annotated[
    str,
    typer.Option(
        help="A guard GGUF, an adapter folder, the name of a shipped adapter, ollama://HOST:PORT/MODEL, or "
        "llama-server://HOST:PORT (which needs --guard-manifest).",
        show_default=True,
        envvar="STARTREK_GUARD_GUARD",
    ),
]
ManifestOption = Annotated[
    Path | None,
    typer.Option(
        help="For llama-server://: the guard's GGUF, its adapter's folder or guard.json, since the server does not "
        "describe its guard.",
        envvar="STARTREK_GUARD_GUARD_MANIFEST",
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        help="Threads for a guard that runs in this process (default: physical cores).",
        min=1,
        envvar="STARTREK_GUARD_THREADS",
    ),
]


def open_engine(guard: str, manifest: Path | None, threads: int | None) -> Engine:
    """The engine that ``--guard`` names, not started."""
    if guard.startswith("ollama://"):
        from guard.engines.ollama import OllamaEngine

        address, _, model = guard.removeprefix("ollama://").partition("/")
        if not model:
            raise typer.BadParameter(f"{guard!r} names no model, wanted ollama://HOST:PORT/MODEL")
        return OllamaEngine(f"http://{address}", model)
    if guard.startswith("llama-server://"):
        from guard.engines.llama_server import LlamaServerEngine

        if manifest is None:
            raise typer.BadParameter(
                "llama-server does not describe its guard: give the guard's GGUF, its adapter's folder or guard.json "
                "with --guard-manifest"
            )
        return LlamaServerEngine(f"http://{guard.removeprefix('llama-server://')}", read_manifest(manifest))
    from guard.engines.llama_cpp import LlamaCppEngine

    return LlamaCppEngine(guard_path(guard), threads=threads)


def read_manifest(path: Path) -> GuardManifest:
    """What a guard says of itself: in its GGUF, or in an adapter folder, named by itself or by its guard.json."""
    from export.build import AdapterFolder
    from export.gguf_header import read_header
    from guard.manifest import GuardManifest

    if path.suffix == ".gguf":
        return GuardManifest.from_metadata(read_header(path).metadata)
    return AdapterFolder.open(path.parent if path.is_file() else path).manifest()


def guard_path(guard: str) -> Path:
    """The GGUF that ``--guard`` names; an adapter's is built on first use."""
    if guard.endswith(".gguf"):
        return Path(guard)
    return build(open_adapter(guard), "Q4_0", None)


def open_adapter(name: str) -> AdapterFolder:
    """The shipped adapter of this name, else the adapter folder at this path."""
    from export.build import AdapterFolder

    shipped = ADAPTERS / name
    if "/" not in name and shipped.is_dir():
        return AdapterFolder.open(shipped)
    if not Path(name).is_dir():
        names = ", ".join(sorted(folder.name for folder in ADAPTERS.iterdir() if folder.is_dir()))
        raise typer.BadParameter(f"{name!r} is neither an adapter folder nor the name of a shipped adapter ({names})")
    return AdapterFolder.open(Path(name))


def build(adapter: AdapterFolder, quantisation: str, base: Path | None) -> Path:
    """The adapter's GGUF, from the cache or built into it under a progress bar."""
    from export.build import build_guard

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, share: float) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=1.0)
            progress.update(tasks[stage], completed=min(1.0, share))

        return build_guard(adapter, cache_folder(), quantisation, base_path=base, progress=show)


def cache_folder() -> Path:
    """Where built guards are kept: ``STARTREK_GUARD_CACHE``, else below the XDG cache folder."""
    named = os.environ.get("STARTREK_GUARD_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "startrek-guard"


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file; the target is the old one or the whole new one."""
    from export.atomic import replacing

    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
