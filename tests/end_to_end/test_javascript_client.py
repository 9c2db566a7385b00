"""The official JavaScript client works unchanged through the gateway, before a scripted upstream."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.framing import compact_json, ndjson_line
from tests.gateway.running import Gateway, running_gateway

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="needs node and npm"),
]

PACKAGE: Final = "ollama@0.6"
SCRIPT: Final = Path(__file__).parent / "ollama_client.mjs"
INSTALL_SECONDS: Final = 180

REFUSAL: Final = "I can only help with Star Trek topics."
ON_TOPIC: Final = "Who is Spock?"
OFF_TOPIC: Final = "How do I boil an egg?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the client is installed, with the script beside it."""
    path = tmp_path_factory.mktemp("javascript")
    (path / "package.json").write_text('{"private": true}')
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-progress", PACKAGE]
    done = subprocess.run(command, cwd=path, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    shutil.copy(SCRIPT, path)
    return path


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """A gateway with the default settings."""
    async with running_gateway() as running:
        yield running


async def ask(folder: Path, gateway: Gateway, method: str, request: dict[str, Any]) -> dict[str, Any]:
    """What the client got."""
    told = compact_json({"host": gateway.url, "method": method, "request": {"model": "m", **request}})
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("node", SCRIPT.name, cwd=folder, stdin=pipe, stdout=pipe)
    output, _ = await asyncio.wait_for(process.communicate(told), 60)
    found: dict[str, Any] = json.loads(output)
    return found


def answering(gateway: Gateway, field: str, text: str, *, stream: bool) -> None:
    """Let the upstream say ``text`` as Ollama would."""

    def line(content: str, **more: Any) -> dict[str, Any]:
        said = {"message": {"role": "assistant", "content": content}} if field == "message" else {"response": content}
        return {"model": "m", "created_at": "2026-01-01T00:00:00Z", **said, **more}

    end = {"done": True, "done_reason": "stop", "eval_count": 2, "eval_duration": 9}
    if stream:
        gateway.upstream.pieces = [ndjson_line(line(word, done=False)) for word in text.split(" ")]
        gateway.upstream.pieces.append(ndjson_line(line("", **end)))
    else:
        gateway.upstream.headers = [(b"content-type", b"application/json; charset=utf-8")]
        gateway.upstream.pieces = [compact_json(line(text, **end))]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_chat_is_answered_or_refused(folder: Path, gateway: Gateway, stream: bool) -> None:
    """Piece by piece or at once, both as turns of the assistant."""
    answering(gateway, "message", "A Vulcan.", stream=stream)
    said = {}
    for text in (ON_TOPIC, OFF_TOPIC):
        request = {"messages": [{"role": "user", "content": text}], "stream": stream}
        parts = (await ask(folder, gateway, "chat", request))["parts"]
        said[text] = [part["message"]["content"] for part in parts]
        assert (parts[-1]["done"], parts[-1]["done_reason"]) == (True, "stop")
    assert said[ON_TOPIC] == (["A", "Vulcan.", ""] if stream else ["A Vulcan."])
    assert said[OFF_TOPIC] == ([REFUSAL, ""] if stream else [REFUSAL])
    assert len(gateway.upstream.requests) == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_a_prompt_is_answered_or_refused(folder: Path, gateway: Gateway, stream: bool) -> None:
    """The other prompt route."""
    answering(gateway, "response", "A Vulcan.", stream=stream)
    said = {}
    for text in (ON_TOPIC, OFF_TOPIC):
        parts = (await ask(folder, gateway, "generate", {"prompt": text, "stream": stream}))["parts"]
        said[text] = " ".join(part["response"] for part in parts if part["response"])
    assert said == {ON_TOPIC: "A Vulcan.", OFF_TOPIC: REFUSAL}


async def test_an_error_is_the_clients_own_exception(folder: Path, gateway: Gateway) -> None:
    """With our sentence in it."""
    got = await ask(folder, gateway, "generate", {"prompt": ON_TOPIC, "images": ["aGk="]})
    assert got["status"] == 400
    assert "STARTREK_GUARD_CHANNEL_IMAGES" in got["error"]
    assert "disabled" in (await ask(folder, gateway, "pull", {}))["error"]
