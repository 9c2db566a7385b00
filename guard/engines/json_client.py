"""JSON over HTTP to a model server, with every failure told as an engine's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx

from guard.engines.base import EngineAnswerError, EngineTimeoutError, EngineUnavailableError

_ERROR_CHARACTERS: Final = 200
"""Of a server's own error text that are passed on."""

_ABOUT_THE_PROMPT: Final = frozenset(
    {httpx.codes.BAD_REQUEST, httpx.codes.REQUEST_ENTITY_TOO_LARGE, httpx.codes.UNPROCESSABLE_ENTITY}
)
"""What a server says to one prompt, such as one that is longer than its context; the next may be answered."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class RefusedError(EngineUnavailableError):
    """The server answered with an error.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """How long and how often a server is asked.

    Attributes:
        timeout_s: for one prompt.
        start_timeout_s: for each request of the start, one of which may load the model.
        concurrency: prompts sent at a time; more than the server computes at a time only queue there.
    """

    timeout_s: float = 10.0
    start_timeout_s: float = 120.0
    concurrency: int = 4


DEFAULT_LIMITS: Final = ServerLimits()


class JsonClient:
    """A connection pool to one server.

    Args:
        url: of the server; paths are put behind it.
        headers: sent with every request.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self.url = url.rstrip("/")
        # Prompts go to the server that was named, not through a proxy that the environment names; deadlines are
        # kept by :meth:`request` itself, because httpx's count from one byte to the next.
        self._client = httpx.AsyncClient(headers=dict(headers or {}), timeout=None, trust_env=False)  # noqa: S113

    async def request(self, method: str, path: str, timeout_s: float, body: object = None) -> dict[str, Any]:
        """The object that the server answers.

        Raises:
            EngineTimeoutError: if the whole answer is not there in time.
            EngineUnavailableError: if the server can't be reached.
            RefusedError: if it answers with an error.
            EngineAnswerError: if that is about this request alone, or it answers no JSON object.
        """
        where = f"{method} {self.url}{path}"
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._client.request(method, self.url + path, json=body)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise EngineTimeoutError(f"{where}: no answer within {timeout_s:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:  # RuntimeError: the client was closed
            raise EngineUnavailableError(f"{where}: {str(error) or type(error).__name__}") from error
        if response.status_code in _ABOUT_THE_PROMPT:
            raise EngineAnswerError(_refusal(where, response))
        if response.status_code != httpx.codes.OK:
            raise RefusedError(_refusal(where, response), response.status_code)
        return _json_object(response, where)

    async def aclose(self) -> None:
        """Close the connections; twice does no harm."""
        await self._client.aclose()


def _refusal(where: str, response: httpx.Response) -> str:
    return f"{where}: status {response.status_code}: {response.text[:_ERROR_CHARACTERS]}"


def _json_object(response: httpx.Response, where: str) -> dict[str, Any]:
    try:
        answer = response.json()
    except (ValueError, RecursionError) as error:
        raise EngineAnswerError(f"{where}: the answer is not JSON") from error
    if not isinstance(answer, dict):
        raise EngineAnswerError(f"{where}: the answer is {type(answer).__name__}, wanted an object")
    return answer


async def map_bounded(
    work: Callable[[_Item], Awaitable[_Result]], items: Sequence[_Item], limit: asyncio.Semaphore
) -> list[_Result]:
    """``work`` on each item, so many at a time as ``limit`` lets; the first failure stops the others."""

    async def bounded(item: _Item) -> _Result:
        async with limit:
            return await work(item)

    tasks = [asyncio.ensure_future(bounded(item)) for item in items]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
