"""A guard that was trained rounded, beside what was trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoModelForSequenceClassification

from export.gguf_file import write_f16
from export.hf_checkpoint import HfCheckpoint
from startrek_guard.guards import open_adapter
from startrek_guard.importing import Wanted, import_classifier
from startrek_guard.verification import held_out_rows, verify_guard
from tests.end_to_end.test_import import TOLERANCE, write_rows
from tests.hf_tiny import FAMILIES, add_adapter, make_model, make_tokenizer, save

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning"),
]

FAMILY = FAMILIES["llama"]


def save_guard(folder: Path, data: Path) -> Path:
    """A guard on a tiny random base that is a GGUF and rounded to Q4_0."""
    tokenizer = make_tokenizer(FAMILY)
    base = save(make_model(FAMILY, tokenizer, classifier=False), tokenizer, folder / "base")
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2, pad_token_id=0)
    add_adapter(model).save_pretrained(folder / "adapter")
    wanted = Wanted(str(folder / "adapter"), folder / "guard", "Star Trek", data, str(base), "not_related,related")
    guard = import_classifier(wanted).folder
    write_f16(HfCheckpoint(base), folder / "base.gguf", {})
    described = json.loads((guard / "guard.json").read_text("utf-8"))
    described["base"] = {"folder": str(folder / "base.gguf"), "rounding": "Q4_0"}
    (guard / "guard.json").write_text(json.dumps(described), "utf-8")
    return guard


def test_each_quantisation_is_compared_with_what_it_is_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Q4_0 with the classifier rounded to it, as it was trained; F16 with the float one."""
    monkeypatch.setenv("STARTREK_GUARD_CACHE", str(tmp_path / "cache"))
    data = write_rows(tmp_path / "rows.jsonl")
    adapter = open_adapter(str(save_guard(tmp_path, data)))

    report = verify_guard(adapter, held_out_rows(adapter, None, data), ["F16", "Q4_0"], min_rows=50)

    assert [comparison.reference_rounding for comparison in report.comparisons] == [None, "Q4_0"]
    assert max(comparison.mean_difference for comparison in report.comparisons) < TOLERANCE
