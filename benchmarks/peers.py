"""The guard beside other ways to do it: how fast, and how often right."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

from benchmarks.bare_llama import BATCH_PROMPTS
from benchmarks.context import Context
from benchmarks.embeddings import Embeddings
from benchmarks.full_base import full_base
from benchmarks.guard_server import SLOTS
from benchmarks.http_clients import HttpClients
from benchmarks.listening import listening
from benchmarks.llama_process import LlamaProcess
from benchmarks.results import Section, Table, Target
from benchmarks.rounds import Measured, Timing, chunked, interleave, measured
from benchmarks.timing import milliseconds
from export.training_base import training_base
from guard.calibration import LabelLogits
from guard.engines.listed_tokens import label_logits, read_list
from guard.engines.llama_cpp import SPINS
from guard.prompt import render_prompts
from guard.verdict import judge
from startrek_guard.guards import open_adapter
from train.baselines import Baseline, logistic_regression, naive_bayes
from train.generate import Side
from train.hard import read_hard
from train.rows import Row
from train.run import DATA

_CHUNK: Final = 96
"""Six batches, and long enough that 16 clients are mostly 16."""

_EMBEDDED_ROWS: Final = 8000
_WHOLE_RUN_ROWS: Final = 1000
"""With fewer test rows, a run is for trying: it fits and judges on samples."""

_SEED: Final = "peers"

_ENGINE: Final = "the guard's engine"
_ENGINE_TOGETHER: Final = f"the guard's engine, {BATCH_PROMPTS} at once"
_PREDECESSOR: Final = "predecessor's way: the same model in transformers, float32, Flask"
_PREDECESSOR_FULL: Final = "predecessor's way, the whole base"
_SERVER: Final = "llama-server, the guard's file"
_SERVER_SHORT_WAIT: Final = f"llama-server, GOMP_SPINCOUNT={SPINS}"
_MANY: Final = f", {SLOTS} clients"

_TEXT: Final = """{prompts} prompts of the test side, {rounds} rounds; in each, a way computes {chunk} prompts, then
the next way does. Nothing is remembered between prompts. Accuracy is on {hard} rows of the hard set, which none of them
was trained on; the guard's three forms are judged with its calibrated threshold, the others at one half.

* *The guard's engine*, a process of its own, from the rendered prompt to the two logits.
* *The predecessor's way*: the same weights before they were quantised, adapter merged, in transformers at float32
  behind Flask with a lock, asked by one client over a kept connection. *The whole base* is the same with all layers and
  tokens of the guard's base and a head that was not trained, so only its time counts.
* *llama-server* (xllamacpp) with the guard's file and {slots} slots, asked for the likeliest two tokens by httpx, with
  OpenMP's default waiting and with the engine's.
* TF-IDF with logistic regression and naive Bayes fitted on {train:,} rows of the training side; MiniLM
  (all-MiniLM-L6-v2 in transformers) with logistic regression on a seeded sample of {embedded:,} of them. They read the
  last turn only.

Processor time is that of the process that computes: the HTTP client's own, which shares the machine's cores, is left
out. Time is the client's where there is one.

The engine computes what bare llama.cpp computes (first section), so where a ratio is below what is wanted, the
difference is between llama.cpp's kernels and torch's for float32: the second table has the median times by length, one
prompt at a time. By `perf record -p` on a gateway that 16 clients ask, on a Xeon, 57 % of the processor time is one
function, the product of Q4_0 blocks. Of the instructions of its inner loop (`objdump -d`), 28 multiply (vpdpbusd) and
56 only move signs (29 vpsubb, 15 vpabsb, 12 vpmovb2m), since vpdpbusd takes one factor without a sign.
llama.cpp is compiled without its code for AMX, a unit of newer Xeons, with which the guard was faster on the Xeon of
commit 912a87f (docs/usage.md, Xeons with AMX); that was tried on this one machine only. The Xeon below does not show
its AMX to the system.
llama-server's processor time beside the engine's is what its HTTP, its slots, its waiting and its sampling from the
whole vocabulary take.

Such ratios depend on the processor, too: with 288 of these prompts (commit 1bb3433) the three were 10.8, 7.22 and 2.15
on a 2-core AMD EPYC; with 1,000 (commit 912a87f) they were 4.86, 2.72 and 1.76 on a 2-core Intel Xeon of 2.1 GHz, on
which llama.cpp took three times as long and torch's float32 1.3 to 1.5 times."""

_BANDS: Final = (40, 160)
"""Bounds in UTF-8 bytes of rendered prompts: some 10 and 40 tokens."""


@dataclass(frozen=True, slots=True)
class _Peer:
    """One way.

    Attributes:
        time: measures it on rows.
        labels: says what it answers to rows; None where that is another way's answer, or none.
    """

    time: Callable[[Sequence[Row]], Measured]
    labels: Callable[[Sequence[Row]], list[str]] | None = None


def measure(context: Context) -> Section:
    """All ways in turn."""
    rows = context.test_rows
    chunks = chunked(rows, _CHUNK)
    hard = _sample(read_hard(DATA / "startrek" / "hard", context.labels), len(rows), context)
    train = _sample(context.sides[Side.TRAIN], 100 * len(rows), context)
    embedded = random.Random(_SEED).sample(train, min(_EMBEDDED_ROWS, len(train)))
    with ExitStack() as stack:
        peers = dict(_peers(context, stack, train, embedded))
        things = {name: partial(_time_chunk, peer, chunks) for name, peer in peers.items()}
        timings = interleave(things, [len(chunk) for chunk in chunks], context.rounds)
        accuracies = {name: _accuracy(peer, hard) for name, peer in peers.items()}
    text = _TEXT.format(
        prompts=len(rows),
        rounds=context.rounds,
        chunk=_CHUNK,
        hard=f"{len(hard):,}",
        slots=SLOTS,
        train=len(train),
        embedded=len(embedded),
    )
    sizes = [len(prompt.encode()) for prompt in _prompts(rows, context)]
    tables = [_table(timings, accuracies), _bands_table(timings, sizes)]
    return Section("peers", "Beside other ways to do it", text, tables, _targets(timings))


def _sample(rows: Sequence[Row], most: int, context: Context) -> Sequence[Row]:
    """All rows, but for a run that is for trying."""
    if context.rows >= _WHOLE_RUN_ROWS or len(rows) <= most:
        return rows
    return random.Random(_SEED).sample(rows, most)


def _time_chunk(peer: _Peer, chunks: Sequence[Sequence[Row]], index: int) -> Measured:
    return peer.time(chunks[index])


def _peers(
    context: Context, stack: ExitStack, train: Sequence[Row], embedded: Sequence[Row]
) -> Iterator[tuple[str, _Peer]]:
    yield from _engine_peers(context, stack)
    yield from _predecessors(context, stack)
    yield from _server_peers(context, stack)
    labels = context.labels
    for filter_ in (logistic_regression(train, labels), naive_bayes(train, labels), Embeddings(embedded, labels)):
        yield filter_.name, _filter_peer(filter_, context)


def _engine_peers(context: Context, stack: ExitStack) -> Iterator[tuple[str, _Peer]]:
    process = stack.enter_context(LlamaProcess(context.guard))

    def timed(batch_prompts: int, rows: Sequence[Row]) -> Measured:
        return process.engine(chunked(_prompts(rows, context), batch_prompts))

    yield _ENGINE, _Peer(partial(timed, 1), partial(_judged, process.score, context))
    yield _ENGINE_TOGETHER, _Peer(partial(timed, BATCH_PROMPTS))


def _predecessors(context: Context, stack: ExitStack) -> Iterator[tuple[str, _Peer]]:
    adapter = open_adapter(context.adapter_name)
    base, _template = training_base(
        adapter.guard["base"],
        context.cache,
        None,
        layers=adapter.layers,
        keep_list=adapter.keep_list,
        rounding=adapter.rounding,
    )
    trained = _flask(stack, base, adapter.path, "trained")
    yield _PREDECESSOR, _http_peer(trained, context, partial(_judged, partial(_flask_logits, trained), context))
    fresh = _flask(stack, full_base(context, "F16"), adapter.path, "fresh")
    yield _PREDECESSOR_FULL, _http_peer(fresh, context)


def _flask(stack: ExitStack, base: Path, adapter: Path, kind: str) -> HttpClients:
    server = stack.enter_context(listening("benchmarks.flask_server", str(base), str(adapter), kind))
    return stack.enter_context(HttpClients(server, 1, lambda prompt: {"prompt": prompt}))


def _flask_logits(clients: HttpClients, prompts: Sequence[str]) -> list[LabelLogits]:
    return [LabelLogits(**answer) for answer in clients.ask(prompts)]


def _server_peers(context: Context, stack: ExitStack) -> Iterator[tuple[str, _Peer]]:
    for name, settings in ((_SERVER, {}), (_SERVER_SHORT_WAIT, {"GOMP_SPINCOUNT": str(SPINS)})):
        server = stack.enter_context(listening("benchmarks.guard_server", str(context.guard), settings=settings))
        one = stack.enter_context(HttpClients(server, 1, _completion))
        many = stack.enter_context(HttpClients(server, SLOTS, _completion))
        judges = None if settings else partial(_judged, partial(_server_logits, many, context), context)
        yield name, _http_peer(one, context, judges)
        yield name + _MANY, _http_peer(many, context)


def _completion(prompt: str) -> Mapping[str, object]:
    return {"prompt": prompt, "n_predict": 1, "n_probs": 2, "temperature": 0, "cache_prompt": False}


def _server_logits(clients: HttpClients, context: Context, prompts: Sequence[str]) -> list[LabelLogits]:
    listed = [answer["completion_probabilities"][0]["top_logprobs"] for answer in clients.ask(prompts)]
    return [label_logits(read_list(entries, "token", "logprob"), context.labels) for entries in listed]


def _http_peer(
    clients: HttpClients, context: Context, labels: Callable[[Sequence[Row]], list[str]] | None = None
) -> _Peer:
    return _Peer(lambda rows: clients.time(_prompts(rows, context)), labels)


def _filter_peer(filter_: Baseline, context: Context) -> _Peer:
    def timed(rows: Sequence[Row]) -> Measured:
        return measured([partial(filter_.scores, [row]) for row in rows])

    def labels(rows: Sequence[Row]) -> list[str]:
        return [context.labels.ordered[int(score >= 0.5)] for score in filter_.scores(rows)]

    return _Peer(timed, labels)


def _prompts(rows: Sequence[Row], context: Context) -> list[str]:
    """The first window of each."""
    return [render_prompts(row.turns, context.template)[0] for row in rows]


def _judged(ask: Callable[[Sequence[str]], Sequence[LabelLogits]], context: Context, rows: Sequence[Row]) -> list[str]:
    """The labels of rows, by all their windows and the guard's calibration."""
    rendered = [render_prompts(row.turns, context.template) for row in rows]
    answers = iter(ask([prompt for prompts in rendered for prompt in prompts]))
    calibration = open_adapter(context.adapter_name).manifest().calibration
    return [judge([next(answers) for _ in prompts], calibration, context.labels).label for prompts in rendered]


def _accuracy(peer: _Peer, rows: Sequence[Row]) -> float | None:
    if peer.labels is None:
        return None
    return sum(label == row.label for label, row in zip(peer.labels(rows), rows, strict=True)) / len(rows)


def _table(timings: Mapping[str, Timing], accuracies: Mapping[str, float | None]) -> Table:
    columns = ["", "p50 ms", "p95 ms", "requests/s", "CPU s per 1,000", "accuracy, hard set"]
    return Table(columns, [_row(name, timing, accuracies[name]) for name, timing in timings.items()])


def _row(name: str, timing: Timing, accuracy: float | None) -> list[str]:
    times = [milliseconds(timing.at(percent)) for percent in (50, 95)]
    rates = [f"{timing.prompts_per_s:.1f}", f"{timing.cpu_s_per_1000:.1f}"]
    return [name, *times, *rates, "" if accuracy is None else f"{accuracy:.1%}"]


def _bands_table(timings: Mapping[str, Timing], sizes: Sequence[int]) -> Table:
    """Median times of prompts of about one length, of the ways that take one at a time."""
    bands = list(pairwise((0, *_BANDS, max(*sizes, *_BANDS) + 1)))
    names = [f"up to {_BANDS[0]} bytes", *(f"{low + 1} to {high} bytes" for low, high in bands[1:-1]), "longer"]
    rows = []
    for name in (_ENGINE, _PREDECESSOR, _PREDECESSOR_FULL, _SERVER):
        pairs = list(zip(sizes, timings[name].unit_seconds, strict=True))
        found = [[seconds for size, seconds in pairs if low < size <= high] for low, high in bands]
        rows.append([name, *(milliseconds(statistics.median(band)) if band else "–" for band in found)])
    return Table(["p50 ms of prompts of", *names], rows)


def _targets(timings: Mapping[str, Timing]) -> list[Target]:
    engine = timings[_ENGINE_TOGETHER].prompts_per_s
    predecessor = timings[_PREDECESSOR_FULL].prompts_per_s
    same_model = timings[_PREDECESSOR].prompts_per_s
    server = max(timings[name + _MANY].prompts_per_s for name in (_SERVER, _SERVER_SHORT_WAIT))
    together = f"engine's rate, {BATCH_PROMPTS} at once, over"
    return [
        Target(f"{together} the predecessor's way with the whole base", engine / predecessor, 12, at_most=False),
        Target(f"{together} the predecessor's way with the guard's own layers", engine / same_model, 12, at_most=False),
        Target(f"{together} llama-server's with {SLOTS} clients, the faster of two", engine / server, 3, at_most=False),
    ]
