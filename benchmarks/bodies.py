"""Request bodies; without the training side, since the clients' processes need them too."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from benchmarks.upstream_server import MODEL

JSON_HEADERS: Final = {"content-type": "application/json"}


def chat_body(text: str, *, stream: bool = False) -> bytes:
    """A body of ``/api/chat``, and of ``/v1/chat/completions``: one message of the user's."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}], "stream": stream}
    return json.dumps(body, ensure_ascii=False).encode()


def long_text(texts: Sequence[str], size_bytes: int) -> str:
    """Texts in a row, over and over, until there are as many bytes."""
    joined = " ".join(texts)
    repeats = size_bytes // max(1, len(joined.encode())) + 1
    return " ".join([joined] * repeats).encode()[:size_bytes].decode(errors="ignore")
