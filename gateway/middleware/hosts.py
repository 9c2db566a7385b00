"""Against DNS rebinding: a gateway on loopback is asked by local names only (ollama/server/routes.go:1803)."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

_LOCAL_SUFFIXES: Final = (".localhost", ".local", ".internal")


class HostCheckMiddleware:
    """Answers 403 without a body to a Host that a page elsewhere could have made up.

    Args:
        app: what is wrapped.
        listens_on: the gateway's address; the check is for loopback only, as Ollama's is.
        allowed: further names.
    """

    def __init__(self, app: ASGIApp, listens_on: str, allowed: Sequence[str]) -> None:
        self._app = app
        self._active = is_loopback(listens_on)
        self._allowed = frozenset({"", "localhost", socket.gethostname().lower(), *(name.lower() for name in allowed)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "http" and self._active and not self._accepts(_host(scope)):
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._app(scope, receive, send)

    def _accepts(self, host: str) -> bool:
        name = host_name(host)
        if name in self._allowed or name.endswith(_LOCAL_SUFFIXES):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or address.is_private or address.is_unspecified


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def host_name(host: str) -> str:
    """The name of a Host header, without its port, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()


def _host(scope: Scope) -> str:
    values = [value for name, value in scope["headers"] if name == b"host"]
    # Two Host headers are two opinions on where this goes: no name at all.
    return values[0].decode("latin-1") if len(values) == 1 else "\0" if values else ""
