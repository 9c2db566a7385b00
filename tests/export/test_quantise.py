"""Quantising with llama.cpp."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.checkpoint import EMBEDDING
from export.errors import QuantiseError
from export.fold import Folded
from export.gguf_file import write_f16
from export.gguf_header import read_header
from export.plan import tensor_kinds
from export.quantise import FILE_TYPES, quantise
from guard.labels import DEFAULT_LABELS
from tests.export.samples import TEMPLATE, gemma_checkpoint
from tests.export.test_fold import random_head


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An F16 file whose rows are made of whole blocks of the K-quantisations, of enough layers for them to differ."""
    checkpoint = gemma_checkpoint([], hidden_size=256, intermediate_size=512, num_hidden_layers=10)
    path = tmp_path_factory.mktemp("half") / "f16.gguf"
    write_f16(Folded(checkpoint, random_head(256), DEFAULT_LABELS, TEMPLATE), path, {"general.name": "tiny"})
    return path


@pytest.mark.parametrize("kind", FILE_TYPES)
def test_each_tensor_gets_the_planned_type(half: Path, tmp_path: Path, kind: str) -> None:
    """llama.cpp's own choice is what the plan says, and the label rows are never below Q8_0."""
    quantise(half, tmp_path / "x.gguf", kind)

    header = read_header(tmp_path / "x.gguf")
    found = {name: info.kind for name, info in header.tensors.items()}
    shapes = {name: info.shape for name, info in header.tensors.items()}
    assert found == tensor_kinds(shapes, kind)
    assert found["output.weight"].name == found[EMBEDDING].name == ("F16" if kind == "F16" else "Q8_0")
    assert header.metadata["general.name"] == "tiny"


@pytest.mark.parametrize("kind", ["Q4_K_M", "Q5_K_M", "Q6_K", "Q4_0"])
def test_rows_that_are_not_whole_blocks_fall_back_as_planned(tmp_path: Path, kind: str) -> None:
    """Gemma's rows of 640 values are no multiple of 256."""
    write_f16(gemma_checkpoint([], hidden_size=96, intermediate_size=160), tmp_path / "f16.gguf", {})

    quantise(tmp_path / "f16.gguf", tmp_path / "x.gguf", kind)

    tensors = read_header(tmp_path / "x.gguf").tensors
    planned = tensor_kinds({name: info.shape for name, info in tensors.items()}, kind)
    assert {name: info.kind for name, info in tensors.items()} == planned


def test_an_unknown_quantisation_is_refused_with_the_known_ones(half: Path, tmp_path: Path) -> None:
    """The error lists the names."""
    with pytest.raises(QuantiseError, match="unknown quantisation 'Q3_X', wanted one of F16, Q8_0"):
        quantise(half, tmp_path / "x.gguf", "Q3_X")


def test_a_failure_leaves_the_old_file(half: Path, tmp_path: Path) -> None:
    """A source that is missing or cut is an error with its reason; the target stays."""
    target = tmp_path / "guard.gguf"
    target.write_text("old")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(half.read_bytes()[:-1000])

    with pytest.raises(QuantiseError, match="could not quantise"):
        quantise(cut, target)
    with pytest.raises(QuantiseError, match="no GGUF file to quantise"):
        quantise(tmp_path / "nowhere.gguf", target)

    assert target.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.gguf", "guard.gguf"]


def test_a_target_that_cannot_be_written_is_an_export_error(half: Path, tmp_path: Path) -> None:
    """A file where a folder should be is reported, not raised raw."""
    (tmp_path / "folder").write_text("in the way")

    with pytest.raises(QuantiseError, match="can't write"):
        quantise(half, tmp_path / "folder" / "x.gguf")


def test_rows_that_are_no_whole_blocks_are_told_before_llama_cpp_ends_the_process(tmp_path: Path) -> None:
    """With what would do."""
    checkpoint = gemma_checkpoint([], hidden_size=48, intermediate_size=96)
    path = tmp_path / "f16.gguf"
    write_f16(Folded(checkpoint, random_head(48), DEFAULT_LABELS, TEMPLATE), path, {"general.name": "tiny"})
    with pytest.raises(QuantiseError, match="rows of 48 weights, which Q4_0 can't hold: wanted a multiple of 32"):
        quantise(path, tmp_path / "x.gguf")
