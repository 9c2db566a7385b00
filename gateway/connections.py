"""Connections to the server behind: a transport of httpx on aiohttp's pool and parser.

httpx's own transport takes twice as long for a request to a server on this machine, in h11's and anyio's Python
(docs/performance.md). aiohttp parses in C, and closes connections that are idle or closed behind by itself.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from functools import lru_cache
from types import TracebackType
from typing import Final, Self

import aiohttp
import httpx
from multidict import CIMultiDict
from typing_extensions import override
from yarl import URL

from gateway.errors import GatewayError

KEEP_ALIVE_SECONDS: Final = 2.0
"""Shorter than llama-server's 5 s: a connection that is just being closed there must not be used again."""

MAX_HEADER_BYTES: Final = 64 * 1024
"""Of one header of an answer."""

_PIECE_BYTES: Final = 64 * 1024
"""A longer body is written piece by piece, so that other connections get their turn in between."""

_LEFT_TO_THE_CLIENT: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""Headers that aiohttp would add where the client sent none."""


class Connections(httpx.AsyncBaseTransport):
    """A pool of connections; an asynchronous context manager.

    Args:
        uds: path of a Unix socket; None for TCP.
        tls: for ``https://``.
        keep_alive_seconds: how long an idle connection stays open.
    """

    def __init__(self, uds: str | None, tls: ssl.SSLContext | None, keep_alive_seconds: float) -> None:
        self._uds = uds
        self._tls = tls
        self._keep_alive_seconds = keep_alive_seconds
        self._url = lru_cache(maxsize=256)(lambda url: URL(url, encoded=True))

    @override
    async def __aenter__(self) -> Self:
        # Made here, since both belong to the loop that runs.
        keep_alive = self._keep_alive_seconds
        connector = (
            aiohttp.UnixConnector(self._uds, limit=0, keepalive_timeout=keep_alive)
            if self._uds
            else aiohttp.TCPConnector(limit=0, keepalive_timeout=keep_alive, ssl=self._tls or True)
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            # One client's cookies are no other's.
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_LEFT_TO_THE_CLIENT,
            auto_decompress=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        return self

    @override
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, wait for the head of its answer.

        Raises:
            httpx.TransportError: if there is no answer.
            GatewayError: as the request's body raises it.
        """
        connect_seconds = request.extensions["timeout"]["connect"]
        try:
            answer = await self._session.request(
                request.method,
                self._url(str(request.url)),
                headers=_headers(request),
                data=_body(request),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds),
            )
        except aiohttp.ClientError as error:
            # aiohttp reads the body in a task of its own, and tells what that raised as the cause only.
            if isinstance(error.__cause__, GatewayError):
                raise error.__cause__ from None
            raise httpx.NetworkError(str(error), request=request) from error
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Stream(answer), request=request)

    @override
    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()


class _Stream(httpx.AsyncByteStream):
    """An answer's body as it comes."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._answer.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise httpx.ReadError(str(error)) from error

    @override
    async def aclose(self) -> None:
        """Back to the pool if all of it was read; else the connection is closed, and the server behind stops."""
        self._answer.close()


def _headers(request: httpx.Request) -> CIMultiDict[str]:
    # How the body is framed is said by aiohttp, or by the length where there is one.
    return CIMultiDict(
        (name.decode("ascii"), _text(value))
        for name, value in request.headers.raw
        if name.lower() != b"transfer-encoding"
    )


def _text(value: bytes) -> str:
    """A header's value; aiohttp writes UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _body(request: httpx.Request) -> bytes | AsyncIterator[bytes] | None:
    try:
        content = request.content
    except httpx.RequestNotRead:
        stream = request.stream
        assert isinstance(stream, httpx.AsyncByteStream)  # noqa: S101 - the only other kind, for type checkers
        return aiter(stream)
    return _pieces(content) if len(content) > _PIECE_BYTES else content or None


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _PIECE_BYTES):
        yield content[start : start + _PIECE_BYTES]
