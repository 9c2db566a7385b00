"""The real thing: the command line serves the shipped guard before the real embedded chat model."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "startrek_guard"]
START_SECONDS = 240
"""A first start builds the guard."""


@contextmanager
def served(*arguments: str) -> Iterator[str]:
    """``startrek-guard serve`` with ``arguments`` on a free port; yields its URL."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("STARTREK_GUARD_", "OLLAMA_"))}
    environ |= {key: value for key, value in os.environ.items() if key == "STARTREK_GUARD_CACHE"}
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", *arguments], cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True
    )
    timer = threading.Timer(START_SECONDS, process.kill)
    timer.start()
    seen = ""
    assert process.stderr is not None
    try:
        for line in process.stderr:
            seen += line
            if match := re.search(r"http://127\.0\.0\.1:(\d+)", seen.replace("\n", "")):
                break
        else:
            pytest.fail(f"the server did not start:\n{seen}")
        timer.cancel()
        # A full pipe would stop the server.
        drain = threading.Thread(target=process.stderr.read, daemon=True)
        drain.start()
        yield match.group()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
        drain.join(timeout=5)
    finally:
        timer.cancel()
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.fixture(scope="session")
def guarded_url() -> Iterator[str]:
    """A gateway with the shipped guard before the embedded chat model."""
    with served("--upstream", "embedded") as url:
        yield url


def run_cli(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
