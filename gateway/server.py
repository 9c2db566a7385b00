"""Runs the gateway under uvicorn."""

from __future__ import annotations

import socket

import uvicorn
from starlette.types import ASGIApp

from gateway.app import create_app
from gateway.settings import Settings
from guard.engines.base import Engine

SHUTDOWN_SECONDS = 5
"""How long running answers may go on after the server was told to stop."""


def server_for(app: ASGIApp, host: str, port: int) -> uvicorn.Server:
    """A uvicorn server that adds nothing of its own to answers.

    Args:
        app: to serve.
        host: to listen on.
        port: to listen on; 0 takes a free one.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
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


def serve(settings: Settings, engine: Engine, sockets: list[socket.socket] | None = None) -> bool:
    """Serve until told to stop.

    Args:
        settings: of the gateway.
        engine: not started.
        sockets: already bound, in place of the settings' host and port.

    Returns:
        Whether it ever served: False if the guard or the gateway did not start.
    """
    server = server_for(create_app(settings, engine), settings.host, settings.port)
    server.run(sockets)
    return server.started
