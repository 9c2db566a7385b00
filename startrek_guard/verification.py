"""``startrek-guard export verify``: the exported guard beside the model it was exported from, row by row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from export.verify import MIN_ROWS
from startrek_guard.evaluation import run_of
from startrek_guard.guards import build, cache_folder, open_adapter

if TYPE_CHECKING:
    import httpx

    from export.build import AdapterFolder
    from export.verify import Candidate, Comparison, Reference, Report
    from train.encode import Encoder
    from train.rows import Row

VERIFY_FILE: Final = "verify"
"""Written as ``.md`` and ``.json`` into the adapter folder."""

_SERVER_TIMEOUT_SECONDS: Final = 120.0
"""For one prompt; prompts wait for each other."""


def verify_guard(
    adapter: AdapterFolder,
    rows: Sequence[Row],
    quantisations: Sequence[str],
    engines: Sequence[str] = ("llama.cpp",),
    *,
    min_rows: int = MIN_ROWS,
) -> Report:
    """Compare exported guards in engines with the classifier before export on rows.

    The classifier is computed in float32; beside the quantisation that it was trained to be served in, with its weights
    rounded to that, since this is what was trained.

    Args:
        adapter: the trained guard.
        rows: not trained on.
        quantisations: see :data:`export.quantise.FILE_TYPES`.
        engines: keys of :data:`ENGINES`.
        min_rows: fewer prove nothing.

    Raises:
        QuantiseError: if a quantisation is unknown.
        VerificationError: if there are too few rows.
        EngineError: if an engine does not start or answer.
    """
    from export.quantise import check_kind
    from export.verify import Report, check_rows, verify

    for kind in quantisations:
        check_kind(kind)
    check_rows(len(rows), min_rows)
    if "llama-server" in engines:
        from startrek_guard.llama_server import check_installed

        check_installed()
    calibration = adapter.manifest().calibration
    comparisons: list[Comparison] = []
    for reference, kinds in _references(adapter, rows, quantisations):
        with closing(_candidates(adapter, kinds, engines)) as candidates:
            comparisons += verify(reference, candidates, calibration=calibration, min_rows=min_rows).comparisons
    return Report(comparisons)


def default_quantisations(adapter: AdapterFolder) -> list[str]:
    """What is verified unless a person says more: all, or F16 and the one that the adapter was trained to be served in.

    F16 shows that merging and folding changed nothing. Other quantisations of weights that were trained to be rounded
    in one way are another function than the trained one.
    """
    from export.quantise import FILE_TYPES

    return list(FILE_TYPES) if adapter.rounding is None else ["F16", adapter.rounding]


def held_out_rows(adapter: AdapterFolder, run_folder: Path | None, data: Path | None) -> list[Row]:
    """The rows of a file, else those that a run did not train on: the one that is named, or that made the adapter.

    Raises:
        DataError: if they can't be read.
    """
    from train.generate import Side
    from train.rows import read_rows

    labels = adapter.manifest().labels
    if data is not None:
        return read_rows(data, labels)
    run = run_of(adapter.path, run_folder)
    return [row for side in (Side.TEST, Side.VALIDATION) for row in read_rows(run.rows(side), labels)]


def write_verification(report: Report, adapter_name: str) -> Path:
    """Write the table and its JSON into the adapter folder; returns the table's path."""
    from export.atomic import replacing

    folder = open_adapter(adapter_name).path
    for ending, text in ((".md", report.markdown()), (".json", report.json())):
        with replacing(folder / f"{VERIFY_FILE}{ending}") as temporary:
            temporary.write_text(text, "utf-8")
    return folder / f"{VERIFY_FILE}.md"


def _candidates(
    adapter: AdapterFolder, quantisations: Sequence[str], engines: Sequence[str]
) -> Generator[Candidate, None, None]:
    """One at a time: the weights of all of them need not fit into memory."""
    for kind in quantisations:
        for engine in engines:
            with ENGINES[engine](build(adapter, kind, None), kind, adapter) as candidate:
                yield candidate


def _references(
    adapter: AdapterFolder, rows: Sequence[Row], quantisations: Sequence[str]
) -> list[tuple[Reference, list[str]]]:
    """What the classifier says before export, unmerged, and the quantisations to compare with that."""
    model, encoder = _classifier(adapter)
    found: list[tuple[Reference, list[str]]] = []
    if plain := [kind for kind in quantisations if kind != adapter.rounding]:
        found.append((_reference(adapter, rows, model, encoder), plain))
    if rounded := [kind for kind in quantisations if kind == adapter.rounding]:
        from train.rounding import RoundedWeights

        RoundedWeights(model).refresh()
        found.append((_reference(adapter, rows, model, encoder, adapter.rounding), rounded))
    return found


def _classifier(adapter: AdapterFolder) -> tuple[Any, Encoder]:
    """Base and adapter in float32, and what encodes their prompts."""
    from export.training_base import training_base
    from startrek_guard.classifier import load_classifier
    from train.encode import Encoder
    from train.model import base_in

    path, template = training_base(
        adapter.guard["base"],
        cache_folder(),
        None,
        layers=adapter.layers,
        keep_list=adapter.keep_list,
        rounding=adapter.rounding,
    )
    base = base_in(path)
    encoder = Encoder(base.load_tokenizer(), template)
    folder = None if adapter.merged else adapter.path
    return load_classifier(base, folder, adapter.manifest().labels, encoder), encoder


def _reference(
    adapter: AdapterFolder,
    rows: Sequence[Row],
    model: Any,  # noqa: ANN401 - PEFT and transformers are untyped
    encoder: Encoder,
    rounding: str | None = None,
) -> Reference:
    from export.verify import Reference
    from guard.prompt import prompt_texts
    from train.hidden import compute

    manifest = adapter.manifest()
    outputs = compute(model, encoder, rows)
    # Training reads no text twice, as serving does where characters conceal others or a gap is wide.
    prompts = [encoder.template.render(texts) for row in rows for texts in prompt_texts(row.turns)]
    labels = [manifest.labels.class_id(rows[place].label) for place in outputs.row_of_prompt]
    scores = [manifest.calibration.score(logits) for place in range(len(rows)) for logits in outputs.windows(place)]
    ids = [token_ids for row in rows for token_ids in encoder.prompts(row.turns)]
    return Reference(prompts, labels, scores, ids, rounding)


@contextmanager
def _in_process(path: Path, quantisation: str, _adapter: AdapterFolder) -> Iterator[Candidate]:
    from export.llama import LlamaTokenizer
    from export.verify import Candidate
    from guard.engines.llama_cpp import LlamaCppEngine

    engine = LlamaCppEngine(path)
    tokenizer = LlamaTokenizer(path)
    try:
        engine.start_sync()
        yield Candidate(
            engine=engine.name,
            quantisation=quantisation,
            score=engine.score_sync,
            tokenise=lambda prompt: tokenizer.tokenise(prompt, marks=True),
            size_bytes=path.stat().st_size,
        )
    finally:
        tokenizer.close()
        engine.close()


@contextmanager
def _in_server(path: Path, quantisation: str, adapter: AdapterFolder) -> Iterator[Candidate]:
    import httpx

    from export.verify import Candidate
    from guard.engines.json_client import ServerLimits
    from guard.engines.llama_server import LlamaServerEngine
    from startrek_guard.llama_server import llama_server

    with llama_server(path) as url, asyncio.Runner() as runner, httpx.Client(base_url=url, trust_env=False) as client:
        engine = LlamaServerEngine(url, adapter.manifest(), limits=ServerLimits(timeout_s=_SERVER_TIMEOUT_SECONDS))
        try:
            runner.run(engine.start())
            yield Candidate(
                engine=engine.name,
                quantisation=quantisation,
                score=lambda prompts: runner.run(engine.score(prompts)),
                tokenise=lambda prompt: _server_tokens(client, prompt),
                size_bytes=path.stat().st_size,
            )
        finally:
            runner.run(engine.aclose())


def _server_tokens(client: httpx.Client, prompt: str) -> list[int]:
    """Token ids as llama-server reads a prompt, marks and all."""
    import httpx

    from guard.engines.base import EngineUnavailableError

    body = {"content": prompt, "add_special": False, "parse_special": True}
    try:
        return [int(token_id) for token_id in client.post("/tokenize", json=body).raise_for_status().json()["tokens"]]
    except (httpx.HTTPError, KeyError, TypeError, ValueError) as error:
        raise EngineUnavailableError(f"llama-server did not return the tokens of {prompt!r}: {error!r}") from error


ENGINES: Final[Mapping[str, Callable[[Path, str, AdapterFolder], AbstractContextManager[Candidate]]]] = {
    "llama.cpp": _in_process,
    "llama-server": _in_server,
}
"""Who can be asked: a candidate of a GGUF, for the length of the block."""
