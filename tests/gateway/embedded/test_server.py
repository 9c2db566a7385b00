"""The server inside a server: private, quiet, and gone when it is stopped."""

from __future__ import annotations

import asyncio
import logging
import signal
import stat
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.embedded.server import serve_embedded

pytestmark = pytest.mark.slow


def client_of(address: str) -> httpx.AsyncClient:
    """A client of the upstream at ``address``."""
    transport = httpx.AsyncHTTPTransport(uds=address.removeprefix("unix:"))
    return httpx.AsyncClient(transport=transport, base_url="http://embedded", timeout=60)


async def test_only_this_user_can_reach_the_socket() -> None:
    """It lies in a folder of mode 0700, which is gone afterwards."""
    async with serve_embedded() as address:
        folder = Path(address.removeprefix("unix:")).parent
        mode = stat.S_IMODE(folder.stat().st_mode)

    assert (mode, folder.exists()) == (0o700, False)


async def test_a_temporary_folder_with_a_long_path_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket's path may have 107 bytes only."""
    deep = tmp_path / ("x" * 90)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))

    async with serve_embedded() as address, client_of(address) as client:
        assert (await client.get("/")).text == "Ollama is running"


async def test_the_signal_handlers_stay_the_gateways() -> None:
    """A second server in the process must not take its Ctrl-C."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    async with serve_embedded():
        assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


async def test_stopping_ends_running_answers_and_leaves_nothing_behind(endless: dict[str, Any]) -> None:
    """A stream gets a line that says why; no thread and no task is left."""
    before = set(threading.enumerate())
    async with serve_embedded() as address:
        client = client_of(address)
        lines = asyncio.create_task(read_lines(client, endless))
        await asyncio.sleep(1)
    last = (await lines)[-1]
    await client.aclose()

    assert last == '{"error":"the embedded model is shutting down"}'
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert "embedded-model" not in {thread.name for thread in set(threading.enumerate()) - before}


async def read_lines(client: httpx.AsyncClient, body: dict[str, Any]) -> list[str]:
    """All lines of a streamed answer."""
    async with client.stream("POST", "/api/generate", json=body) as answer:
        return [line async for line in answer.aiter_lines()]


async def test_a_client_that_leaves_during_its_upload_makes_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    """No traceback: it is nobody's mistake."""
    async with serve_embedded() as address:
        _reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
        writer.write(b'POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"model":')
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.1)

    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_prompts_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Neither in good calls nor in bad ones, at any level."""
    caplog.set_level(logging.DEBUG)
    async with serve_embedded() as address, client_of(address) as client:
        body = {"model": "smollm2", "prompt": "Makh'Tar", "stream": False, "options": {"num_predict": 1}}
        await client.post("/api/generate", json=body)
        await client.post("/api/generate", json=body | {"stream": "Makh'Tar"})

    assert "Makh'Tar" not in caplog.text
