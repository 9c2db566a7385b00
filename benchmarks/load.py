"""Many clients: requests a second beside bare llama.cpp's batched rate, latencies, and whether short texts starve."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.bare_batches import Cost, bare_cost
from benchmarks.bare_llama import BATCH_PROMPTS
from benchmarks.bodies import long_text
from benchmarks.context import Context
from benchmarks.load_client import Job, Report, load, loading
from benchmarks.plots import Line, plot_lines
from benchmarks.results import Section, Table, Target
from benchmarks.served import Listening, Served, served, upstream
from benchmarks.texts import distinct_texts, single_turns
from benchmarks.timing import cpu_seconds, milliseconds, percentile
from guard.engines.base import SHORT_PROMPT_BYTES
from guard.engines.llama_cpp import SPINS
from guard.engines.loaded_guard import COMPANY_SLICE_TOKENS, SLICE_TOKENS
from guard.prompt import Role, Turn, render_prompts

CLIENTS: Final = (1, 4, 16, 64)
PERCENTS: Final = (50, 95, 99)

SHORT_BYTES: Final = 80
SHORT_REQUESTS: Final = 200
LONG_BYTES: Final = 130_000
"""About 32,000 tokens."""

_NOT_REMEMBERING: Final = {"CACHE_MAX_BYTES": "0"}
_LONG_TEXTS_ALLOWED: Final = {
    **_NOT_REMEMBERING,
    "MAX_JUDGED_BYTES": str(2 * LONG_BYTES),
    "GUARD_TIMEOUT_SECONDS": "900",
}

_TEXT: Final = f"""
Clients in a process of its own (httpcore under uvloop), each with one connection, ask again as soon as they are
answered: `/api/chat` without streaming, single-turn test rows in their natural mix, off-topic ones included, before a
canned upstream. Nothing is remembered (`STARTREK_GUARD_CACHE_MAX_BYTES=0`). Gateway, clients and upstream share this
machine's cores with the guard; the third table tells what each takes of them, the gateway's with the guard in it.

The bare rate is that of llama.cpp alone on the same tokens: batches of {BATCH_PROMPTS} texts, cut into tokens and
filled beforehand, in a process of its own while there is no load; with llama.cpp's default spinning, and with the
guard's (`GOMP_SPINCOUNT={SPINS}`), which leaves the cores to others sooner. Figures are medians of the rounds.

For fairness, one client asks short texts (up to {SHORT_BYTES} bytes), first alone, then while another has texts of
{LONG_BYTES:,} bytes judged without a pause. The gateway refuses such texts by default
(`STARTREK_GUARD_MAX_JUDGED_BYTES`); the bound is raised for this.

Bare llama.cpp has all cores to itself, a gateway shares them with its own Python, the upstream and the clients. *Cores
busy* is what they use of them together; what is left over is waiting, for a batch to be filled or a thread to be woken.
These two are what the gateway lacks to the bare rate: were both cores always busy, 16 clients would have
{{ceiling:.2f}} of it, by the processor time of a text alone.

What follows was tried on the Xeon below, with the parts of this benchmark in turns and the constant changed.

For 16 clients, batches of at most 8 and of 32 prompts, two runs each: 55 to 59 and 55 to 57 requests/s, where 16 have
58. And threads that look 4,000 and 20,000 times before they sleep, three runs each: 56 to 63 and 55 to 61, where 1,000
have 53 to 60. None of it is more than noise. `perf record -p` on the gateway while 16 clients ask: 87 % of its
processor time is in llama.cpp's kernels, 5 % in Python, 4 % in the system, 2 % in threads that wait for each other.

The longest latencies are those of the longest rows: one client, who waits for nobody, has a p99 of {{alone:.1f}} times
the p50. Prompts up to {SHORT_PROMPT_BYTES:,} bytes share batches. Up to commit 71ec923 those up to 512 bytes did, and
longer ones were computed in slices, between which the short ones came in: the p99 of 4 clients was 4.1 to 4.6 times the
p50 (five runs); since then it is 3.0 to 3.6 times (eight runs of commit f5d0e2f).

Short texts beside long ones wait for the slice that is being computed: {COMPANY_SLICE_TOKENS} tokens while short ones
keep coming, {SLICE_TOKENS} else, which costs less a token (`lengths`). With 32 tokens in place of
{COMPANY_SLICE_TOKENS}, their p50 beside long ones was 55 to 58 ms, where it was 35 to 37 (three runs in turns).
"""


@dataclass(frozen=True, slots=True)
class _Level:
    """One round at one number of clients.

    Attributes:
        report: of the clients.
        gateway_cpu_seconds: of the gateway's process meanwhile, the guard's included.
        upstream_cpu_seconds: of the canned upstream's.
    """

    report: Report
    gateway_cpu_seconds: float
    upstream_cpu_seconds: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.report.latencies) / self.report.seconds

    def latency(self, percent: int) -> float:
        """Seconds."""
        return percentile(self.report.latencies, percent)

    @property
    def cpu_milliseconds(self) -> tuple[float, float, float]:
        """Of a request: in the gateway, the clients, and the upstream, which those that are refused never reach."""
        all_seconds = (self.gateway_cpu_seconds, self.report.cpu_seconds, self.upstream_cpu_seconds)
        gateway, clients, behind = (1000 * seconds / len(self.report.latencies) for seconds in all_seconds)
        return gateway, clients, behind


@dataclass(slots=True)
class _Found:
    """What all rounds found.

    Attributes:
        levels: by clients, a round each.
        texts: how many there are.
        bare: what bare llama.cpp takes for all of them, a round each.
        bare_yielding: the same with the guard's spinning.
        short_alone: seconds of short requests with nothing beside them.
        short_beside: and beside long ones.
    """

    texts: int
    levels: dict[int, list[_Level]] = field(default_factory=lambda: {clients: [] for clients in CLIENTS})
    bare: list[Cost] = field(default_factory=list)
    bare_yielding: list[Cost] = field(default_factory=list)
    short_alone: list[float] = field(default_factory=list)
    short_beside: list[float] = field(default_factory=list)

    def median_latency(self, clients: int, percent: int) -> float:
        """Seconds, median of the rounds."""
        return statistics.median(level.latency(percent) for level in self.levels[clients])

    def median_rate(self, clients: int) -> float:
        """Requests a second, median of the rounds."""
        return statistics.median(level.rate for level in self.levels[clients])

    def bare_rate(self, costs: Sequence[Cost]) -> float:
        """Texts a second, median of the rounds."""
        return statistics.median(self.texts / cost.seconds for cost in costs)


def measure(context: Context) -> Section:
    """All levels and the bare rate in turn, then fairness."""
    texts = distinct_texts(context, context.rows)
    found = _Found(len(texts))
    with upstream() as behind:
        for _ in range(context.rounds):
            _measure_bare(context, texts, found)
            with served(behind.url, _NOT_REMEMBERING) as gateway:
                _measure_levels(gateway, behind, texts, found)
        with served(behind.url, _LONG_TEXTS_ALLOWED) as gateway:
            _measure_fairness(context, gateway, found)
    return _section(found)


def _measure_bare(context: Context, texts: Sequence[str], found: _Found) -> None:
    prompts = [prompt for text in texts for prompt in render_prompts([Turn(Role.USER, text)], context.template)]
    found.bare.append(bare_cost(context.guard, prompts))
    found.bare_yielding.append(bare_cost(context.guard, prompts, SPINS))


def _measure_levels(gateway: Served, behind: Listening, texts: list[str], found: _Found) -> None:
    load(_job(gateway, 4, texts[:16]))  # warm-up
    for clients in CLIENTS:
        pids = (gateway.pid, behind.pid)
        before = [cpu_seconds(pid) for pid in pids]
        report = load(_job(gateway, clients, texts))
        used = [cpu_seconds(pid) - then for pid, then in zip(pids, before, strict=True)]
        found.levels[clients].append(_Level(report, *used))


def _measure_fairness(context: Context, gateway: Served, found: _Found) -> None:
    texts = [row.text for row in single_turns(context)]
    short = [text for text in texts if len(text.encode()) <= SHORT_BYTES][:SHORT_REQUESTS]
    load(_job(gateway, 1, short[:8]))  # warm-up
    for _ in range(context.rounds):
        found.short_alone += load(_job(gateway, 1, short)).latencies
        with loading(Job(_chat(gateway), 1, [long_text(texts, LONG_BYTES)], endless=True)):
            found.short_beside += load(_job(gateway, 1, short)).latencies


def _job(gateway: Served, clients: int, texts: list[str]) -> Job:
    return Job(_chat(gateway), clients, texts)


def _chat(gateway: Served) -> str:
    return f"{gateway.url}/api/chat"


def _section(found: _Found) -> Section:
    tables = [_levels_table(found), _rates_table(found), _processor_table(found), _fairness_table(found)]
    text = _TEXT.format(ceiling=_ceiling(found), alone=found.median_latency(1, 99) / found.median_latency(1, 50))
    return Section("load", "Many clients", text, tables, _targets(found), [_plot(found)])


def _levels_table(found: _Found) -> Table:
    columns = ["clients", "requests/s", "p50 ms", "p95 ms", "p99 ms", "refused", "failed"]
    rows = []
    for clients, levels in found.levels.items():
        refused = statistics.median(level.report.refused for level in levels) / found.texts
        rows.append(
            [
                str(clients),
                f"{found.median_rate(clients):.1f}",
                *(milliseconds(found.median_latency(clients, percent)) for percent in PERCENTS),
                f"{refused:.0%}",
                str(sum(level.report.failed for level in levels)),
            ]
        )
    return Table(columns, rows)


def _rates_table(found: _Found) -> Table:
    bare, yielding = (found.bare_rate(costs) for costs in (found.bare, found.bare_yielding))
    return Table(
        ["texts a second", "rate", "of bare"],
        [
            ["bare llama.cpp", f"{bare:.1f}", "1.00"],
            ["bare llama.cpp, the guard's spinning", f"{yielding:.1f}", f"{yielding / bare:.2f}"],
            *(
                [f"gateway, {clients} clients", f"{found.median_rate(clients):.1f}", f"{_share(found, clients):.2f}"]
                for clients in CLIENTS
            ),
        ],
    )


def _share(found: _Found, clients: int) -> float:
    """Of the bare rate; round by round, so that a slow machine is slow for both."""
    pairs = zip(found.levels[clients], found.bare, strict=True)
    return statistics.median(level.rate * bare.seconds / found.texts for level, bare in pairs)


def _ceiling(found: _Found) -> float:
    """Of the bare rate, what 16 clients could have of cores that are as busy as bare llama.cpp keeps them."""
    pairs = zip(found.levels[16], found.bare, strict=True)
    return statistics.median(
        1000 * bare.cpu_seconds / found.texts / sum(level.cpu_milliseconds) for level, bare in pairs
    )


def _processor_table(found: _Found) -> Table:
    columns = ["CPU ms of one text", "llama.cpp or gateway", "clients", "upstream", "cores busy"]
    rows = [
        [name, _median_of([1000 * cost.cpu_seconds / found.texts for cost in costs]), "–", "–", _busy(costs)]
        for name, costs in (
            ("bare llama.cpp", found.bare),
            ("bare llama.cpp, the guard's spinning", found.bare_yielding),
        )
    ]
    for clients, levels in found.levels.items():
        parts = [_median_of(column) for column in zip(*(level.cpu_milliseconds for level in levels), strict=True)]
        busy = _median_of([sum(level.cpu_milliseconds) * level.rate / 1000 for level in levels])
        rows.append([f"gateway, {clients} clients", *parts, busy])
    return Table(columns, rows)


def _busy(costs: Sequence[Cost]) -> str:
    return _median_of([cost.cpu_seconds / cost.seconds for cost in costs])


def _median_of(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f}"


def _fairness_table(found: _Found) -> Table:
    named = {"alone": found.short_alone, "beside long texts": found.short_beside}
    rows = [
        [name, str(len(values)), *(milliseconds(percentile(values, percent)) for percent in PERCENTS)]
        for name, values in named.items()
    ]
    return Table(["short texts, one client, ms", "requests", "p50", "p95", "p99"], rows)


def _targets(found: _Found) -> list[Target]:
    p50, p99 = (found.median_latency(4, percent) for percent in (50, 99))
    alone, beside = percentile(found.short_alone, 50), percentile(found.short_beside, 95)
    failed = sum(level.report.failed for levels in found.levels.values() for level in levels)
    return [
        Target(f"p99 ({p99 * 1e3:.0f} ms) as a multiple of p50 ({p50 * 1e3:.0f} ms), 4 clients", p99 / p50, 3),
        Target("requests/s with 16 clients, share of bare batched llama.cpp", _share(found, 16), 0.85, at_most=False),
        Target(
            f"short texts beside long ones: p95 ({beside * 1e3:.0f} ms) as a multiple of p50 alone "
            f"({alone * 1e3:.1f} ms)",
            beside / alone,
            5,
        ),
        Target("answers other than 200 under load", failed, 0),
    ]


def _plot(found: _Found) -> str:
    lines = [
        Line(f"p{percent}", CLIENTS, [found.median_latency(clients, percent) * 1e3 for clients in CLIENTS])
        for percent in PERCENTS
    ]
    return plot_lines("load.svg", lines, x="clients", y="latency, ms", x_ticks=CLIENTS)
