"""A client that leaves stops its answer, and others wait no longer for it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import ollama
import pytest

pytestmark = pytest.mark.slow

MODEL = "smollm2:135m"
SOON = 15.0
"""Seconds in which a freed model answers on a busy machine; what is broken off would take a minute on an idle one."""


def ask_shortly(client: ollama.Client) -> float:
    """Ask for one token and say how many seconds it took."""
    begun = time.monotonic()
    assert client.generate(MODEL, "hi", options={"num_predict": 1}).done
    return time.monotonic() - begun


def test_a_client_that_leaves_a_stream_stops_it(
    http: httpx.Client, ollama_client: ollama.Client, endless: dict[str, Any]
) -> None:
    """The next call is answered at once."""
    with http.stream("POST", "/api/generate", json=endless) as answer:
        next(answer.iter_lines())

    assert ask_shortly(ollama_client) < SOON


def test_a_client_that_does_not_wait_for_a_whole_answer_stops_it(
    http: httpx.Client, ollama_client: ollama.Client, endless: dict[str, Any]
) -> None:
    """Nothing was sent yet, so only the connection tells."""
    with pytest.raises(httpx.ReadTimeout):
        http.post("/api/generate", json={**endless, "stream": False}, timeout=0.5)

    assert ask_shortly(ollama_client) < SOON


def test_a_client_that_leaves_while_its_prompt_is_read_stops_it(
    http: httpx.Client, ollama_client: ollama.Client
) -> None:
    """A prompt of 4,000 tokens is read for half a minute."""
    with pytest.raises(httpx.ReadTimeout):
        http.post("/api/generate", json={"model": MODEL, "prompt": "warp " * 4000}, timeout=0.5)

    assert ask_shortly(ollama_client) < SOON


def test_a_client_that_leaves_the_queue_is_never_answered(
    http: httpx.Client, ollama_client: ollama.Client, endless: dict[str, Any]
) -> None:
    """The call behind it is next."""
    with http.stream("POST", "/api/generate", json=endless) as answer:
        lines = answer.iter_lines()  # held: httpx closes the connection with it
        next(lines)
        with pytest.raises(httpx.ReadTimeout):
            http.post("/api/generate", json={**endless, "stream": False}, timeout=0.3)
        next(lines)

    assert ask_shortly(ollama_client) < SOON


def test_calls_at_the_same_time_are_answered_one_after_another(ollama_client: ollama.Client) -> None:
    """Each with its own answer, the same as alone."""
    prompts = ["Who is Kirk?", "Name a Klingon.", "What is warp?"]

    def ask(prompt: str) -> str:
        return ollama_client.generate(MODEL, prompt, options={"num_predict": 6, "seed": 3}).response or ""

    alone = [ask(prompt) for prompt in prompts]
    with ThreadPoolExecutor(len(prompts)) as pool:
        together = list(pool.map(ask, prompts))

    assert alone == together
