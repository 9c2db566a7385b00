"""One line and one count per request."""

from __future__ import annotations

import structlog

from tests.gateway.running import Gateway


async def test_a_line_has_the_route_of_the_table_and_the_decision(gateway: Gateway) -> None:
    """And no path as sent."""
    with structlog.testing.capture_logs() as logs:
        await gateway.post("/api/generate", {"model": "m", "prompt": "egg"})
        await gateway.client.get("/v1/models/some-name")
        await gateway.client.get("/nowhere")
    seen = [(line["route"], line["status"], line["decision"]) for line in logs]
    assert seen == [("/api/generate", 200, "block"), ("/v1/models/:model", 200, None), ("other", 404, None)]
    metrics = (await gateway.client.get("/-/metrics")).text
    assert 'startrek_guard_requests_total{route="/v1/models/:model",status="200"} 1.0' in metrics
