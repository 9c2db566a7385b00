"""DNS rebinding."""

from __future__ import annotations

import pytest

from gateway.middleware.hosts import host_name, is_loopback
from tests.gateway.running import Gateway, GatewayFactory


@pytest.mark.parametrize("host", ["evil.example", "evil.example:11434", "8.8.8.8", "localhost.evil.example"])
async def test_a_name_from_elsewhere_gets_an_empty_403(gateway: Gateway, host: str) -> None:
    """A page whose name now points here must not get in."""
    answer = await gateway.client.get("/api/tags", headers={"Host": host})
    assert (answer.status_code, answer.content) == (403, b"")
    assert gateway.upstream.requests == []


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:9", "[::1]:9", "192.168.1.4", "nas.local", "x.internal", "0.0.0.0"]
)
async def test_local_names_get_in(gateway: Gateway, host: str) -> None:
    """As at Ollama."""
    assert (await gateway.client.get("/api/tags", headers={"Host": host})).status_code == 200


async def test_further_names_are_a_setting(start: GatewayFactory) -> None:
    """For a reverse proxy before the gateway."""
    async with start(allowed_hosts="chat.example") as gateway:
        assert (await gateway.client.get("/api/tags", headers={"Host": "chat.example"})).status_code == 200


def test_the_check_is_for_loopback_only() -> None:
    """Who listens everywhere is asked by any name."""
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "nas")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert [host_name(host) for host in ("A:1", "a", "[::1]:2", "[::1]", "a:b")] == ["a", "a", "::1", "::1", "a:b"]
