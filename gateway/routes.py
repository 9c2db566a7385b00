"""The one table of routes: every method and path of Ollama and llama-server, and what is done with it.

What is not in the table is not forwarded. Matching is on the bytes of the path as sent: a path that a server behind
would decode or clean up into another one matches nothing. The upstream's path is the table's own text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.dialects.base import Flavour
from gateway.styles import ErrorStyle


class Api(StrEnum):
    """Whose routes are served."""

    OLLAMA = "ollama"
    LLAMA_SERVER = "llama-server"
    AUTO = "auto"
    """Both; where they share a route, Ollama's spelling of it."""


class Action(StrEnum):
    """What is done with a route."""

    GUARDED = "guarded"
    """Judged before it is forwarded."""
    COUNTED = "counted"
    """Its tokens are counted, and no model answers: places that the settings deny are refused, texts are not judged."""
    PASSED = "passed"
    """Forwarded as it is: no text of it reaches a model that answers in words."""
    DENIED = "denied"
    """Management or disclosure: forwarded only where the settings allow it."""
    OWN = "own"
    """Answered by the gateway itself."""


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path.

    Attributes:
        method: in capitals.
        path: as sent; one segment may be ``:name``.
        action: what is done.
        target: the dialect of a guarded or counted route, the handler of an own one, else empty.
        style: of its errors.
        flavour: whose spelling of the dialect.
        zstd: whether its upstream reads zstd bodies.
    """

    method: str
    path: str
    action: Action
    target: str = ""
    style: ErrorStyle = ErrorStyle.NATIVE
    flavour: Flavour = Flavour.OLLAMA
    zstd: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """A route and the path to forward to, in the table's own bytes but for a checked segment."""

    route: Route
    upstream_path: bytes


@dataclass(frozen=True, slots=True)
class Miss:
    """No route; ``allowed`` has the methods of a path that is known by others, else it is empty."""

    style: ErrorStyle
    allowed: tuple[str, ...] = ()


_N: Final = ErrorStyle.NATIVE
_O: Final = ErrorStyle.OPENAI
_A: Final = ErrorStyle.ANTHROPIC
_L: Final = ErrorStyle.LLAMA_SERVER


def _guarded(dialect: str, *paths: str, style: ErrorStyle = _N, zstd: bool = False) -> list[Route]:
    return [Route("POST", path, Action.GUARDED, dialect, style, zstd=zstd) for path in paths]


def _counted(dialect: str, *paths: str) -> list[Route]:
    return [Route("POST", path, Action.COUNTED, dialect) for path in paths]


def _each(action: Action, methods: str, *paths: str, style: ErrorStyle = _N) -> list[Route]:
    return [Route(method, path, action, style=style) for path in paths for method in methods.split()]


def _own(handler: str, methods: str, *paths: str, style: ErrorStyle = _N) -> list[Route]:
    return [Route(method, path, Action.OWN, handler, style) for path in paths for method in methods.split()]


OWN_ROUTES: Final = (
    *_own("moderate", "POST", "/api/moderate"),
    *_own("health", "GET HEAD", "/health"),
    *_own("readiness", "GET HEAD", "/-/health"),
    *_own("metrics", "GET HEAD", "/-/metrics"),
    *_own("chat", "GET HEAD", "/-/chat"),
    *_own("moderations", "POST", "/v1/moderations", style=_O),
)

OLLAMA_ROUTES: Final = (
    *_guarded("ollama_chat", "/api/chat"),
    *_guarded("ollama_generate", "/api/generate"),
    *_guarded("ollama_embeddings", "/api/embed", "/api/embeddings"),
    *_guarded("openai_chat", "/v1/chat/completions", style=_O, zstd=True),
    *_guarded("openai_completions", "/v1/completions", style=_O, zstd=True),
    *_guarded("openai_responses", "/v1/responses", style=_O, zstd=True),
    *_guarded("anthropic_messages", "/v1/messages", style=_A, zstd=True),
    *_guarded("openai_embeddings", "/v1/embeddings", style=_O),
    *_guarded("openai_transcription", "/v1/audio/transcriptions", style=_O),
    *_each(Action.PASSED, "GET HEAD", "/", "/api/version", "/api/tags"),
    *_each(Action.PASSED, "GET", "/api/ps", "/api/status", "/api/experimental/model-recommendations"),
    *_each(Action.PASSED, "POST", "/api/show"),
    *_each(Action.PASSED, "GET", "/v1/models", "/v1/models/:model", style=_O),
    *_each(Action.DENIED, "POST", "/api/create", "/api/pull", "/api/push", "/api/copy", "/api/blobs/:digest"),
    *_each(Action.DENIED, "HEAD", "/api/blobs/:digest"),
    *_each(Action.DENIED, "DELETE", "/api/delete", "/api/user/keys/:key"),
    # These act as the owner of the upstream's ollama.com account, the searches with the client's own words.
    *_each(Action.DENIED, "POST", "/api/me", "/api/signout"),
    *_each(Action.DENIED, "POST", "/api/experimental/web_search", "/api/experimental/web_fetch"),
)
"""Ollama v0.33 (server/routes.go:1841-1929)."""

_LLAMA_GUARDED: Final = (
    *_guarded("llama_completion", "/completion", "/completions"),
    *_guarded("llama_infill", "/infill"),
    *_guarded("openai_completions", "/v1/completions"),
    *_guarded("openai_chat", "/chat/completions", "/v1/chat/completions", "/api/chat"),
    *_guarded("openai_responses", "/responses", "/v1/responses"),
    *_guarded("anthropic_messages", "/v1/messages"),
    *_guarded("openai_transcription", "/audio/transcriptions", "/v1/audio/transcriptions"),
    *_guarded("openai_embeddings", "/embedding", "/embeddings", "/v1/embeddings"),
    *_guarded("llama_rerank", "/rerank", "/reranking", "/v1/rerank", "/v1/reranking"),
    # A decision model's and Vertex AI's forms, which name any other handler: not read here, so never forwarded.
    *_guarded("llama_systemone", "/v1/systemone"),
    *_guarded("llama_predict", "/predict"),
)

LLAMA_SERVER_ROUTES: Final = tuple(
    Route(r.method, r.path, r.action, r.target, _L, Flavour.LLAMA_SERVER)
    for r in (
        *_LLAMA_GUARDED,
        *_each(Action.PASSED, "GET HEAD", "/", "/health", "/v1/health", "/models", "/v1/models", "/metrics"),
        *_each(Action.PASSED, "GET", "/api/tags"),
        *_each(Action.PASSED, "POST", "/api/show", "/tokenize", "/detokenize"),
        # A model that sees fetches the images whose addresses it is sent, to count them.
        *_counted("anthropic_messages", "/v1/messages/count_tokens"),
        *_counted("openai_chat", "/chat/completions/input_tokens", "/v1/chat/completions/input_tokens"),
        *_counted("openai_responses", "/responses/input_tokens", "/v1/responses/input_tokens"),
        # Shows the template and the system prompt; shows other people's prompts and answers.
        *_each(Action.DENIED, "POST", "/apply-template", "/v1/chat/completions/control"),
        *_each(Action.DENIED, "GET POST", "/props", "/lora-adapters", "/cors-proxy", "/tools"),
        *_each(Action.DENIED, "GET", "/slots", "/v1/streams", "/v1/stream/:conversation", "/models/sse"),
        *_each(Action.DENIED, "POST", "/slots/:slot", "/models", "/models/load", "/models/unload"),
        *_each(Action.DENIED, "DELETE", "/v1/stream/:conversation", "/models"),
    )
)
"""The union over llama-server's versions."""

_SEGMENT: Final = re.compile(rb"(?!\.{1,2}$)[A-Za-z0-9._~:@-]+")
"""A path segment that no server decodes or cleans into something else."""


def routes_of(api: Api) -> tuple[Route, ...]:
    """The table for ``api``, our own routes included; each method and path once."""
    if api is Api.OLLAMA:
        tables: tuple[tuple[Route, ...], ...] = (OWN_ROUTES, OLLAMA_ROUTES)
    elif api is Api.LLAMA_SERVER:
        # llama-server's own health check tells whether it has loaded its model, and its clients wait for that.
        # The chat page speaks Ollama; llama-server has a page of its own at "/".
        tables = (tuple(r for r in OWN_ROUTES if r.path not in {"/health", "/-/chat"}), LLAMA_SERVER_ROUTES)
    else:
        tables = (OWN_ROUTES, OLLAMA_ROUTES, LLAMA_SERVER_ROUTES)
    found: dict[tuple[str, str], Route] = {}
    for route in (route for table in tables for route in table):
        found.setdefault((route.method, route.path), route)
    return tuple(found.values())


class RouteTable:
    """Finds the route of a request.

    Args:
        routes: each method and path once.
        style: of the answer where there is none.
    """

    def __init__(self, routes: Iterable[Route], style: ErrorStyle) -> None:
        self._style = style
        self._fixed: dict[bytes, dict[str, Route]] = {}
        self._with_segment: dict[bytes, dict[str, Route]] = {}
        for route in routes:
            self._add(route)

    def find(self, method: str, raw_path: bytes) -> Match | Miss:
        """The route for a method and the bytes of a path as sent, without the query."""
        fixed = self._fixed.get(raw_path)
        if fixed is not None:
            return self._pick(fixed, method, raw_path)
        head, _, last = raw_path.rpartition(b"/")
        if _SEGMENT.fullmatch(last):
            with_segment = self._with_segment.get(head)
            if with_segment is not None:
                return self._pick(with_segment, method, raw_path)
        return Miss(self._style)

    def _add(self, route: Route) -> None:
        prefix, colon, _ = route.path.partition("/:")
        if colon:
            self._with_segment.setdefault(prefix.encode(), {})[route.method] = route
        else:
            self._fixed.setdefault(route.path.encode(), {})[route.method] = route

    def _pick(self, methods: dict[str, Route], method: str, path: bytes) -> Match | Miss:
        route = methods.get(method)
        return Miss(self._style, tuple(sorted(methods))) if route is None else Match(route, path)


def table_for(api: Api) -> RouteTable:
    """The route table of ``api``."""
    return RouteTable(routes_of(api), _L if api is Api.LLAMA_SERVER else _N)
