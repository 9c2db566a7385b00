"""Every family, from both readers: the exported guard answers as the Hugging Face model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from export.architectures import by_gguf_name
from export.checkpoint import Checkpoint
from export.fold import Folded, Head, margin_summary
from export.gguf_checkpoint import GgufCheckpoint
from export.gguf_file import write_f16
from export.hf_checkpoint import HfCheckpoint, open_checkpoint
from export.llama import LlamaTokenizer
from export.lora import Adapted, LoraAdapter
from export.quantise import quantise
from export.verify import Candidate, Reference, verify
from guard.calibration import UNCALIBRATED, LabelLogits
from guard.engines.llama_cpp import LlamaCppEngine
from guard.labels import DEFAULT_LABELS
from guard.manifest import GuardManifest
from tests.hf_tiny import FAMILIES, Answers, Family, add_adapter, answer, make_model, make_tokenizer, random_texts, save

pytestmark = pytest.mark.slow

TEXTS: Final = random_texts(200)
TOLERANCE: Final = 2e-2


@dataclass(frozen=True)
class Trained:
    """A family's models and what they answer.

    Attributes:
        family: which.
        merged: folder of a classifier.
        merged_answers: to :data:`TEXTS`.
        base: folder of a language model.
        adapter: folder of an adapter on it.
        adapter_answers: of base and adapter, to :data:`TEXTS`.
    """

    family: Family
    merged: Path
    merged_answers: Answers
    base: Path
    adapter: Path
    adapter_answers: Answers


@pytest.fixture(scope="module", params=list(FAMILIES.values()), ids=list(FAMILIES))
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A family's classifier in several shards of bfloat16, and its language model with an adapter."""
    family: Family = request.param
    folder = tmp_path_factory.mktemp(family.name)
    tokenizer = make_tokenizer(family)
    classifier = make_model(family, tokenizer, classifier=True).bfloat16()
    merged = save(classifier, tokenizer, folder / "merged", max_shard_size="100KB")
    base = save(make_model(family, tokenizer, classifier=False, seed=2), tokenizer, folder / "base")
    adapted = add_adapter(load_classifier(base))
    adapted.save_pretrained(folder / "adapter", save_embedding_layers=False)
    return Trained(
        family,
        merged,
        answer(classifier.float(), tokenizer, family.template, TEXTS),
        base,
        folder / "adapter",
        answer(adapted, tokenizer, family.template, TEXTS),
    )


def load_classifier(base: Path) -> Any:
    """A language model's body with a fresh head, as training makes it."""
    return AutoModelForSequenceClassification.from_pretrained(base, num_labels=2, pad_token_id=0).eval()


def fold(checkpoint: Checkpoint, family: Family, weight: npt.NDArray[np.float32], answers: Answers) -> Folded:
    """The head folded with the mean of its own hidden states; the margin holds on all of them."""
    head = Head(weight, answers.hidden.mean(axis=0))
    margin_summary(head, answers.hidden)
    return Folded(checkpoint, head, DEFAULT_LABELS, family.template)


def write(folded: Folded, family: Family, path: Path) -> Path:
    """An F16 guard."""
    write_f16(folded, path, GuardManifest(name="tiny", topic="Star Trek", template=family.template).to_metadata())
    return path


def scores(path: Path, family: Family) -> npt.NDArray[np.float64]:
    """The guard's probabilities for :data:`TEXTS`, from the engine that is shipped."""
    with started(path) as engine:
        logits = ask(engine, [family.template.render([text]) for text in TEXTS])
    return np.asarray([UNCALIBRATED.score(pair) for pair in logits])


def ask(engine: LlamaCppEngine, prompts: Sequence[str]) -> list[LabelLogits]:
    """One prompt a call: what batches do to an answer is the engine's own test."""
    return [logits for prompt in prompts for logits in engine.score_sync([prompt])]


def started(path: Path) -> closing[LlamaCppEngine]:
    """The engine, which checks the guard as it loads it."""
    engine = LlamaCppEngine(path, threads=1)
    engine.start_sync()
    return closing(engine)


def check_same_answers(path: Path, family: Family, answers: Answers) -> None:
    """Within the tolerance on every text; and the texts are not all alike, or that would prove nothing."""
    wanted = answers.probabilities

    assert np.ptp(wanted) > 0.3
    np.testing.assert_allclose(scores(path, family), wanted, atol=TOLERANCE)


@pytest.fixture
def merged_guard(trained: Trained, tmp_path: Path) -> Path:
    """The classifier's F16 guard."""
    checkpoint = HfCheckpoint(trained.merged)
    assert checkpoint.head is not None
    assert checkpoint.class_names == ("not_related", "related")
    folded = fold(checkpoint, trained.family, checkpoint.head, trained.merged_answers)
    return write(folded, trained.family, tmp_path / "f16.gguf")


def test_a_merged_classifier_answers_alike(trained: Trained, merged_guard: Path) -> None:
    """From a Hugging Face folder: bfloat16, in shards, with its head in it."""
    assert len(list(trained.merged.glob("*.safetensors"))) > 1

    check_same_answers(merged_guard, trained.family, trained.merged_answers)


def test_a_folder_with_an_adapter_answers_alike(trained: Trained, tmp_path: Path) -> None:
    """The language model's folder, and PEFT's adapter with the head in it."""
    folded = adapt(open_checkpoint(str(trained.base)), trained)

    check_same_answers(write(folded, trained.family, tmp_path / "f16.gguf"), trained.family, trained.adapter_answers)


def test_a_gguf_with_an_adapter_answers_alike(trained: Trained, tmp_path: Path) -> None:
    """The language model as a GGUF, and the same adapter."""
    write_f16(open_checkpoint(str(trained.base)), tmp_path / "base.gguf", {})
    folded = adapt(GgufCheckpoint(tmp_path / "base.gguf"), trained)

    check_same_answers(write(folded, trained.family, tmp_path / "f16.gguf"), trained.family, trained.adapter_answers)


def adapt(base: Checkpoint, trained: Trained) -> Folded:
    """The adapter merged into ``base`` and its head folded."""
    architecture = by_gguf_name(base.architecture)
    layers = int(base.hyperparameters["block_count"])
    adapter = LoraAdapter(trained.adapter, lambda module: architecture.tensor_name(module, layers))
    assert adapter.head is not None
    assert len(adapter.names) == 7 * layers + 1
    adapted = Adapted(base, adapter, lambda name, tensor: architecture.permute_rows(name, tensor, base.hyperparameters))
    return fold(adapted, trained.family, adapter.head, trained.adapter_answers)


def test_a_language_models_own_answers_are_alike(trained: Trained, tmp_path: Path) -> None:
    """Unfolded, the output rows are the model's: tied or not, the next token's scores order alike."""
    tokenizer = AutoTokenizer.from_pretrained(trained.base)
    model = AutoModelForCausalLM.from_pretrained(trained.base).eval()
    prompt = tokenizer("Who is Spock?", return_tensors="pt", add_special_tokens=False)
    checkpoint = HfCheckpoint(trained.base)
    write_f16(checkpoint, tmp_path / "base.gguf", {})

    wanted = model(input_ids=prompt["input_ids"]).logits[0, -1].detach().numpy()
    with closing(LlamaTokenizer(tmp_path / "base.gguf")) as llama:
        assert llama.tokenise("Who is Spock?") == prompt["input_ids"][0].tolist()

    assert ("output.weight" in checkpoint.shapes()) is (trained.family.name in ("qwen3", "llama"))
    # The whole path again, by hand: hidden state times the rows that the GGUF holds.
    hidden = model.base_model(input_ids=prompt["input_ids"]).last_hidden_state[0, -1].detach().numpy()
    rows = GgufCheckpoint(tmp_path / "base.gguf").load(
        "output.weight" if "output.weight" in checkpoint.shapes() else "token_embd.weight"
    )
    np.testing.assert_allclose(rows @ hidden, wanted, rtol=0.02, atol=0.05)


def test_quantised_guards_load_and_are_verified(trained: Trained, merged_guard: Path, tmp_path: Path) -> None:
    """Each quantisation against the reference: same tokens, F16 and Q8_0 close, Q4_0 an answer at least."""
    tokens = trained.merged_answers.ids
    prompts = [trained.family.template.render([text]) for text in TEXTS]
    probabilities = trained.merged_answers.probabilities.tolist()
    reference = Reference(prompts, [int(p > 0.5) for p in probabilities], probabilities, tokens)
    comparisons = {}
    for kind in ("F16", "Q8_0", "Q4_0"):
        path = tmp_path / f"{kind}.gguf"
        quantise(merged_guard, path, kind)
        with started(path) as engine, closing(LlamaTokenizer(path)) as llama:
            tokenise = lambda prompt, llama=llama: llama.tokenise(prompt, marks=True)  # noqa: E731
            candidate = Candidate("llama.cpp", kind, partial(ask, engine), tokenise, path.stat().st_size)
            [comparisons[kind]] = verify(reference, [candidate], min_rows=len(TEXTS)).comparisons

    assert all(comparison.tokens_equal == len(TEXTS) for comparison in comparisons.values())
    # One row of 200 may lie right at the threshold.
    assert comparisons["F16"].agreement >= 0.995
    assert comparisons["F16"].max_difference < TOLERANCE
    # Random weights of 64 values a row lose more to quantising than trained ones.
    assert comparisons["Q8_0"].mean_difference < 0.02
    assert comparisons["Q4_0"].mean_difference < 0.15
    assert comparisons["Q4_0"].size_bytes < comparisons["Q8_0"].size_bytes < comparisons["F16"].size_bytes
