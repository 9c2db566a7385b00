"""Classifiers that were trained elsewhere, from Hugging Face's files through the command line to llama.cpp."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoModelForSequenceClassification
from typer.testing import CliRunner, Result

from export.errors import ExportError
from guard.calibration import UNCALIBRATED
from guard.engines.llama_cpp import LlamaCppEngine
from startrek_guard.app import app
from startrek_guard.guards import open_adapter
from startrek_guard.verification import held_out_rows, verify_guard
from tests.hf_tiny import FAMILIES, Answers, add_adapter, answer, make_model, make_tokenizer, random_texts, save
from train.rows import prompt_row

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    # Saved as PEFT does it by default: with the adapted embedding's own weights.
    pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning"),
]

QWEN3 = FAMILIES["qwen3"]
TEXTS = random_texts(30)
TOLERANCE = 2e-2


@dataclass(frozen=True)
class Foreign:
    """A classifier's files, and what Hugging Face answers.

    Attributes:
        source: its folder.
        data: labelled rows.
        answers: to :data:`TEXTS`.
        options: what the command has to be told besides.
    """

    source: Path
    data: Path
    answers: Answers
    options: list[str]


@pytest.fixture(scope="module", params=["adapter", "merged"])
def foreign(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Foreign:
    """A tiny random Qwen3 classifier of either kind."""
    folder = tmp_path_factory.mktemp(request.param)
    tokenizer = make_tokenizer(QWEN3)
    model = make_model(QWEN3, tokenizer, classifier=request.param == "merged")
    source, options = save(model, tokenizer, folder / "model"), []
    if request.param == "adapter":
        model = add_adapter(AutoModelForSequenceClassification.from_pretrained(source, num_labels=2, pad_token_id=0))
        source, options = folder / "adapter", ["--base", str(source)]
        model.save_pretrained(source)
    return Foreign(source, write_rows(folder / "rows.jsonl"), answer(model, tokenizer, QWEN3.template, TEXTS), options)


def write_rows(path: Path, count: int = 60) -> Path:
    """Labelled rows; what a random model makes of them does not matter."""
    labels = ["not_related", "related"]
    rows = [
        {"input": text, "label": labels[i % 2]} for i, text in enumerate(random_texts(count, seed=3)) if text.strip()
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@dataclass(frozen=True)
class Imported:
    """What the command made.

    Attributes:
        folder: the guard's.
        said: all that was printed.
    """

    folder: Path
    said: str


@pytest.fixture(scope="module")
def imported(foreign: Foreign, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """The guard's folder."""
    output = tmp_path_factory.mktemp("imported") / "my-guard"
    result = import_(foreign, output)
    assert result.exit_code == 0, result.output
    return Imported(output, result.output)


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STARTREK_GUARD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def import_(foreign: Foreign, output: Path, *more: str) -> Result:
    """``startrek-guard export import``."""
    arguments = ["--topic", "Star Trek", "--data", str(foreign.data), "--output", str(output), "--rows", "40"]
    return run("export", "import", str(foreign.source), *arguments, *foreign.options, *more)


def run(*arguments: str) -> Result:
    """The command line in this process."""
    return CliRunner().invoke(app, list(arguments))


def test_the_exported_guard_answers_as_hugging_face(foreign: Foreign, imported: Imported, tmp_path: Path) -> None:
    """Through llama.cpp at F16, on every text."""
    target = tmp_path / "guard.gguf"
    result = run("export", "gguf", str(imported.folder), "--quantisation", "F16", "--output", str(target))
    assert result.exit_code == 0, result.output
    prompts = [QWEN3.template.render([text]) for text in TEXTS]

    with closing(LlamaCppEngine(target, threads=1)) as engine:
        manifest = engine.start_sync()
        scores = [UNCALIBRATED.score(logits) for prompt in prompts for logits in engine.score_sync([prompt])]

    assert (manifest.topic, manifest.labels.ordered) == ("Star Trek", ("not_related", "related"))
    assert np.ptp(foreign.answers.probabilities) > 0.3
    np.testing.assert_allclose(scores, foreign.answers.probabilities, atol=TOLERANCE)


def test_both_engines_are_verified_on_the_same_rows(foreign: Foreign, imported: Imported) -> None:
    """Against the classifier as PyTorch computes it: same tokens, same answers, milliseconds a row."""
    adapter = open_adapter(str(imported.folder))
    rows = held_out_rows(adapter, Path("nowhere"), foreign.data)

    # Serving reads what follows a wide gap by itself, too; the classifier before export reads the text as it stands.
    gap = prompt_row("Dear all," + "\n" * 600 + "who is Spock", "related")

    report = verify_guard(adapter, [*rows, gap], ["F16"], ["llama.cpp", "llama-server"], min_rows=50)

    assert [comparison.engine for comparison in report.comparisons] == ["llama.cpp", "llama-server"]
    for comparison in report.comparisons:
        assert comparison.tokens_equal == comparison.rows == len(rows) + 1
        # Of random probabilities one may lie right at the threshold.
        assert comparison.agreement > 0.95
        assert comparison.max_difference < TOLERANCE
        assert comparison.row_ms > 0.0


def test_a_dry_run_says_sizes_and_writes_nothing(foreign: Foreign, tmp_path: Path) -> None:
    """What was found, and what an export will take."""
    result = import_(foreign, tmp_path / "guard", "--dry-run")

    assert result.exit_code == 0, result.output
    assert "not_related or related; 40 rows to compute" in result.output
    assert "| Q4_0 |" in result.output
    assert list(tmp_path.iterdir()) == []


def test_it_is_said_that_the_accuracy_is_to_be_measured(imported: Imported) -> None:
    """The classifier never saw the guard's prompt."""
    assert "get their label (uncalibrated)" in imported.said
    assert "was trained on texts in its own format, not on the guard's prompt" in imported.said
    assert f"train evaluate {imported.folder} --data" in imported.said


def test_a_folder_that_holds_something_is_left_alone(foreign: Foreign, imported: Imported) -> None:
    """An import never overwrites."""
    result = import_(foreign, imported.folder)

    assert isinstance(result.exception, ExportError)
    assert "exists already, wanted a new folder" in str(result.exception)


def test_classes_in_the_wrong_order_are_refused(foreign: Foreign, tmp_path: Path) -> None:
    """Folded, they would let in what is to be kept out."""
    result = import_(foreign, tmp_path / "guard", "--labels", "related,not_related")

    assert isinstance(result.exception, ExportError)
    assert "class 0 is 'related' and its class 1 'not_related', wanted the on-topic class" in str(result.exception)
    assert list(tmp_path.iterdir()) == []
