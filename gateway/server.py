"""Runs an application under uvicorn."""

from __future__ import annotations

from typing import Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES: Final = 65_536
"""Of a request's line and headers, or of what trails its body; a little more where it comes at once."""

_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

SHUTDOWN_SECONDS: Final = 5
"""How long running answers may go on after the server was told to stop."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's own, which keeps whatever comes before a body, without the bound that its other protocol (h11) has."""

    # What would mark the overrides, `typing.override`, came with Python 3.12.

    _unused_bytes = 0

    def data_received(self, data: bytes) -> None:  # type: ignore[explicit-override]
        """Read on, and close the connection if that leads to nothing."""
        self._unused_bytes += len(data)
        super().data_received(data)
        if self._unused_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            # Not into the middle of an answer; before the first request there is no cycle.
            if getattr(self.cycle, "response_complete", True):
                self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_headers_complete(self) -> None:  # type: ignore[explicit-override]
        """A request begins."""
        self._unused_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:  # type: ignore[explicit-override]
        """More of it."""
        self._unused_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:  # type: ignore[explicit-override]
        """Its end; others may have come with it."""
        self._unused_bytes = 0
        super().on_message_complete()


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
        http=BoundedProtocol,
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
