"""The plan of an export."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any, Final

import pytest

from export.fold import Folded
from export.gguf_file import write_f16
from export.hf_config import parse_config
from export.plan import plan_checkpoint, plan_config
from export.quantise import FILE_TYPES, quantise
from guard.labels import DEFAULT_LABELS
from tests.export.samples import TEMPLATE, gemma_checkpoint
from tests.export.test_fold import random_head

QWEN3_8B: Final[dict[str, Any]] = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "hidden_act": "silu",
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 40960,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000,
    "rope_scaling": None,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "use_sliding_window": False,
    "vocab_size": 151936,
}


def test_an_8b_model_is_planned_from_its_configuration() -> None:
    """Without weights: 8.19 billion parameters, as its makers say, and memory for one tensor and a half."""
    plan = plan_config(parse_config(QWEN3_8B))

    assert plan.parameters == pytest.approx(8.19e9, rel=1e-3)
    assert plan.largest_shape == (151936, 4096)
    assert plan.peak_bytes <= 1.5 * plan.largest_bytes + 2**30
    assert plan.file_bytes["F16"] == pytest.approx(16.4e9, rel=0.01)
    # Between 4.5 and 5.6 bits a parameter, as the embedding and the output rows take 8.5.
    assert 4.5 / 8 * 8.19e9 < plan.file_bytes["Q4_0"] < 5.6 / 8 * 8.19e9
    assert set(plan.file_bytes) == set(plan.seconds) == set(FILE_TYPES)


def test_a_classifier_and_its_base_have_one_plan() -> None:
    """The head is folded into rows that the plan counts either way."""
    classifier = {**QWEN3_8B, "architectures": ["Qwen3ForSequenceClassification"]}

    assert plan_config(parse_config(classifier)) == plan_config(parse_config(QWEN3_8B))


@pytest.mark.parametrize("kind", FILE_TYPES)
def test_the_planned_sizes_are_those_of_the_files(tmp_path: Path, kind: str) -> None:
    """Tensors to the byte; the vocabulary's share is an upper estimate."""
    folded = Folded(
        gemma_checkpoint([], hidden_size=256, intermediate_size=512, vocab_size=4000, num_hidden_layers=4),
        random_head(256),
        DEFAULT_LABELS,
        TEMPLATE,
    )
    write_f16(folded, tmp_path / "f16.gguf", {})
    quantise(tmp_path / "f16.gguf", tmp_path / "x.gguf", kind)

    planned = plan_checkpoint(folded).file_bytes[kind]
    found = (tmp_path / "x.gguf").stat().st_size

    assert found - 5_000 <= planned <= found + 40 * 4000


def test_the_plan_is_shown_with_every_quantisation() -> None:
    """Sizes, disk, memory and time, a line each."""
    plan = plan_config(parse_config(QWEN3_8B))

    shown = str(plan)

    assert "8.191 billion parameters" in shown
    assert "token_embd.weight (151936, 4096), 2.32 GiB as float32" in shown
    assert all(f"| {kind} |" in shown for kind in FILE_TYPES)
    assert prod(plan.largest_shape) * 4 == plan.largest_bytes
