"""The command line: the only place that knows all parts. Each command imports what it needs, when it runs."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from export.build import AdapterFolder
    from guard.engines.base import Engine
    from guard.manifest import GuardManifest

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
model_app = typer.Typer(no_args_is_help=True, help="Build the guard's GGUF, or show what it is.")
train_app = typer.Typer(no_args_is_help=True, help="Generate data, fine-tune, evaluate, calibrate.")
export_app = typer.Typer(no_args_is_help=True, help="Turn a trained guard into a GGUF and a Modelfile.")
app.add_typer(model_app, name="model")
app.add_typer(train_app, name="train")
app.add_typer(export_app, name="export")

DEFAULT_GUARD: Final = "gemma3_270m"
"""The shipped adapter that is right more often."""

ADAPTERS: Final = Path(__file__).parent / "train" / "adapters"

_err = Console(stderr=True)
_out = Console(soft_wrap=True, highlight=False)

GuardOption = Annotated[
    str,
    typer.Option(
        help="A guard GGUF, an adapter folder, the name of a shipped adapter, ollama://HOST:PORT/MODEL, or "
        "llama-server://HOST:PORT (which wants --guard-manifest).",
        show_default=True,
    ),
]
ManifestOption = Annotated[
    Path | None, typer.Option(help="For llama-server://: the guard's GGUF or guard.json, which it does not tell itself.")
]


def main() -> None:
    """Run the command line; known errors are one sentence and exit status 1."""
    try:
        app()
    except _known_errors() as error:
        _err.print(f"[red]error:[/red] {error}", highlight=False, markup=True)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _callback(
    show_version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False,  # noqa: FBT002
) -> None:
    if show_version:
        print(version("startrek-guard"))  # noqa: T201 - the answer
        raise typer.Exit


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on [127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on [11435]; 0 takes a free one.")] = None,
    upstream: Annotated[
        str | None,
        typer.Option(help="URL of Ollama or llama-server, or 'embedded' [OLLAMA_HOST, else 127.0.0.1:11434]."),
    ] = None,
    guard: GuardOption = DEFAULT_GUARD,
    guard_manifest: ManifestOption = None,
    api: Annotated[str | None, typer.Option(help="ollama, llama-server or auto.")] = None,
    profile: Annotated[str | None, typer.Option(help="public (strangers) or trusted (your own applications).")] = None,
    allow_management: Annotated[
        bool | None, typer.Option("--allow-management", help="Forward pull, create, delete and the like.")
    ] = None,
    shadow: Annotated[bool | None, typer.Option("--shadow", help="Judge and mark, but refuse nothing.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the in-process guard [physical cores].")] = None,
) -> None:
    """Stand before an Ollama-compatible API and refuse what is off topic."""
    from gateway.channels import Profile  # noqa: PLC0415 - see the module's docstring
    from gateway.routes import Api  # noqa: PLC0415
    from gateway.settings import Settings  # noqa: PLC0415

    environ = dict(os.environ)
    embedded = (upstream or environ.get("STARTREK_GUARD_UPSTREAM")) == "embedded"
    if embedded:
        environ.pop("STARTREK_GUARD_UPSTREAM", None)
        upstream = None
    elif upstream is not None:
        environ["STARTREK_GUARD_UPSTREAM"] = _url(upstream)
    environ.pop("STARTREK_GUARD_CACHE", None)
    settings = Settings.from_mapping(environ)
    if profile is not None:
        settings = settings.with_profile(_choice(Profile, profile, "--profile"))
    changes: dict[str, Any] = {
        "host": host,
        "port": port,
        "api": None if api is None else _choice(Api, api, "--api"),
        "allow_management": allow_management,
        "shadow": shadow,
    }
    settings = dataclasses.replace(settings, **{name: value for name, value in changes.items() if value is not None})
    engine = _open_engine(guard, guard_manifest, threads)
    if not asyncio.run(_serve(settings, engine, embedded=embedded)):
        raise typer.Exit(1)


async def _serve(settings: Any, engine: Engine, *, embedded: bool) -> bool:
    from gateway.app import create_app  # noqa: PLC0415
    from gateway.embedded.server import serve_embedded  # noqa: PLC0415
    from gateway.server import server_for  # noqa: PLC0415
    from guard.engines.started import StartedEngine  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        stack.push_async_callback(engine.aclose)
        manifest = await engine.start()
        if embedded:
            url = await stack.enter_async_context(serve_embedded())
            settings = dataclasses.replace(settings, upstream=url)
        application = create_app(settings, StartedEngine(engine, manifest))
        server = server_for(application, settings.host, settings.port)
        announce = asyncio.create_task(_announce(server, settings, manifest, embedded=embedded))
        try:
            await server.serve()
        finally:
            announce.cancel()
            await asyncio.gather(announce, return_exceptions=True)
    return bool(server.started)


async def _announce(server: Any, settings: Any, manifest: GuardManifest, *, embedded: bool) -> None:
    """Say where the gateway is and what to try, once it answers."""
    while not server.started:
        await asyncio.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{port}"
    before = "the embedded chat model" if embedded else settings.upstream
    _err.print(f"{manifest.name} guards {before} at [bold]{url}[/bold] (topic: {manifest.topic}). Ctrl-C stops it.")
    if embedded:
        _err.print("Try:")
        for prompt in ("Who is Spock?", "How do I boil an egg?"):
            body = json.dumps({"model": "smollm2:135m", "stream": False, "messages": [{"role": "user", "content": prompt}]})
            _err.print(f"  curl -s {url}/api/chat -d '{body}'", highlight=False, soft_wrap=True)


@app.command()
def classify(
    texts: Annotated[list[str] | None, typer.Argument(help="Texts to judge.")] = None,
    input_file: Annotated[
        str | None, typer.Option("--input", help="JSON Lines with 'input' or 'messages'; '-' reads standard input.")
    ] = None,
    guard: GuardOption = DEFAULT_GUARD,
    guard_manifest: ManifestOption = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the in-process guard [physical cores].")] = None,
) -> None:
    """Judge texts, one JSON object a line: the row with label, score, decision and reason."""
    if bool(texts) == bool(input_file):
        raise typer.BadParameter("give either texts or --input FILE.jsonl")
    engine = _open_engine(guard, guard_manifest, threads)
    with _lines(texts, input_file) as lines:
        bad = asyncio.run(_classify(lines, engine))
    if bad:
        _err.print(f"{bad} bad rows")
        raise typer.Exit(1)


async def _classify(lines: Iterator[str], engine: Engine) -> int:
    from guard.batch import classify as classify_rows  # noqa: PLC0415

    bad = 0
    async with AsyncExitStack() as stack:
        stack.push_async_callback(engine.aclose)
        manifest = await engine.start()
        columns = (SpinnerColumn(), TextColumn("{task.completed:,} rows"), TimeElapsedColumn())
        progress = stack.enter_context(Progress(*columns, console=_err, disable=not sys.stderr.isatty(), transient=True))
        task = progress.add_task("rows", total=None)
        async for outcome in classify_rows(lines, engine, manifest):
            progress.advance(task)
            if outcome.record is None:
                bad += 1
                _err.print(f"line {outcome.line}: {outcome.error}", highlight=False, markup=False)
            else:
                sys.stdout.write(json.dumps(outcome.record, ensure_ascii=False) + "\n")
    sys.stdout.flush()
    return bad


@contextmanager
def _lines(texts: list[str] | None, input_file: str | None) -> Iterator[Iterator[str]]:
    from guard.batch import text_lines  # noqa: PLC0415

    if texts:
        yield text_lines(texts)
    elif input_file == "-":
        yield iter(sys.stdin)
    else:
        # A byte that is no UTF-8 spoils its row, not the file: it becomes a lone surrogate, which is a bad row.
        with Path(str(input_file)).open(encoding="utf-8", errors="surrogateescape") as file:
            yield iter(file)


@model_app.command("build")
def model_build(
    guard: Annotated[str, typer.Argument(help="A shipped adapter's name or an adapter folder.")] = DEFAULT_GUARD,
    quantisation: Annotated[str, typer.Option(help="F16, Q8_0, Q6_K, Q5_K_M, Q4_K_M or Q4_0.")] = "Q4_0",
    output: Annotated[Path | None, typer.Option(help="Copy the GGUF here as well.")] = None,
    base: Annotated[Path | None, typer.Option(help="The base's GGUF or folder, if not the one the adapter names.")] = None,
) -> None:
    """Build a guard's GGUF, or find it in the cache, and print its path."""
    path = _build(_adapter(guard), quantisation, base)
    if output is not None:
        _copy(path, output)
    _out.print(str(output or path), markup=False)


@model_app.command("info")
def model_info(guard: GuardOption = DEFAULT_GUARD) -> None:
    """Print a guard's path, SHA-256, base, labels and calibration, as JSON."""
    from guard.engines.llama_cpp import LlamaCppEngine  # noqa: PLC0415

    path = _guard_path(guard)
    engine = LlamaCppEngine(path)
    try:
        manifest = engine.start_sync()
        info = {"path": str(path), "sha256": engine.fingerprint.removeprefix("sha256:"), "bytes": path.stat().st_size}
    finally:
        engine.close()
    print(json.dumps(info | dataclasses.asdict(manifest), indent=2))  # noqa: T201 - the answer


@export_app.command("modelfile")
def export_modelfile(
    guard: Annotated[str, typer.Argument(help="A shipped adapter's name or an adapter folder.")] = DEFAULT_GUARD,
    output: Annotated[Path, typer.Option(help="Where it goes.")] = Path("ollama/Modelfile"),
    gguf: Annotated[str, typer.Option(help="What FROM says.")] = "./startrek-guard.gguf",
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if the file is not current.")] = False,  # noqa: FBT002
) -> None:
    """Render the Ollama Modelfile from the same source as the GGUF."""
    from export.modelfile import render_modelfile  # noqa: PLC0415

    adapter = _adapter(guard)
    text = render_modelfile(adapter.manifest(), gguf, _licence_text(adapter))
    if check:
        if not output.is_file() or output.read_text("utf-8") != text:
            _err.print(f"{output} is not current: run startrek-guard export modelfile")
            raise typer.Exit(1)
        return
    from export.atomic import replacing  # noqa: PLC0415

    with replacing(output) as temporary:
        temporary.write_text(text, "utf-8")


def _licence_text(adapter: AdapterFolder) -> str:
    base = adapter.packaged_base
    if base is None:
        return "The base model's licence applies to the weights. startrek-guard itself is MIT."
    return f"{base.title}: {base.licence} {base.licence_link}".strip() + ". startrek-guard itself is MIT."


def _open_engine(guard: str, manifest: Path | None, threads: int | None) -> Engine:
    """The engine that ``--guard`` names, not started."""
    if guard.startswith("ollama://"):
        from guard.engines.ollama import OllamaEngine  # noqa: PLC0415

        address, _, model = guard.removeprefix("ollama://").partition("/")
        if not model:
            raise typer.BadParameter(f"{guard!r} names no model, wanted ollama://HOST:PORT/MODEL")
        return OllamaEngine(f"http://{address}", model)
    if guard.startswith("llama-server://"):
        from guard.engines.llama_server import LlamaServerEngine  # noqa: PLC0415

        if manifest is None:
            raise typer.BadParameter("llama-server does not tell a guard's labels: name them with --guard-manifest")
        return LlamaServerEngine(f"http://{guard.removeprefix('llama-server://')}", _read_manifest(manifest))
    from guard.engines.llama_cpp import LlamaCppEngine  # noqa: PLC0415

    return LlamaCppEngine(_guard_path(guard), threads=threads)


def _read_manifest(path: Path) -> GuardManifest:
    from export.build import AdapterFolder  # noqa: PLC0415

    return AdapterFolder.open(path.parent if path.is_file() else path).manifest()


def _guard_path(guard: str) -> Path:
    """The GGUF that ``--guard`` names; an adapter's is built on first use."""
    if guard.endswith(".gguf"):
        return Path(guard)
    return _build(_adapter(guard), "Q4_0", None)


def _adapter(name: str) -> AdapterFolder:
    from export.build import AdapterFolder  # noqa: PLC0415

    shipped = ADAPTERS / name
    return AdapterFolder.open(shipped if "/" not in name and shipped.is_dir() else Path(name))


def _build(adapter: AdapterFolder, quantisation: str, base: Path | None) -> Path:
    from export.build import build_guard  # noqa: PLC0415

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_err, transient=True) as progress:
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


def _copy(source: Path, target: Path) -> None:
    import shutil  # noqa: PLC0415

    from export.atomic import replacing  # noqa: PLC0415

    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def _url(value: str) -> str:
    return value if "://" in value or value.startswith("unix:") else f"http://{value}"


def _choice(kind: Any, value: str, option: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        raise typer.BadParameter(f"{option} {value!r}, wanted {' or '.join(kind)}") from None


def _known_errors() -> tuple[type[Exception], ...]:
    """Errors that are told in one sentence; only of parts that were imported, so that none is imported for this."""
    names = {
        "guard.engines.base": "EngineError",
        "guard.manifest": "ManifestError",
        "gateway.settings": "SettingsError",
        "gateway.embedded.errors": "EmbeddedError",
        "export.errors": "ExportError",
        "train.errors": "TrainError",
    }
    found = [getattr(sys.modules[module], name) for module, name in names.items() if module in sys.modules]
    return (*found, OSError)


if __name__ == "__main__":
    main()
