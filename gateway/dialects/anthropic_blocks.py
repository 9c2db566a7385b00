"""Content of Anthropic's messages: a string, or blocks of many types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.channels import Channel
from gateway.content import all_text, string
from gateway.conversation import ChannelUse
from gateway.dialects.openai_content import Content, check_enclosed, told_beside
from gateway.errors import BadRequestError
from gateway.intake import JsonObject


@dataclass(slots=True)
class BlockTexts:
    """What the blocks of one message say.

    Attributes:
        own: the texts of the message's own role, in order.
        beside: what is no text block, each by itself: upstreams put it elsewhere, or leave it out.
        thoughts: what was thought, which llama-server joins, and of which Ollama keeps the last.
        unread: what none of them looks at.
        results: what each tool result in it says; upstreams make messages of their own of these.
        uses: what can't be read.
    """

    own: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    results: list[Content] = field(default_factory=list)
    uses: list[ChannelUse] = field(default_factory=list)

    @property
    def content(self) -> Content:
        """What the message says itself."""
        thoughts = dict.fromkeys(("".join(self.thoughts), self.thoughts[-1])) if self.thoughts else ()
        return Content(tuple(self.own), (), (*thoughts, *self.beside), tuple(self.unread))

    def add_beside(self, other: Content) -> None:
        """Add what stands beside the texts."""
        self.beside += [*other.texts, *other.beside]
        self.unread += other.unread


def read_content(value: object, where: str) -> BlockTexts:
    """Everything in a message's content.

    Both upstreams join text blocks and drop types they do not know (anthropic/anthropic.go, ``convertMessage``;
    tools/server/server-chat.cpp, ``server_chat_convert_anthropic_to_oai``); Ollama hands them on to cloud models.

    Args:
        value: of the key ``content``.
        where: the content is, for error messages.

    Raises:
        BadRequestError: if it is neither a string nor an array of objects.
    """
    found = BlockTexts()
    if isinstance(value, str):
        found.own += [value] if value else []
        return found
    for block, place in _blocks(value, where):
        _READERS.get(string(block, "type", f"{place}.type"), _unknown)(block, place, found)
    return found


def check_is_read(value: object, where: str) -> None:
    """Check that upstreams make a message of a content: of one without anything they read they make none.

    What stands before and after such a message is one turn to the model, and would be two to us.

    Args:
        value: of the key ``content``, as :func:`read_content` takes it.
        where: the content is, for error messages.

    Raises:
        BadRequestError: if they do not.
    """
    if isinstance(value, str) and value:
        return
    if value == "" or not any(_is_read(block) for block, _ in _blocks(value, where)):
        raise BadRequestError(f"{where} has nothing to read, wanted text, an image, or the use or result of a tool")


def text_blocks(value: object, where: str) -> Content:
    """What a content says that may have no other blocks than texts.

    Raises:
        BadRequestError: if there is something else.
    """
    found = read_content(value, where)
    if found.results or found.uses or found.unread:
        raise BadRequestError(f"{where} has the wrong type, wanted a string or text blocks")
    return found.content


def _is_read(block: JsonObject) -> bool:
    kind = block.get("type")
    return kind in _READ_TYPES and not (kind in {"text", "thinking"} and not block.get(str(kind)))


def _blocks(value: object, where: str) -> Iterable[tuple[JsonObject, str]]:
    if value is None:
        return
    if not isinstance(value, list):
        raise BadRequestError(f"{where} has the wrong type, wanted a string or an array")
    for index, block in enumerate(value):
        place = f"{where}[{index}]"
        if not isinstance(block, dict):
            raise BadRequestError(f"{place} has the wrong type, wanted an object")
        yield block, place


def _text(block: JsonObject, where: str, found: BlockTexts) -> None:
    text = string(block, "text", f"{where}.text")
    found.own += [text] if text else []
    # What a citation quotes is written by the client too.
    found.beside += all_text(block.get("citations"))


def _thinking(block: JsonObject, where: str, found: BlockTexts) -> None:
    if text := string(block, "thinking", f"{where}.thinking"):
        found.thoughts.append(text)


def _tool_use(block: JsonObject, where: str, found: BlockTexts) -> None:
    name = string(block, "name", f"{where}.name")
    call = "\n".join(part for part in (name, *all_text(block.get("input"))) if part)
    found.beside += [call] if call else []
    found.add_beside(told_beside(block, {"name", "input", *_SILENT}, where))


def _tool_result(block: JsonObject, where: str, found: BlockTexts) -> None:
    inner = read_content(block.get("content"), f"{where}.content")
    beside = told_beside(block, {"content", *_SILENT}, where)
    # A result within it is read by nobody.
    inner.unread += [text for result in inner.results for text in result.all_texts]
    found.results.append(inner.content.with_more(beside))
    found.uses += inner.uses


def _search_result(block: JsonObject, where: str, found: BlockTexts) -> None:
    """What a search found, at any depth: titles and addresses are text to a model as well."""
    result = all_text({key: value for key, value in block.items() if key not in {*_SILENT, "tool_use_id"}})
    ids = told_beside({"tool_use_id": block.get("tool_use_id")}, (), where)
    if block.get("type") == "web_search_tool_result":
        shown = _shown_of_search(block.get("content"))
        found.results.append(Content(shown, unread=result).with_more(ids) if shown else Content(result).with_more(ids))
    else:
        # Types that no upstream on one's own machine knows.
        found.unread += [*result, *ids.all_texts]


def _shown_of_search(content: object) -> tuple[str, ...]:
    """What Ollama shows of what a search found (anthropic/anthropic.go, ``formatWebSearchToolResultContent``)."""
    if not isinstance(content, list):
        return all_text(content)
    items = [item for item in content if isinstance(item, dict)]
    shown = (item.get(key) for item in items for key in ("title", "url", "error_code"))
    text = "\n".join(value for value in shown if isinstance(value, str) and value.strip())
    return (text,) if text else ()


def _document(block: JsonObject, where: str, found: BlockTexts) -> None:
    """Plain text can be read; a file, an address or an id of one can't."""
    found.beside += [text for key in ("title", "context") if (text := string(block, key, f"{where}.{key}"))]
    source = block.get("source")
    kind = source.get("type") if isinstance(source, dict) else None
    if isinstance(source, dict) and kind == "text":
        found.beside += [text] if (text := string(source, "data", f"{where}.source.data")) else []
    elif isinstance(source, dict) and kind == "content":
        inner = read_content(source.get("content"), f"{where}.source.content")
        found.add_beside(inner.content.with_more(*inner.results))
        found.uses += inner.uses
    else:
        found.uses.append(ChannelUse(Channel.IMAGES, where))


def _image(block: JsonObject, where: str, found: BlockTexts) -> None:
    check_enclosed(block, where)
    found.uses.append(ChannelUse(Channel.IMAGES, where))


def _unknown(block: JsonObject, where: str, found: BlockTexts) -> None:  # noqa: ARG001 -- as the others
    """Thinking that only Anthropic can decrypt, uploads by their id, and whatever comes later."""
    found.uses.append(ChannelUse(Channel.TOKEN_PROMPT, where))


_SILENT: Final = frozenset({"type", "cache_control", "caller"})
"""Keys of blocks whose words are the API's own."""

_READ_TYPES: Final = frozenset({"text", "image", "thinking", "tool_use", "tool_result"})
"""Of which both upstreams make something."""

_READERS: Final[Mapping[str, Callable[[JsonObject, str, BlockTexts], None]]] = {
    "text": _text,
    "thinking": _thinking,
    "tool_use": _tool_use,
    "server_tool_use": _tool_use,
    "mcp_tool_use": _tool_use,
    "tool_result": _tool_result,
    "mcp_tool_result": _tool_result,
    "web_search_tool_result": _search_result,
    "web_fetch_tool_result": _search_result,
    "search_result": _search_result,
    "document": _document,
    "image": _image,
}
