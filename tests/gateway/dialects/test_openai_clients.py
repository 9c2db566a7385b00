"""OpenAI's own Python client through the gateway: it must not notice that there is one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from pydantic import BaseModel

from tests.gateway.golden import Case, cases, pieces
from tests.gateway.running import Gateway, GatewayFactory

REFUSAL = "I can only help with Star Trek topics."
ON: Any = [{"role": "user", "content": "Who is Guinan?"}]
OFF: Any = [{"role": "user", "content": "How do I boil an egg?"}]
SERVERS = ["ollama", "llama-server"]


class Ship(BaseModel):
    """What a client may want parsed."""

    name: str


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    """The client of a gateway before an Ollama."""
    async with connected(gateway) as client:
        yield client


def connected(gateway: Gateway) -> openai.AsyncOpenAI:
    """The client of any gateway; proxies of the environment are none of its business."""
    http_client = openai.DefaultAsyncHttpxClient(trust_env=False)
    return openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="k", max_retries=0, http_client=http_client)


def answers(gateway: Gateway, name: str, case_id: str) -> None:
    """Let the upstream answer as in a golden case."""
    [case] = [case for case in cases(name) if case["id"] == case_id]
    _answers(gateway, case)


def _answers(gateway: Gateway, case: Case) -> None:
    gateway.upstream.headers = [(b"content-type", case["upstream"]["headers"]["Content-Type"].encode())]
    gateway.upstream.pieces = pieces(case["upstream"], case["path"])


async def test_a_chat_is_answered(gateway: Gateway, client: openai.AsyncOpenAI) -> None:
    """At once and as a stream."""
    answers(gateway, "v1_chat_completions", "v1chat_one_shot")
    whole = await client.chat.completions.create(model="m", messages=ON)
    answers(gateway, "v1_chat_completions", "v1chat_stream")
    stream = await client.chat.completions.create(model="m", messages=ON, stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert whole.choices[0].message.content
    assert text
    assert len(gateway.upstream.requests) == 2


async def test_tools_and_reasoning_pass(gateway: Gateway, client: openai.AsyncOpenAI) -> None:
    """There and back."""
    answers(gateway, "v1_chat_completions", "v1chat_tools")
    tool: Any = {"type": "function", "function": {"name": "hail", "parameters": {"type": "object", "properties": {}}}}
    got = await client.chat.completions.create(model="m", messages=ON, tools=[tool], reasoning_effort="low")
    [call] = got.choices[0].message.tool_calls or []
    again: Any = [*ON, got.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "Kira here."}]
    answers(gateway, "v1_chat_completions", "v1chat_tool_result")
    assert (await client.chat.completions.create(model="m", messages=again, tools=[tool])).choices[0].message.content
    assert len(gateway.upstream.requests) == 2


@pytest.mark.parametrize("api", SERVERS)
async def test_a_refused_chat_is_a_turn(start: GatewayFactory, api: str) -> None:
    """At once and as a stream, with the usage at its end."""
    async with start(api=api) as gateway, connected(gateway) as client:
        whole = await client.chat.completions.create(model="m", messages=OFF)
        stream = await client.chat.completions.create(
            model="m", messages=OFF, stream=True, stream_options={"include_usage": True}
        )
        *chunks, end, usage = [chunk async for chunk in stream]
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason, whole.model) == (REFUSAL, "stop", "m")
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == REFUSAL
    assert (chunks[0].choices[0].delta.role, end.choices[0].finish_reason) == ("assistant", "stop")
    assert usage.usage is not None
    assert usage.usage.total_tokens == 2
    assert gateway.upstream.requests == []


@pytest.mark.parametrize("api", SERVERS)
async def test_the_stream_helper_takes_a_refused_chat(start: GatewayFactory, api: str) -> None:
    """It puts the chunks together and checks them."""
    async with (
        start(api=api) as gateway,
        connected(gateway) as client,
        client.chat.completions.stream(model="m", messages=OFF) as stream,
    ):
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == REFUSAL


async def test_several_choices_are_refused_as_several(start: GatewayFactory) -> None:
    """Where the server makes as many as asked for."""
    async with start(api="llama-server") as gateway, connected(gateway) as client:
        chat = await client.chat.completions.create(model="m", messages=OFF, n=2)
        stream = await client.chat.completions.create(model="m", messages=OFF, n=2, stream=True)
        indices = {choice.index async for chunk in stream for choice in chunk.choices}
        texts = await client.completions.create(model="m", prompt=["Spock", "egg"], n=2)
    assert [choice.index for choice in chat.choices] == [0, 1]
    assert indices == {0, 1}
    assert [choice.text for choice in texts.choices] == [REFUSAL] * 4


async def test_a_parsed_chat_is_parsed_or_an_error(gateway: Gateway, client: openai.AsyncOpenAI) -> None:
    """No refusal in words has the schema, so it is a 400, which the client does not try again."""
    answers(gateway, "v1_chat_completions", "v1chat_json_schema")
    got = await client.chat.completions.parse(model="m", messages=ON, response_format=Ship)
    assert got.choices[0].message.parsed is not None
    with pytest.raises(openai.BadRequestError, match="Star Trek") as raised:
        await client.chat.completions.parse(model="m", messages=OFF, response_format=Ship)
    assert raised.value.type == "invalid_request_error"
    assert len(gateway.upstream.requests) == 1


async def test_completions_are_answered(gateway: Gateway, client: openai.AsyncOpenAI) -> None:
    """At once and as a stream."""
    answers(gateway, "v1_completions", "v1compl_one_shot")
    assert (await client.completions.create(model="m", prompt="Space, the final")).choices[0].text
    answers(gateway, "v1_completions", "v1compl_stream")
    stream = await client.completions.create(model="m", prompt="Space, the final", stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream])


@pytest.mark.parametrize("api", SERVERS)
async def test_refused_completions_are_texts(start: GatewayFactory, api: str) -> None:
    """At once and as a stream."""
    async with start(api=api) as gateway, connected(gateway) as client:
        whole = await client.completions.create(model="m", prompt="boil an egg")
        stream = await client.completions.create(model="m", prompt="boil an egg", stream=True)
        text = "".join([chunk.choices[0].text async for chunk in stream])
    assert (whole.choices[0].text, text) == (REFUSAL, REFUSAL)
    assert gateway.upstream.requests == []


async def test_responses_are_answered(gateway: Gateway, client: openai.AsyncOpenAI) -> None:
    """At once, and as a stream that the client puts together."""
    answers(gateway, "v1_responses", "resp_string")
    assert (await client.responses.create(model="m", input="What is latinum?")).output_text
    answers(gateway, "v1_responses", "resp_string_stream")
    async with client.responses.stream(model="m", input="What is latinum?") as stream:
        assert (await stream.get_final_response()).output_text


async def test_refused_responses_are_messages(gateway: Gateway, client: openai.AsyncOpenAI) -> None:
    """The client's helper checks the order of the events and what they refer to."""
    whole = await client.responses.create(model="m", input="boil an egg")
    async with client.responses.stream(model="m", input=OFF) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert (whole.output_text, final.output_text, final.status) == (REFUSAL, REFUSAL, "completed")
    assert (kinds[0], kinds[-1], len(kinds)) == ("response.created", "response.completed", 9)
    assert gateway.upstream.requests == []


async def test_refused_responses_of_llama_server_are_read_too(start: GatewayFactory) -> None:
    """Its events have no numbers; the client reads them one by one all the same."""
    async with start(api="llama-server") as gateway, connected(gateway) as client:
        whole = await client.responses.create(model="m", input="boil an egg")
        stream = await client.responses.create(model="m", input="boil an egg", stream=True)
        deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
    assert (whole.output_text, deltas) == (REFUSAL, [REFUSAL])


async def test_parsed_responses_are_parsed_or_an_error(gateway: Gateway, client: openai.AsyncOpenAI) -> None:
    """As in a chat."""
    [case] = [case for case in cases("v1_responses") if case["id"] == "resp_string"]
    case["upstream"]["body"]["output"][-1]["content"][0]["text"] = '{"name":"Defiant"}'
    _answers(gateway, case)
    got = await client.responses.parse(model="m", input="Name a ship.", text_format=Ship)
    assert got.output_parsed == Ship(name="Defiant")
    with pytest.raises(openai.BadRequestError, match="Star Trek"):
        await client.responses.parse(model="m", input="boil an egg", text_format=Ship)
    assert len(gateway.upstream.requests) == 1


async def test_embeddings_pass_or_are_an_error(start: GatewayFactory) -> None:
    """By the policy of their channel."""
    async with start(channel_embeddings="judge") as gateway, connected(gateway) as client:
        answers(gateway, "v1_embeddings", "v1emb_array_b64")
        assert len((await client.embeddings.create(model="m", input=["Odo", "Quark"])).data) == 2
        with pytest.raises(openai.BadRequestError, match="Star Trek"):
            await client.embeddings.create(model="m", input=["Odo", "egg"])
        assert len(gateway.upstream.requests) == 1


async def test_transcriptions_pass_or_are_an_error(start: GatewayFactory) -> None:
    """The client's own form is one that we read."""
    async with start(profile="trusted") as gateway, connected(gateway) as client:
        answers(gateway, "v1_audio_transcriptions", "transcribe_json")
        ask: Any = {"model": "m", "file": ("log.wav", b"RIFF\r\n--x\r\n")}
        assert (await client.audio.transcriptions.create(**ask, prompt="Captain's log", language="en")).text
        with pytest.raises(openai.BadRequestError, match="Star Trek"):
            await client.audio.transcriptions.create(**ask, prompt="boil an egg")
        assert len(gateway.upstream.requests) == 1


async def test_strangers_get_no_transcription(gateway: Gateway, client: openai.AsyncOpenAI) -> None:
    """Class H6: nobody read what the model would hear."""
    with pytest.raises(openai.BadRequestError, match="STARTREK_GUARD_CHANNEL_AUDIO"):
        await client.audio.transcriptions.create(model="m", file=("log.wav", b"RIFF"))
    assert gateway.upstream.requests == []


async def test_errors_of_the_upstream_reach_the_client(gateway: Gateway, client: openai.AsyncOpenAI) -> None:
    """With their own class."""
    gateway.upstream.status = 404
    gateway.upstream.headers = [(b"content-type", b"application/json")]
    gateway.upstream.pieces = [b'{"error":{"message":"no model","type":"not_found_error","param":null,"code":null}}\n']
    with pytest.raises(openai.NotFoundError, match="no model"):
        await client.chat.completions.create(model="m", messages=ON)


async def test_other_clients_get_the_same_bytes(gateway: Gateway) -> None:
    """A refused stream ends with the line that ends all of them."""
    body = {"model": "m", "messages": OFF, "stream": True}
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
        answer = await client.post("/v1/chat/completions", json=body)
    assert answer.content.endswith(b"data: [DONE]\n\n")
    assert answer.headers["x-guard-decision"] == "block"
