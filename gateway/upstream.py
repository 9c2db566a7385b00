"""The server behind: requests to it, its answers relayed as they come."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from types import TracebackType
from typing import Final, Self

import anyio
import httpx
import structlog
from starlette.types import Send

from gateway.errors import GatewayError, UpstreamUnavailableError
from gateway.metrics import Metrics

RawHeaders = Sequence[tuple[bytes, bytes]]

_log = structlog.stdlib.get_logger(__name__)

_HOP_BY_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te"}
    | {b"trailer", b"transfer-encoding", b"upgrade"}
)

_NOT_FORWARDED: Final = frozenset(
    # Rebuilt for the connection behind.
    {b"host", b"content-length", b"expect"}
    # Judged here; behind the rewritten Host they would be judged again, wrongly.
    | {b"origin", b"referer"}
    # Ollama builds redirects from them, and a client could make them up.
    | {b"forwarded", b"x-real-ip"}
    # Starts a session at llama-server that goes on generating after the client has left.
    | {b"x-conversation-id"}
    # No route has parts to ask for, and llama-server answers a bad one without reading the body.
    | {b"range", b"if-range"}
)

_NOT_RELAYED: Final = (b"access-control-", b"x-guard-")
"""Prefixes of answer headers that only the gateway says."""

_JSON_OBJECT: Final = re.compile(rb"[ \t\r\n]*\{")

KEEP_ALIVE_SECONDS: Final = 2.0
"""Shorter than llama-server's 5 s: a connection that is just being closed there must not be used again."""


class _Transport(httpx.AsyncHTTPTransport):
    """One whose idle connections do not stay open when the server behind has closed them or their time is over.

    By itself it looks after them only when another request is sent.
    """

    async def sweep(self) -> None:
        """Close such connections, until cancelled."""
        while True:
            await asyncio.sleep(KEEP_ALIVE_SECONDS)
            for connection in self._pool.connections:
                # An expired connection is not used any more, so nobody is cut off.
                if connection.is_idle() and connection.has_expired():
                    with suppress(OSError):
                        await connection.aclose()


class Upstream:
    """A pool of connections to the server behind; an asynchronous context manager.

    Args:
        address: ``http://``, ``https://`` or ``unix:/path``.
        connect_timeout_seconds: for new connections; a first token may take minutes, so nothing else is limited.
        metrics: what is counted.
    """

    def __init__(self, address: str, connect_timeout_seconds: float, metrics: Metrics) -> None:
        self._metrics = metrics
        uds = address.removeprefix("unix:").removeprefix("//") if address.startswith("unix:") else None
        self._base = httpx.URL("http://localhost" if uds else address)
        # Not a client: what that adds to a transport (cookies, redirects, authentication) is the caller's own affair
        # here, and takes a quarter of the time that a request to a server on this machine takes.
        self._transport = _Transport(
            uds=uds,
            trust_env=False,
            limits=httpx.Limits(max_connections=None, keepalive_expiry=KEEP_ALIVE_SECONDS),
        )
        self._timeout = httpx.Timeout(None, connect=connect_timeout_seconds).as_dict()
        self._url = lru_cache(maxsize=256)(self._make_url)

    async def __aenter__(self) -> Self:
        self._sweeper = asyncio.create_task(self._transport.sweep(), name="upstream-sweeper")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sweeper.cancel()
        await asyncio.gather(self._sweeper, return_exceptions=True)
        await self._transport.aclose()

    async def open(
        self,
        method: str,
        path: bytes,
        query: bytes,
        headers: RawHeaders,
        body: bytes | AsyncIterator[bytes],
    ) -> httpx.Response:
        """Send a request and wait for the head of its answer; close what it returns.

        Args:
            method: in capitals.
            path: of the table, without a query.
            query: without the question mark; empty for none.
            headers: of the client; those that are not for the upstream are left out.
            body: whole, if it was read strictly; or as it comes.

        Raises:
            UpstreamUnavailableError: if there is no answer.
        """
        request = httpx.Request(
            method,
            self._url(path, query),
            headers=forwarded(headers, body),
            content=body or None,
            extensions={"timeout": self._timeout},
        )
        try:
            return await self._transport.handle_async_request(request)
        except GatewayError:
            raise
        except (httpx.TransportError, OSError) as error:
            self._metrics.upstream_errors.labels("no_answer").inc()
            _log.warning("upstream unavailable", error=type(error).__name__)
            raise UpstreamUnavailableError("the upstream model server can't be reached") from error

    async def relay(self, response: httpx.Response, send: Send, headers: RawHeaders) -> None:
        """Pass an answer on byte by byte as it comes, and close it whatever happens.

        An answer that breaks off is left unfinished, so that the client does not take it for complete.

        Args:
            response: of :meth:`open`.
            send: to the client.
            headers: to add to the answer's own.
        """
        try:
            head = [*relayed(response.headers.raw), *headers]
            await send({"type": "http.response.start", "status": response.status_code, "headers": head})
            async for chunk in response.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except httpx.TransportError as error:
            self._metrics.upstream_errors.labels("broke_off").inc()
            _log.warning("upstream broke off", error=type(error).__name__)
        finally:
            # Also when we are being cancelled: an open upstream goes on generating for nobody.
            with anyio.CancelScope(shield=True):
                await response.aclose()

    def _make_url(self, path: bytes, query: bytes) -> httpx.URL:
        prefix = self._base.raw_path.partition(b"?")[0].rstrip(b"/")
        return self._base.copy_with(raw_path=prefix + path + (b"?" + query if query else b""))


def forwarded(headers: RawHeaders, body: bytes | AsyncIterator[bytes]) -> list[tuple[bytes, bytes]]:
    """The client's headers as the upstream gets them; the length is kept where the body is not at hand to measure."""
    kept = [
        (name, value)
        for name, value in _end_to_end(headers)
        if name not in _NOT_FORWARDED and not name.startswith(b"x-forwarded-")
    ]
    if not isinstance(body, bytes):
        kept += [(name.lower(), value) for name, value in headers if name.lower() == b"content-length"]
    return kept if _harmless(body) else [*kept, (b"connection", b"close")]


def _harmless(body: bytes | AsyncIterator[bytes]) -> bool:
    """Whether another request may follow this body on its connection.

    A server that answers without reading a body, as cpp-httplib did in some versions, takes what it left for the next
    request: a prompt that nobody judged. No line of a JSON object that was read strictly can be a request's first. Any
    other body could hold one, so its connection is closed with it.
    """
    return isinstance(body, bytes) and (not body or _JSON_OBJECT.match(body) is not None)


def relayed(headers: RawHeaders) -> list[tuple[bytes, bytes]]:
    """The upstream's headers as the client gets them."""
    return [(name, value) for name, value in _end_to_end(headers) if not name.startswith(_NOT_RELAYED)]


def _end_to_end(headers: RawHeaders) -> Iterable[tuple[bytes, bytes]]:
    lowered = [(name.lower(), value) for name, value in headers]
    # A header that Connection names is for this hop only, unless it says how to read the body (RFC 9110, 7.6.1).
    named = {token.strip().lower() for name, value in lowered if name == b"connection" for token in value.split(b",")}
    left_out = _HOP_BY_HOP | {name for name in named if not name.startswith(b"content-")}
    return [(name, value) for name, value in lowered if name not in left_out]
