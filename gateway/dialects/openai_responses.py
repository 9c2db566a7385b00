"""OpenAI's ``/v1/responses``, by Ollama and by llama-server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from gateway.channels import Channel
from gateway.content import array, dropped, flag, objects, opaque_use, string
from gateway.conversation import ChannelUse, Conversation, Edit, Message, Speaker, Stamp, system_use
from gateway.dialects.base import Dialect, Flavour
from gateway.dialects.json_body import JsonBody
from gateway.dialects.openai_answer import whole, whole_type
from gateway.dialects.openai_content import Content, read_content, told, told_beside
from gateway.dialects.openai_fields import field_uses, format_use, is_schema, openai_keys, wants_format
from gateway.dialects.responses_answer import ANSWERS
from gateway.errors import BadRequestError
from gateway.intake import JsonObject
from gateway.styles import SSE

_READ_KEYS: Final = frozenset({"input", "instructions", "previous_response_id", "conversation", "prompt", "text"})
_CALL_KEYS: Final = frozenset({"name", "arguments", "call_id", "id"})
_ROLES: Final = {
    "system": None,
    "developer": None,
    "user": Speaker.USER,
    "assistant": Speaker.ASSISTANT,
}
"""None for those whose text is the system's."""


@dataclass(frozen=True, slots=True)
class _Item:
    """One item as it was read.

    Attributes:
        speaker: None for the system.
        content: what it says.
        position: in ``input``.
        attaches: whether it is no turn, but goes with the assistant's next one.
    """

    speaker: Speaker | None
    content: Content
    position: int
    attaches: bool = False

    @property
    def message(self) -> Message:
        return self.content.message(self.speaker or Speaker.USER, self.position)


class OpenAiResponses(JsonBody):
    """Items in, named server-sent events or one object out.

    Args:
        flavour: whose answers.
    """

    stream_content_type = SSE
    key_rules: ClassVar = openai_keys(*_READ_KEYS, "verbosity", "effort")

    def __init__(self, flavour: Flavour) -> None:
        self._flavour = flavour
        self._answer = ANSWERS[flavour]
        self.content_type = whole_type(flavour)

    def parse(self, body: JsonObject, path: str) -> Conversation:  # noqa: ARG002 -- all its routes are one
        """See :meth:`gateway.dialects.base.Dialect.parse`."""
        items = _items(body)
        return Conversation(
            body=body,
            model=string(body, "model"),
            messages=tuple(item.message for item in _in_order(items)),
            channels=(
                *_system_use(body, items),
                *(use for item in items for use in item.content.media),
                *_stored_uses(body),
                *_text_uses(body),
                *field_uses(body, _READ_KEYS),
            ),
            stream=flag(body, "stream", default=False),
            error_only=wants_format(body) or is_schema(_format(body), "text.format"),
        )

    def refusal(self, conversation: Conversation, text: str, stamp: Stamp) -> bytes:
        """One object."""
        return whole(self._flavour, self._answer.whole(conversation, text, stamp))

    def refusal_stream(self, conversation: Conversation, text: str, stamp: Stamp) -> Iterator[bytes]:
        """The nine events of an answer with one text; there is no ``[DONE]``."""
        return self._answer.events(conversation, text, stamp)

    def rewrite(self, body: JsonObject, edit: Edit) -> JsonObject:
        """See :meth:`gateway.dialects.base.Dialect.rewrite`."""
        edited = dict(body)
        if isinstance(body.get("input"), list):
            edited["input"] = dropped(array(body, "input"), edit.drop)
        if edit.system is not None:
            edited["instructions"] = edit.system
            if isinstance(edited.get("input"), list):
                edited["input"] = [item for item in array(edited, "input") if not _is_system(item)]
        return edited


def dialect(flavour: Flavour) -> Dialect:
    """The dialect."""
    return OpenAiResponses(flavour)


def _items(body: JsonObject) -> list[_Item]:
    value = body.get("input")
    if not isinstance(value, list):
        text = string(body, "input")
        return [_Item(Speaker.USER, Content((text,)), 0)] if text else []
    return [_read(item, index) for index, item in enumerate(objects(body, "input"))]


def _read(item: JsonObject, index: int) -> _Item:
    """One item, whose type decides at Ollama (openai/responses.go) and whose keys decide at llama-server.

    So an item may only be read in one way: a role makes a message, and nothing else has one.
    """
    where = f"input[{index}]"
    kind = string(item, "type", f"{where}.type") or ("message" if "role" in item else "")
    if kind not in _READERS:
        raise BadRequestError(f"{where}.type is unknown, wanted message, function_call, function_call_output, ...")
    if (kind == "message") != ("role" in item):
        raise BadRequestError(f"{where}.role does not go with its type")
    return _READERS[kind](item, index, where)


def _message(item: JsonObject, index: int, where: str) -> _Item:
    role = string(item, "role", f"{where}.role")
    if role not in _ROLES:
        raise BadRequestError(f"{where}.role is unknown, wanted system, developer, user or assistant")
    content = read_content(item, "content", where)
    return _Item(_ROLES[role], content.with_more(told_beside(item, {"role", "content"}, where)), index)


def _call(item: JsonObject, index: int, where: str) -> _Item:
    return _Item(Speaker.ASSISTANT, told_beside(item, (), where, _CALL_KEYS), index)


def _result(item: JsonObject, index: int, where: str) -> _Item:
    content = read_content(item, "output", where)
    return _Item(Speaker.TOOL, content.with_more(told_beside(item, {"output"}, where)), index)


def _aside(item: JsonObject, index: int, where: str) -> _Item:
    """What the assistant thought or searched; ``encrypted_content`` is plain text at Ollama."""
    content = item.get("content")
    # All that llama-server shows of several (tools/server/server-chat.cpp).
    first = told_beside({"content": content[:1]}, (), where) if isinstance(content, list) else Content()
    told = told_beside(item, (), where)
    other = Content(beside=tuple(text for text in first.beside if text not in told.beside))
    return _Item(Speaker.ASSISTANT, told.with_more(other), index, attaches=True)


def _reference(item: JsonObject, index: int, where: str) -> _Item:  # noqa: ARG001 -- nothing of it can be read
    """An item that a server remembers, and we do not."""
    return _Item(Speaker.ASSISTANT, Content(media=(ChannelUse(Channel.CONTEXT, where),)), index, attaches=True)


_READERS: Final[Mapping[str, Callable[[JsonObject, int, str], _Item]]] = {
    "message": _message,
    "function_call": _call,
    "function_call_output": _result,
    "reasoning": _aside,
    "web_search_call": _aside,
    "item_reference": _reference,
}


def _in_order(items: Sequence[_Item]) -> Iterable[_Item]:
    """The turns as a model sees them.

    Ollama adds what was thought to the assistant's next message and leaves searches out, so the user's texts before
    and after are one turn.
    """
    waiting: list[_Item] = []
    for item in items:
        if item.attaches:
            waiting.append(item)
        elif item.speaker is not None:
            if item.speaker is Speaker.ASSISTANT:
                yield from waiting
                waiting = []
            yield item
    yield from waiting


def _system_use(body: JsonObject, items: Sequence[_Item]) -> Iterable[ChannelUse]:
    instructions = string(body, "instructions")
    system = [Message(Speaker.USER, (instructions,))] if instructions else []
    return system_use([*system, *(item.message for item in items if item.speaker is None)], "instructions")


def _stored_uses(body: JsonObject) -> Iterable[ChannelUse]:
    """What a server keeps: earlier turns, and templates with variables."""
    yield from opaque_use(Channel.CONTEXT, body, "previous_response_id")
    yield from opaque_use(Channel.CONTEXT, body, "conversation")
    yield from opaque_use(Channel.TEMPLATE, body, "prompt")


def _text_uses(body: JsonObject) -> Iterable[ChannelUse]:
    """The text of a demanded schema, and whatever stands beside it."""
    settings = body.get("text")
    beside = {key: value for key, value in settings.items() if key != "format"} if isinstance(settings, dict) else {}
    yield from format_use(_format(body), "text")
    if texts := tuple(told(beside, "text")):
        yield ChannelUse(Channel.FORMAT, "text", texts)


def _format(body: JsonObject) -> object:
    """``text.format``.

    Raises:
        BadRequestError: if ``text`` is no object.
    """
    settings = body.get("text")
    if settings is not None and not isinstance(settings, dict):
        raise BadRequestError("text has the wrong type, wanted an object")
    return (settings or {}).get("format")


def _is_system(item: object) -> bool:
    return isinstance(item, dict) and item.get("role") in {"system", "developer"}
