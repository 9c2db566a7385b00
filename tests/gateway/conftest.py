"""A running gateway for every test that wants one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.gateway.running import Gateway, GatewayFactory, running_gateway


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """A gateway with the default settings."""
    async with running_gateway() as running:
        yield running


@pytest.fixture
def start() -> GatewayFactory:
    """Starts gateways with settings of the test's own."""
    return running_gateway
