"""A very fast Ollama: canned answers from a process of its own, so that what is measured is the gateway.

``python -m benchmarks.upstream_server`` listens on a free port and prints its URL.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

MODEL: Final = "canned"
_WORDS: Final = ["Logic ", "is ", "the ", "beginning ", "of ", "wisdom, ", "not ", "the ", "end."]
_PAUSE_SECONDS: Final = 0.005
"""Between the pieces of a stream: so that a client can leave in its middle."""

_CREATED_AT: Final = "2026-01-01T00:00:00Z"


def application() -> Starlette:
    """The application."""
    routes = [
        Route("/", _root),
        Route("/api/chat", _ollama, methods=["POST"]),
        Route("/v1/chat/completions", _openai, methods=["POST"]),
    ]
    return Starlette(routes=routes)


async def _root(_: Request) -> Response:
    return PlainTextResponse("Ollama is running")


async def _ollama(request: Request) -> Response:
    asked: dict[str, Any] = await request.json()
    if asked.get("stream", True):
        return StreamingResponse(_ollama_lines(), media_type="application/x-ndjson")
    return JSONResponse(_ollama_piece("".join(_WORDS), done=True))


async def _openai(request: Request) -> Response:
    asked: dict[str, Any] = await request.json()
    if asked.get("stream", False):
        return StreamingResponse(_openai_events(), media_type="text/event-stream")
    choice = {"index": 0, "message": {"role": "assistant", "content": "".join(_WORDS)}, "finish_reason": "stop"}
    return JSONResponse(_openai_object("chat.completion", choice))


async def _ollama_lines() -> AsyncIterator[bytes]:
    for word in _WORDS:
        yield json.dumps(_ollama_piece(word, done=False)).encode() + b"\n"
        await asyncio.sleep(_PAUSE_SECONDS)
    yield json.dumps(_ollama_piece("", done=True)).encode() + b"\n"


async def _openai_events() -> AsyncIterator[bytes]:
    for word in _WORDS:
        yield _event({"index": 0, "delta": {"content": word}, "finish_reason": None})
        await asyncio.sleep(_PAUSE_SECONDS)
    yield _event({"index": 0, "delta": {}, "finish_reason": "stop"})
    yield b"data: [DONE]\n\n"


def _event(choice: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(_openai_object("chat.completion.chunk", choice)).encode() + b"\n\n"


def _ollama_piece(text: str, *, done: bool) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    piece = {"model": MODEL, "created_at": _CREATED_AT, "message": message, "done": done}
    return piece | ({"done_reason": "stop", "eval_count": len(_WORDS)} if done else {})


def _openai_object(kind: str, choice: dict[str, Any]) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1767225600, "model": MODEL, "choices": [choice]}


def main() -> None:
    """Serve until interrupted."""
    listening = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    config = uvicorn.Config(application(), log_config=None, access_log=False, lifespan="off")
    # It raises the interrupt that ended it once more.
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
