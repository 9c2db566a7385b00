"""What every dialect reads a request into."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from gateway.channels import Channel
from gateway.intake import JsonObject


class Speaker(StrEnum):
    """Who a message is from."""

    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    """A tool's result, as the client tells it."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the conversation; system messages are a channel and no message.

    Attributes:
        speaker: who says it.
        parts: its texts in order; routes differ in how they join them.
        position: its index in the list of the body, so that it can be dropped; None where it can't.
        beside: further texts of it, each by itself, that some upstreams show to their model, and others leave out.
        unread: texts of it that no upstream that we know shows.
    """

    speaker: Speaker
    parts: tuple[str, ...]
    position: int | None = None
    beside: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """All of it."""
        return (*self.parts, *self.beside, *self.unread)


@dataclass(frozen=True, slots=True)
class ChannelUse:
    """A channel that a request uses.

    Attributes:
        channel: which.
        where: the key of the body, for error messages; no text of the client's.
        texts: what can be read there, each judged by itself; empty where nothing can be read.
        pieces: further texts, which say too little to be judged without the conversation's turns before them.
    """

    channel: Channel
    where: str
    texts: tuple[str, ...] = ()
    pieces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """A request as the moderator sees it.

    Attributes:
        body: the parsed body; a dialect renders its refusal from it.
        model: as the client wrote it, empty where it did not.
        messages: in order, the judged ones last.
        channels: every other place that holds text, or that can't be read.
        stream: whether the answer is to be streamed.
        error_only: whether no refusal has the demanded shape (a schema, embeddings): it is an error then.
        empty_load: whether the request only loads or unloads a model: nothing to judge, nothing to refuse.
    """

    body: JsonObject
    model: str
    messages: tuple[Message, ...]
    channels: tuple[ChannelUse, ...] = ()
    stream: bool = False
    error_only: bool = False
    empty_load: bool = False

    def untold(self) -> Conversation:
        """The same request without its texts, of which only the places are left: there is nothing to judge."""
        uses = tuple(replace(use, texts=(), pieces=()) for use in self.channels)
        return replace(self, messages=(), channels=uses, error_only=True)


@dataclass(frozen=True, slots=True)
class Edit:
    """What is changed in a body before it is forwarded.

    Attributes:
        drop: positions of messages to leave out.
        system: the operator's system text in place of the client's; None to keep the client's.
    """

    drop: frozenset[int] = field(default_factory=frozenset)
    system: str | None = None

    def __bool__(self) -> bool:
        return bool(self.drop) or self.system is not None


@dataclass(frozen=True, slots=True)
class Stamp:
    """When and as which answer a refusal is made; handed in so that dialects stay pure.

    Attributes:
        time_ns: since the epoch.
        elapsed_ns: since the request came, at least 1.
        nonce: 32 random hexadecimal digits.
    """

    time_ns: int
    elapsed_ns: int
    nonce: str

    @property
    def rfc3339(self) -> str:
        """UTC with nanoseconds and ``Z``, as Go writes it."""
        moment = datetime.fromtimestamp(self.unix, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{moment}.{self.time_ns % 1_000_000_000:09d}Z"

    @property
    def unix(self) -> int:
        """Whole seconds since the epoch."""
        return self.time_ns // 1_000_000_000


def joined_forms(messages: Sequence[Message]) -> tuple[str, ...]:
    """Every text that an upstream could make of ``messages``, without repeats.

    Routes join parts without a separator, with a line break, or with an empty line (which the guard reads like one
    line break); ``["how to boil an e", "gg"]`` must be seen as both. What an upstream leaves out is read with the rest
    and without it: else it would hide from us what the model is asked.
    """
    parts = [part for message in messages for part in message.parts]
    within = ["".join(message.parts) for message in messages]
    forms = ["\n".join(within), "\n".join(parts), "".join(parts)]
    beside = [text for message in messages for text in message.beside]
    if beside:
        forms.append("\n".join(text for message in messages for text in (*message.parts, *message.beside)))
        # A name or an id asks for nothing, and is off any topic by itself.
        forms += [text for text in beside if len(text.split()) > 1]
    if any(message.unread for message in messages):
        forms.append("\n".join(text for message in messages for text in message.texts))
    return tuple(dict.fromkeys(forms))


def system_use(messages: Sequence[Message], where: str) -> Iterable[ChannelUse]:
    """The use of the channel by system messages: all together, and each of several, since a template may show one."""
    if not messages:
        return
    together = joined_forms(messages)
    singly = [form for message in messages for form in (*joined_forms([message]), *message.parts)]
    yield ChannelUse(
        Channel.SYSTEM,
        where,
        tuple(form for form in together if form.strip()),
        tuple(dict.fromkeys(form for form in singly if form.strip() and form not in together)),
    )
