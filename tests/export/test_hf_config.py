"""What a configuration says of a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from export.errors import CheckpointError
from export.hf_config import parse_config, read_config
from tests.export.samples import CONFIGS, classifier_config, config


def test_a_classifier_has_a_head_and_no_output_rows() -> None:
    """The head is two rows; the GGUF's shapes do not have it."""
    parsed = parse_config(classifier_config("qwen3"))

    assert parsed.classifier
    assert parsed.tensors["score.weight"] == (2, 32)
    assert "lm_head.weight" not in parsed.tensors
    assert not {"score.weight", "output.weight"} & set(parsed.gguf_shapes)


@pytest.mark.parametrize(
    ("family", "changes", "untied"),
    [
        ("llama", {}, True),
        ("llama", {"tie_word_embeddings": True}, False),
        ("gemma3", {}, False),
        ("gemma3", {"tie_word_embeddings": False}, True),
    ],
)
def test_output_rows_are_tied_as_the_family_does(family: str, changes: dict[str, Any], untied: bool) -> None:
    """A configuration does not say what is its family's default."""
    parsed = config(family, **changes)

    assert parsed.untied is untied
    assert ("output.weight" in parsed.gguf_shapes) is untied


def test_sizes_become_shapes() -> None:
    """Grouped queries, a head's own size and a family's extra tensors are in the shapes."""
    shapes = config("qwen3", num_key_value_heads=1).gguf_shapes

    assert shapes["blk.0.attn_q.weight"] == (64, 32)
    assert shapes["blk.0.attn_k.weight"] == (16, 32)
    assert shapes["blk.0.attn_output.weight"] == (32, 64)
    assert shapes["blk.1.attn_q_norm.weight"] == (16,)
    assert config("qwen2").gguf_shapes["blk.0.attn_v.bias"] == (16,)
    assert config("gemma3").gguf_shapes["blk.0.post_ffw_norm.weight"] == (32,)


def test_the_text_part_of_a_model_that_sees_images_is_read() -> None:
    """Gemma 3's larger models keep it in ``text_config``."""
    nested = {"model_type": "gemma3", "architectures": ["Gemma3ForSequenceClassification"]}

    parsed = parse_config({**nested, "text_config": CONFIGS["gemma3"]})

    assert parsed.architecture.gguf_name == "gemma3"
    assert parsed.classifier
    assert parsed.layers == 2


@pytest.mark.parametrize(
    ("names", "read"),
    [
        ({"0": "not_related", "1": "related"}, ("not_related", "related")),
        ({"1": "related", "0": "not_related"}, ("not_related", "related")),
        ({"0": "LABEL_0", "1": "LABEL_1"}, None),
        (None, None),
    ],
)
def test_class_names_are_read_in_order(names: dict[str, str] | None, read: tuple[str, ...] | None) -> None:
    """By class id, and generic names are none."""
    assert config("llama", id2label=names).class_names == read


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"model_type": "bert"}, "unknown model type 'bert'"),
        ({"model_type": None}, "unknown model type 'None'"),
        ({"hidden_size": "wide"}, "unusable configuration of a 'llama' model"),
        ({"num_attention_heads": None}, "unusable configuration"),
        ({"quantization_config": {"quant_method": "awq"}}, "is quantised, wanted float weights"),
    ],
)
def test_what_cannot_be_used_is_refused(changes: dict[str, Any], complaint: str) -> None:
    """The error quotes the value."""
    with pytest.raises(CheckpointError, match=complaint):
        config("llama", **changes)


def test_a_missing_setting_is_named() -> None:
    """The key that is missing is in the error."""
    values = {key: value for key, value in CONFIGS["llama"].items() if key != "rms_norm_eps"}

    with pytest.raises(CheckpointError, match="'llama' model lacks 'rms_norm_eps'"):
        parse_config(values)


@pytest.mark.parametrize("content", [None, "", "nojson", "[]"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: str | None) -> None:
    """Missing, empty, damaged, or no object."""
    if content is not None:
        (tmp_path / "config.json").write_text(content)

    with pytest.raises(CheckpointError, match=r"config\.json"):
        read_config(tmp_path)


def test_a_file_is_read(tmp_path: Path) -> None:
    """As its content is parsed."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIGS["qwen2"]))

    assert read_config(tmp_path) == config("qwen2")
