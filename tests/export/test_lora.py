"""PEFT adapters, read and merged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from export.architectures import by_gguf_name
from export.checkpoint import Tensor
from export.errors import CheckpointError
from export.lora import Adapted, LoraAdapter
from tests.export.samples import MemoryCheckpoint, config, piece_vocabulary

CONFIG = {"peft_type": "LORA", "task_type": "SEQ_CLS", "r": 2, "lora_alpha": 8}
QUERY = "base_model.model.model.layers.0.self_attn.q_proj"
HEAD = "base_model.model.score.weight"


def query_adapter(seed: int = 0, *, rows: int = 32) -> dict[str, Tensor]:
    """A delta of the first layer's queries, and a head."""
    generator = np.random.default_rng(seed)
    return {
        f"{QUERY}.lora_A.weight": generator.normal(size=(2, 32)).astype(np.float32),
        f"{QUERY}.lora_B.weight": generator.normal(size=(rows, 2)).astype(np.float32),
        HEAD: generator.normal(size=(2, 32)).astype(np.float32),
    }


def save_adapter(folder: Path, tensors: Mapping[str, Any], **changes: Any) -> Path:
    """An adapter folder as PEFT writes it."""
    (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, **changes}))
    save_file(dict(tensors), folder / "adapter_model.safetensors")
    return folder


def read_adapter(folder: Path, family: str = "llama") -> LoraAdapter:
    """Read with a family's names."""
    return LoraAdapter(folder, lambda module: by_gguf_name(family).tensor_name(module, 2))


def merge(folder: Path, family: str = "llama") -> tuple[Tensor, Tensor]:
    """The first layer's query rows, before and after."""
    architecture = by_gguf_name(family)
    base = MemoryCheckpoint(config(family, head_dim=8), piece_vocabulary([]))
    adapted = Adapted(
        base,
        read_adapter(folder, family),
        lambda name, tensor: architecture.permute_rows(name, tensor, base.hyperparameters),
    )
    return base.load("blk.0.attn_q.weight"), adapted.load("blk.0.attn_q.weight")


@pytest.mark.parametrize(
    ("changes", "scale"),
    [
        ({}, 4.0),
        ({"use_rslora": True}, 8 / 2**0.5),
        ({"init_lora_weights": True}, 4.0),
        ({"init_lora_weights": "gaussian"}, 4.0),
    ],
)
def test_the_delta_is_scale_times_b_times_a(tmp_path: Path, changes: dict[str, Any], scale: float) -> None:
    """With plain and with rank-stabilised scaling, from whatever start leaves the base as it is."""
    tensors = query_adapter()
    before, after = merge(save_adapter(tmp_path, tensors, **changes), "qwen3")

    wanted = scale * tensors[f"{QUERY}.lora_B.weight"] @ tensors[f"{QUERY}.lora_A.weight"]

    np.testing.assert_allclose(after - before, wanted, atol=1e-4)


def test_the_embedding_has_factors_of_its_transpose_and_a_rank_of_its_own(tmp_path: Path) -> None:
    """As PEFT stores them: A is (rank, tokens), B is (hidden, rank)."""
    base = MemoryCheckpoint(config("qwen3", head_dim=8), piece_vocabulary([]))
    tokens, hidden = base.shapes()["token_embd.weight"]
    generator = np.random.default_rng(3)
    name = "base_model.model.model.embed_tokens.lora_embedding_"
    tensors = query_adapter()
    tensors[f"{name}A"] = generator.normal(size=(3, tokens)).astype(np.float32)
    tensors[f"{name}B"] = generator.normal(size=(hidden, 3)).astype(np.float32)
    tensors["base_model.model.model.embed_tokens.base_layer.weight"] = base.load("token_embd.weight")
    patterns = {"rank_pattern": {"embed_tokens": 3}, "alpha_pattern": {"embed_tokens": 6}}
    adapter = read_adapter(save_adapter(tmp_path, tensors, **patterns), "qwen3")

    merged = Adapted(base, adapter, lambda _name, tensor: tensor)

    delta = merged.load("token_embd.weight") - base.load("token_embd.weight")
    np.testing.assert_allclose(delta, 2.0 * (tensors[f"{name}B"] @ tensors[f"{name}A"]).T, atol=1e-4)


def test_a_delta_follows_the_rows_of_its_family(tmp_path: Path) -> None:
    """Llama's query rows are permuted in a GGUF, and the delta with them."""
    tensors = query_adapter()
    before, after = merge(save_adapter(tmp_path, tensors), "llama")

    delta = np.asarray(4.0 * tensors[f"{QUERY}.lora_B.weight"] @ tensors[f"{QUERY}.lora_A.weight"], dtype=np.float32)
    wanted = by_gguf_name("llama").permute_rows(
        "blk.0.attn_q.weight", delta, {"attention.head_count": 4, "attention.head_count_kv": 2}
    )

    np.testing.assert_allclose(after - before, wanted, atol=1e-4)
    assert np.abs(after - before - delta).max() > 1.0


@pytest.mark.parametrize(
    "key",
    [
        HEAD,
        "base_model.model.score.modules_to_save.weight",
        "base_model.model.score.modules_to_save.default.weight",
        "score.weight",
    ],
)
def test_the_head_is_found_under_every_name_that_peft_gives_it(tmp_path: Path, key: str) -> None:
    """Versions of PEFT store ``modules_to_save`` differently."""
    tensors = query_adapter()
    tensors[key] = tensors.pop(HEAD)

    adapter = read_adapter(save_adapter(tmp_path, tensors))

    np.testing.assert_array_equal(adapter.head, tensors[key])
    assert adapter.names == {"blk.0.attn_q.weight"}


def test_a_bfloat16_adapter_is_read(tmp_path: Path) -> None:
    """As published adapters often are; NumPy knows no bfloat16."""
    tensors = query_adapter()
    patterns = {name: (tensor.view(np.uint32) >> 16).astype(np.uint16) for name, tensor in tensors.items()}
    header, data = {}, b""
    for name, pattern in patterns.items():
        span = [len(data), len(data) + pattern.nbytes]
        header[name] = {"dtype": "BF16", "shape": list(pattern.shape), "data_offsets": span}
        data += pattern.tobytes()
    text = json.dumps(header).encode()
    save_adapter(tmp_path, tensors)
    (tmp_path / "adapter_model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)

    adapter = read_adapter(tmp_path)

    assert adapter.head is not None
    np.testing.assert_allclose(adapter.head, tensors[HEAD], rtol=1e-2)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"peft_type": "IA3"}, "type 'IA3' for task 'SEQ_CLS', wanted 'LORA' for 'SEQ_CLS'"),
        ({"task_type": "CAUSAL_LM"}, "for task 'CAUSAL_LM'"),
        ({"use_dora": True}, "wanted plain LoRA"),
        ({"bias": "all"}, "wanted plain LoRA"),
        ({"fan_in_fan_out": True}, "wanted plain LoRA"),
        ({"init_lora_weights": "pissa_niter_16"}, "has the init_lora_weights 'pissa_niter_16'"),
        ({"init_lora_weights": "olora"}, "changed the base's own weights .*: merge it and import"),
        ({"init_lora_weights": "lora_ga"}, "wanted true, false or one of gaussian"),
        ({"rank_pattern": {"q_proj": 4}}, r"has ranks \(2, 2\), wanted 4"),
        ({"rank_pattern": {"q_proj": 0}}, "has rank 0 for"),
        ({"alpha_pattern": {"q_proj": "much"}}, "lacks a usable 'lora_alpha'"),
        ({"r": 0}, "has rank 0"),
        ({"r": None}, "'r'"),
        ({"r": 3}, r"has ranks \(2, 2\), wanted 3"),
    ],
)
def test_other_kinds_of_adapter_are_refused(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    """What would be merged wrongly is not merged."""
    with pytest.raises(CheckpointError, match=complaint):
        read_adapter(save_adapter(tmp_path, query_adapter(), **changes))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({f"{QUERY}.lora_B.weight": None}, "only one of lora_A and lora_B"),
        ({f"{QUERY}.lora_magnitude_vector": np.ones(3)}, "lora_magnitude_vector"),
        ({f"{QUERY}.lora_A.weight": np.ones(2)}, r"shape \(2,\), wanted the matrices"),
        ({f"{QUERY}.lora_A.weight": np.ones((3, 32))}, r"ranks \(2, 3\), wanted 2"),
        ({"base_model.model.model.layers.0.experts.lora_A.weight": np.ones((2, 4))}, "unknown module"),
        ({HEAD: np.ones((3, 32))}, r"head .* has shape \(3, 32\), wanted \(2, hidden\)"),
    ],
)
def test_tensors_that_are_no_adapters_are_refused(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    """Unknown, unpaired and misshapen tensors are named."""
    tensors = query_adapter()
    for name, tensor in change.items():
        tensors.pop(name, None)
        if tensor is not None:
            tensors[name] = np.asarray(tensor, dtype=np.float32)

    with pytest.raises(CheckpointError, match=complaint):
        read_adapter(save_adapter(tmp_path, tensors))


def test_a_delta_of_another_model_is_refused(tmp_path: Path) -> None:
    """Its shape, or the layer it is of, is not the base's."""
    with pytest.raises(CheckpointError, match=r"has shape \(48, 32\), wanted \(32, 32\)"):
        merge(save_adapter(tmp_path, query_adapter(rows=48)))

    tensors = {key.replace("layers.0", "layers.1"): tensor for key, tensor in query_adapter().items()}
    adapter = read_adapter(save_adapter(tmp_path, tensors))
    base = MemoryCheckpoint(config("llama", num_hidden_layers=1), piece_vocabulary([]))
    with pytest.raises(CheckpointError, match=r"lacks: blk\.1\.attn_q\.weight"):
        Adapted(base, adapter, lambda _name, tensor: tensor)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_missing_or_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    """Both files have to be there and readable."""
    save_adapter(tmp_path, query_adapter())
    (tmp_path / name).write_text("damaged")
    with pytest.raises(CheckpointError, match=name):
        read_adapter(tmp_path)

    (tmp_path / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        read_adapter(tmp_path)
