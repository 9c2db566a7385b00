"""What OpenAI's dialects share: the contents of messages and items, read into texts and media."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.channels import Channel
from gateway.content import all_text, objects, string
from gateway.conversation import ChannelUse, Message, Speaker
from gateway.dialects.made_ids import is_made_id, texts_of_ids
from gateway.errors import BadRequestError
from gateway.intake import JsonObject, strings

_TEXT_PARTS: Final[Mapping[str, str]] = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "summary_text": "text",
    "reasoning_text": "text",
    "refusal": "refusal",
}
"""Types of parts that are text, and the key that has it."""

_MEDIA_PARTS: Final[Mapping[str, Channel]] = {
    "image_url": Channel.IMAGES,
    "input_image": Channel.IMAGES,
    "input_video": Channel.IMAGES,
    "input_audio": Channel.AUDIO,
}
"""Types of parts that can't be read, in OpenAI's, Ollama's and llama-server's spelling."""

CONTENT_KEYS: Final = frozenset(
    {"role", "content", "type", "text", "refusal", "name", "id", "call_id", "tool_call_id", "index", "status", "phase"}
    | {"image_url", "input_image", "input_audio", "input_video", "file_id", "url", "data", "detail", "format"}
    | {"reasoning", "reasoning_content", "thinking", "tool_calls", "function_call", "function", "arguments", "custom"}
    | {
        "cache_control",
        "input",
        "output",
        "summary",
        "encrypted_content",
        "namespace",
        "action",
        "annotations",
        "audio",
        "logprobs",
    }
)
"""Keys of messages, items and parts (ollama/openai/openai.go, responses.go; llama.cpp tools/server/server-chat.cpp)."""

_WORDS: Final = CONTENT_KEYS | frozenset(
    {"none", "minimal", "low", "medium", "high", "xhigh", "max", "auto", "concise", "detailed", "default", "flex"}
    | {"priority", "scale", "disabled", "enabled", "deepseek", "deepseek-legacy", "true", "false", "effort", "summary"}
    | {"generate_summary", "enable_thinking", "tool", "user", "assistant", "message", "reasoning", "function_call"}
    | {"function_call_output", "web_search_call", "completed", "in_progress", "incomplete", "commentary", "search"}
    | {
        "final_answer",
        "query",
        "queries",
        "ephemeral",
        "ttl",
        "output_text",
        "input_text",
        "summary_text",
        "reasoning_text",
        "required",
        "tool_use_id",
        "is_error",
    }
)
"""Names and values of the API itself, which say nothing about a topic."""

_SHOWN_KEYS: Final = frozenset(
    {"name", "thinking", "reasoning", "reasoning_content", "content", "text", "summary", "encrypted_content"}
    | {"tool_calls", "function_call", "function", "custom", "arguments", "input", "output", "tool_name"}
    | {"id", "call_id", "tool_call_id", "tool_use_id"}
)
"""Keys of messages and calls whose texts a template of either upstream's may write into the prompt."""

_ID_KEYS: Final = frozenset({"id", "call_id", "tool_call_id", "tool_use_id"})
"""Some templates write the ids of calls into the prompt, so one that a client made up itself is read as text."""

_ARGUMENTS: Final = frozenset({"arguments", "input"})
"""Keys of calls, below which a client's numbers stand."""

_MANY_CODES: Final = 8
_LETTER_SHARE: Final = 0.75
_LAST_OF_ALPHABETS: Final = 0x600
"""Of the numbers of calls that spell a text."""

_NO_TEXT: Final = re.compile("[\0\ud800-\udfff]")
"""What :func:`gateway.intake.read_object` refuses in the body itself."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a message says.

    Attributes:
        texts: in order, without empty ones.
        media: the places in it that can't be read.
        beside: what some upstreams show with it (see :class:`gateway.conversation.Message`).
        unread: what none does.
    """

    texts: tuple[str, ...] = ()
    media: tuple[ChannelUse, ...] = ()
    beside: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    def with_more(self, *others: Content) -> Content:
        """All of it and of others, in order."""
        every = (self, *others)
        return Content(
            tuple(text for content in every for text in content.texts),
            tuple(use for content in every for use in content.media),
            tuple(text for content in every for text in content.beside),
            tuple(text for content in every for text in content.unread),
        )

    @property
    def all_texts(self) -> tuple[str, ...]:
        """Whoever shows them."""
        return (*self.texts, *self.beside, *self.unread)

    def message(self, speaker: Speaker, position: int | None = None) -> Message:
        """It as a message."""
        return Message(speaker, self.texts, position, self.beside, self.unread)


def read_content(item: JsonObject, key: str, where: str) -> Content:
    """The content at ``key``: null, a string, or an array of parts.

    Raises:
        BadRequestError: if it is something else, or has a part of an unknown type.
    """
    if not isinstance(item.get(key), list):
        text = string(item, key, f"{where}.{key}")
        return Content((text,) if text else ())
    parts = objects(item, key, f"{where}.{key}")
    return Content().with_more(*(_part(part, f"{where}.{key}[{index}]") for index, part in enumerate(parts)))


def _part(part: JsonObject, where: str) -> Content:
    kind = string(part, "type", f"{where}.type")
    if kind in _TEXT_PARTS:
        key = _TEXT_PARTS[kind]
        text = string(part, key, f"{where}.{key}")
        # The logarithms of an answer that comes back repeat its text in tokens.
        beside = told_beside(part, {"type", "logprobs", key}, where)
        return Content((text,) if text else ()).with_more(beside)
    if kind in _MEDIA_PARTS:
        check_enclosed(part, where)
        return Content(media=(ChannelUse(_MEDIA_PARTS[kind], where),))
    raise BadRequestError(f"{where}.type is unknown, wanted text, an image or audio")


def check_enclosed(part: JsonObject, where: str) -> None:
    """Refuse media that the upstream would fetch: from inside its network, and only after we have looked.

    llama-server fetches ``http`` and reads ``file`` addresses (tools/server/server-common.cpp, ``handle_media``);
    base64 has no colon.

    Raises:
        BadRequestError: if there is an address in it.
    """
    for text in strings(part):
        if ":" in text[:64] and not text.startswith("data:"):
            raise BadRequestError(f"{where} is an address to fetch, wanted a data: URL")


def told(value: object, key: str = "") -> Iterator[str]:
    """Every text of a JSON value that a template may show, names of the API and plain ids left out.

    Args:
        value: any.
        key: under which it stands.

    Raises:
        BadRequestError: if the arguments of a call are JSON that can't be read in exactly one way.
    """
    return (text for text, _ in _told(value, key, ()))


def _told(value: object, key: str, shown: Container[str]) -> Iterator[tuple[str, bool]]:
    """Each text in document order, and whether all keys above it are in ``shown``."""
    # The key is None for what is a name itself.
    stack: list[tuple[object, str | None, bool]] = [(value, key, True)]
    while stack:
        item, above, is_shown = stack.pop()
        if isinstance(item, str):
            yield from ((text, is_shown) for text in ((item,) if above is None else _told_string(item, above)))
        elif isinstance(item, dict) and above == "arguments":
            # Its names and ids are the caller's own.
            yield from ((text, is_shown) for text in all_text(item))
        elif isinstance(item, dict):
            for name, inner in reversed(item.items()):
                below = is_shown and name in shown
                stack.append((inner, name, below))
                if name.strip() and name not in _WORDS:
                    stack.append((name, None, below))
        elif isinstance(item, list):
            stack.extend((inner, above, is_shown) for inner in reversed(item))


def told_beside(item: JsonObject, read: Iterable[str], where: str, shown: Container[str] = _SHOWN_KEYS) -> Content:
    """All that ``told`` finds in an item beside the keys in ``read``.

    Args:
        item: a message, a part or an item.
        read: keys that are read elsewhere.
        where: the item is, for error messages.
        shown: the keys that templates may show; each of them is a text of its own.

    Raises:
        BadRequestError: if its calls are no array.
    """
    others = {key: value for key, value in item.items() if key not in set(read)}
    if not isinstance(others.get("tool_calls", []), list | None):
        raise BadRequestError(f"{where}.tool_calls has the wrong type, wanted an array")
    beside: list[str] = []
    unread: list[str] = []
    for key, value in others.items():
        found = list(_told({key: value}, "", shown))
        beside += ["\n".join(text for text, is_shown in found if is_shown)]
        unread += [text for text, is_shown in found if not is_shown]
    return Content(beside=tuple(text for text in beside if text), unread=tuple(unread))


def call_uses(body: JsonObject) -> Iterable[ChannelUse]:
    """What calls say together by their ids and numbers, if each says nothing and so is told by nothing else."""
    ids, numbers = _ids_and_numbers(body)
    if texts := texts_of_ids(ids):
        yield ChannelUse(Channel.ASSISTANT, "the ids of calls", texts)
    if text := _spelt(numbers):
        yield ChannelUse(Channel.ASSISTANT, "the numbers of calls", (text,))


def _ids_and_numbers(body: JsonObject) -> tuple[list[str], list[int]]:
    """The ids that chance made, and the whole numbers in the arguments of calls, in document order."""
    ids: list[str] = []
    numbers: list[int] = []
    stack: list[tuple[object, bool]] = [(value, False) for value in reversed(body.values())]
    while stack:
        item, is_argument = stack.pop()
        if isinstance(item, list):
            stack.extend((inner, is_argument) for inner in reversed(item))
        elif isinstance(item, dict):
            for key, value in reversed(item.items()):
                if key == "arguments" and isinstance(value, str):
                    stack.append((_read_json(value), True))
                else:
                    stack.append((value, is_argument or key in _ARGUMENTS))
            ids += (value for key, value in item.items() if key in _ID_KEYS and _is_silent_id(value))
        elif is_argument and isinstance(item, int) and not isinstance(item, bool):
            numbers.append(item)
    return ids, numbers


def _is_silent_id(value: object) -> bool:
    return isinstance(value, str) and value not in _WORDS and is_made_id(value)


def _read_json(text: str) -> object:
    """None for what is no JSON: whoever reads the call's texts refuses it, or takes it for one."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError, MemoryError):
        return None


def _spelt(numbers: Sequence[int]) -> str:
    """The text whose characters have these numbers; empty where most are no letters, as where they are amounts."""
    letters = "".join(chr(number) for number in numbers if 0 < number < _LAST_OF_ALPHABETS)
    readable = sum(char.isalpha() or char == " " for char in letters)
    return letters if len(numbers) >= _MANY_CODES and readable >= _LETTER_SHARE * len(numbers) else ""


def _told_string(text: str, key: str) -> Sequence[str]:
    if key == "arguments":
        return tuple(_decoded(text))
    is_plain = text in _WORDS or not text.strip() or (key in _ID_KEYS and is_made_id(text))
    return () if is_plain else (text,)


def _decoded(arguments: str) -> Iterable[str]:
    r"""The texts of a call's arguments, which are JSON in a string: ``\u0065`` in them is an ``e`` to the model."""
    try:
        found = list(all_text(json.loads(arguments, object_pairs_hook=_unique)))
    except json.JSONDecodeError:
        found = [arguments]
        readable = "\\u" not in arguments
    except (ValueError, RecursionError, MemoryError):
        readable = False
    else:
        readable = not any(_NO_TEXT.search(text) for text in found)
    if not readable:
        raise BadRequestError("the arguments of a tool call are not well-formed JSON")
    return [text for text in found if text.strip()]


def _unique(pairs: list[tuple[str, object]]) -> JsonObject:
    """An object without duplicate names: upstreams show one of them, and the other one would hide it from us.

    Raises:
        ValueError: if there are any.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found
