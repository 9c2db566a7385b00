"""One request from its first byte to the last of its answer."""

from __future__ import annotations

import dataclasses
import time
import traceback
from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import Final

import structlog
from anyio import to_thread
from starlette.types import Message, Receive, Scope, Send

from gateway.channels import Profile
from gateway.conversation import Conversation
from gateway.dialects import load_dialect
from gateway.dialects.base import Dialect
from gateway.errors import (
    BadRequestError,
    GatewayError,
    ManagementDeniedError,
    NotImplementedHereError,
    UpstreamUnavailableError,
)
from gateway.framing import compact_json
from gateway.http import Client, ClientGoneError, send_answer, while_connected
from gateway.intake import JsonObject, RawBody, decoded
from gateway.moderation import Outcome
from gateway.own import OWN_HANDLERS
from gateway.remembering import remembering
from gateway.routes import Action, Match, Miss, Route
from gateway.services import Services, new_nonce, stamp_since
from gateway.settings import RefusalMode
from gateway.styles import Answer, error_answer, method_not_allowed, not_found
from guard.calibration import Decision

_log = structlog.stdlib.get_logger(__name__)

THREAD_FROM_BYTES: Final = 262_144
"""From this length on a body is parsed in a thread."""

OWN_BODY_BYTES: Final = 65_536
"""Of a body that the gateway answers itself, beside the text to judge."""

_Headers = list[tuple[bytes, bytes]]


async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
    """The gateway as an ASGI application; needs ``services`` in the lifespan's state."""
    if scope["type"] != "http":
        # Neither Ollama nor llama-server has a WebSocket.
        await send({"type": "websocket.close", "code": 1003, "reason": ""})
        return
    services: Services = scope["state"]["services"]
    found = services.table.find(scope["method"], scope["raw_path"])
    if isinstance(found, Miss):
        answer = method_not_allowed(found.style, found.allowed) if found.allowed else not_found(found.style)
        await send_answer(send, answer, [], head_only=scope["method"] == "HEAD")
        return
    scope["state"]["route"] = found.route.path
    await _Exchange(services, found, scope, receive, send).run()


class _Exchange:
    """One request with a route, and its answer."""

    def __init__(self, services: Services, match: Match, scope: Scope, receive: Receive, send: Send) -> None:
        self._services = services
        self._match = match
        self._scope = scope
        # The server adds what trails a chunked body to the list in the scope, perhaps after that was looked at.
        self._request_headers: _Headers = list(scope["headers"])
        self._client = Client(receive)
        self._send_raw = send
        self._started = False
        self._came_ns = time.monotonic_ns()
        self._headers: _Headers = []

    @property
    def _route(self) -> Route:
        return self._match.route

    async def run(self) -> None:
        """Answer, whatever happens; a client that leaves cancels everything."""
        try:
            await while_connected(self._client, self._answer)
        except ClientGoneError:
            self._services.metrics.vanished.inc()
        except GatewayError as error:
            await self._fail(error)
        except Exception as error:  # noqa: BLE001 -- answered in the route's style
            # Neither the message nor the local variables: both may quote the prompt.
            frames = "".join(traceback.format_tb(error.__traceback__))
            _log.error("request failed", route=self._route.path, error=type(error).__name__, frames=frames)
            await self._send_answer(error_answer(self._route.style, 500, "internal error", new_nonce()))

    async def _answer(self) -> None:
        action = self._route.action
        if action in {Action.GUARDED, Action.COUNTED}:
            await self._guard()
        elif action is Action.OWN:
            await self._handle()
        elif action is Action.PASSED:
            await self._pass(self._services.settings.max_body_bytes)
        elif self._services.settings.allow_management:
            await self._pass(None)
        else:
            raise ManagementDeniedError("model management is disabled by the gateway")

    async def _handle(self) -> None:
        handler = OWN_HANDLERS.get(self._route.target)
        if handler is None:
            raise NotImplementedHereError("this gateway does not answer this route")
        # Read on the event loop, so no longer than what can be judged: six bytes a character where each is escaped.
        settings = self._services.settings
        most = min(settings.max_body_bytes, OWN_BODY_BYTES + 6 * settings.max_judged_bytes)
        await self._send_answer(await handler(self._services, await self._raw_body(most)))

    async def _pass(self, max_bytes: int | None) -> None:
        """Both ways as it comes."""
        has_body = any(name in {b"content-length", b"transfer-encoding"} for name, _ in self._request_headers)
        body = self._client.stream(max_bytes) if has_body else await self._client.body(0)
        await self._forward(body, self._scope["query_string"], self._request_headers, self._send)

    async def _guard(self) -> None:
        route = self._route
        dialect = load_dialect(route.target, route.flavour)
        if dialect is None:
            raise NotImplementedHereError("this gateway can't judge this route, so it does not forward it")
        raw = await self._decode(await self._raw_body())
        body, conversation = await self._parse(dialect, raw)
        if route.action is Action.COUNTED:
            conversation = conversation.untold()
        outcome = await self._moderate(conversation)
        if outcome.decision is Decision.BLOCK:
            await self._refuse(dialect, conversation)
            return
        send: Send = self._send
        if outcome.question is not None:
            send = remembering(send, self._services.answers, outcome.question)
        edited = dialect.rewrite(body, outcome.edit) if outcome.edit else body
        data = raw.data if edited is body else compact_json(edited)
        await self._forward(data, b"", self._judged_headers(dialect), send)

    async def _decode(self, raw: RawBody) -> RawBody:
        """Without its content encoding: what is forwarded are the bytes that were judged, not some that mean them."""
        if not raw.content_encoding:
            return raw
        # A hundred bytes of zstd can be megabytes.
        data = await to_thread.run_sync(partial(decoded, raw, zstd=self._route.zstd))
        return dataclasses.replace(raw, data=data, content_encoding="")

    async def _parse(self, dialect: Dialect, raw: RawBody) -> tuple[JsonObject, Conversation]:
        def work() -> tuple[JsonObject, Conversation]:
            body = dialect.read(raw)
            return body, dialect.parse(body, self._route.path)

        # Megabytes of images would hold up everybody else's streams.
        return work() if len(raw.data) < THREAD_FROM_BYTES else await to_thread.run_sync(work)

    def _judged_headers(self, dialect: Dialect) -> _Headers:
        """As they came, with one content type: by it llama-server decides whether to read JSON or a form."""
        kept = [pair for pair in self._request_headers if pair[0] not in {b"content-encoding", b"content-type"}]
        content_type = dialect.request_content_type or self._header(b"content-type")
        return [*kept, (b"content-type", content_type.encode("latin-1"))]

    async def _moderate(self, conversation: Conversation) -> Outcome:
        started = time.monotonic()
        outcome = await self._services.moderator.moderate(conversation)
        milliseconds = (time.monotonic() - started) * 1000
        self._mark(outcome.decision, outcome.reason)
        self._headers.append((b"server-timing", f"guard;dur={milliseconds:.2f}".encode()))
        # Strangers could use a score to grope for a text that just passes.
        if outcome.score is not None and self._services.settings.profile is Profile.TRUSTED:
            self._headers.append((b"x-guard-score", f"{outcome.score:.4f}".encode()))
        return outcome

    async def _refuse(self, dialect: Dialect, conversation: Conversation) -> None:
        text = self._refusal_text()
        stamp = stamp_since(self._came_ns)
        if conversation.error_only or self._services.settings.refusal_mode is RefusalMode.ERROR:
            await self._send_answer(error_answer(self._route.style, 400, text, stamp.nonce))
        elif conversation.stream:
            await self._send_frames(dialect, dialect.refusal_stream(conversation, text, stamp))
        else:
            await self._send_answer(Answer(200, dialect.content_type, dialect.refusal(conversation, text, stamp)))

    def _refusal_text(self) -> str:
        settings = self._services.settings
        text = settings.refusal_text
        accepted = self._header(b"accept-language").lower()
        for language in (part.partition(";")[0].strip() for part in accepted.split(",")):
            if (primary := language.partition("-")[0]) in settings.refusal_texts:
                text = settings.refusal_texts[primary]
                break
        return text.replace("{topic}", self._services.moderator.manifest.topic)

    async def _forward(self, body: bytes | AsyncIterator[bytes], query: bytes, headers: _Headers, send: Send) -> None:
        upstream = self._services.upstream
        response = await upstream.open(self._route.method, self._match.upstream_path, query, headers, body)
        await upstream.relay(response, send, self._headers)

    async def _raw_body(self, max_bytes: int | None = None) -> RawBody:
        if sum(name == b"content-type" for name, _ in self._request_headers) > 1:
            raise BadRequestError("the request has more than one content type")
        data = await self._client.body(max_bytes or self._services.settings.max_body_bytes)
        if len(self._scope["headers"]) > len(self._request_headers):
            raise BadRequestError("the request has headers after its body, which are not read here")
        return RawBody(
            data,
            self._header(b"content-type"),
            self._header(b"content-encoding"),
            self._scope["query_string"],
        )

    def _header(self, name: bytes) -> str:
        """All values of a header; two content encodings make one that nobody reads."""
        return ", ".join(value.decode("latin-1") for key, value in self._request_headers if key == name)

    def _mark(self, decision: str, reason: str) -> None:
        self._scope["state"]["decision"] = decision
        self._scope["state"]["reason"] = reason
        self._headers += [(b"x-guard-decision", decision.encode()), (b"x-guard-reason", reason.encode())]

    async def _fail(self, error: GatewayError) -> None:
        judged = self._route.action in {Action.GUARDED, Action.COUNTED}
        if judged and not isinstance(error, UpstreamUnavailableError):
            self._mark("block", error.reason)
        answer = error_answer(self._route.style, error.status, str(error), new_nonce())
        if error.retry_after_seconds is not None:
            answer = dataclasses.replace(answer, headers=(("retry-after", str(error.retry_after_seconds)),))
        await self._send_answer(answer)

    async def _send_frames(self, dialect: Dialect, frames: Iterable[bytes]) -> None:
        content_type = (b"content-type", dialect.stream_content_type.encode())
        await self._send({"type": "http.response.start", "status": 200, "headers": [content_type, *self._headers]})
        for frame in frames:
            await self._send({"type": "http.response.body", "body": frame, "more_body": True})
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_answer(self, answer: Answer) -> None:
        # What has begun can't become an error: left unfinished, the server closes the connection.
        if not self._started:
            await send_answer(self._send, answer, self._headers, head_only=self._route.method == "HEAD")

    async def _send(self, message: Message) -> None:
        self._started = True
        await self._send_raw(message)
