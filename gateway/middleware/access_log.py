"""One log line and one count per request; no text of the client's in either."""

from __future__ import annotations

import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.metrics import Metrics

_log = structlog.stdlib.get_logger(__name__)


class AccessLogMiddleware:
    """Logs and counts by the route's pattern: a path as sent is the client's text.

    Args:
        app: what is wrapped.
        metrics: where it is counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        status = 0

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        finally:
            self._note(scope, status, time.monotonic() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        state = scope["state"]
        route = state.get("route", "other")
        self._metrics.requests.labels(route, str(status)).inc()
        _log.info(
            "request",
            method=scope["method"] if scope["method"].isalpha() else "other",
            route=route,
            # 0: the client left before there was an answer.
            status=status,
            decision=state.get("decision"),
            reason=state.get("reason"),
            milliseconds=round(seconds * 1000, 1),
            request_id=state.get("request_id"),
        )
