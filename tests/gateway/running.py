"""A whole gateway on a real socket, between a client and a fake upstream on another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from gateway.app import create_app
from gateway.settings import Settings
from tests.fakes import FakeUpstream, ScriptedEngine, serving


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway and what is around it.

    Attributes:
        url: its base address.
        client: asks it.
        upstream: behind it.
        engine: its guard's.
    """

    url: str
    client: httpx.AsyncClient
    upstream: FakeUpstream
    engine: ScriptedEngine

    async def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """POST a JSON value, or bytes as they are."""
        if isinstance(body, bytes):
            return await self.client.post(path, content=body, **more)
        return await self.client.post(path, json=body, **more)


class GatewayFactory(Protocol):
    """Starts a gateway; the keywords are those of :class:`gateway.settings.Settings`, or its environment."""

    def __call__(self, environ: dict[str, str] | None = None, **settings: Any) -> Any:
        """An asynchronous context manager that gives a :class:`Gateway`."""


@asynccontextmanager
async def running_gateway(environ: dict[str, str] | None = None, **settings: Any) -> AsyncIterator[Gateway]:
    """See :class:`GatewayFactory`."""
    upstream, engine = FakeUpstream(), settings.pop("engine", None) or ScriptedEngine()
    async with serving(upstream) as address:
        given = {"STARTREK_GUARD_UPSTREAM": address, "STARTREK_GUARD_HOST": "127.0.0.1"} | (environ or {})
        given |= {f"STARTREK_GUARD_{key.upper()}": str(value) for key, value in settings.items()}
        read = Settings.from_mapping(given)
        served = serving(create_app(read, engine), client_timeout_seconds=read.client_timeout_seconds)
        async with served as url, httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as client:
            yield Gateway(url, client, upstream, engine)
