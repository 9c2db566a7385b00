"""What tells one guard file from another: the SHA-256 of its bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

_known: dict[tuple[str, int, int], str] = {}


def file_fingerprint(path: Path) -> str:
    """``sha256:`` and 64 hexadecimal digits; a file of the same path, time and size is read once a process.

    Raises:
        OSError: if the file can't be read.
    """
    status = path.stat()
    key = (str(path.resolve()), status.st_mtime_ns, status.st_size)
    if key not in _known:
        with path.open("rb") as file:
            _known[key] = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    return _known[key]
