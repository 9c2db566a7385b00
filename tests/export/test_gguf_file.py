"""Writing F16 files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typing_extensions import override

from export.checkpoint import Tensor, WrappedCheckpoint
from export.errors import ExportError
from export.gguf_checkpoint import GgufCheckpoint
from export.gguf_file import all_metadata, write_f16
from export.gguf_header import read_header
from tests.export.samples import gemma_checkpoint


class Changed(WrappedCheckpoint):
    """A model with one tensor replaced."""

    def __init__(self, name: str, tensor: Tensor) -> None:
        super().__init__(gemma_checkpoint([]))
        self._name = name
        self._tensor = tensor

    @override
    def load(self, name: str) -> Tensor:
        return self._tensor if name == self._name else super().load(name)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Hyperparameters, vocabulary and tensors come back: matrices as F16, vectors as F32."""
    written = gemma_checkpoint(["th", "the", "\u2581the"])
    write_f16(written, tmp_path / "x.gguf", {"startrek_guard.name": "tiny"})

    read = GgufCheckpoint(tmp_path / "x.gguf")

    assert read.architecture == written.architecture
    assert read.hyperparameters == pytest.approx(dict(written.hyperparameters), rel=1e-6)
    assert read.vocabulary == written.vocabulary
    assert read.shapes() == written.shapes()
    assert read.metadata("startrek_guard.") == {"startrek_guard.name": "tiny"}
    for name, shape in written.shapes().items():
        kind = np.float32 if len(shape) == 1 else np.float16
        np.testing.assert_array_equal(read.load(name), written.load(name).astype(kind))


def test_progress_is_told_by_tensor(tmp_path: Path) -> None:
    """Once a tensor, up to all of them."""
    steps: list[tuple[int, int]] = []
    checkpoint = gemma_checkpoint([])

    write_f16(checkpoint, tmp_path / "x.gguf", {}, lambda done, total: steps.append((done, total)))

    count = len(checkpoint.shapes())
    assert steps == [(done, count) for done in range(1, count + 1)]


def test_given_metadata_wins_and_the_architecture_is_written_once(tmp_path: Path) -> None:
    """The guard's own name goes before its base's."""
    checkpoint = gemma_checkpoint([])

    assert "general.architecture" not in all_metadata(checkpoint, {"general.architecture": "other"})
    write_f16(checkpoint, tmp_path / "x.gguf", {"general.name": "guard", "general.tags": ["a", "b"]})

    metadata = read_header(tmp_path / "x.gguf").metadata
    assert (metadata["general.name"], metadata["general.tags"]) == ("guard", ["a", "b"])
    assert metadata["general.architecture"] == "gemma3"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 70000.0])
def test_values_that_f16_does_not_have_are_refused(tmp_path: Path, value: float) -> None:
    """No file is better than one with infinities, and the error names the tensor."""
    tensor = np.zeros(gemma_checkpoint([]).shapes()["token_embd.weight"], np.float32)
    tensor[200, 5] = value

    with pytest.raises(ExportError, match=r"'token_embd\.weight' has the value"):
        write_f16(Changed("token_embd.weight", tensor), tmp_path / "x.gguf", {})
    assert list(tmp_path.iterdir()) == []


def test_a_vector_may_be_large_but_not_infinite(tmp_path: Path) -> None:
    """Vectors stay F32: Gemma's norms go beyond F16 in some models."""
    write_f16(Changed("output_norm.weight", np.full(32, 1e6, np.float32)), tmp_path / "x.gguf", {})

    with pytest.raises(ExportError, match="output_norm"):
        write_f16(Changed("output_norm.weight", np.full(32, np.nan, np.float32)), tmp_path / "x.gguf", {})
    assert GgufCheckpoint(tmp_path / "x.gguf").load("output_norm.weight")[0] == 1e6


def test_a_tensor_of_another_shape_is_refused(tmp_path: Path) -> None:
    """The header announces the shapes; what follows has to be that."""
    with pytest.raises(ExportError, match=r"'output_norm\.weight' has shape \(31,\), wanted \(32,\)"):
        write_f16(Changed("output_norm.weight", np.zeros(31, np.float32)), tmp_path / "x.gguf", {})
