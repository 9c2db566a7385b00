"""GGUF files as checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter
from gguf.quants import dequantize

from export.errors import CheckpointError
from export.gguf_checkpoint import GgufCheckpoint
from export.gguf_file import write_f16
from export.quantise import quantise
from tests.export.samples import gemma_checkpoint


@pytest.mark.parametrize("kind", ["Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0"])
def test_tensors_are_dequantised_as_gguf_does(tmp_path: Path, kind: str) -> None:
    """By rows or at once, the values are the same."""
    checkpoint = gemma_checkpoint([], hidden_size=256, intermediate_size=512, vocab_size=400)
    write_f16(checkpoint, tmp_path / "f16.gguf", {})
    quantise(tmp_path / "f16.gguf", tmp_path / "x.gguf", kind)
    theirs = {tensor.name: tensor for tensor in GGUFReader(tmp_path / "x.gguf").tensors}

    ours = GgufCheckpoint(tmp_path / "x.gguf")

    assert set(ours.shapes()) == set(theirs)
    for name, tensor in theirs.items():
        wanted = dequantize(tensor.data, tensor.tensor_type)
        np.testing.assert_array_equal(ours.load(name), wanted.reshape(ours.shapes()[name]))
        assert np.abs(ours.load(name) - checkpoint.load(name)).mean() < 0.02


def test_a_loaded_tensor_may_be_changed(tmp_path: Path) -> None:
    """Even one that needs no dequantising is in memory of its own."""
    write_f16(gemma_checkpoint([]), tmp_path / "x.gguf", {})
    checkpoint = GgufCheckpoint(tmp_path / "x.gguf")
    before = checkpoint.load("output_norm.weight").copy()

    checkpoint.load("output_norm.weight")[:] = 0.0

    np.testing.assert_array_equal(checkpoint.load("output_norm.weight"), before)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """A file, an architecture, a tokenizer, a tensor."""
    with pytest.raises(CheckpointError, match=r"no GGUF file at .*nowhere\.gguf"):
        GgufCheckpoint(tmp_path / "nowhere.gguf")

    writer = GGUFWriter(tmp_path / "bare.gguf", "gemma3")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    bare = GgufCheckpoint(tmp_path / "bare.gguf")

    with pytest.raises(CheckpointError, match=r"has no 'tokenizer\.ggml\.model'"):
        _ = bare.vocabulary
    with pytest.raises(CheckpointError, match=r"no tensor 'output\.weight'"):
        bare.load("output.weight")
