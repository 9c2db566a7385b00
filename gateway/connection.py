"""A client's connection: uvicorn's two protocols, with bounds on what comes before a body and on a client's pauses."""

from __future__ import annotations

import asyncio
import fcntl
import re
import sys
import termios
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any, Final

import h11
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES: Final = 65_536
"""Of a request's line and headers, or of what trails its body; a little more where it comes at once."""

_BARE_ANSWER: Final = b"HTTP/1.1 %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_LARGE: Final = _BARE_ANSWER % b"431 Request Header Fields Too Large"
_TIMED_OUT: Final = _BARE_ANSWER % b"408 Request Timeout"

_OFFERS_UPGRADE: Final = re.compile(rb"\nupgrade[ \t]*:", re.IGNORECASE)


class Watch:
    """Closes a connection on which the client keeps the server waiting.

    uvicorn itself waits without end for the rest of a request and for a client to take its answer; a thousand such
    connections would leave no room for others. A head has the whole time to come, a body and an answer have it anew
    with each piece (nginx's ``client_header_timeout``, ``client_body_timeout`` and ``send_timeout``). The time that an
    answer takes to be made is the server's own and has no limit.

    Args:
        protocol: whose connection it is, just made.
        timeout_seconds: how long the client may do nothing.
    """

    def __init__(self, protocol: _WatchedProtocol, timeout_seconds: float) -> None:
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._timeout_seconds = timeout_seconds
        self._untaken_bytes = 0
        self.progress()
        self._wait(timeout_seconds)

    def progress(self) -> None:
        """The client did its part, or it is its turn only now."""
        self._last_progress = self._loop.time()

    def received(self) -> None:
        """Something came: progress if it is of a body and no answer waits to be taken, but not if it is of a head."""
        if self._protocol.is_in_body() and not self._is_taking():
            self.progress()

    def stop(self) -> None:
        """The connection is closed, or another protocol's."""
        self._timer.cancel()
        # It has this watch, and both would stay until the collector runs.
        del self._protocol

    def _in_request(self) -> bool:
        cycle = self._protocol.answered
        return cycle is not None and not cycle.response_complete

    def _is_taking(self) -> bool:
        # A connection that is closed in order goes on until the client has taken what was written.
        return self._protocol.flow.write_paused or self._protocol.transport.is_closing()

    def _is_clients_turn(self) -> bool:
        if self._is_taking() or not self._in_request():
            return True
        cycle = self._protocol.answered
        # Where it was not told yet to go on, or has its answer already, the server does not wait for its body.
        wanted = cycle.more_body and not (cycle.waiting_for_100_continue or cycle.response_started)
        return wanted and not self._protocol.flow.read_paused

    def _has_taken(self) -> bool:
        """Whether another part of an answer is left than at the last look, or this is the first."""
        before = self._untaken_bytes
        if self._is_taking():
            self._untaken_bytes = _untaken_bytes(self._protocol.transport)
        return self._untaken_bytes != before

    def _check(self) -> None:
        if not self._is_clients_turn() or self._has_taken():
            self.progress()
        left_seconds = self._last_progress + self._timeout_seconds - self._loop.time()
        if left_seconds > 0:
            self._wait(left_seconds)
        else:
            self._close()

    def _wait(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._check)

    def _close(self) -> None:
        transport = self._protocol.transport
        if self._is_taking():
            transport.abort()
            return
        # Neither into the middle of an answer, nor where the client would take it for the answer to its next request.
        if self._protocol.has_begun_head() or self._in_request():
            transport.write(_TIMED_OUT)
        transport.close()
        # A client that takes nothing would keep it open with a few bytes, too few for the server to be told so.
        self.progress()
        self._wait(self._timeout_seconds)


def _untaken_bytes(transport: asyncio.Transport) -> int:
    """What is written and not with the client's system yet.

    Without the part that is with this system, a client that takes a megabyte a minute would seem to take nothing: the
    transport may write again only when a third of the system's buffer is free.
    """
    count = transport.get_write_buffer_size()
    # Linux tells it of sockets, other systems do not.
    with suppress(OSError):
        descriptor = transport.get_extra_info("socket").fileno()
        count += int.from_bytes(fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    return count


class _WatchedProtocol(asyncio.Protocol, ABC):
    """What both protocols tell their watch; the one that speaks HTTP comes after it in the order of classes."""

    # What would mark the overrides, `typing.override`, came with Python 3.12.

    cycle: Any
    flow: FlowControl
    transport: asyncio.Transport
    _watch: Watch

    def __init__(self, *args: Any, client_timeout_seconds: float, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(*args, **kwargs)
        self._client_timeout_seconds = client_timeout_seconds

    @property
    def answered(self) -> Any:  # noqa: ANN401 - each protocol has a class of its own
        """The request whose answer is being made, or the last one; None before the first."""
        return self.cycle

    @abstractmethod
    def has_begun_head(self) -> bool:
        """Whether a part of a request's head has come, and not all of it."""

    @abstractmethod
    def is_in_body(self) -> bool:
        """Whether more of a body is to come, be it that of a request that was answered early."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # type: ignore[explicit-override]
        """Begin to watch it."""
        super().connection_made(transport)
        self._watch = Watch(self, self._client_timeout_seconds)

    def connection_lost(self, exc: Exception | None) -> None:  # type: ignore[explicit-override]
        """Stop watching it."""
        self._watch.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:  # type: ignore[explicit-override]
        """Read on."""
        super().data_received(data)
        self._watch.received()

    def on_response_complete(self) -> None:
        """From here on the next request may come."""
        self._watch.progress()
        super().on_response_complete()  # type: ignore[misc]

    def pause_writing(self) -> None:  # type: ignore[explicit-override]
        """The client takes less than it is sent."""
        self._watch.progress()
        super().pause_writing()


class PatientProtocol(_WatchedProtocol, H11Protocol):
    """uvicorn's protocol in Python, which reads a request that offers to go on in another protocol like any other."""

    def has_begun_head(self) -> bool:  # type: ignore[explicit-override]
        """Whether something is kept where a request is awaited."""
        return self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])

    def is_in_body(self) -> bool:  # type: ignore[explicit-override]
        """Whether its end is awaited."""
        return self.conn.their_state is h11.SEND_BODY

    def _unsupported_upgrade_warning(self) -> None:  # type: ignore[explicit-override]
        """Say nothing: the client offers, and goes on as before if nobody takes it up."""


class BoundedProtocol(_WatchedProtocol, HttpToolsProtocol):
    """uvicorn's own, which keeps whatever comes before a body, without the bound that its other protocol (h11) has."""

    _unused_bytes = 0
    _begun = False
    _in_head = False
    _in_body = False
    _answered: Any = None

    @property
    def answered(self) -> Any:  # type: ignore[explicit-override]  # noqa: ANN401
        """Not the newest, which waits while one before it is being answered."""
        return self._answered

    def has_begun_head(self) -> bool:  # type: ignore[explicit-override]
        """As the parser told."""
        return self._in_head

    def is_in_body(self) -> bool:  # type: ignore[explicit-override]
        """Likewise."""
        return self._in_body

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
        self._watch.stop()
        self.connections.discard(self)
        timeout = self._client_timeout_seconds
        protocol = PatientProtocol(self.config, self.server_state, self.app_state, client_timeout_seconds=timeout)
        protocol.connection_made(self.transport)
        self.transport.set_protocol(protocol)
        protocol.data_received(data)

    def on_message_begin(self) -> None:  # type: ignore[explicit-override]
        """A head begins."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:  # type: ignore[explicit-override]
        """A request begins."""
        self._unused_bytes = 0
        self._in_head, self._in_body = False, True
        super().on_headers_complete()
        if not self.pipeline:
            self._answered = self.cycle

    def on_body(self, body: bytes) -> None:  # type: ignore[explicit-override]
        """More of it."""
        self._unused_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:  # type: ignore[explicit-override]
        """Its end; others may have come with it."""
        self._unused_bytes = 0
        self._in_body = False
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:  # type: ignore[explicit-override]
        """Tell the request that is being answered as well; uvicorn tells the newest alone."""
        if self._answered is not None and not self._answered.response_complete:
            self._answered.disconnected = True
            self._answered.message_event.set()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:  # type: ignore[explicit-override]
        """The next is answered, if there is one."""
        if self.pipeline:
            self._answered = self.pipeline[-1][0]
        super().on_response_complete()
