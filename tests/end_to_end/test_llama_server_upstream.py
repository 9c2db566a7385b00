"""The gateway before a real llama-server: its clients notice nothing but refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest

from gateway.framing import SseDecoder
from tests.end_to_end.llama_server import llama_server
from tests.gateway.running import Gateway, running_gateway

pytestmark = pytest.mark.slow

ON_TOPIC = "Who is Spock?"
OFF_TOPIC = "How do I boil an egg?"
REFUSAL = "I can only help with Star Trek topics."

FOUR_TOKENS: dict[str, Any] = {"prompt": ON_TOPIC, "n_predict": 4, "ignore_eos": True, "temperature": 0}


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    """The address of a llama-server."""
    with llama_server() as address:
        yield address


@pytest.fixture
async def guarded(upstream: str) -> AsyncIterator[Gateway]:
    """A gateway before it."""
    async with running_gateway({"STARTREK_GUARD_UPSTREAM": upstream}, api="llama-server") as gateway:
        gateway.client.timeout = httpx.Timeout(120)
        yield gateway


def events(body: bytes) -> list[Any]:
    """The data of each event."""
    decoder = SseDecoder()
    return [httpx.Response(200, text=event.data).json() for event in (*decoder.decode(body), *decoder.flush())]


@pytest.mark.parametrize("path", ["/completion", "/completions"])
async def test_a_completion_is_the_models_own(guarded: Gateway, path: str) -> None:
    """In one piece, as the server gave it."""
    answer = (await guarded.post(path, FOUR_TOKENS)).json()
    assert answer["content"] != REFUSAL
    assert (answer["tokens_predicted"], answer["stop_type"], answer["prompt"]) == (4, "limit", ON_TOPIC)


async def test_a_completion_streams(guarded: Gateway) -> None:
    """Token by token."""
    got = await guarded.post("/completion", FOUR_TOKENS | {"stream": True})
    pieces = events(got.content)
    assert got.headers["content-type"] == "text/event-stream"
    assert [piece["stop"] for piece in pieces] == [False] * 4 + [True]


async def test_several_prompts_are_answered_unless_one_is_off_topic(guarded: Gateway) -> None:
    """Each by itself."""
    prompts = [ON_TOPIC, "Who is Worf?"]
    assert len((await guarded.post("/completion", {"prompt": prompts, "n_predict": 2})).json()) == 2
    got = await guarded.post("/completion", {"prompt": [*prompts, OFF_TOPIC], "n_predict": 2})
    assert (got.status_code, got.json()["error"]["message"]) == (400, REFUSAL)


async def test_a_refusal_has_the_keys_of_an_answer(guarded: Gateway) -> None:
    """Streamed and not; a client that reads the one can read the other."""
    for stream in (False, True):
        body = {"n_predict": 2, "stream": stream}
        answered = (await guarded.post("/completion", body | {"prompt": ON_TOPIC})).content
        refused = (await guarded.post("/completion", body | {"prompt": OFF_TOPIC})).content
        real, ours = (
            events(data) if stream else [httpx.Response(200, content=data).json()] for data in (answered, refused)
        )
        assert ours[0]["content"] == REFUSAL
        assert set(ours[0]) == set(real[0])
        assert set(ours[-1]) == set(real[-1])
        assert set(ours[-1]["timings"]) == set(real[-1]["timings"])


@pytest.mark.parametrize("stream", [False, True])
async def test_openais_client_chats(guarded: Gateway, stream: bool) -> None:
    """Answered by the model, or refused."""

    async def said(client: openai.AsyncOpenAI, text: str) -> str:
        messages = [{"role": "user", "content": text}]
        asked: Any = {"model": "smollm2", "max_tokens": 4, "temperature": 0, "messages": messages}
        answer: Any = await client.chat.completions.create(**asked, stream=stream)
        if not stream:
            return str(answer.choices[0].message.content)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in answer if chunk.choices])

    async with openai.AsyncOpenAI(base_url=f"{guarded.url}/v1", api_key="none", max_retries=0) as client:
        assert await said(client, ON_TOPIC) not in {"", REFUSAL}
        assert await said(client, OFF_TOPIC) == REFUSAL


@pytest.mark.parametrize("stream", [False, True])
async def test_anthropics_client_chats(guarded: Gateway, stream: bool) -> None:
    """Answered by the model, or refused."""

    async def said(client: anthropic.AsyncAnthropic, text: str) -> str:
        messages = [{"role": "user", "content": text}]
        asked: Any = {"model": "smollm2", "max_tokens": 4, "messages": messages}
        if stream:
            async with client.messages.stream(**asked) as answer:
                return await answer.get_final_text()
        return str((await client.messages.create(**asked)).content[0].text)

    async with anthropic.AsyncAnthropic(base_url=guarded.url, api_key="none", max_retries=0) as client:
        assert await said(client, ON_TOPIC) not in {"", REFUSAL}
        assert await said(client, OFF_TOPIC) == REFUSAL
        counted = await client.messages.count_tokens(model="smollm2", messages=[{"role": "user", "content": OFF_TOPIC}])
        assert counted.input_tokens > 5


async def test_a_client_that_leaves_frees_the_slot(guarded: Gateway) -> None:
    """The only one: a long answer would hold up the next question otherwise."""
    body = {"prompt": ON_TOPIC, "n_predict": 900, "ignore_eos": True, "stream": True}
    async with guarded.client.stream("POST", "/completion", json=body) as response:
        await anext(response.aiter_bytes())
    answer = await guarded.post("/completion", {"prompt": ON_TOPIC, "n_predict": 1})
    assert answer.json()["tokens_predicted"] == 1


async def test_what_the_server_has_but_the_gateway_denies_is_not_forwarded(guarded: Gateway, upstream: str) -> None:
    """The server itself would answer each of them."""
    messages = {"messages": [{"role": "user", "content": OFF_TOPIC}]}
    routes: list[tuple[str, str, Any]] = [
        ("GET", "/props", None),
        ("GET", "/lora-adapters", None),
        ("POST", "/apply-template", messages),
    ]
    async with httpx.AsyncClient(trust_env=False, timeout=60) as direct:
        for method, path, body in routes:
            assert (await direct.request(method, upstream + path, json=body)).status_code == 200
            got = await guarded.client.request(method, path, json=body)
            assert (got.status_code, got.json()["error"]["type"]) == (403, "permission_error"), path


@pytest.mark.parametrize("path", ["/completion/", "/v1/completion", "/Completion", "//completion", "/v1/nothing"])
async def test_an_unknown_route_is_answered_as_the_server_would(guarded: Gateway, upstream: str, path: str) -> None:
    """But by the gateway, which judges nothing of it."""
    got = await guarded.client.post(
        httpx.URL(guarded.url).copy_with(raw_path=path.encode()), json={"prompt": OFF_TOPIC}
    )
    expected = {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}
    assert (got.status_code, got.json()) == (404, expected)
    assert guarded.engine.judged == []
    async with httpx.AsyncClient(trust_env=False, timeout=60) as direct:
        real = await direct.post(f"{upstream}/v1/nothing", json={"prompt": OFF_TOPIC})
        assert (real.status_code, real.json()) == (404, expected)


async def test_the_servers_own_errors_and_health_pass(guarded: Gateway) -> None:
    """As they are."""
    assert (await guarded.client.get("/health")).json() == {"status": "ok"}
    got = await guarded.post("/infill", {"input_prefix": "Kirk", "input_suffix": "Spock"})
    assert (got.status_code, got.json()["error"]["type"]) == (501, "not_supported_error")
