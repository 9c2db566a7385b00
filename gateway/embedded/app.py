"""The ASGI application: the routes and what becomes of errors."""

from __future__ import annotations

from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.embedded import ollama_api, openai_api
from gateway.embedded.errors import EmbeddedError
from gateway.embedded.model import ChatModel

_CLIENT_GONE: Final = 499
"""Nobody reads it; nginx and Ollama use this number in their logs."""

_ROUTER_TEXTS: Final = {404: "404 page not found", 405: "405 method not allowed"}
"""The router's own answers, in plain text on every prefix."""


def create_app(model: ChatModel) -> Starlette:
    """The Ollama-speaking application around a model, which the caller starts and closes."""
    native, compatible = ollama_api.OllamaApi(model), openai_api.OpenAiApi(model)
    return Starlette(
        routes=[
            Route("/", native.root),
            Route("/api/version", native.version),
            Route("/api/tags", native.tags),
            Route("/api/ps", native.running),
            Route("/api/show", native.show, methods=["POST"]),
            Route("/api/chat", native.chat, methods=["POST"]),
            Route("/api/generate", native.generate, methods=["POST"]),
            Route("/v1/models", compatible.models),
            Route("/v1/models/{model}", compatible.model),
            Route("/v1/chat/completions", compatible.chat, methods=["POST"]),
        ],
        exception_handlers={
            EmbeddedError: _answer_error,
            HTTPException: _answer_router,
            ClientDisconnect: _answer_nobody,
        },
    )


async def _answer_error(request: Request, error: Exception) -> Response:
    """An error in the style of the API that was called."""
    if not isinstance(error, EmbeddedError):
        raise error
    compatible = request.url.path.startswith("/v1/")
    return openai_api.error_response(error) if compatible else ollama_api.error_response(error)


async def _answer_router(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    text = _ROUTER_TEXTS.get(error.status_code, error.detail)
    return Response(text, error.status_code, headers=error.headers, media_type="text/plain")


async def _answer_nobody(_request: Request, _error: Exception) -> Response:
    return Response(status_code=_CLIENT_GONE)
