"""Runs an application under uvicorn."""

from __future__ import annotations

from functools import partial
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from gateway.connection import BoundedProtocol

SHUTDOWN_SECONDS: Final = 5
"""How long running answers may go on after the server was told to stop."""


def server_for(app: ASGIApp, host: str, port: int, *, client_timeout_seconds: float) -> uvicorn.Server:
    """A uvicorn server that adds nothing of its own to answers.

    Args:
        app: to serve.
        host: to listen on.
        port: to listen on; 0 takes a free one.
        client_timeout_seconds: how long a client may make it wait for the rest of a request, or to take its answer.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        # Only called, with keywords.
        http=partial(BoundedProtocol, client_timeout_seconds=client_timeout_seconds),  # type: ignore[arg-type]
        # Upstream's own Server and Date are relayed; two of each would be a mark of the gateway.
        server_header=False,
        date_header=False,
        access_log=False,
        # Who the client is decides nothing here, and its word for it would be anybody's.
        proxy_headers=False,
        log_config=None,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    return uvicorn.Server(config)
