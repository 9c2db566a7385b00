"""``startrek-guard serve``."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from startrek_guard.consoles import err
from startrek_guard.guards import DEFAULT_GUARD, GuardOption, ManifestOption, ThreadsOption, open_engine

if TYPE_CHECKING:
    import uvicorn

    from gateway.settings import Settings
    from guard.engines.base import Engine
    from guard.manifest import GuardManifest

_Choice = TypeVar("_Choice", bound=StrEnum)


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (default: 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (default: 11435); 0 takes a free one.")] = None,
    upstream: Annotated[
        str | None,
        typer.Option(
            help="URL of Ollama or llama-server, or 'embedded' for the chat model that ships "
            "(default: OLLAMA_HOST, else 127.0.0.1:11434)."
        ),
    ] = None,
    guard: GuardOption = DEFAULT_GUARD,
    guard_manifest: ManifestOption = None,
    api: Annotated[
        str | None, typer.Option(help="Whose routes to serve: ollama, llama-server or auto (both, the default).")
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(help="Who the clients are: public (strangers, the default) or trusted (your own applications)."),
    ] = None,
    allow_management: Annotated[
        bool | None,
        typer.Option(
            "--allow-management", help="Forward the routes that change the server: pull, create, delete and the like."
        ),
    ] = None,
    shadow: Annotated[
        bool | None, typer.Option("--shadow", help="Judge and mark requests, but refuse nothing.")
    ] = None,
    threads: ThreadsOption = None,
) -> None:
    """Run the gateway: a proxy in front of Ollama or llama-server that refuses off-topic prompts."""
    from gateway.routes import Api
    from gateway.settings import check_not_itself

    environ = dict(os.environ)
    embedded = (upstream or environ.get("STARTREK_GUARD_UPSTREAM")) == "embedded"
    if embedded:
        environ.pop("STARTREK_GUARD_UPSTREAM", None)
        upstream = None
    changes: dict[str, Any] = {
        "host": host,
        "port": port,
        "api": None if api is None else _choice(Api, api, "--api"),
        "allow_management": allow_management,
        "shadow": shadow,
    }
    settings = dataclasses.replace(
        settings_of(environ, upstream, profile), **{name: value for name, value in changes.items() if value is not None}
    )
    if not embedded:
        check_not_itself(settings)
    engine = open_engine(guard, guard_manifest, threads)
    _log_to_stderr()
    import uvicorn

    # The loop that uvicorn itself would choose: uvloop where it is installed.
    with asyncio.Runner(loop_factory=uvicorn.Config("").get_loop_factory()) as runner:
        finished = runner.run(_serve(settings, engine, embedded=embedded))
    if not finished:
        raise typer.Exit(1)


def settings_of(environ: Mapping[str, str], upstream: str | None, profile: str | None) -> Settings:
    """The settings of an environment, and of the two options that decide how others are read.

    Args:
        environ: see :meth:`gateway.settings.Settings.from_mapping`.
        upstream: in place of the environment's; None to keep that.
        profile: likewise; it decides what channels are set to by default.

    Raises:
        SettingsError: if a value can't be used.
        BadParameter: if there is no such profile.
    """
    from gateway.channels import Profile
    from gateway.settings import Settings

    options = {
        "STARTREK_GUARD_UPSTREAM": None if upstream is None else _url(upstream),
        "STARTREK_GUARD_PROFILE": None if profile is None else _choice(Profile, profile, "--profile"),
    }
    return Settings.from_mapping({**environ, **{key: value for key, value in options.items() if value is not None}})


async def _serve(settings: Settings, engine: Engine, *, embedded: bool) -> bool:
    from gateway.app import create_app
    from gateway.embedded.server import serve_embedded
    from gateway.server import server_for
    from guard.engines.started import StartedEngine

    async with AsyncExitStack() as stack:
        stack.push_async_callback(engine.aclose)
        manifest = await engine.start()
        if embedded:
            url = await stack.enter_async_context(serve_embedded())
            settings = dataclasses.replace(settings, upstream=url)
        application = create_app(settings, StartedEngine(engine, manifest))
        timeout = settings.client_timeout_seconds
        server = server_for(application, settings.host, settings.port, client_timeout_seconds=timeout)
        announce = asyncio.create_task(_announce(server, settings, manifest, embedded=embedded))
        try:
            await server.serve()
        except SystemExit:
            # uvicorn's own line says "Name or service not known", without the name.
            err.print(f"[red]error:[/red] can't listen on host {settings.host!r}, port {settings.port}")
            raise
        finally:
            announce.cancel()
            await asyncio.gather(announce, return_exceptions=True)
    return bool(server.started)


async def _announce(server: uvicorn.Server, settings: Settings, manifest: GuardManifest, *, embedded: bool) -> None:
    """Say where the gateway is and what to try, once it answers."""
    while not server.started:  # noqa: ASYNC110 - uvicorn tells it by this attribute alone
        await asyncio.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{port}"
    before = "the embedded chat model" if embedded else settings.upstream
    err.print(f"{manifest.name} guards {before} at [bold]{url}[/bold] (topic: {manifest.topic}). Ctrl-C stops it.")
    for line in unguarded(settings):
        err.print(f"[yellow]{line}[/yellow]")
    if embedded:
        err.print("Try:")
        for prompt in ("Who is Spock?", "How do I boil an egg?"):
            body = json.dumps(
                {"model": "smollm2:135m", "stream": False, "messages": [{"role": "user", "content": prompt}]}
            )
            err.print(f"  curl -s {url}/api/chat -d '{body}'", highlight=False, soft_wrap=True)


def unguarded(settings: Settings) -> list[str]:
    """What is forwarded although the guard does not allow it: a setting left over from a trial must not go unseen."""
    lines = ["Shadow mode: nothing is refused, off-topic prompts are forwarded and marked."] if settings.shadow else []
    if settings.fail_open:
        lines.append(f"Prompts without a verdict ({', '.join(sorted(settings.fail_open))}) are forwarded.")
    return lines


def _url(value: str) -> str:
    return value if "://" in value or value.startswith("unix:") else f"http://{value}"


def _log_to_stderr() -> None:
    """Lines for a person at a terminal, JSON Lines for a log collector."""
    import structlog

    person = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if person else structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _choice(kind: type[_Choice], value: str, option: str) -> _Choice:
    try:
        return kind(value)
    except ValueError:
        raise typer.BadParameter(f"{option} {value!r}, wanted {' or '.join(kind)}") from None
