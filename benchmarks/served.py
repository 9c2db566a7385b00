"""The processes that are measured: the gateway as a user starts it, and a fast upstream behind it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

START_SECONDS: Final = 240
"""After that a start has failed; a first one builds the guard."""

_STOP_SECONDS: Final = 30
_LOOK_SECONDS: Final = 0.005
_ANNOUNCED: Final = re.compile(r" at (http://127\.0\.0\.1:\d+) ")


@dataclass(frozen=True, slots=True)
class Listening:
    """A server that answers.

    Attributes:
        url: of it.
        pid: of its process.
    """

    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class Served:
    """A gateway that answers.

    Attributes:
        url: of the gateway.
        pid: of its process.
        seconds_to_ready: from the start of the process until it said that it listens.
    """

    url: str
    pid: int
    seconds_to_ready: float


class StartError(RuntimeError):
    """A process did not start; says what it wrote."""


@contextmanager
def upstream() -> Iterator[Listening]:
    """:mod:`benchmarks.upstream_server` in a process of its own, once it listens."""
    command = [sys.executable, "-m", "benchmarks.upstream_server"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if not url:
                raise StartError("the upstream did not start")
            yield Listening(url, process.pid)
        finally:
            stop(process)


@contextmanager
def served(upstream_url: str, settings: Mapping[str, str] | None = None) -> Iterator[Served]:
    """``startrek-guard serve`` before ``upstream_url`` on a free port, with nothing set but ``settings``.

    Args:
        upstream_url: of the server behind.
        settings: ``STARTREK_GUARD_...`` by name, without the prefix.
    """
    named = {f"STARTREK_GUARD_{name}": value for name, value in (settings or {}).items()}
    command = [sys.executable, "-m", "startrek_guard", "serve", "--upstream", upstream_url, "--port", "0"]
    with tempfile.TemporaryDirectory() as folder:
        # A file, not a pipe: reading a pipe empty would cost this process time while it measures.
        log = Path(folder) / "stderr"
        with log.open("wb") as stderr:
            began = time.monotonic()
            process = subprocess.Popen(command, env=environment() | named, stderr=stderr)
        try:
            url = _wait_for_url(process, log)
            yield Served(url, process.pid, time.monotonic() - began)
        finally:
            stop(process)


def environment() -> dict[str, str]:
    """This process' environment without what would change the gateway or llama.cpp's threads."""
    ours = ("STARTREK_GUARD_", "OLLAMA_", "GOMP_", "OMP_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    cache = {name: value for name, value in os.environ.items() if name == "STARTREK_GUARD_CACHE"}
    # Wide enough that the line with the URL is not broken.
    return kept | cache | {"COLUMNS": "500"}


def stop(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Interrupt a process as Ctrl-C does, and wait for its end."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_for_url(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if match := _ANNOUNCED.search(log.read_text("utf-8", errors="replace")):
            return match.group(1)
        time.sleep(_LOOK_SECONDS)
    raise StartError(f"the gateway did not start:\n{log.read_text('utf-8', errors='replace')}")
