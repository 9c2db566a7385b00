"""A server in a process of its own that prints its address when it listens and serves until its input is closed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Final

from benchmarks.served import Listening, StartError, environment

_ROOT: Final = Path(__file__).parents[1]
_STOP_SECONDS: Final = 60


@contextmanager
def listening(module: str, *arguments: str, settings: Mapping[str, str] | None = None) -> Iterator[Listening]:
    """Run ``python -m module``.

    Args:
        module: its name.
        arguments: of its command line.
        settings: added to the environment.
    """
    command = [sys.executable, "-m", module, *arguments]
    variables = environment() | dict(settings or {})
    with Popen(command, cwd=_ROOT, env=variables, stdin=PIPE, stdout=PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if not (url := process.stdout.readline().strip()):
                raise StartError(f"{module} did not start; its last words are above")
            yield Listening(url, process.pid)
            process.communicate(timeout=_STOP_SECONDS)
        finally:
            process.kill()


def announce(url: str) -> None:
    """Say, in the server's process, that it listens; returns when it is to end."""
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()
    sys.stdin.read()
