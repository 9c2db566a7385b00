"""What the dialects share whose answers are numbers: embeddings and rankings."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.conversation import Conversation, Edit, Stamp
from gateway.dialects.json_body import JsonBody
from gateway.errors import BadRequestError
from gateway.intake import JsonObject
from gateway.styles import JSON_UTF8


class NumbersOnly(JsonBody):
    """Conversations of these dialects are ``error_only``: no refusal in words is a list of numbers."""

    content_type = JSON_UTF8
    stream_content_type = JSON_UTF8

    def refusal(self, conversation: Conversation, text: str, stamp: Stamp) -> bytes:  # noqa: ARG002 -- see below
        """Never asked for.

        Raises:
            BadRequestError: always, with the text, so that a mistake elsewhere still ends in a refusal.
        """
        raise BadRequestError(text)

    def refusal_stream(
        self,
        conversation: Conversation,  # noqa: ARG002 -- see below
        text: str,
        stamp: Stamp,  # noqa: ARG002 -- see below
    ) -> Iterator[bytes]:
        """Never asked for; see :meth:`refusal`."""
        raise BadRequestError(text)

    def rewrite(self, body: JsonObject, edit: Edit) -> JsonObject:  # noqa: ARG002 -- nothing to edit
        """The same body: there are no turns in it and no place for a system text."""
        return body


def texts_at(body: JsonObject, key: str) -> tuple[str, ...]:
    """The texts of a string or an array of strings at ``key``, without empty ones.

    Raises:
        BadRequestError: if it is something else; token ids are.
    """
    value = body.get(key)
    items = value if isinstance(value, list) else [] if value is None else [value]
    texts = [item for item in items if isinstance(item, str)]
    if len(texts) != len(items):
        raise BadRequestError(f"{key} has the wrong type, wanted a string or an array of strings")
    return tuple(text for text in texts if text)
