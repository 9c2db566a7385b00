"""What is known of each family."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from export.architectures import ARCHITECTURES, by_gguf_name, by_model_type
from export.errors import CheckpointError
from tests.export.samples import CONFIGS, config


@pytest.mark.parametrize("family", CONFIGS)
def test_every_tensor_has_a_name_of_its_own(family: str) -> None:
    """The names of a family's tensors are total and one-to-one."""
    parsed = config(family)

    names = [parsed.gguf_name(name) for name in parsed.tensors]

    assert len(set(names)) == len(names)
    assert {"token_embd.weight", "blk.1.ffn_down.weight", "output_norm.weight"} <= set(names)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda architecture: architecture.gguf_name)
def test_each_is_found_by_its_names(architecture: Any) -> None:
    """GGUF's name and each of Hugging Face's lead to the family."""
    assert by_gguf_name(architecture.gguf_name) is architecture
    assert all(by_model_type(name) is architecture for name in architecture.model_types)


def test_unknown_families_are_refused_with_the_known_ones() -> None:
    """The error lists what is known."""
    with pytest.raises(CheckpointError, match="'bert', wanted one of gemma3, llama, qwen2, qwen3"):
        by_gguf_name("bert")
    with pytest.raises(CheckpointError, match="unknown model type 'bert', wanted one of gemma3_text"):
        by_model_type("bert")


def test_unknown_modules_are_refused() -> None:
    """An adapter on something that GGUF has no name for is an error that says so."""
    with pytest.raises(CheckpointError, match=r"unknown module 'model\.layers\.0\.mlp\.experts'"):
        by_gguf_name("llama").tensor_name("model.layers.0.mlp.experts", 2)


def test_llama_rows_are_interleaved() -> None:
    """Of each head, row ``i`` of the first half is followed by row ``i`` of the second."""
    rows = np.arange(16, dtype=np.float32).reshape(16, 1)

    permuted = by_gguf_name("llama").permute_rows(
        "blk.0.attn_q.weight", rows, {"attention.head_count": 2, "attention.head_count_kv": 1}
    )

    assert permuted[:, 0].tolist() == [0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15]


def test_gemma_norms_are_one_larger() -> None:
    """Norms are stored as a distance from one by Hugging Face; nothing else changes."""
    convert = by_gguf_name("gemma3").convert_values

    assert convert("blk.0.attn_q_norm.weight", np.zeros(2, np.float32)).tolist() == [1.0, 1.0]
    assert convert("blk.0.attn_q.weight", np.zeros(2, np.float32)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("family", "changes", "complaint"),
    [
        ("llama", {"hidden_act": "gelu"}, "'hidden_act' is 'gelu', wanted 'silu'"),
        ("qwen3", {"use_sliding_window": True}, "'use_sliding_window' is True"),
        ("llama", {"rope_scaling": {"rope_type": "llama3"}}, "type 'llama3', wanted 'default' or 'linear'"),
        ("gemma3", {"query_pre_attn_scalar": 256}, "'query_pre_attn_scalar' is 256, wanted 16"),
        ("gemma3", {"final_logit_softcapping": 30.0}, "softcapping"),
        ("gemma3", {"layer_types": ["full_attention"] * 2}, "every 6th layer"),
        ("gemma3", {"rope_local_base_freq": 500.0}, "rotary base 500"),
    ],
)
def test_what_llama_cpp_would_compute_otherwise_is_refused(
    family: str, changes: dict[str, Any], complaint: str
) -> None:
    """A setting that GGUF can't express would give a file that loads and answers wrongly."""
    with pytest.raises(CheckpointError, match=complaint):
        config(family, **changes)


@pytest.mark.parametrize(
    ("changes", "theta", "scaling"),
    [
        ({"rope_theta": 5e5}, 5e5, None),
        ({"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}, 1e6, None),
        ({"rope_theta": 1e4, "rope_scaling": {"type": "linear", "factor": 8.0}}, 1e4, 8.0),
        ({}, 1e4, None),
    ],
)
def test_rotary_settings_of_old_and_new_configurations(
    changes: dict[str, Any], theta: float, scaling: float | None
) -> None:
    """Transformers 4 and 5 store them in different places."""
    hyperparameters = config("llama", **changes).hyperparameters

    assert hyperparameters["rope.freq_base"] == theta
    assert hyperparameters.get("rope.scaling.factor") == scaling
