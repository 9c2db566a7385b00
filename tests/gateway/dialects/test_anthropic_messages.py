"""Anthropic's messages: what is read of them, and what the official client makes of the answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest

from gateway.channels import Channel
from gateway.conversation import Conversation, Edit, Message, Speaker
from gateway.dialects.anthropic_messages import dialect
from gateway.dialects.base import Flavour
from gateway.errors import BadRequestError
from gateway.framing import compact_json, sse_frame
from tests.gateway.running import Gateway, GatewayFactory

OFF_TOPIC = "How do I boil an egg?"
REFUSAL = "I can only help with Star Trek topics."
BOTH = pytest.mark.parametrize("api", ["ollama", "llama-server"])


def parse(*content: Any, **body: Any) -> Conversation:
    """The conversation of one user message, or of ``messages``."""
    given = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": list(content) or "Kirk"}]}
    return dialect(Flavour.OLLAMA).parse(given | body, "/v1/messages")


def texts(conversation: Conversation, channel: Channel) -> list[str]:
    """What is judged of a channel."""
    return [text for use in conversation.channels if use.channel is channel for text in use.texts]


def test_text_blocks_are_the_parts_of_one_message() -> None:
    """Both upstreams join them without a separator."""
    [message] = parse({"type": "text", "text": "an e"}, {"type": "text", "text": "gg"}).messages
    assert message == Message(Speaker.USER, ("an e", "gg"), 0)


def test_a_tools_result_is_a_message_of_its_own() -> None:
    """Before the text of the message it is in, and at its position."""
    result = {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "hit"}]}
    assert parse({"type": "text", "text": "Status?"}, result).messages == (
        Message(Speaker.TOOL, ("hit",), 0),
        Message(Speaker.USER, ("Status?",), 0),
    )


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text", "text": OFF_TOPIC},
        {"type": "text", "text": "Kirk", "citations": [{"cited_text": OFF_TOPIC}]},
        {"type": "thinking", "thinking": OFF_TOPIC},
        {"type": "tool_use", "id": "1", "name": "ask", "input": {"a": {"b": [OFF_TOPIC]}}},
        {"type": "tool_use", "id": "1", "name": "ask", "input": {OFF_TOPIC: 1}},
        {"type": "server_tool_use", "id": "1", "name": "web_search", "input": {"query": OFF_TOPIC}},
        {"type": "tool_use", "id": OFF_TOPIC, "name": "ask", "input": {}},
        {"type": "tool_result", "tool_use_id": OFF_TOPIC, "content": "hit"},
        {"type": "tool_result", "tool_use_id": "HowDoIBoilAneggInAPan_StepByStep1", "content": "hit"},
        {"type": "web_search_tool_result", "tool_use_id": OFF_TOPIC, "content": []},
        {"type": "tool_result", "tool_use_id": "1", "content": OFF_TOPIC},
        {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": OFF_TOPIC}]},
        {"type": "web_search_tool_result", "tool_use_id": "1", "content": [{"title": OFF_TOPIC, "url": "u"}]},
        {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": OFF_TOPIC}]},
        {"type": "document", "source": {"type": "text", "data": OFF_TOPIC}},
        {"type": "document", "title": OFF_TOPIC, "source": {"type": "text", "data": "Kirk"}},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": OFF_TOPIC}]}},
    ],
)
async def test_text_in_any_block_is_judged(gateway: Gateway, block: dict[str, Any]) -> None:
    """Nothing of it reaches the upstream."""
    content = [block, {"type": "text", "text": "Who is Spock?"}]
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": content}]}
    got = await gateway.post("/v1/messages", body)
    assert got.headers["x-guard-reason"] == "off_topic"
    assert gateway.upstream.requests == []


@pytest.mark.parametrize(
    "blocks",
    [
        [{"type": "text", "text": "Kirk"}, {"type": "redacted_thinking", "data": "x"}],
        [{"type": "thinking", "thinking": "Kirk"}],
        [{"type": "tool_use", "id": "toolu_01A09q90qw90lq917835lq9", "name": "hail", "input": {}}],
        [{"type": "tool_result", "tool_use_id": "toolu_01A09q90qw90lq917835lq9"}],
    ],
)
def test_a_message_that_upstreams_read_is_a_turn(blocks: list[Any]) -> None:
    """Its ids are not told, where they say nothing."""
    [*others, last] = parse(*blocks).messages
    assert others == []
    assert "toolu" not in "".join(last.texts)


@pytest.mark.parametrize(
    ("block", "channel"),
    [
        ({"type": "image", "source": {"type": "base64", "data": "iVBORw0KGgo="}}, Channel.IMAGES),
        ({"type": "document", "source": {"type": "base64", "data": "JVBERi0="}}, Channel.IMAGES),
        ({"type": "document", "source": {"type": "url", "url": "http://x/"}}, Channel.IMAGES),
        ({"type": "tool_result", "content": [{"type": "image", "source": {}}]}, Channel.IMAGES),
        ({"type": "redacted_thinking", "data": "x"}, Channel.TOKEN_PROMPT),
        ({"type": "container_upload", "file_id": "x"}, Channel.TOKEN_PROMPT),
        ({"type": "Text", "text": "Kirk"}, Channel.TOKEN_PROMPT),
        ({"text": "Kirk"}, Channel.TOKEN_PROMPT),
    ],
)
def test_a_block_that_cant_be_read_is_a_channel(block: dict[str, Any], channel: Channel) -> None:
    """Denied to strangers by its policy, wherever it stands."""
    assert [use.channel for use in parse({"type": "text", "text": "Kirk"}, block).channels] == [channel]


def test_system_texts_are_one_channel() -> None:
    """Of the field, joined as the upstreams join it, and of messages."""
    system = [{"type": "text", "text": "Boil an e"}, {"type": "text", "text": "gg"}]
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Kirk"}]
    conversation = parse(system=system, messages=messages)
    assert "Boil an egg\nBe brief." in texts(conversation, Channel.SYSTEM)
    assert conversation.messages == (Message(Speaker.USER, ("Kirk",), 1),)


def test_tools_and_schemas_are_channels() -> None:
    """A demanded schema can only be refused by an error."""
    tools = [{"name": "fire", "description": "Fires.", "input_schema": {"type": "object"}}]
    schema = {"format": {"type": "json_schema", "schema": {"title": "Ship"}}}
    conversation = parse(tools=tools, output_config=schema)
    assert "Fires." in texts(conversation, Channel.TOOLS)[0]
    assert texts(conversation, Channel.FORMAT) == ["Ship"]
    assert conversation.error_only


def test_a_space_is_something_to_read() -> None:
    """Ollama makes a message of it."""
    assert parse(messages=[{"role": "assistant", "content": " "}]).messages == (Message(Speaker.ASSISTANT, (" ",), 0),)


def test_what_llama_server_hands_to_the_template_is_read() -> None:
    """Of a message whose content is a string it passes every key on; its template takes further inputs."""
    messages = [{"role": "user", "content": "Kirk", "reasoning_content": OFF_TOPIC}]
    kwargs = {"messages": [{"role": "user", "content": OFF_TOPIC}]}
    conversation = parse(messages=messages, chat_template_kwargs=kwargs)
    assert conversation.messages[0].texts == ("Kirk", OFF_TOPIC)
    assert [use.channel for use in conversation.channels] == [Channel.TEMPLATE_KWARGS]
    assert parse(chat_template_kwargs={"enable_thinking": False}).channels == ()


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "tool", "content": "Kirk"}]},
        {"messages": [{"role": "User", "content": "Kirk"}]},
        {"messages": [{"content": "Kirk"}]},
        {"messages": [{"role": "user", "content": {"type": "text"}}]},
        {"messages": [{"role": "user", "content": ["Kirk"]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]},
        {"messages": "Kirk"},
        {"system": 1},
        {"system": [{"type": "image", "source": {}}]},
        {"messages": [{"role": "assistant"}]},
        {"messages": [{"role": "user", "content": None}]},
        {"messages": [{"role": "user", "content": []}]},
        {"messages": [{"role": "assistant", "content": ""}]},
        {"messages": [{"role": "assistant", "content": [{"type": "text", "text": ""}]}]},
        {"messages": [{"role": "user", "content": [{"type": "search_result", "title": "Kirk"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "redacted_thinking", "data": "x"}]}]},
        {"output_config": "x"},
        {"output_format": "x"},
        {"chat_template_kwargs": []},
    ],
)
def test_another_type_is_refused(body: dict[str, Any]) -> None:
    """Never skipped; nor is a message that an upstream leaves out, so that its neighbours are one turn there."""
    with pytest.raises(BadRequestError):
        parse(**body)


def test_an_edit_drops_messages_and_replaces_every_system_text() -> None:
    """And leaves the rest as it is."""
    messages = [{"role": "system", "content": "x"}, {"role": "user", "content": "y"}, {"role": "user", "content": "z"}]
    body: dict[str, object] = {"model": "m", "messages": messages, "system": "x"}
    rewritten = dialect(Flavour.OLLAMA).rewrite(body, Edit(frozenset({1}), "Be an officer."))
    assert rewritten == {"model": "m", "messages": messages[2:], "system": "Be an officer."}
    assert dialect(Flavour.OLLAMA).rewrite(body, Edit(frozenset({0, 1}))) == body | {"messages": messages[2:]}


MESSAGE: dict[str, Any] = {
    "id": "msg_0a1b2c3d4e5f60718293a4b5",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "Live long."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 9, "output_tokens": 3},
}

EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": MESSAGE | {"content": []}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Live "}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "long."}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"input_tokens": 9, "output_tokens": 3}},
    {"type": "message_stop"},
]


async def said(gateway: Gateway, text: str, **more: Any) -> anthropic.types.Message:
    """The official client's message, one-shot or gathered from its stream."""
    async with client(gateway) as official:
        asked: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
        if not more.pop("stream", False):
            answer: anthropic.types.Message = await official.messages.create(**asked, **more)
            return answer
        async with official.messages.stream(**asked, **more) as stream:
            return await stream.get_final_message()


def client(gateway: Gateway) -> anthropic.AsyncAnthropic:
    """The official client, which asks once."""
    return anthropic.AsyncAnthropic(base_url=gateway.url, api_key="none", max_retries=0)


def text_of(message: anthropic.types.Message) -> str:
    """The text of the only block."""
    [block] = message.content
    assert block.type == "text"
    return block.text


@BOTH
@pytest.mark.parametrize("stream", [False, True])
async def test_the_official_client_reads_a_refusal_as_a_turn(start: GatewayFactory, api: str, stream: bool) -> None:
    """Streamed or not, of either flavour."""
    async with start(api=api) as gateway:
        message = await said(gateway, OFF_TOPIC, stream=stream)
        assert (text_of(message), message.stop_reason, message.model) == (REFUSAL, "end_turn", "m")
        assert gateway.upstream.requests == []


@BOTH
@pytest.mark.parametrize("stream", [False, True])
async def test_the_official_client_gets_the_upstreams_answer(start: GatewayFactory, api: str, stream: bool) -> None:
    """Streamed or not, of either flavour."""
    async with start(api=api) as gateway:
        kind = b"text/event-stream" if stream else b"application/json"
        gateway.upstream.headers = [(b"content-type", kind)]
        gateway.upstream.pieces = [sse_frame(event, event["type"]) for event in EVENTS]
        if not stream:
            gateway.upstream.pieces = [compact_json(MESSAGE)]
        assert text_of(await said(gateway, "Who is Spock?", stream=stream)) == "Live long."
        assert [seen.raw_path for seen in gateway.upstream.requests] == [b"/v1/messages"]


@BOTH
async def test_the_official_client_raises_where_refusals_are_errors(start: GatewayFactory, api: str) -> None:
    """A kind of error that it does not try again."""
    async with start(api=api, refusal_mode="error") as gateway:
        with pytest.raises(anthropic.BadRequestError, match=REFUSAL):
            await said(gateway, OFF_TOPIC)


async def test_an_image_of_a_stranger_is_denied_by_the_name_of_its_setting(gateway: Gateway) -> None:
    """The official client shows the message."""
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    messages: Any = [{"role": "user", "content": [image, {"type": "text", "text": "Which ship is that?"}]}]
    async with client(gateway) as official:
        with pytest.raises(anthropic.BadRequestError, match="STARTREK_GUARD_CHANNEL_IMAGES"):
            await official.messages.create(model="m", max_tokens=9, messages=messages)
    assert gateway.upstream.requests == []


@pytest.fixture
async def counting(start: GatewayFactory) -> AsyncIterator[Gateway]:
    """A gateway before a llama-server that counts."""
    async with start(api="llama-server") as gateway:
        gateway.upstream.headers = [(b"content-type", b"application/json")]
        gateway.upstream.pieces = [b'{"input_tokens":12}']
        yield gateway


async def test_counting_tokens_passes(counting: Gateway) -> None:
    """No model answers there."""
    async with client(counting) as official:
        counted = await official.messages.count_tokens(model="m", messages=[{"role": "user", "content": OFF_TOPIC}])
    assert counted.input_tokens == 12
    assert counting.engine.judged == []


async def test_the_arguments_of_calls_beside_the_content_are_read_as_a_template_reads_them(gateway: Gateway) -> None:
    """llama-server hands a message whose content is a string on as it is."""
    escaped = json.dumps({"q": "".join(f"\\u{ord(char):04x}" for char in OFF_TOPIC)}).replace("\\\\", "\\")
    calls = [{"type": "function", "function": {"name": "f", "arguments": escaped}}]
    said = {"role": "assistant", "content": "Aye.", "tool_calls": calls}
    messages = [{"role": "user", "content": "Who is Spock?"}, said, {"role": "user", "content": "And Kirk?"}]
    await gateway.post("/v1/messages", {"model": "m", "max_tokens": 9, "messages": messages})
    assert any(OFF_TOPIC in text for text in gateway.engine.judged)


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
async def test_an_image_by_its_address_is_fetched_for_nobody(start: GatewayFactory, path: str) -> None:
    """It may lie within the upstream's own network."""
    image = {"type": "image", "source": {"type": "url", "url": "http://169.254.169.254/latest"}}
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [image]}]}
    async with start(profile="trusted", api="llama-server") as gateway:
        assert (await gateway.post(path, body)).status_code == 400
        assert gateway.upstream.requests == []


async def test_a_message_of_the_systems_has_no_results(start: GatewayFactory) -> None:
    """Ollama makes a tool's turn of it, which settings may deny."""
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "Spock"}
    messages = [
        {"role": "system", "content": [{"type": "text", "text": "Kirk"}, result]},
        {"role": "user", "content": "?"},
    ]
    async with start(channel_tool_results="deny") as gateway:
        answer = await gateway.post("/v1/messages", {"model": "m", "max_tokens": 9, "messages": messages})
        assert (answer.status_code, gateway.upstream.requests) == (400, [])


@pytest.mark.parametrize("kind", ["tool_result", "search_result", "web_fetch_tool_result"])
def test_a_system_text_has_no_results(kind: str) -> None:
    """Of whatever tool."""
    system = [{"type": "text", "text": "Kirk"}, {"type": kind, "content": "Spock"}]
    with pytest.raises(BadRequestError, match="wanted a string or text blocks"):
        dialect(Flavour.OLLAMA).parse({"model": "m", "system": system, "messages": []}, "/v1/messages")
