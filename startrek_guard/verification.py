"""``startrek-guard export verify``: the exported guard beside the model it was exported from, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from startrek_guard.guards import build, cache_folder, open_adapter

if TYPE_CHECKING:
    from export.build import AdapterFolder
    from export.verify import Candidate, Reference, Report
    from train.rows import Row

VERIFY_FILE: Final = "verify"
"""Written as ``.md`` and ``.json`` into the adapter folder."""


def verify_guard(adapter_name: str, run_folder: Path, quantisations: Sequence[str]) -> Report:
    """Compare exported guards with the float32 classifier on the held-out rows of a run.

    Raises:
        VerificationError: if there are too few rows.
    """
    from export.verify import verify

    adapter = open_adapter(adapter_name)
    rows = _held_out(run_folder)
    reference = _reference(adapter, rows)
    with ExitStack() as stack:
        candidates = [stack.enter_context(_candidate(adapter, kind)) for kind in quantisations]
        return verify(reference, candidates, calibration=adapter.manifest().calibration)


def write_verification(report: Report, adapter_name: str) -> Path:
    """Write the table and its JSON into the adapter folder; returns the table's path."""
    from export.atomic import replacing

    folder = open_adapter(adapter_name).path
    for ending, text in ((".md", report.markdown()), (".json", report.json())):
        with replacing(folder / f"{VERIFY_FILE}{ending}") as temporary:
            temporary.write_text(text, "utf-8")
    return folder / f"{VERIFY_FILE}.md"


def _held_out(run_folder: Path) -> list[Row]:
    from train.generate import Side
    from train.rows import read_rows
    from train.run_dir import RunDir

    run = RunDir(run_folder)
    return [row for side in (Side.TEST, Side.VALIDATION) for row in read_rows(run.rows(side))]


def _reference(adapter: AdapterFolder, rows: Sequence[Row]) -> Reference:
    """What the classifier says before export: base and adapter in float32, unmerged."""
    from export.training_base import training_base
    from export.verify import Reference
    from guard.prompt import render_prompts
    from train.encode import Encoder
    from train.hidden import compute
    from train.model import base_in, load_trained

    manifest = adapter.manifest()
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
    outputs = compute(load_trained(base, adapter.path, manifest.labels, encoder), encoder, rows)
    prompts = [prompt for row in rows for prompt in render_prompts(row.turns, template)]
    labels = [manifest.labels.class_id(rows[place].label) for place in outputs.row_of_prompt]
    scores = [manifest.calibration.score(logits) for place in range(len(rows)) for logits in outputs.windows(place)]
    ids = [token_ids for row in rows for token_ids in encoder.prompts(row.turns)]
    return Reference(prompts, labels, scores, ids)


@contextmanager
def _candidate(adapter: AdapterFolder, quantisation: str) -> Iterator[Candidate]:
    from export.llama import LlamaTokenizer
    from export.verify import Candidate
    from guard.engines.llama_cpp import LlamaCppEngine

    path = build(adapter, quantisation, None)
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
