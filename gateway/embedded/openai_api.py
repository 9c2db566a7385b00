"""The OpenAI-compatible API: what its bodies ask for, and how its answers are written."""

from __future__ import annotations

import secrets
import time
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.embedded import card
from gateway.embedded.answer import ModelAnswer
from gateway.embedded.errors import BadCallError, EmbeddedError
from gateway.embedded.fields import Fields, read_object
from gateway.embedded.generation import Call, Finished
from gateway.embedded.model import ChatModel
from gateway.embedded.options import SamplingOptions, read_options
from gateway.embedded.prompt import Message, chat_prompt
from gateway.framing import compact_json, sse_frame

JSON: Final = "application/json"
SSE: Final = "text/event-stream"

_ERROR_TYPES: Final = {400: "invalid_request_error", 404: "not_found_error"}


class OpenAiApi:
    """The endpoints below ``/v1``.

    Args:
        model: that answers.
    """

    def __init__(self, model: ChatModel) -> None:
        self._model = model

    async def models(self, _request: Request) -> Response:
        """The models there are."""
        return _json({"object": "list", "data": [self._entry(card.MODEL_NAME)]})

    async def model(self, request: Request) -> Response:
        """One model."""
        name = str(request.path_params["model"])
        card.check_name(name)
        return _json(self._entry(name))

    async def chat(self, request: Request) -> ModelAnswer:
        """The next turn of a conversation."""
        body = read_object(await request.body())
        name = card.named_model(body)
        messages = [_message(item) for item in body.nested_list("messages")]
        if not messages:
            raise BadCallError("[] is too short - 'messages'")
        _refuse_unsupported(body, name)
        call = Call(chat_prompt(messages), _options(body))
        wire = OpenAiWire(name, usage=body.nested("stream_options").flag("include_usage", default=False))
        return ModelAnswer(self._model, call, wire, stream=body.flag("stream", default=False))

    def _entry(self, name: str) -> dict[str, object]:
        created = int(self._model.weights.stat().st_mtime)
        return {"id": name, "object": "model", "created": created, "owned_by": "library"}


class OpenAiWire:
    """Answers of ``/v1/chat/completions``.

    Args:
        name: of the model, as the client wrote it.
        usage: whether a stream ends with the token counts.
    """

    whole_type = JSON
    stream_type = SSE

    def __init__(self, name: str, *, usage: bool) -> None:
        self._name = name
        self._usage = usage
        self._id = f"chatcmpl-{secrets.token_hex(8)}"
        self._created = int(time.time())
        self._begun = False

    def whole(self, text: str, finished: Finished) -> bytes:
        """One object and a line end, as Go writes it."""
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": finished.reason}
        return compact_json({**self._begin("chat.completion"), "choices": [choice], "usage": _usage(finished)}) + b"\n"

    def chunk(self, text: str) -> bytes:
        """One event; the first one also says who speaks."""
        delta = {"content": text} if self._begun else {"role": "assistant", "content": text}
        self._begun = True
        return self._event([{"index": 0, "delta": delta, "finish_reason": None}])

    def last(self, finished: Finished) -> bytes:
        """The events with the reason of the end, the token counts if wanted, and ``[DONE]``."""
        end = self._event([{"index": 0, "delta": {}, "finish_reason": finished.reason}])
        usage = self._event([], usage=_usage(finished)) if self._usage else b""
        return end + usage + sse_frame("[DONE]")

    def failure(self, error: EmbeddedError) -> bytes:
        """An event that OpenAI's client raises; Ollama would break off without a word."""
        return sse_frame(_error(error))

    def _begin(self, kind_of_object: str) -> dict[str, object]:
        return {
            "id": self._id,
            "object": kind_of_object,
            "created": self._created,
            "model": self._name,
            "system_fingerprint": "fp_ollama",
        }

    def _event(self, choices: list[dict[str, object]], **more: object) -> bytes:
        return sse_frame({**self._begin("chat.completion.chunk"), "choices": choices, **more})


def error_response(error: EmbeddedError) -> Response:
    """An error in OpenAI's shape."""
    return Response(compact_json(_error(error)) + b"\n", error.status, media_type=JSON)


def _json(value: object) -> Response:
    return Response(compact_json(value) + b"\n", media_type=JSON)


def _error(error: EmbeddedError) -> dict[str, object]:
    kind_of_error = _ERROR_TYPES.get(error.status, "api_error")
    return {"error": {"message": str(error), "type": kind_of_error, "param": None, "code": None}}


def _usage(finished: Finished) -> dict[str, int]:
    return {
        "prompt_tokens": finished.prompt_tokens,
        "completion_tokens": finished.answer_tokens,
        "total_tokens": finished.prompt_tokens + finished.answer_tokens,
    }


def _message(item: Fields) -> Message:
    content = item.raw("content")
    if not isinstance(content, list):
        return Message(item.text("role").lower(), item.text("content"))
    parts = []
    for part in item.nested_list("content"):
        if part.text("type") != "text":
            raise BadCallError("the embedded model reads content parts of type 'text' only")
        parts.append(part.text("text"))
    return Message(item.text("role").lower(), "\n".join(parts))


def _options(body: Fields) -> SamplingOptions:
    """OpenAI's parameters by Ollama's names, with the defaults that Ollama gives them on this route."""
    stop = body.raw("stop")
    limit = body.integer("max_completion_tokens")
    values: dict[str, object] = {
        "num_predict": body.integer("max_tokens") if limit is None else limit,
        "seed": body.integer("seed"),
        "stop": [stop] if isinstance(stop, str) else list(body.strings("stop")),
        "temperature": _default(body.number("temperature"), 1.0),
        "top_p": _default(body.number("top_p"), 1.0),
        "presence_penalty": body.number("presence_penalty"),
        "frequency_penalty": body.number("frequency_penalty"),
    }
    return read_options(values)


def _default(value: float | None, default: float) -> float:
    return default if value is None else value


def _refuse_unsupported(body: Fields, name: str) -> None:
    if body.raw("tools"):
        raise BadCallError(f"{name} does not support tools")
    if body.raw("logprobs"):
        raise BadCallError("the embedded model does not support 'logprobs'")
    if body.nested("response_format").text("type", "text") != "text":
        raise BadCallError("the embedded model supports 'response_format' of type 'text' only")
