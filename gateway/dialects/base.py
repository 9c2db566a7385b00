"""What a dialect is: one API's requests read, its refusals written; no input or output."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Protocol

from gateway.conversation import Conversation, Edit, Stamp
from gateway.intake import JsonObject, RawBody


class Flavour(StrEnum):
    """Whose spelling of an API the clients expect: Ollama and llama-server differ where they share a route."""

    OLLAMA = "ollama"
    LLAMA_SERVER = "llama_server"


class Dialect(Protocol):
    """One API. A dialect keeps no state between requests.

    Attributes:
        request_content_type: of a request, as it is forwarded; None for the client's own, which :meth:`read` relies on.
        content_type: of a whole answer.
        stream_content_type: of a streamed one.
    """

    request_content_type: str | None
    content_type: str
    stream_content_type: str

    def read(self, body: RawBody) -> JsonObject:
        """The body as an object, read strictly.

        Args:
            body: without a content encoding.

        Raises:
            GatewayError: if it can't be read in exactly one way.
        """

    def parse(self, body: JsonObject, path: str) -> Conversation:
        """Everything in the body that a model would see.

        Args:
            body: what :meth:`read` gave.
            path: of the request, for dialects with more than one route.

        Raises:
            BadRequestError: if a value that decides what the model sees has an unexpected type or a role is unknown.
        """

    def refusal(self, conversation: Conversation, text: str, stamp: Stamp) -> bytes:
        """A whole answer whose text is ``text``."""

    def refusal_stream(self, conversation: Conversation, text: str, stamp: Stamp) -> Iterator[bytes]:
        """The same as a stream, frame by frame."""

    def rewrite(self, body: JsonObject, edit: Edit) -> JsonObject:
        """A copy of the body with ``edit`` applied, to be forwarded in place of the client's bytes."""
