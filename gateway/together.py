"""Several calls at once, of which one failure is as good as all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

_Result = TypeVar("_Result")


async def together(calls: Sequence[Callable[[], Awaitable[_Result]]]) -> list[_Result]:
    """The results of all calls, in order; the first failure cancels the others and is raised as it is.

    Not :class:`asyncio.TaskGroup`: on Python 3.11 the task around one stays marked as being cancelled after a failure,
    and an anyio scope further out then takes its own cancellation for somebody else's and lets it through. It was
    reworked in 3.13 (https://github.com/python/cpython/issues/116720).
    """
    # A group costs a task and two scopes, and most requests have one text that is new.
    if len(calls) == 1:
        return [await calls[0]()]
    results: dict[int, _Result] = {}
    failures: list[Exception] = []
    async with anyio.create_task_group() as group:

        async def run(index: int, call: Callable[[], Awaitable[_Result]]) -> None:
            try:
                results[index] = await call()
            except Exception as error:  # noqa: BLE001 -- raised below, outside of the group that would wrap it
                failures.append(error)
                group.cancel_scope.cancel()

        for index, call in enumerate(calls):
            group.start_soon(run, index, call)
    if failures:
        raise failures[0]
    return [results[index] for index in range(len(calls))]
