"""A closed loop of clients in a process of its own, so that what the clients cost is not the gateway's.

``python -m benchmarks.load_client`` reads a :class:`Job` from its input and writes a :class:`Report`. Each client has
one connection, and asks again as soon as it is answered.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import cycle
from typing import Final

import httpcore
import uvloop

from benchmarks.bodies import JSON_HEADERS, chat_body
from benchmarks.served import environment, stop
from benchmarks.timing import cpu_seconds

_COMMAND: Final = (sys.executable, "-m", "benchmarks.load_client")


@dataclass(frozen=True, slots=True)
class Job:
    """What to ask.

    Attributes:
        url: of ``/api/chat``.
        clients: that ask at the same time.
        texts: each asked once, by whichever client is free.
        endless: ask them over and over, until the process is ended; there is no report then.
    """

    url: str
    clients: int
    texts: list[str]
    endless: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What came back.

    Attributes:
        latencies: seconds a request.
        seconds: from the first request to the last answer.
        cpu_seconds: of the clients' process meanwhile.
        statuses: how many answers had which status.
        refused: how many of them the guard refused.
    """

    latencies: list[float]
    seconds: float
    cpu_seconds: float
    statuses: dict[str, int]
    refused: int

    @property
    def failed(self) -> int:
        """Answers other than 200."""
        return sum(count for status, count in self.statuses.items() if status != "200")


def load(job: Job) -> Report:
    """Do a job in a process of its own."""
    done = subprocess.run(
        _COMMAND, input=json.dumps(asdict(job)), env=environment(), stdout=subprocess.PIPE, text=True, check=True
    )
    return Report(**json.loads(done.stdout))


@contextmanager
def loading(job: Job) -> Iterator[None]:
    """Do an endless job in a process of its own, as long as the block takes; enters with the first request sent."""
    with subprocess.Popen(
        _COMMAND, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(asdict(job)))
            process.stdin.close()
            process.stdout.readline()
            yield
        finally:
            stop(process)


class _Clients:
    """All clients of a job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._bodies = cycle(map(chat_body, job.texts)) if job.endless else iter([*map(chat_body, job.texts)])
        self._latencies: list[float] = []
        self._statuses: Counter[str] = Counter()
        self._refused = 0

    async def run(self) -> Report:
        """Ask until there is nothing left to ask."""
        began, used = time.perf_counter(), cpu_seconds()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._job.clients):
                tasks.create_task(self._client())
        seconds, cpu = time.perf_counter() - began, cpu_seconds() - used
        return Report(self._latencies, seconds, cpu, dict(self._statuses), self._refused)

    async def _client(self) -> None:
        # httpcore is what httpx stands on, and costs half as much: the clients run on the cores that are measured.
        async with httpcore.AsyncConnectionPool(max_connections=1) as connection:
            for body in self._bodies:
                began = time.perf_counter()
                answer = await connection.request("POST", self._job.url, headers=[*JSON_HEADERS.items()], content=body)
                self._latencies.append(time.perf_counter() - began)
                self._statuses[str(answer.status)] += 1
                self._refused += (b"x-guard-decision", b"block") in answer.headers


def main() -> None:
    """Do the job that is told on the input."""
    job = Job(**json.loads(sys.stdin.read()))
    if job.endless:
        print("asking", flush=True)
    # The end of an endless job.
    with suppress(KeyboardInterrupt):
        print(json.dumps(asdict(uvloop.run(_Clients(job).run()))))


if __name__ == "__main__":
    main()
