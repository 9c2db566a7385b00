"""Serves the embedded upstream on a Unix socket that nobody else on the machine can reach."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import uvicorn

from gateway.embedded.app import create_app
from gateway.embedded.model import CONTEXT_TOKENS, ChatModel
from gateway.embedded.weights import find_weights

_SOCKET_NAME: Final = "embedded.sock"

_MAX_SOCKET_PATH_BYTES: Final = 107
"""Linux keeps a socket's path in 108 bytes, the last of them zero."""

_SHUTDOWN_SECONDS: Final = 2
"""Calls are broken off before the server stops, so that it only has to send the last bytes."""


@asynccontextmanager
async def serve_embedded(
    weights: Path | None = None, *, context_tokens: int = CONTEXT_TOKENS, threads: int | None = None
) -> AsyncIterator[str]:
    """Run the embedded upstream in this event loop for the length of the block.

    The socket lies in a folder that only this user may enter, so the gateway in front can't be gone round.

    Args:
        weights: path of the chat model's GGUF; None: the installed package's.
        context_tokens: size of the model's context.
        threads: that compute; None: half of the cores.

    Yields:
        The upstream's address, ``unix:/path/to.sock``.

    Raises:
        WeightsError: if the model is not installed, damaged, or can't be loaded.
    """
    model = ChatModel(weights or find_weights(), context_tokens=context_tokens, threads=threads)
    try:
        await model.start()
        with _private_folder() as folder:
            path = folder / _SOCKET_NAME
            async with _served(model, path):
                yield f"unix:{path}"
    finally:
        await model.aclose()


@asynccontextmanager
async def _served(model: ChatModel, path: Path) -> AsyncIterator[None]:
    config = uvicorn.Config(
        create_app(model),
        uds=str(path),
        lifespan="off",
        ws="none",
        proxy_headers=False,
        # Logging belongs to the gateway, which also writes the access log.
        log_config=None,
        access_log=False,
        date_header=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    server = uvicorn.Server(config)
    # The parts of Server.serve() without its signal handlers, which belong to the gateway's own server, and without
    # its main loop, which only keeps the clock for headers and limits that are off here.
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield
    finally:
        # First the calls, then the server, which waits for them to be answered.
        await model.aclose()
        await server.shutdown()


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A temporary folder with mode 0700, under ``/tmp`` where the usual place makes the socket's path too long."""
    usual = Path(tempfile.gettempdir())
    longest = len(bytes(usual)) + len("/startrek-guard-xxxxxxxx/") + len(_SOCKET_NAME)
    parent = usual if longest <= _MAX_SOCKET_PATH_BYTES else Path("/tmp")  # noqa: S108 -- mkdtemp chooses the name
    with tempfile.TemporaryDirectory(prefix="startrek-guard-", dir=parent) as name:
        yield Path(name)
