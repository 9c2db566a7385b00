"""Write files whole or not at all."""

from __future__ import annotations

import fcntl
import glob
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends well, and is removed when it doesn't.

    The content is on disk before the name is: after a crash, ``path`` is the whole old file or the whole new one.
    What a killed process has left beside it, gigabytes perhaps, is removed by the next one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    handle, temporary = _create_locked(path)
    try:
        yield temporary
        temporary.chmod(0o644)
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


def _create_locked(path: Path) -> tuple[int, Path]:
    """A new temporary file, and the open handle whose lock says that its process is alive."""
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        fcntl.flock(handle, fcntl.LOCK_EX)
        # Another process may have taken it for abandoned before it was locked.
        if Path(name).exists():
            return handle, Path(name)
        os.close(handle)


def _remove_abandoned(path: Path) -> None:
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        # One that is locked, or gone by now, is another process's.
        with suppress(OSError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
