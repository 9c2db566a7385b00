"""A model card that the hub's own parser reads, and that can't drift from its sources."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from tests.train.reported import report_for
from train.card import CARD_FILE, CardBase, CardSources, check_card, render_card, write_card
from train.errors import RunError
from train.report import write_report

RUN: dict[str, Any] = {
    "recipe": '[base]\npackage = "tiny"\n',
    "rows": {"train": 90, "validation": 5, "test": 5},
    "training_seconds": 120.0,
    "merge_max_logit_difference": 1e-6,
    "versions": {"torch": "2.6"},
    "commit": "abc",
}
GEMMA = CardBase(
    title="Gemma 3 270M",
    hub_id="google/gemma-3-270m",
    licence="gemma",
    licence_link="https://ai.google.dev/gemma/terms",
)


def _sources(folder: Path, base: CardBase = GEMMA) -> CardSources:
    write_report(report_for(folder), folder)
    (folder / "run.json").write_text(json.dumps(RUN), "utf-8")
    return CardSources(
        guard=folder / "adapter" / "guard.json",
        report=folder / "report.json",
        run=folder / "run.json",
        base=base,
        files=[("adapter_model.safetensors", "the adapter")],
        report_link="report.md",
    )


def test_the_hubs_parser_reads_the_head(tmp_path: Path) -> None:
    """Licence, base, task, tags, and the results it shows."""
    data: Any = ModelCard(render_card(_sources(tmp_path)), ignore_metadata_errors=False).data
    assert (data.license, data.base_model, data.pipeline_tag) == ("gemma", "google/gemma-3-270m", "text-classification")
    assert data.library_name == "peft"
    assert "bees" in data.tags
    results = {result.metric_type: result.metric_value for result in data.eval_results}
    assert (results["accuracy"], results["false_block_rate"]) == (0.5, 0.4)


def test_a_report_of_another_threshold_is_no_source(tmp_path: Path) -> None:
    """A guard that was calibrated anew has to be measured anew."""
    sources = _sources(tmp_path)
    guard = json.loads(sources.guard.read_text("utf-8"))
    guard["calibration"]["threshold"] += 0.1
    sources.guard.write_text(json.dumps(guard), "utf-8")
    with pytest.raises(RunError, match="measured with the threshold"):
        render_card(sources)


def test_a_licence_that_the_hub_does_not_know_is_other(tmp_path: Path) -> None:
    """With its name and link."""
    base = CardBase(title="Own", licence="bee-terms", licence_link="https://example.org/terms")
    head = render_card(_sources(tmp_path, base)).split("---")[1]
    assert 'license: other\nlicense_name: "bee-terms"\nlicense_link: "https://example.org/terms"\n' in head
    assert "base_model" not in head


def test_a_card_says_use_limits_results_and_how_it_was_trained(tmp_path: Path) -> None:
    """From its sources alone."""
    text = render_card(_sources(tmp_path))
    for part in (
        "# bee-guard\n",
        "## Intended use\n",
        "It is weakest on the slice `evasion_persona`: 0.0 % [0.0 %, 65.8 %] right of 2 rows.",
        "| Hard set | 8 | 50.0 % [21.5 %, 78.5 %] |",
        "refused below a score of 0.5000",
        '```toml\n[base]\npackage = "tiny"\n```',
        "| `adapter_model.safetensors` | the adapter |",
        "[the report](report.md)",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("data", "stands"),
    [('topic = "bees"', "no entity, frame or authored prompt stands on two sides"),
     ('files = ["bees.jsonl"]', "so that no group of rows stands on two sides")],
)  # fmt: skip
def test_a_card_says_what_is_never_split(tmp_path: Path, data: str, stands: str) -> None:
    """Of a user's rows it is not known what entities and prompts they are made of."""
    sources = _sources(tmp_path)
    sources.run.write_text(json.dumps(RUN | {"recipe": f"[data]\n{data}\n"}), "utf-8")
    assert stands in render_card(sources)


def test_a_card_is_checked_against_its_sources(tmp_path: Path) -> None:
    """It is current, or an error."""
    sources, path = _sources(tmp_path), tmp_path / CARD_FILE
    with pytest.raises(RunError, match="is not what its sources render to"):
        check_card(sources, path)
    write_card(sources, path)
    check_card(sources, path)
    sources.run.write_text(json.dumps(RUN | {"commit": "other"}), "utf-8")
    with pytest.raises(RunError, match="is not what its sources render to"):
        check_card(sources, path)


def test_a_source_that_is_missing_or_lacks_a_value_is_named(tmp_path: Path) -> None:
    """No card is better than half of one."""
    sources = _sources(tmp_path)
    sources.run.write_text("{}", "utf-8")
    with pytest.raises(RunError, match="has no 'rows'"):
        render_card(sources)
    sources.run.unlink()
    with pytest.raises(RunError, match=r"can't be rendered: .*run\.json"):
        render_card(sources)
