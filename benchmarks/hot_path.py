"""Where the gateway's own time goes for a text whose verdict it remembers, by Python's profiler."""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import socket
from pathlib import Path
from threading import Thread
from typing import Final

import httpx
import structlog
import uvicorn

from benchmarks.bodies import JSON_HEADERS, chat_body
from benchmarks.results import Table
from gateway.app import create_app
from gateway.settings import Settings
from guard.engines.llama_cpp import LlamaCppEngine

REQUESTS: Final = 500

_PARTS: Final = {
    "reading and checking the body": ("gateway/proxy.py", "_parse"),
    "looking its texts up": ("gateway/proxy.py", "_moderate"),
    "asking the upstream": ("gateway/upstream.py", "open"),
    "relaying its answer": ("gateway/upstream.py", "relay"),
    "the log line": ("gateway/middleware/access_log.py", "_note"),
}
"""Functions that do not call each other."""

_REST: Final = "HTTP, middlewares and routing"


def hot_path(guard: Path, upstream_url: str) -> Table:
    """Shares of the time that the gateway's event loop computes, as the profiler sees it."""
    profile = cProfile.Profile()
    with asyncio.Runner(loop_factory=uvicorn.Config("", loop="auto").get_loop_factory()) as runner:
        runner.run(_profiled(guard, upstream_url, profile))
    return Table(["a remembered text, in the gateway", "share"], _shares(profile))


async def _profiled(guard: Path, upstream_url: str, profile: cProfile.Profile) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/api/chat"
    app = create_app(Settings(upstream=upstream_url), LlamaCppEngine(guard))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, log_level="warning", access_log=False))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    with structlog.testing.capture_logs():
        await _asked(url, 3)
        profile.enable()
        await _asked(url, REQUESTS)
        profile.disable()
    server.should_exit = True
    await serving


async def _asked(url: str, times: int) -> None:
    """Ask from a thread of its own, which the profiler does not see."""
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask() -> None:
        with httpx.Client(timeout=60, trust_env=False, transport=httpx.HTTPTransport(retries=8)) as client:
            for _ in range(times):
                client.post(url, content=chat_body("Who is Spock?"), headers=JSON_HEADERS).raise_for_status()
        loop.call_soon_threadsafe(done.set)

    thread = Thread(target=ask)
    thread.start()
    await done.wait()
    thread.join()


def _shares(profile: cProfile.Profile) -> list[list[str]]:
    """Cells of the table; what the loop waits for its sockets is in no function."""
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    total = sum(own for _, _, own, _, _ in stats.values())
    seconds = {
        name: sum(
            entry[3] for (path, _, function), entry in stats.items() if function == called and path.endswith(file)
        )
        for name, (file, called) in _PARTS.items()
    }
    parts = [*seconds.items(), (_REST, total - sum(seconds.values()))]
    return [[name, f"{part / total:.0%}"] for name, part in parts]
