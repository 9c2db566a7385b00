"""A client of Ollama notices nothing of the gateway but its refusals."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import ollama
import openai
import pytest

pytestmark = pytest.mark.slow

MODEL = "smollm2:135m"
ON_TOPIC = "Who is Spock?"
OFF_TOPIC = "How do I boil an egg?"
REFUSAL = "I can only help with Star Trek topics."


@pytest.fixture(name="client")
def _client(guarded_url: str) -> Iterator[ollama.Client]:
    """Ollama's official client at the gateway."""
    with ollama.Client(guarded_url) as client:
        yield client


def _ask(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_on_topic_chat_is_answered_by_the_model(client: ollama.Client) -> None:
    """The official client gets a real answer to a question on topic."""
    answer = client.chat(MODEL, _ask(ON_TOPIC), options={"num_predict": 12})

    assert answer.message.content
    assert answer.message.content != REFUSAL
    assert 1 <= (answer.eval_count or 0) <= 12


def test_on_topic_chat_streams(client: ollama.Client) -> None:
    """The official client reads a streamed answer piece by piece."""
    chunks = list(client.chat(MODEL, _ask(ON_TOPIC), stream=True, options={"num_predict": 12}))

    assert len(chunks) > 3
    assert chunks[-1].done


def test_off_topic_chat_is_refused_as_an_assistant_turn(client: ollama.Client) -> None:
    """The official client reads the refusal as an ordinary answer."""
    answer = client.chat(MODEL, _ask(OFF_TOPIC))

    assert answer.message.content == REFUSAL
    assert (answer.done, answer.done_reason) == (True, "stop")


def test_off_topic_chat_is_refused_in_a_stream(client: ollama.Client) -> None:
    """The official client reads the refusal from a stream that ends as any other."""
    chunks = list(client.chat(MODEL, _ask(OFF_TOPIC), stream=True))

    assert "".join(chunk.message.content or "" for chunk in chunks) == REFUSAL
    assert (chunks[-1].done, chunks[-1].done_reason) == (True, "stop")


def test_generate_is_guarded_too(client: ollama.Client) -> None:
    """The other prompt route of the official client is answered and refused alike."""
    assert client.generate(MODEL, ON_TOPIC, options={"num_predict": 4}).response != REFUSAL
    assert client.generate(MODEL, OFF_TOPIC).response == REFUSAL


def test_openai_clients_are_guarded(guarded_url: str) -> None:
    """The OpenAI client reads answer and refusal at the same server."""
    with openai.OpenAI(base_url=f"{guarded_url}/v1", api_key="none") as client:
        answers = [
            client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}], max_tokens=4)
            for text in (ON_TOPIC, OFF_TOPIC)
        ]

    allowed, refused = (answer.choices[0].message.content for answer in answers)
    assert allowed != REFUSAL
    assert refused == REFUSAL


def test_moderate_keeps_the_predecessors_contract(guarded_url: str) -> None:
    """The predecessor's clients get the fields they read."""
    answer = httpx.post(f"{guarded_url}/api/moderate", json={"message": OFF_TOPIC}).json()

    assert (answer["risk_level"], answer["predicted_label"], answer["predicted_class_id"]) == (
        "Unsafe",
        "not_related",
        0,
    )
    assert answer["confidence"] == pytest.approx(max(answer["probabilities"].values()), abs=1e-3)


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b'{"model": 1, "messages": []}', 400), (b'{"model": "none", "messages": []}', 404)],
)
def test_bad_input_gets_ollamas_error_shape(guarded_url: str, body: bytes, status: int) -> None:
    """Bad bodies and unknown models are errors as Ollama writes them."""
    answer = httpx.post(f"{guarded_url}/api/chat", content=body)

    assert answer.status_code == status
    assert isinstance(answer.json()["error"], str)
