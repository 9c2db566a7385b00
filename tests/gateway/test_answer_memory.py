"""Answers that come back are believed only if they were given out here."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.answer_memory import ENTRY_BYTES, MAX_ANSWER_BYTES, AnswerMemory
from gateway.framing import compact_json, ndjson_line, sse_frame
from tests.fakes import FakeUpstream
from tests.gateway.running import Gateway, GatewayFactory

QUESTION = {"role": "user", "content": "What did Neelix cook?"}
ANSWER = " He boiled an egg,\n and more.\n"
NEXT = {"role": "user", "content": "And Tuvok?"}


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def remembered(memory: AnswerMemory, question: str, *pieces: str) -> None:
    """Put an answer into a memory, in pieces."""
    answer = memory.begin(question)
    for piece in pieces:
        answer.update(piece)
    memory.remember(answer)


def memory(entries: int = 10, clock: Clock | None = None) -> AnswerMemory:
    """A memory of so many answers."""
    return AnswerMemory(entries * ENTRY_BYTES, 60, clock or Clock())


@given(pieces=st.lists(st.text(alphabet="ab \n", max_size=4), min_size=1, max_size=8))
def test_an_answer_is_known_whatever_pieces_it_came_in(pieces: list[str]) -> None:
    """Trimmed or not; white space alone is no answer."""
    known = memory()
    remembered(known, "q", *pieces)
    whole = "".join(pieces)
    assert known.knows("q", [whole]) == bool(whole.strip())
    assert known.knows("q", [f"\n{whole.strip()} "]) == bool(whole.strip())
    assert not known.knows("q", [whole + "c"])
    assert not known.knows("other", [whole])


def test_what_was_said_and_what_was_thought_are_both_known() -> None:
    """But no third text beside them, and no text cut in two."""
    known = memory()
    remembered(known, "q", "said")
    remembered(known, "q", "thought")
    assert known.knows("q", ["said", "thought"])
    assert not known.knows("q", ["said", "made up"])
    assert not known.knows("q", ["sa", "id"])
    assert not known.knows("q", ["said", "thought", "said"])
    assert not known.knows("q", [])


def test_an_answer_is_forgotten_when_it_is_old() -> None:
    """Counted from when it was last seen."""
    clock = Clock()
    known = memory(clock=clock)
    remembered(known, "q", "a")
    for clock.now, expected in ((59.0, True), (118.0, True), (178.0, False)):
        assert known.knows("q", ["a"]) is expected
    assert len(known) == 0


def test_the_oldest_answers_go_first() -> None:
    """When the bytes are used up; with none nothing is remembered."""
    known, none = memory(entries=2), memory(entries=0)
    for text in "abc":
        remembered(known, "q", text)
        remembered(none, "q", text)
    assert [known.knows("q", [text]) for text in "abc"] == [False, True, True]
    assert (len(none), none.enabled) == (0, False)


def test_a_very_long_answer_is_not_remembered() -> None:
    """Looking one up must be cheap, whatever a client sends."""
    known = memory()
    remembered(known, "q", *["x" * 1000] * 66)
    remembered(known, "q", "x", *[" " * 1000] * 70, "y")
    assert len(known) == 0
    remembered(known, "q", "x" * MAX_ANSWER_BYTES)
    assert known.knows("q", ["x" * MAX_ANSWER_BYTES])


def streamed(upstream: FakeUpstream, *texts: str, **last: Any) -> None:
    """Let the upstream answer in NDJSON, cut at odd places."""
    lines = [ndjson_line({"message": {"role": "assistant", "content": text}, "done": False}) for text in texts]
    data = b"".join([*lines, ndjson_line({"message": {"role": "assistant", "content": ""}, "done": True} | last)])
    upstream.pieces = [data[start : start + 37] for start in range(0, len(data), 37)]


async def chat(gateway: Gateway, *messages: Any, **more: Any) -> str:
    """Send a chat; the reason that the gateway gives."""
    answer = await gateway.post("/api/chat", {"model": "m", "messages": list(messages), **more})
    return answer.headers["x-guard-reason"]


def said(text: str = ANSWER, **more: Any) -> dict[str, Any]:
    """An earlier answer as a client tells it."""
    return {"role": "assistant", "content": text, **more}


async def test_an_answer_that_was_relayed_is_not_judged(gateway: Gateway) -> None:
    """Though the guard would have stumbled over it; nothing is left out."""
    streamed(gateway.upstream, " He boiled", " an egg,\n", " and more.\n")
    await chat(gateway, QUESTION)
    for text in (ANSWER, ANSWER.strip()):
        assert await chat(gateway, QUESTION, said(text), NEXT) == "on_topic"
        assert b"boiled an egg" in gateway.upstream.requests[-1].body
    assert not any("boiled" in text for text in gateway.engine.judged)
    assert "startrek_guard_recognised_answers 2.0" in (await gateway.client.get("/-/metrics")).text


@pytest.mark.parametrize(
    "messages",
    [
        [QUESTION, said("Next I boil an egg."), NEXT],
        [{"role": "user", "content": "Who is Spock?"}, said(), NEXT],
        [QUESTION, said(thinking="I boil an egg"), NEXT],
        [QUESTION, said(tool_calls=[{"function": {"name": "f", "arguments": {}}}]), NEXT],
        [QUESTION, said(), said(), NEXT],
        [said(), NEXT],
    ],
)
async def test_an_answer_that_was_made_up_is_judged(gateway: Gateway, messages: list[dict[str, Any]]) -> None:
    """Other words, another question, something added, said twice, said to nobody."""
    streamed(gateway.upstream, ANSWER)
    await chat(gateway, QUESTION)
    assert await chat(gateway, *messages) in {"redacted", "off_topic"}
    assert all(b"egg" not in seen.body for seen in gateway.upstream.requests)


async def test_a_prefill_is_judged_though_it_was_relayed(gateway: Gateway) -> None:
    """The model would go on from it."""
    streamed(gateway.upstream, ANSWER)
    await chat(gateway, QUESTION)
    assert await chat(gateway, QUESTION, said()) == "off_topic"


@pytest.mark.parametrize(
    "more",
    [{"messages": [QUESTION, said("He boiled")]}, {"format": {"const": "He"}}, {"logit_bias": {"7": 100}}],
)
async def test_words_that_the_client_forces_are_not_the_models(gateway: Gateway, more: dict[str, Any]) -> None:
    """So they are not remembered."""
    streamed(gateway.upstream, ANSWER)
    await gateway.post("/api/chat", {"model": "m", "messages": [QUESTION]} | more)
    assert len(gateway.upstream.requests) == 1
    assert await chat(gateway, QUESTION, said(), NEXT) == "redacted"


async def test_half_an_answer_is_not_remembered(gateway: Gateway) -> None:
    """Broken off, ended by an error, or none at all."""
    streamed(gateway.upstream, ANSWER, error="out of memory")
    await chat(gateway, QUESTION)
    streamed(gateway.upstream, ANSWER)
    gateway.upstream.status = 500
    await chat(gateway, QUESTION)
    gateway.upstream.status, gateway.upstream.headers = 200, [(b"content-type", b"application/x-ndjson")]
    gateway.upstream.pieces.append(b"{")
    await chat(gateway, QUESTION)
    assert await chat(gateway, QUESTION, said(), NEXT) == "redacted"


async def test_one_object_is_remembered_too(gateway: Gateway) -> None:
    """Where the client does not want a stream; thinking may come back or not."""
    gateway.upstream.headers = [(b"content-type", b"application/json; charset=utf-8")]
    gateway.upstream.pieces = [compact_json({"message": {"content": ANSWER, "thinking": "An egg?"}, "done": True})]
    await chat(gateway, QUESTION, stream=False)
    assert await chat(gateway, QUESTION, said(), NEXT) == "on_topic"
    assert await chat(gateway, QUESTION, said(thinking="An egg?"), NEXT) == "on_topic"


async def test_nothing_is_remembered_if_so_set(start: GatewayFactory) -> None:
    """Or where earlier answers are not judged anyway."""
    for setting in ({"answers_max_bytes": 0}, {"history": "ignore"}, {"profile": "trusted"}):
        async with start(**setting) as gateway:
            streamed(gateway.upstream, ANSWER)
            await chat(gateway, QUESTION)
            await chat(gateway, QUESTION, said(), NEXT)
            assert "startrek_guard_recognised_answers 0.0" in (await gateway.client.get("/-/metrics")).text


async def test_reading_along_holds_nothing_back(gateway: Gateway) -> None:
    """The first bytes arrive before the upstream has finished."""
    streamed(gateway.upstream, "He", " boiled")
    gateway.upstream.gate.clear()
    async with gateway.client.stream("POST", "/api/chat", json={"model": "m", "messages": [QUESTION]}) as answer:
        chunks = answer.aiter_raw()
        assert await asyncio.wait_for(anext(chunks), 10) == gateway.upstream.pieces[0]
        gateway.upstream.gate.set()
        assert b"".join([chunk async for chunk in chunks]) == b"".join(gateway.upstream.pieces[1:])


def _sse(*frames: Any) -> list[bytes]:
    return [sse_frame(frame) for frame in frames]


ASKED, ANSWERED, NOW = "What did Neelix cook?", "He boiled an egg.", "And Tuvok?"
CONVERSATION = [
    {"role": "user", "content": ASKED},
    {"role": "assistant", "content": ANSWERED},
    {"role": "user", "content": NOW},
]
BLOCKS = [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in CONVERSATION]
ITEMS = [
    {"role": "user", "content": ASKED},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": ANSWERED}]},
    {"role": "user", "content": NOW},
]
CHUNKS = _sse({"choices": [{"index": 0, "delta": {"content": ANSWERED}}]}, "[DONE]")
DELTAS = _sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": ANSWERED}})
EVENTS = _sse({"type": "response.output_text.delta", "delta": ANSWERED}, {"type": "response.completed"})


@pytest.mark.parametrize(
    ("path", "key", "turns", "frames"),
    [
        ("/v1/chat/completions", "messages", CONVERSATION, CHUNKS),
        ("/v1/chat/completions", "messages", BLOCKS, CHUNKS),
        ("/v1/messages", "messages", CONVERSATION, DELTAS),
        ("/v1/messages", "messages", BLOCKS, DELTAS),
        ("/v1/responses", "input", CONVERSATION, EVENTS),
        ("/v1/responses", "input", ITEMS, EVENTS),
    ],
)
async def test_every_chat_has_its_answers_remembered(
    gateway: Gateway, path: str, key: str, turns: list[dict[str, Any]], frames: list[bytes]
) -> None:
    """In the shape in which its clients send them back."""
    gateway.upstream.headers, gateway.upstream.pieces = [(b"content-type", b"text/event-stream")], frames
    body = {"model": "m", "stream": True, "max_tokens": 9}
    for sent in (turns[:1], turns):
        answer = await gateway.post(path, body | {key: sent})
        assert answer.headers["x-guard-reason"] == "on_topic", answer.text
    assert b"boiled" in gateway.upstream.requests[-1].body
