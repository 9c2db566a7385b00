"""One embedded upstream with the real model for all tests, and what to ask it with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import httpx2
import ollama
import openai
import pytest
from anyio.from_thread import start_blocking_portal

from gateway.embedded.server import serve_embedded

SECONDS = 60
"""How long a test waits for an answer on a busy machine."""


@pytest.fixture(scope="session")
def socket_path() -> Iterator[str]:
    """The socket of a running embedded upstream."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serve_embedded()) as address:
        yield address.removeprefix("unix:")


@pytest.fixture
def http(socket_path: str) -> Iterator[httpx.Client]:
    """Plain HTTP to the upstream."""
    transport = httpx.HTTPTransport(uds=socket_path)
    with httpx.Client(transport=transport, base_url="http://embedded", timeout=SECONDS) as client:
        yield client


@pytest.fixture
def ollama_client(socket_path: str) -> Iterator[ollama.Client]:
    """Ollama's own client."""
    with httpx.HTTPTransport(uds=socket_path) as transport:
        yield ollama.Client("http://embedded", transport=transport, timeout=SECONDS)


@pytest.fixture
def openai_client(socket_path: str) -> Iterator[openai.OpenAI]:
    """OpenAI's own client, which gives up at the first error."""
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=socket_path), timeout=SECONDS) as client:
        yield openai.OpenAI(base_url="http://embedded/v1", api_key="none", http_client=client, max_retries=0)


@pytest.fixture
def endless() -> dict[str, Any]:
    """A body for ``/api/generate`` that takes a minute: so hot that the end token has one chance in 20,000."""
    return {
        "model": "smollm2:135m",
        "prompt": "Data, a poem!",
        "options": {"temperature": 100, "top_k": 0, "top_p": 1, "repeat_penalty": 1, "seed": 1, "num_predict": 3500},
    }
