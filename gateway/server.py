"""Runs an application under uvicorn."""

from __future__ import annotations

import re
from typing import Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES: Final = 65_536
"""Of a request's line and headers, or of what trails its body; a little more where it comes at once."""

_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

_OFFERS_UPGRADE: Final = re.compile(rb"\nupgrade[ \t]*:", re.IGNORECASE)

SHUTDOWN_SECONDS: Final = 5
"""How long running answers may go on after the server was told to stop."""


class PatientProtocol(H11Protocol):
    """uvicorn's protocol in Python, which reads a request that offers to go on in another protocol like any other."""

    def _unsupported_upgrade_warning(self) -> None:  # type: ignore[explicit-override]
        """Say nothing: the client offers, and goes on as before if nobody takes it up."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's own, which keeps whatever comes before a body, without the bound that its other protocol (h11) has."""

    # What would mark the overrides, `typing.override`, came with Python 3.12.

    _unused_bytes = 0
    _begun = False

    def data_received(self, data: bytes) -> None:  # type: ignore[explicit-override]
        """Read on, and close the connection if that leads to nothing."""
        if not self._begun and _OFFERS_UPGRADE.search(data.partition(b"\r\n\r\n")[0]):
            self._hand_over(data)
            return
        self._begun = True
        self._unused_bytes += len(data)
        super().data_received(data)
        if self._unused_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            # Not into the middle of an answer; before the first request there is no cycle.
            if getattr(self.cycle, "response_complete", True):
                self.transport.write(_TOO_LARGE)
            self.transport.close()

    def _hand_over(self, data: bytes) -> None:
        """Let another protocol read this connection: httptools reads no body of a request that offers an upgrade.

        Java's own client offers HTTP/2 so with every request (``Upgrade: h2c``); Ollama answers it in HTTP/1.1.
        """
        self.connections.discard(self)
        protocol = PatientProtocol(self.config, self.server_state, self.app_state)
        protocol.connection_made(self.transport)
        self.transport.set_protocol(protocol)
        protocol.data_received(data)

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
