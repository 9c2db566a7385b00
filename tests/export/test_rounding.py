"""A base rounded to Q4_0 before training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.checkpoint import EMBEDDING
from export.errors import CheckpointError
from export.fold import Folded
from export.gguf_checkpoint import GgufCheckpoint
from export.gguf_file import write_f16
from export.quantise import quantise
from export.rounding import Rounded
from export.training_base import training_base
from guard.labels import DEFAULT_LABELS
from tests.export.samples import CONFIGS, TEMPLATE, gemma_checkpoint, save_folder
from tests.export.test_fold import random_head


def test_llama_cpp_quantises_rounded_layers_to_what_they_are(tmp_path: Path) -> None:
    """What training saw of each matrix is, bit for bit, what the Q4_0 file holds of it, by way of F16."""
    rounded = Rounded(gemma_checkpoint([]), "Q4_0")
    write_f16(Folded(rounded, random_head(), DEFAULT_LABELS, TEMPLATE), tmp_path / "f16.gguf", {})

    quantise(tmp_path / "f16.gguf", tmp_path / "q4.gguf", "Q4_0")

    found = GgufCheckpoint(tmp_path / "q4.gguf")
    matrices = [name for name, shape in rounded.shapes().items() if name.startswith("blk.") and len(shape) == 2]
    assert len(matrices) == 14
    for name in matrices:
        np.testing.assert_array_equal(found.load(name), rounded.load(name), err_msg=name)


def test_rounding_twice_is_rounding_once() -> None:
    """Rounded weights lie on the grid already."""
    once = Rounded(gemma_checkpoint([]), "Q4_0")

    twice = Rounded(once, "Q4_0")

    name = "blk.0.ffn_up.weight"
    np.testing.assert_array_equal(twice.load(name), once.load(name))


def test_layers_lose_what_four_bits_can_not_hold() -> None:
    """Sixteen values a block of 32 weights, each within a step of what it was."""
    base = gemma_checkpoint([])
    name = "blk.1.attn_q.weight"

    before, after = base.load(name), Rounded(base, "Q4_0").load(name)

    assert len(np.unique(after[0, :32])) <= 16
    step = np.abs(before[0, :32]).max() / 8
    assert 0.0 < np.abs(before - after)[0, :32].max() <= 1.01 * step


def test_embedding_and_norms_stay_as_they_are() -> None:
    """They are not served at four bits."""
    base = gemma_checkpoint([])
    rounded = Rounded(base, "Q4_0")
    others = [name for name, shape in base.shapes().items() if name == EMBEDDING or len(shape) == 1]

    assert len(others) > 5
    for name in others:
        np.testing.assert_array_equal(rounded.load(name), base.load(name))


def test_an_unknown_kind_is_refused() -> None:
    """Named with what is wanted."""
    with pytest.raises(CheckpointError, match="rounded to 'Q8_0', wanted one of Q4_0"):
        Rounded(gemma_checkpoint([]), "Q8_0")


def test_a_hugging_face_folder_is_trained_on_as_it_is(tmp_path: Path) -> None:
    """Transformers reads it by itself, so that rounding it would be no more than a word."""
    folder = save_folder(tmp_path / "model", CONFIGS["qwen3"])
    base = {"folder": str(folder)}

    with pytest.raises(CheckpointError, match=f"only a GGUF base .* rounded, not {folder}"):
        training_base(base, tmp_path, None, layers=None, keep_list=None, rounding="Q4_0")
    assert training_base(base, tmp_path, None, layers=None, keep_list=None)[0] == folder
