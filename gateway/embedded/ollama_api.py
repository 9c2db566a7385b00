"""Ollama's own API: what its bodies ask for, and how its answers are written."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.embedded import card
from gateway.embedded.answer import ModelAnswer, Wire
from gateway.embedded.errors import BadCallError, EmbeddedError
from gateway.embedded.fields import Fields, read_object
from gateway.embedded.generation import Call, Finished
from gateway.embedded.model import ChatModel
from gateway.embedded.options import DEFAULT_OPTIONS, read_options
from gateway.embedded.prompt import Message, Prompt, chat_prompt, raw_prompt
from gateway.framing import compact_json, ndjson_line

API_VERSION: Final = "0.33.0"
"""The Ollama whose API is spoken; clients look at it before they use a feature."""

JSON_UTF8: Final = "application/json; charset=utf-8"
NDJSON: Final = "application/x-ndjson"

_DURATION: Final = re.compile(r"(?P<sign>-?)(?P<parts>(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+|0)")


class OllamaApi:
    """The endpoints below ``/api`` and the root.

    Args:
        model: that answers.
    """

    def __init__(self, model: ChatModel) -> None:
        self._model = model

    async def root(self, _request: Request) -> Response:
        """The sentence by which clients see that there is an Ollama."""
        return Response("Ollama is running", media_type="text/plain")

    async def version(self, _request: Request) -> Response:
        """The version of the API."""
        return _json({"version": API_VERSION})

    async def tags(self, _request: Request) -> Response:
        """The models there are."""
        return _json(card.tags(self._model))

    async def running(self, _request: Request) -> Response:
        """The models in memory."""
        return _json(card.running(self._model))

    async def show(self, request: Request) -> Response:
        """What is known of a model."""
        card.named_model(read_object(await request.body()), old_key="name")
        return _json(card.show(self._model))

    async def chat(self, request: Request) -> ModelAnswer:
        """The next turn of a conversation."""
        body = read_object(await request.body())
        name = card.named_model(body)
        messages = [_message(item) for item in body.nested_list("messages")]
        _refuse_unsupported(body, name)
        prompt = chat_prompt(messages) if messages else None
        return self._answer(body, prompt, ChatWire(name))

    async def generate(self, request: Request) -> ModelAnswer:
        """The continuation of a prompt."""
        body = read_object(await request.body())
        name = card.named_model(body)
        _refuse_unsupported(body, name)
        return self._answer(body, _generate_prompt(body), GenerateWire(name, raw=body.flag("raw", default=False)))

    def _answer(self, body: Fields, prompt: Prompt | None, wire: Wire) -> ModelAnswer:
        stream = body.flag("stream", default=True) and prompt is not None
        options = read_options(body.nested("options").mapping()) if prompt is not None else DEFAULT_OPTIONS
        call = Call(prompt, options, unload_after=_unloads(body))
        return ModelAnswer(self._model, call, wire, stream=stream)


class ChatWire:
    """Answers of ``/api/chat``.

    Args:
        name: of the model, as the client wrote it.
    """

    whole_type = JSON_UTF8
    stream_type = NDJSON

    def __init__(self, name: str) -> None:
        self._name = name

    def whole(self, text: str, finished: Finished) -> bytes:
        """One object."""
        return compact_json(self._object(text) | _end(finished))

    def chunk(self, text: str) -> bytes:
        """One line."""
        return ndjson_line(self._object(text) | {"done": False})

    def last(self, finished: Finished) -> bytes:
        """The line with the numbers."""
        return ndjson_line(self._object("") | _end(finished))

    def failure(self, error: EmbeddedError) -> bytes:
        """A line that clients raise as an error."""
        return ndjson_line({"error": str(error)})

    def _object(self, text: str) -> dict[str, object]:
        return {**_begin(self._name), "message": {"role": "assistant", "content": text}}


class GenerateWire:
    """Answers of ``/api/generate``.

    Args:
        name: of the model, as the client wrote it.
        raw: whether the prompt had no template; then there is no ``context`` in the answer.
    """

    whole_type = JSON_UTF8
    stream_type = NDJSON

    def __init__(self, name: str, *, raw: bool) -> None:
        self._name = name
        self._raw = raw

    def whole(self, text: str, finished: Finished) -> bytes:
        """One object."""
        return compact_json({**_begin(self._name), "response": text, **self._end(finished)})

    def chunk(self, text: str) -> bytes:
        """One line."""
        return ndjson_line({**_begin(self._name), "response": text, "done": False})

    def last(self, finished: Finished) -> bytes:
        """The line with the numbers and the context."""
        return ndjson_line({**_begin(self._name), "response": "", **self._end(finished)})

    def failure(self, error: EmbeddedError) -> bytes:
        """A line that clients raise as an error."""
        return ndjson_line({"error": str(error)})

    def _end(self, finished: Finished) -> dict[str, object]:
        context = {} if self._raw or not finished.tokens else {"context": list(finished.tokens)}
        return _end(finished) | context


def error_response(error: EmbeddedError) -> Response:
    """An error in Ollama's shape."""
    return Response(compact_json({"error": str(error)}), error.status, media_type=JSON_UTF8)


def _json(value: object) -> Response:
    return Response(compact_json(value), media_type=JSON_UTF8)


def _begin(name: str) -> dict[str, object]:
    return {"model": name, "created_at": card.timestamp()}


def _end(finished: Finished) -> dict[str, object]:
    ended: dict[str, object] = {"done": True, "done_reason": finished.reason}
    if finished.reason in {"load", "unload"}:
        return ended
    return {
        **ended,
        "total_duration": finished.total_ns,
        "load_duration": finished.load_ns,
        "prompt_eval_count": finished.prompt_tokens,
        "prompt_eval_duration": finished.prompt_ns,
        "eval_count": finished.answer_tokens,
        "eval_duration": finished.answer_ns,
    }


def _message(item: Fields) -> Message:
    if item.raw("images"):
        raise BadCallError("the embedded model does not support image input")
    return Message(item.text("role").lower(), item.text("content"))


def _generate_prompt(body: Fields) -> Prompt | None:
    text, system, context = body.text("prompt"), body.text("system"), body.integers("context")
    if body.flag("raw", default=False):
        if system or context:
            raise BadCallError("raw mode does not support template, system, or context")
        return raw_prompt(text) if text else None
    if not text:
        return None
    messages = [Message("system", system)] if system else []
    return chat_prompt([*messages, Message("user", text)], context)


def _refuse_unsupported(body: Fields, name: str) -> None:
    """A feature that would silently be missing from the answer is refused, by Ollama's words where it has some."""
    unsupported = {"tools": "tools", "suffix": "insert", "think": "thinking", "images": "image input"}
    for key, what in unsupported.items():
        if body.raw(key):
            raise BadCallError(f"{name} does not support {what}")
    for key in ("format", "template", "logprobs", "_debug_render_only"):
        if body.raw(key):
            raise BadCallError(f"the embedded model does not support '{key}'")


def _unloads(body: Fields) -> bool:
    """Whether ``keep_alive`` says to unload at once; any other time means forever here."""
    value = body.raw("keep_alive")
    if not isinstance(value, str):
        return body.number("keep_alive") == 0
    match = _DURATION.fullmatch(value)
    if match is None:
        raise BadCallError("field 'keep_alive' must be a duration such as \"5m\", or a number of seconds")
    return not re.search("[1-9]", match["parts"])
