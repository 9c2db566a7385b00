"""Which web pages may ask: Ollama's own rules and defaults (gin-contrib/cors as ollama/server/routes.go sets it up)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOCAL: Final = ("localhost", "127.0.0.1", "0.0.0.0")  # noqa: S104 -- an origin, not an address to listen on

DEFAULT_ORIGINS: Final = (
    *(f"{scheme}://{host}{port}" for host in _LOCAL for scheme in ("http", "https") for port in ("", ":*")),
    *("app://*", "file://*", "tauri://*", "vscode-webview://*", "vscode-file://*"),
)

_METHODS: Final = b"GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
_REQUEST_HEADERS: Final = (
    b"Authorization,Content-Type,User-Agent,Accept,X-Requested-With,X-Api-Key,Anthropic-Version,Anthropic-Beta,"
    b"OpenAI-Beta,X-Stainless-Arch,X-Stainless-Async,X-Stainless-Custom-Poll-Interval,X-Stainless-Helper-Method,"
    b"X-Stainless-Lang,X-Stainless-Os,X-Stainless-Package-Version,X-Stainless-Poll-Helper,X-Stainless-Retry-Count,"
    b"X-Stainless-Runtime,X-Stainless-Runtime-Version,X-Stainless-Timeout"
)
_MAX_AGE_SECONDS: Final = b"43200"
_EXPOSED: Final = b"X-Guard-Decision,X-Guard-Reason,X-Guard-Score,X-Request-Id,Server-Timing,Retry-After"


class CorsMiddleware:
    """Refuses foreign origins with an empty 403, on actual requests too; answers preflights; marks answers.

    Refusals carry the same headers as answers, else a browser shows a network error in their place.

    Args:
        app: what is wrapped.
        origins: besides :data:`DEFAULT_ORIGINS`; each may have one ``*``.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        self._patterns = [pattern.lower().partition("*") for pattern in (*DEFAULT_ORIGINS, *origins)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        origin = _value(scope["headers"], b"origin") if scope["type"] == "http" else ""
        host = _value(scope["headers"], b"host") if origin else ""
        if not origin or origin in {f"http://{host}", f"https://{host}"}:
            await self._app(scope, receive, send)
        elif not self._allows(origin):
            await _empty(send, 403, [])
        elif scope["method"] == "OPTIONS":
            await _empty(send, 204, _preflight(origin))
        else:
            await self._app(scope, receive, _marking(send, origin))

    def _allows(self, origin: str) -> bool:
        lowered = origin.lower()
        for head, star, tail in self._patterns:
            if not star and lowered == head:
                return True
            if star and len(lowered) >= len(head) + len(tail) and lowered.startswith(head) and lowered.endswith(tail):
                return True
        return False


def _marking(send: Send, origin: str) -> Send:
    async def send_marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            marks = [*_allow(origin), (b"access-control-expose-headers", _EXPOSED)]
            message = {**message, "headers": [*message["headers"], *marks]}
        await send(message)

    return send_marked


def _allow(origin: str) -> list[tuple[bytes, bytes]]:
    return [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin")]


def _preflight(origin: str) -> list[tuple[bytes, bytes]]:
    return [
        *_allow(origin),
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", _REQUEST_HEADERS),
        (b"access-control-max-age", _MAX_AGE_SECONDS),
    ]


async def _empty(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    length = [(b"content-length", b"0")] if status != 204 else []
    await send({"type": "http.response.start", "status": status, "headers": [*length, *headers]})
    await send({"type": "http.response.body", "body": b""})


def _value(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    return ", ".join(value.decode("latin-1") for key, value in headers if key == name)
