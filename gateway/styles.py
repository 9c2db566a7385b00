"""The four error styles of the route families, and how each is encoded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.framing import compact_json

JSON_UTF8: Final = "application/json; charset=utf-8"
JSON: Final = "application/json"
TEXT: Final = "text/plain"
NDJSON: Final = "application/x-ndjson"
SSE: Final = "text/event-stream"


class ErrorStyle(StrEnum):
    """Whose errors a route's clients understand."""

    NATIVE = "native"
    """Ollama: ``{"error": "..."}``."""
    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    LLAMA_SERVER = "llama_server"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer made by the gateway.

    Attributes:
        status: of HTTP.
        content_type: the header.
        body: its bytes.
        headers: further headers, names in lower case.
    """

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


_OPENAI_TYPES: Final = {400: "invalid_request_error", 404: "not_found_error"}
_ANTHROPIC_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}
_LLAMA_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    501: "not_supported_error",
    503: "unavailable_error",
}


def error_answer(style: ErrorStyle, status: int, message: str, nonce: str) -> Answer:
    """An error in the style of a route family.

    Args:
        style: the family's.
        status: of HTTP.
        message: for people.
        nonce: 32 hexadecimal digits for those styles that number their requests.
    """
    if style is ErrorStyle.OPENAI:
        kind = _OPENAI_TYPES.get(status, "api_error")
        openai = {"error": {"message": message, "type": kind, "param": None, "code": None}}
        return Answer(status, JSON, compact_json(openai) + b"\n")
    if style is ErrorStyle.ANTHROPIC:
        kind = _ANTHROPIC_TYPES.get(status, "api_error")
        anthropic = {
            "type": "error",
            "error": {"type": kind, "message": message},
            "request_id": f"req_{nonce[:24]}",
        }
        return Answer(status, JSON, compact_json(anthropic) + b"\n")
    if style is ErrorStyle.LLAMA_SERVER:
        kind = _LLAMA_TYPES.get(status, "server_error")
        return Answer(status, JSON_UTF8, compact_json({"error": {"code": status, "message": message, "type": kind}}))
    return Answer(status, JSON_UTF8, compact_json({"error": message}))


def not_found(style: ErrorStyle) -> Answer:
    """The router's own 404: Ollama answers in plain text on every prefix, ``/v1`` too."""
    if style is ErrorStyle.LLAMA_SERVER:
        return error_answer(style, 404, "File Not Found", "")
    return Answer(404, TEXT, b"404 page not found")


def method_not_allowed(style: ErrorStyle, allowed: tuple[str, ...]) -> Answer:
    """The router's own 405; llama-server says 404 there."""
    if style is ErrorStyle.LLAMA_SERVER:
        return not_found(style)
    return Answer(405, TEXT, b"405 method not allowed", (("allow", ", ".join(allowed)),))
