"""The guard itself over HTTP."""

from __future__ import annotations

import pytest

from guard.calibration import LabelLogits
from guard.verdict import Reason
from tests.gateway.running import Gateway


async def test_it_says_what_the_predecessor_said(gateway: Gateway) -> None:
    """Names, values, class ids and probabilities that add up to one."""
    unsafe = (await gateway.post("/api/moderate", {"message": "boil an egg"})).json()
    safe = (await gateway.post("/api/moderate", {"message": "Who is Spock?"})).json()
    keys = ("risk_level", "predicted_label", "predicted_class_id")
    assert [unsafe[key] for key in keys] == ["Unsafe", "not_related", 0]
    assert [safe[key] for key in keys] == ["Safe", "related", 1]
    assert set(safe["probabilities"]) == {"not_related", "related"}
    assert sum(safe["probabilities"].values()) == pytest.approx(1.0)
    assert safe["confidence"] == max(safe["probabilities"].values())
    assert {"category", "message"} <= set(safe)


async def test_health_tells_of_the_model(gateway: Gateway) -> None:
    """Under the predecessor's names."""
    state = (await gateway.client.get("/health")).json()
    assert state == {"status": "healthy", "model_loaded": True, "model_name": "scripted-guard"}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"message":""}', b'{"message":1}', b'{"Message":"x"}', b'{"text":"x"}'])
async def test_another_body_is_the_clients_error(gateway: Gateway, body: bytes) -> None:
    """Not a verdict on nothing."""
    answer = await gateway.post("/api/moderate", body)
    assert answer.status_code == 400
    assert isinstance(answer.json()["error"], str)


async def test_a_guard_without_a_number_is_unsafe(gateway: Gateway) -> None:
    """And its confidence is JSON all the same."""
    gateway.engine.answer = LabelLogits(float("nan"), 0.0)
    answer = (await gateway.post("/api/moderate", {"message": "Kirk"})).json()
    assert (answer["risk_level"], answer["confidence"]) == ("Unsafe", 0.0)
    refused = await gateway.post("/api/generate", {"prompt": "Kirk"})
    assert refused.headers["x-guard-reason"] == Reason.NO_SCORE


async def test_a_long_text_is_read_beside_other_requests(gateway: Gateway) -> None:
    """In a thread, to its end."""
    answer = (await gateway.post("/api/moderate", {"message": "Kirk " * 6000 + "egg"})).json()
    assert answer["risk_level"] == "Unsafe"


async def test_a_large_body_is_parsed_beside_other_requests(gateway: Gateway) -> None:
    """In a thread, with the same answer."""
    body = {"model": "m", "prompt": "egg", "options": {"x": "y" * 300_000}, "stream": False}
    assert (await gateway.post("/api/generate", body)).headers["x-guard-decision"] == "block"
