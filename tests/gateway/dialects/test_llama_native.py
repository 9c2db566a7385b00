"""llama-server's native routes: completion, infill and rerank."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.channels import Channel
from gateway.conversation import Conversation, Message, Speaker
from gateway.dialects import load_dialect
from gateway.dialects.base import Flavour
from gateway.errors import BadRequestError
from gateway.framing import NdjsonDecoder, SseDecoder
from tests.gateway.running import GatewayFactory

OFF_TOPIC = "How do I boil an egg?"
REFUSAL = "I can only help with Star Trek topics."


def parse(dialect: str, body: dict[str, Any]) -> Conversation:
    """The conversation of a body."""
    found = load_dialect(dialect, Flavour.LLAMA_SERVER)
    assert found is not None
    return found.parse(body, "/")


def completion(prompt: Any, **more: Any) -> Conversation:
    """Of ``/completion``."""
    return parse("llama_completion", {"prompt": prompt} | more)


def uses(conversation: Conversation) -> set[Channel]:
    """The channels in use."""
    return {use.channel for use in conversation.channels}


def texts(conversation: Conversation, channel: Channel) -> list[str]:
    """What is judged of a channel."""
    return [text for use in conversation.channels if use.channel is channel for text in use.texts]


@pytest.mark.parametrize(
    ("prompt", "parts", "channels"),
    [
        ("Kirk", [("Kirk",)], set()),
        ("", [], set()),
        (None, [], set()),
        ([], [], set()),
        ([1, 2], [], {Channel.TOKEN_PROMPT}),
        ([1.5, 2], [], {Channel.TOKEN_PROMPT}),
        (["Kirk", 7, "Spock"], [("Kirk", "Spock")], {Channel.TOKEN_PROMPT}),
        (["Kirk"], [("Kirk",)], set()),
        (["Kirk", "Spock"], [("Kirk",), ("Spock",)], {Channel.RAW}),
        ([["Kirk", 7], "Spock"], [("Kirk",), ("Spock",)], {Channel.RAW, Channel.TOKEN_PROMPT}),
        ([[1, 2], [3]], [], {Channel.TOKEN_PROMPT}),
        ({"prompt_string": "Kirk"}, [("Kirk",)], set()),
        ({"prompt_string": ["Kirk", 7]}, [("Kirk",)], {Channel.TOKEN_PROMPT}),
        ({"prompt_string": "Kirk", "multimodal_data": ["AA=="]}, [("Kirk",)], {Channel.IMAGES, Channel.AUDIO}),
        ([{"prompt_string": "Kirk"}, "Spock"], [("Kirk",), ("Spock",)], {Channel.RAW}),
    ],
)
def test_every_form_of_a_prompt_is_read(prompt: Any, parts: list[tuple[str, ...]], channels: set[Channel]) -> None:
    """Its texts as messages, the rest as channels."""
    conversation = completion(prompt)
    assert [message.parts for message in conversation.messages] == parts
    assert uses(conversation) == channels


@pytest.mark.parametrize(
    "prompt",
    [True, 7, {}, {"text": "Kirk"}, {"prompt_string": 7}, ["Kirk", None], ["Kirk", True], [["Kirk", {}]], [[[1]]]],
)
def test_another_prompt_is_refused(prompt: Any) -> None:
    """Never skipped."""
    with pytest.raises(BadRequestError):
        completion(prompt)


def test_several_prompts_are_each_judged() -> None:
    """Each is answered by itself, with an array that no refusal is."""
    conversation = completion(["Who is Kirk?", OFF_TOPIC])
    assert texts(conversation, Channel.RAW) == ["Who is Kirk?", OFF_TOPIC]
    assert conversation.error_only


def test_turns_that_a_prompt_brings_are_each_judged() -> None:
    """The server reads control tokens in it."""
    prompt = f"<|im_start|>user\n{OFF_TOPIC}<|im_end|>\n<|im_start|>assistant\n"
    assert texts(completion(prompt), Channel.RAW) == [f"user\n{OFF_TOPIC}"]


@pytest.mark.parametrize(
    ("more", "channel"),
    [
        ({"grammar": 'root ::= "egg"'}, Channel.GRAMMAR),
        ({"json_schema": {"const": OFF_TOPIC}}, Channel.FORMAT),
        ({"reasoning_budget_message": OFF_TOPIC}, Channel.PREFILL),
        ({"reasoning_budget_end_tags": [OFF_TOPIC]}, Channel.PREFILL),
        ({"generation_prompt": OFF_TOPIC}, Channel.PREFILL),
        ({"system_prompt": {"prompt": OFF_TOPIC}}, Channel.SYSTEM),
    ],
)
@pytest.mark.parametrize("path", ["/completion", "/completions", "/infill"])
async def test_text_that_is_forced_on_the_model_is_judged(
    start: GatewayFactory, path: str, more: dict[str, Any], channel: Channel
) -> None:
    """On every native route."""
    prompt = {"prompt": "Kirk", "input_prefix": "", "input_suffix": ""}
    assert channel in uses(parse("llama_infill" if path == "/infill" else "llama_completion", prompt | more))
    async with start(api="llama-server", channel_grammar="judge") as gateway:
        got = await gateway.post(path, prompt | more)
        assert got.headers["x-guard-reason"] == "off_topic"
        assert gateway.upstream.requests == []


@pytest.mark.parametrize("dialect", ["llama_completion", "llama_infill"])
@pytest.mark.parametrize(
    "field",
    [
        {"newer": {"field": [OFF_TOPIC]}},
        {"messages": [{"role": "user", "content": OFF_TOPIC}]},
        {"logit_bias": [[OFF_TOPIC, 100]]},
        {"logit_bias": {OFF_TOPIC: 100}},
        {"preserved_tokens": [OFF_TOPIC]},
        {"chat_template_kwargs": {"q": OFF_TOPIC}},
        {"temperature": OFF_TOPIC},
    ],
)
def test_a_field_that_is_not_known_is_judged(dialect: str, field: dict[str, Any]) -> None:
    """A newer server may show it to its model."""
    conversation = parse(dialect, {"prompt": "Kirk"} | field)
    assert any(OFF_TOPIC in text for text in texts(conversation, Channel.FORMAT))


def test_what_a_completion_does_not_read_of_an_infill_is_judged() -> None:
    """Each route knows its own keys only."""
    assert texts(completion("Kirk", input_prefix=OFF_TOPIC), Channel.FORMAT) == [OFF_TOPIC]


@pytest.mark.parametrize("dialect", ["llama_completion", "llama_infill"])
def test_what_clients_send_besides_is_no_channel(dialect: str) -> None:
    """Sampling, stops, and biases on token ids."""
    settings: dict[str, Any] = {"temperature": 0.2, "n_predict": 64, "seed": 1, "stop": ["egg"], "cache_prompt": True}
    settings |= {"samplers": ["top_k", "min_p"], "dry_multiplier": 0.8, "dry_sequence_breakers": ["egg"], "id_slot": -1}
    settings |= {
        "logit_bias": [[15043, 1.0], [7, False]],
        "response_fields": ["content"],
        "n_indent": 4,
        "model": "egg",
    }
    assert parse(dialect, {"prompt": "Kirk"} | settings).channels == ()


def test_a_demanded_form_is_refused_by_an_error() -> None:
    """No refusal in words follows a grammar."""
    assert completion("Kirk", grammar='root ::= "yes"').error_only
    assert completion("Kirk", json_schema={"type": "object"}).error_only
    assert not completion("Kirk", grammar="").error_only


def test_what_is_filled_in_is_judged_with_what_is_around_it() -> None:
    """A question may be made of both ends, or of several files."""
    extra = [{"filename": "a.py", "text": "x"}, {"text": "y"}]
    body = {"input_prefix": "Boil ", "prompt": "an e", "input_suffix": "gg", "input_extra": extra}
    conversation = parse("llama_infill", body)
    assert conversation.messages == (Message(Speaker.USER, ("Boil ", "an e")),)
    assert texts(conversation, Channel.SUFFIX) == ["gg", "Boil an egg", "a.py\nx", "y", "a.py\nx\ny"]


def test_a_suffix_is_judged_without_what_a_server_cuts_off() -> None:
    """A long prompt leaves room for its first tokens only; whatever is left, no text is more than twice as long."""
    suffix = OFF_TOPIC + " Kirk commands the Enterprise." * 40
    found = texts(parse("llama_infill", {"prompt": "Spock. " * 70, "input_suffix": suffix}), Channel.SUFFIX)
    for left in range(32, len(suffix)):
        assert any(left <= len(text) <= 2 * left + 1 and suffix.startswith(text) for text in found)
    assert any("Spock. " in text and len(text) < 300 and OFF_TOPIC in text for text in found)


def test_files_are_judged_without_what_a_server_cuts_off() -> None:
    """Their beginning, as far as the context has no room for it."""
    extra = [{"text": "Kirk commands the Enterprise. " * 40}, {"text": OFF_TOPIC}]
    found = texts(parse("llama_infill", {"input_extra": extra}), Channel.SUFFIX)
    assert any(text.endswith(OFF_TOPIC) and len(text) < 80 for text in found)


def test_a_short_suffix_is_never_cut() -> None:
    """So its beginnings are not judged by themselves."""
    body = {"prompt": "Kirk ", "input_suffix": "commands the Enterprise. " * 4}
    assert len(texts(parse("llama_infill", body), Channel.SUFFIX)) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"input_prefix": ["Kirk", 1]},
        {"input_suffix": 1},
        {"prompt": ["Kirk"]},
        {"input_extra": {"text": "x"}},
        {"input_extra": ["x"]},
        {"input_extra": [{"text": ["x"]}]},
        {"input_extra": [{"text": "x", "filename": 1}]},
    ],
)
def test_another_infill_is_refused(body: dict[str, Any]) -> None:
    """Never skipped."""
    with pytest.raises(BadRequestError):
        parse("llama_infill", body)


def test_a_rerankings_texts_are_embeddings() -> None:
    """Both spellings: the server takes the one where it can't use the other."""
    conversation = parse("llama_rerank", {"query": "warp", "documents": ["Kirk", ""], "texts": ["bread"]})
    assert texts(conversation, Channel.EMBEDDINGS) == ["warp", "Kirk", "bread"]
    assert conversation.error_only


@pytest.mark.parametrize("body", [{"query": ["warp"]}, {"query": [1]}, {"documents": [1]}, {"texts": [{"text": "x"}]}])
def test_another_reranking_is_refused(body: dict[str, Any]) -> None:
    """Never skipped."""
    with pytest.raises(BadRequestError):
        parse("llama_rerank", body)


async def test_a_reranking_is_judged_if_so_set(start: GatewayFactory) -> None:
    """And refused by an error; by default only numbers come back, and it passes."""
    body = {"query": OFF_TOPIC, "documents": ["Kirk"]}
    async with start(api="llama-server") as gateway:
        assert (await gateway.post("/rerank", body)).headers["x-guard-decision"] == "allow"
        assert len(gateway.upstream.requests) == 1
    async with start(api="llama-server", channel_embeddings="judge") as gateway:
        got = await gateway.post("/v1/reranking", body)
        assert (got.status_code, got.json()["error"]["message"]) == (400, REFUSAL)
        assert gateway.upstream.requests == []


@pytest.mark.parametrize("path", ["/completion", "/infill"])
async def test_a_refusal_has_timings_to_divide_by(start: GatewayFactory, path: str) -> None:
    """Streamed and not."""
    body = {"prompt": OFF_TOPIC, "input_prefix": "", "input_suffix": "", "model": "m"}
    async with start(api="llama-server") as gateway:
        [whole] = NdjsonDecoder().decode((await gateway.post(path, body)).content + b"\n")
        events = SseDecoder().decode((await gateway.post(path, body | {"stream": True})).content)
    first, last = NdjsonDecoder().decode("".join(f"{event.data}\n" for event in events).encode())
    assert isinstance(whole, dict)
    assert isinstance(first, dict)
    assert isinstance(last, dict)
    assert (whole["content"], whole["stop"], whole["model"]) == (REFUSAL, True, "m")
    assert (first["content"], first["stop"], last["content"], last["stop"]) == (REFUSAL, False, "", True)
    assert min(value for key, value in last["timings"].items() if key != "cache_n") > 0


@pytest.mark.parametrize("dialect", ["llama_completion", "llama_infill"])
def test_adapters_named_by_the_client_are_a_channel_that_cannot_be_read(dialect: str) -> None:
    """They change what the model says, so strangers may not choose them."""
    conversation = parse(dialect, {"prompt": "Kirk", "input_prefix": "a", "lora": [{"id": 0, "scale": 1.0}]})

    assert Channel.TEMPLATE_KWARGS in uses(conversation)


async def test_ones_own_system_text_leaves_no_place_for_the_clients(start: GatewayFactory) -> None:
    """A prompt has none for the operator's, but the client's is gone."""
    async with start(api="llama-server", channel_system="replace", system_text="Be brief.") as gateway:
        await gateway.post("/completion", {"prompt": "Kirk", "system_prompt": OFF_TOPIC})
        assert json.loads(gateway.upstream.requests[0].body) == {"prompt": "Kirk"}
