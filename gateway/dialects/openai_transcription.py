"""OpenAI's ``/v1/audio/transcriptions``, by Ollama and by llama-server."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import parse_qsl

from gateway.channels import Channel
from gateway.content import string
from gateway.conversation import ChannelUse, Conversation, Edit, Message, Speaker, Stamp
from gateway.dialects.base import Dialect, Flavour
from gateway.errors import BadRequestError
from gateway.intake import JsonObject, RawBody
from gateway.multipart import Part, read_form
from gateway.styles import JSON_UTF8

_FIELDS: Final = frozenset(
    {"model", "prompt", "language", "response_format", "temperature", "stream", "include[]", "chunking_strategy"}
    | {"timestamp_granularities[]", "seed", "max_tokens"}
)
"""No others: llama-server makes a field of its completion of each (``convert_transcriptions_to_chatcmpl``)."""

_FILE: Final = "file"
_QUERY: Final = "query:"
_TOLD: Final = ("prompt", "language", f"{_QUERY}prompt", f"{_QUERY}language")
"""What Ollama writes into the system prompt (middleware/openai.go) and llama-server before the recording."""

_LANGUAGE_CODE: Final = re.compile(r"[a-z]{2}(?:-[A-Z]{2})?")


class OpenAiTranscription:
    """A form with a recording in, what was said out.

    Its conversations are ``error_only``: a refusal in words would be taken for what was said.
    """

    request_content_type: str | None = None
    """It has the boundary."""

    content_type = JSON_UTF8
    stream_content_type = JSON_UTF8

    def read(self, body: RawBody) -> JsonObject:
        """The text fields by name, and whether there is a recording.

        The query's too, under names of their own: Go's ``FormValue`` takes them for the form's. They are judged for
        the sake of the answer; no guarded route's query is forwarded.
        """
        fields: dict[str, object] = {}
        for part in read_form(body.data, body.content_type):
            _check(part.name, is_file=part.is_file)
            fields[part.name] = part.is_file or _text(part)
        for name, value in _pairs(body.query):
            _check(name, is_file=False)
            _check_nul(value, f"the query's {name}")
            fields[_QUERY + name] = value
        return fields

    def parse(self, body: JsonObject, path: str) -> Conversation:  # noqa: ARG002 -- all its routes are one
        """See :meth:`gateway.dialects.base.Dialect.parse`; the hints count as the user's, and are always judged."""
        texts = tuple(text for key in _TOLD if (text := string(body, key)) and not _LANGUAGE_CODE.fullmatch(text))
        return Conversation(
            body=body,
            model=string(body, "model"),
            messages=(Message(Speaker.USER, texts),) if texts else (),
            channels=(ChannelUse(Channel.AUDIO, _FILE),) if _FILE in body else (),
            error_only=True,
        )

    def refusal(self, conversation: Conversation, text: str, stamp: Stamp) -> bytes:  # noqa: ARG002 -- see Raises
        """Never asked for.

        Raises:
            BadRequestError: always, with the text, so that a mistake elsewhere still ends in a refusal.
        """
        raise BadRequestError(text)

    def refusal_stream(
        self,
        conversation: Conversation,  # noqa: ARG002 -- see refusal
        text: str,
        stamp: Stamp,  # noqa: ARG002 -- see refusal
    ) -> Iterator[bytes]:
        """Never asked for; see :meth:`refusal`."""
        raise BadRequestError(text)

    def rewrite(self, body: JsonObject, edit: Edit) -> JsonObject:  # noqa: ARG002 -- nothing to edit
        """The same body: there are no turns in it."""
        return body


def dialect(flavour: Flavour) -> Dialect:  # noqa: ARG001 -- both servers' errors are written elsewhere
    """The dialect."""
    return OpenAiTranscription()


def _check(name: str, *, is_file: bool) -> None:
    if is_file != (name == _FILE) or not (is_file or name in _FIELDS):
        raise BadRequestError("the form has a field that is not read here")


def _text(part: Part) -> str:
    try:
        text = part.data.decode()
    except UnicodeDecodeError:
        raise BadRequestError(f"the form's field {part.name} is not well-formed UTF-8") from None
    _check_nul(text, f"the form's field {part.name}")
    return text


def _check_nul(text: str, where: str) -> None:
    """The same as in JSON (:func:`gateway.intake.read_object`): a text may end there to a server."""
    if "\0" in text:
        raise BadRequestError(f"{where} has U+0000, wanted text without it")


def _pairs(query: bytes) -> Iterable[tuple[str, str]]:
    if not query:
        return ()
    try:
        pairs: Sequence[tuple[str, str]] = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict"
        )
    except ValueError:
        raise BadRequestError("the query is not well-formed") from None
    if len(dict(pairs)) != len(pairs):
        raise BadRequestError("the query has the same field twice")
    return pairs
