"""Reading safetensors without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from export.errors import CheckpointError
from export.safetensors_file import SafetensorsFile


def write_raw(path: Path, header: dict[str, Any], data: bytes) -> Path:
    """A file with any header, damaged ones too."""
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_floats_are_read_as_float32(tmp_path: Path, kind: type[np.floating[Any]]) -> None:
    """Values and shapes are those that the format's own library wrote."""
    values = np.random.default_rng(0).normal(size=(3, 5)).astype(kind)
    save_file({"a": values, "b": np.zeros((), kind)}, tmp_path / "x.safetensors")

    file = SafetensorsFile(tmp_path / "x.safetensors")

    assert file.shapes == {"a": (3, 5), "b": ()}
    assert file.load("a").dtype == np.float32
    np.testing.assert_array_equal(file.load("a"), values.astype(np.float32))


def test_bfloat16_is_the_upper_half_of_a_float32(tmp_path: Path) -> None:
    """Every bfloat16 pattern gives the float32 with those upper bits."""
    patterns = np.arange(1 << 16, dtype=np.uint16)
    header = {"a": {"dtype": "BF16", "shape": [256, 256], "data_offsets": [0, patterns.nbytes]}}
    path = write_raw(tmp_path / "x.safetensors", header, patterns.tobytes())

    loaded = SafetensorsFile(path).load("a")

    assert loaded.view(np.uint32).reshape(-1).tolist() == [int(pattern) << 16 for pattern in patterns]


def test_a_loaded_tensor_may_be_changed(tmp_path: Path) -> None:
    """Each load gives memory of its own."""
    save_file({"a": np.ones((2, 2), np.float32)}, tmp_path / "x.safetensors")
    file = SafetensorsFile(tmp_path / "x.safetensors")

    file.load("a")[:] = 5.0

    assert file.load("a").tolist() == [[1.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 99]}, "lies from byte"),
        ({"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 12]}, "12 bytes"),
        ({"dtype": "F32", "shape": [2, 2], "data_offsets": [8, 0]}, "lies from byte"),
        ({"dtype": "F32", "data_offsets": [0, 16]}, "shape"),
        (["F32"], "indices"),
    ],
)
def test_a_damaged_header_is_refused(tmp_path: Path, entry: Any, complaint: str) -> None:
    """A tensor that does not fit its file is found before anything is read."""
    path = write_raw(tmp_path / "x.safetensors", {"a": entry}, bytes(16))

    with pytest.raises(CheckpointError, match=complaint):
        SafetensorsFile(path)


@pytest.mark.parametrize("content", [b"", b"\x00" * 8, b"\xff" * 64, b"\x05" + bytes(7) + b"nojson"])
def test_what_is_no_safetensors_is_refused(tmp_path: Path, content: bytes) -> None:
    """Empty, cut and foreign files are CheckpointErrors that name the file."""
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match=r"x\.safetensors"):
        SafetensorsFile(path)


def test_other_types_are_refused_when_asked_for(tmp_path: Path) -> None:
    """A file may hold integers beside the weights; as weights they are refused."""
    save_file({"a": np.zeros(3, np.int64)}, tmp_path / "x.safetensors")
    file = SafetensorsFile(tmp_path / "x.safetensors")

    with pytest.raises(CheckpointError, match="'I64', wanted one of F32, F16, BF16"):
        file.load("a")
    with pytest.raises(CheckpointError, match="no tensor 'b'"):
        file.load("b")


def test_a_file_cut_after_it_was_opened_is_refused(tmp_path: Path) -> None:
    """A tensor whose bytes are gone is an error, never zeros."""
    path = tmp_path / "x.safetensors"
    save_file({"a": np.ones(64, np.float32)}, path)
    file = SafetensorsFile(path)
    path.write_bytes(path.read_bytes()[:-32])

    with pytest.raises(CheckpointError, match="can't read tensor 'a'"):
        file.load("a")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The error says which file is missing."""
    with pytest.raises(CheckpointError, match=r"nowhere\.safetensors"):
        SafetensorsFile(tmp_path / "nowhere.safetensors")
