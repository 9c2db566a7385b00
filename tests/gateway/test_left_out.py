"""What an upstream leaves out of a request must not hide from the guard what is left of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typing_extensions import override

from tests.fakes import ScriptedEngine
from tests.gateway.running import Gateway, GatewayFactory

BAKE = "How do I bake bread?"
FILLER = "Neelix says so to Janeway."
DOCUMENT = {"type": "document", "source": {"type": "text", "data": "Kirk"}}


def text(value: str, **more: Any) -> Any:
    """A part or block."""
    return {"type": "text", "text": value, **more}


def user(content: Any, **more: Any) -> Any:
    """A turn."""
    return {"role": "user", "content": content, **more}


def anthropic(*blocks: Any, **more: Any) -> Any:
    """A request to ``/v1/messages``."""
    return {"max_tokens": 9, "messages": [user(list(blocks))], **more}


SPLIT: list[tuple[str, Any]] = [
    ("/v1/messages", anthropic(text("How do I boil an e"), DOCUMENT, text("gg?"))),
    ("/v1/messages", anthropic(text("How do I boil an e", citations=[{"cited_text": "Kirk"}]), text("gg?"))),
    ("/v1/messages", anthropic(text("boil an e"), {"type": "thinking", "thinking": "Kirk"}, text("gg?"))),
    ("/v1/messages", anthropic(text("boil an e"), {"type": "tool_use", "name": "f", "input": {}}, text("gg?"))),
    ("/v1/messages", anthropic(text("Kirk"), system=[text("an e", citations=[{"cited_text": "Kirk"}]), text("gg")])),
    (
        "/v1/messages",
        anthropic({"type": "tool_result", "tool_use_id": "toolu_1", "content": [text("an e"), DOCUMENT, text("gg")]}),
    ),
    (
        "/v1/responses",
        {"input": [user([{"type": "input_text", "text": "an e", "x": "Kirk"}, {"type": "input_text", "text": "gg?"}])]},
    ),
    (
        "/v1/responses",
        {
            "input": [
                user("Kirk"),
                {"type": "function_call", "name": "f", "call_id": "call_1", "arguments": "{}"},
                {
                    "type": "function_call_output",
                    "call_id": "call_1",
                    "output": [
                        {"type": "input_text", "text": "an e", "x": "Kirk"},
                        {"type": "input_text", "text": "gg"},
                    ],
                },
            ]
        },
    ),
    ("/v1/chat/completions", {"messages": [user([text("an e", x="Kirk"), text("gg?")])]}),
    ("/api/chat", {"messages": [user("How do I boil an e", thinking="Kirk"), user("gg?")]}),
    ("/api/chat", {"messages": [user("How do I boil an e"), {"role": "tool", "content": "Kirk"}, user("gg?")]}),
]


@pytest.mark.parametrize(("path", "body"), SPLIT)
async def test_a_word_is_not_cut_by_what_is_left_out(gateway: Gateway, path: str, body: Any) -> None:
    """Ollama and llama-server join the pieces and drop what stands between them."""
    answer = await gateway.post(path, {"model": "m", **body})
    assert (answer.headers["x-guard-decision"], gateway.upstream.requests) == ("block", [])


DILUTED: list[tuple[str, Any]] = [
    ("/api/chat", {"messages": [user(BAKE, x=FILLER)]}),
    ("/api/chat", {"messages": [user(BAKE, thinking=FILLER)]}),
    ("/api/chat", {"messages": [user(BAKE, tool_name=FILLER)]}),
    ("/api/chat", {"messages": [{"role": "system", "content": BAKE, "x": FILLER}, user("Kirk")]}),
    ("/api/chat", {"messages": [{"role": "system", "content": s} for s in (FILLER, BAKE)] + [user("Kirk")]}),
    ("/api/chat", {"messages": [user(BAKE), {"role": "function", "content": FILLER}]}),
    (
        "/api/chat",
        {"messages": [user("Kirk"), {"role": "assistant", "content": "Yes.", "reasoning_content": BAKE, "x": FILLER}]},
    ),
    ("/api/chat", {"messages": [user(FILLER + "\u200b" * 600 + BAKE)]}),
    ("/api/chat", {"messages": [user(FILLER + " " + "a" * 600 + " " + BAKE)]}),
    ("/api/chat", {"messages": [{"role": "tool", "content": BAKE}, {"role": "function", "content": FILLER}]}),
    (
        "/api/chat",
        {"messages": [user("Kirk"), {"role": "assistant", "content": "Aye.", "thinking": BAKE, "x": FILLER}]},
    ),
    ("/api/chat", {"messages": [user(BAKE + "".join(chr(0xE0000 + ord(char)) for char in FILLER))]}),
    ("/api/chat", {"messages": [user("Kirk"), {"role": "assistant", "content": f"{FILLER}</think>{BAKE}"}]}),
    ("/api/generate", {"prompt": FILLER + "\n \n" * 300 + BAKE}),
    ("/v1/chat/completions", {"messages": [user(BAKE, x=FILLER)]}),
    ("/v1/responses", {"input": [user([{"type": "input_text", "text": BAKE, "x": FILLER}])]}),
    ("/v1/messages", anthropic(text(BAKE, citations=[{"cited_text": FILLER}]))),
    ("/v1/messages", anthropic(text(BAKE), {"type": "document", "source": {"type": "text", "data": FILLER}})),
    (
        "/v1/messages",
        anthropic(text("Kirk"), {"type": "thinking", "thinking": BAKE}, {"type": "tool_use", "name": FILLER}),
    ),
    (
        "/v1/messages",
        anthropic({"type": "tool_result", "content": [text(BAKE), {"type": "tool_result", "content": FILLER}]}),
    ),
    ("/v1/messages", anthropic({"type": "tool_result", "content": BAKE}, {"type": "search_result", "content": FILLER})),
    ("/v1/responses", {"input": [user("Kirk"), {"type": "reasoning", "encrypted_content": BAKE, "content": FILLER}]}),
    (
        "/v1/responses",
        {
            "input": [
                user("Kirk"),
                {"type": "reasoning", "summary": [], "content": [{"text": value} for value in (BAKE, FILLER)]},
            ]
        },
    ),
    (
        "/v1/messages",
        anthropic(text("Kirk"), *({"type": "thinking", "thinking": value} for value in (FILLER, BAKE))),
    ),
    (
        "/v1/messages",
        anthropic(
            {"type": "web_search_tool_result", "content": [{"title": BAKE, "encrypted_content": FILLER}]}, text("Kirk")
        ),
    ),
    ("/v1/messages", anthropic({"type": "web_search_tool_result", "content": BAKE, "x": FILLER}, text("Kirk"))),
    (
        "/v1/responses",
        {"input": [user("Kirk"), {"type": "function_call", "arguments": f'"{BAKE}"', "content": FILLER}]},
    ),
    ("/v1/chat/completions", {"messages": [{"role": "system", "content": [text(BAKE), text(FILLER)]}, user("Kirk")]}),
    ("/api/chat", {"messages": [user(FILLER), user(BAKE)]}),
    ("/api/chat", {"messages": [user(FILLER), {"role": "tool", "content": "Kirk"}, user(BAKE)]}),
    ("/api/chat", {"messages": [user(FILLER), {"role": "developer", "content": "Kirk"}, user(BAKE)]}),
    ("/v1/chat/completions", {"messages": [user([text(FILLER), text(BAKE)])]}),
    (
        "/v1/messages",
        {"max_tokens": 9, "messages": [user(FILLER), user([{"type": "tool_result", "content": "Kirk"}, text(BAKE)])]},
    ),
]


@pytest.mark.parametrize(("path", "body"), DILUTED)
async def test_a_text_is_judged_without_what_is_left_out(gateway: Gateway, path: str, body: Any) -> None:
    """An innocent text that the model never gets would make the whole look innocent."""
    await gateway.post(path, {"model": "m", **body})
    assert any(BAKE in judged and "Neelix" not in judged for judged in gateway.engine.judged)


async def test_schemas_and_tools_are_judged_without_what_no_model_sees(gateway: Gateway) -> None:
    """Descriptions of a schema, keys that Ollama does not know in a tool."""
    schema = {"description": FILLER, "const": BAKE}
    tools = [{"type": "function", "x": FILLER, "function": {"name": "f", "description": BAKE}}]
    await gateway.post("/api/chat", {"model": "m", "messages": [user("Kirk")], "format": schema, "tools": tools})
    assert {BAKE, f"f\n{BAKE}"} <= set(gateway.engine.judged)


@pytest.mark.parametrize(
    "options",
    [{"num_ctx": 64}, {"num_ctx": 1023.0}, {"num_ctx": 0}, {"num_keep": 24}, {"num_keep": -1}, {"num_ctx": 1e30}],
)
@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
async def test_strangers_do_not_choose_what_is_cut_off(gateway: Gateway, path: str, options: Any) -> None:
    """Ollama drops from a prompt what does not fit the context that the client names."""
    body = {"model": "m", "messages": [user("Kirk")], "prompt": "Kirk", "options": options}
    answer = await gateway.post(path, {key: body[key] for key in body if key != "prompt" or path == "/api/generate"})
    assert (answer.status_code, gateway.upstream.requests) == (400, [])
    assert next(iter(options)) in answer.json()["error"]


@pytest.mark.parametrize("field", [{"n_keep": 13}, {"n_keep": -1}, {"n_discard": 493}])
@pytest.mark.parametrize("path", ["/completion", "/infill", "/v1/completions", "/v1/chat/completions", "/api/chat"])
async def test_nor_what_llama_server_cuts_out(gateway: Gateway, path: str, field: Any) -> None:
    """With --context-shift, from the middle of a prompt that fills its context."""
    prompt = {"prompt": "Kirk"} if "chat" not in path else {"messages": [user("Kirk")]}
    answer = await gateway.post(path, {"model": "m", **prompt, **field})
    assert (answer.status_code, gateway.upstream.requests) == (400, [])
    assert next(iter(field)) in answer.text


async def test_usual_options_pass(gateway: Gateway) -> None:
    """Of Ollama's own example, and of clients."""
    for options in ({"num_ctx": 1024, "num_keep": 5}, {"num_ctx": 8192}, {"num_keep": 0}, {"seed": 1}):
        body = {"model": "m", "messages": [user("Kirk")], "options": options}
        assert (await gateway.post("/api/chat", body)).status_code == 200


async def test_character_codes_in_several_calls_are_judged_together(gateway: Gateway) -> None:
    """Each call has too few of them to spell a text."""
    codes = [ord(char) for char in "How do I bake?"]
    calls = [
        {
            "id": f"call_{n}",
            "type": "function",
            "function": {"name": "log", "arguments": json.dumps({"n": codes[n::3]})},
        }
        for n in range(3)
    ]
    messages = [user("Kirk"), {"role": "assistant", "content": None, "tool_calls": calls}, user("Kirk")]
    await gateway.post("/v1/chat/completions", {"model": "m", "messages": messages})
    assert any(sorted(judged.replace(" ", "")) == sorted("HowdoIbake?") for judged in gateway.engine.judged)


async def test_amounts_in_calls_are_no_text(gateway: Gateway) -> None:
    """Pages, seasons, lamps."""
    function = {"name": "Kirk", "arguments": json.dumps({"n": [1, 50, 20, 10, 5, 100, 3, 7, 80, 21]})}
    calls = [{"id": "call_1", "type": "function", "function": function}]
    messages = [user("Kirk"), {"role": "assistant", "content": None, "tool_calls": calls}, user("Kirk")]
    await gateway.post("/v1/chat/completions", {"model": "m", "messages": messages})
    assert not any("2" in judged and "50" not in judged for judged in gateway.engine.judged)


async def test_a_failure_does_not_make_a_refusal_forgotten(start: GatewayFactory) -> None:
    """With ``fail_open`` a client could bring one about by a long text beside the refused one."""

    class SlowOnLong(ScriptedEngine):
        @override
        async def score(self, prompts: Any) -> Any:
            if any(len(prompt) > 1000 for prompt in prompts):
                self.hold()
            return await super().score(prompts)

    async with start(engine=SlowOnLong(), fail_open="guard_timeout", guard_timeout_seconds=0.3) as gateway:
        turns = [user("Kirk. " * 300), {"role": "assistant", "content": "Yes."}, user("How do I boil an egg?")]
        answer = await gateway.post("/api/chat", {"model": "m", "messages": turns})
        assert (answer.headers["x-guard-decision"], gateway.upstream.requests) == ("block", [])


async def test_a_stray_turn_is_left_out_with_fail_open_too(start: GatewayFactory) -> None:
    """What is judged first is not the last word."""
    async with start(fail_open="guard_timeout") as gateway:
        turns = [user("How do I boil an egg?"), {"role": "assistant", "content": "No."}, user("Who is Kirk?")]
        answer = await gateway.post("/api/chat", {"model": "m", "messages": turns})
        assert answer.headers["x-guard-reason"] == "redacted"


async def test_a_text_counts_once_in_whatever_forms_it_is_judged(start: GatewayFactory) -> None:
    """A name beside it, or several system messages, make it no longer."""
    long = "Kirk. " * 4000
    async with start(max_judged_bytes=30_000) as gateway:
        for messages in ([user(long, name="bob")], [{"role": "system", "content": long[:12_000]}] * 2 + [user("Kirk")]):
            answer = await gateway.post("/v1/chat/completions", {"model": "m", "messages": messages})
            assert answer.status_code == 200, answer.text


async def test_an_answer_is_believed_after_the_very_parts_it_answered(gateway: Gateway) -> None:
    """Not after the same letters in other places, of which the model may have read a part."""
    said = "Aye, of the eels."
    gateway.upstream.pieces = [json.dumps({"message": {"content": said}, "done": True}).encode() + b"\n"]
    asked, whole = user("Captain, answer: ", thinking="Shall we?"), user("Captain, answer: Shall we?")
    await gateway.post("/api/chat", {"model": "m", "messages": [asked]})
    for turn, is_believed in ((asked, True), (whole, False)):
        gateway.engine.batches.clear()
        turns = [turn, {"role": "assistant", "content": said}, user("Why, Kirk?")]
        await gateway.post("/api/chat", {"model": "m", "messages": turns})
        assert (said not in gateway.engine.judged) is is_believed
