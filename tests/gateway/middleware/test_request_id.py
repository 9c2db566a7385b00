"""A name for each request."""

from __future__ import annotations

import re

from tests.gateway.running import Gateway


async def test_a_usable_name_is_kept_and_another_replaced(gateway: Gateway) -> None:
    """A log line must not be what a client writes."""
    kept = await gateway.client.get("/api/tags", headers={"X-Request-Id": "abc-1.2_3"})
    made = await gateway.client.get("/api/tags", headers={"X-Request-Id": 'x" level="error'})
    assert kept.headers["x-request-id"] == "abc-1.2_3"
    assert re.fullmatch("[0-9a-f]{32}", made.headers["x-request-id"])
