"""GGUF headers, read as gguf's own reader reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter

from export.errors import CheckpointError
from export.gguf_header import read_header


def write_sample(path: Path) -> Path:
    """A file with every kind of value and two tensors."""
    writer = GGUFWriter(path, "llama")
    writer.add_uint8("u8", 1)
    writer.add_int8("i8", -1)
    writer.add_uint16("u16", 2)
    writer.add_int16("i16", -2)
    writer.add_uint32("u32", 3)
    writer.add_int32("i32", -3)
    writer.add_uint64("u64", 1 << 40)
    writer.add_int64("i64", -(1 << 40))
    writer.add_float32("f32", 0.5)
    writer.add_float64("f64", 0.1)
    writer.add_bool("yes", True)  # noqa: FBT003 - gguf's signature
    writer.add_string("text", "né🖖")
    writer.add_array("texts", ["a", "", "ü"])
    writer.add_array("numbers", [1, 2, 3])
    writer.add_array("floats", [0.5, -1.0])
    writer.add_array("flags", [True, False])
    writer.add_tensor("a.weight", np.arange(6, dtype=np.float32).reshape(2, 3))
    writer.add_tensor("b.weight", np.arange(4, dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_all_values_are_read_as_gguf_reads_them(tmp_path: Path) -> None:
    """Keys, values, tensors and their places are those of gguf's own reader."""
    path = write_sample(tmp_path / "x.gguf")
    theirs = GGUFReader(path)

    ours = read_header(path)

    wanted = {key: field.contents() for key, field in theirs.fields.items() if not key.startswith("GGUF.")}
    assert ours.metadata == wanted
    assert {name: (info.offset_bytes, info.kind) for name, info in ours.tensors.items()} == {
        tensor.name: (tensor.data_offset, tensor.tensor_type) for tensor in theirs.tensors
    }
    assert [info.shape for info in ours.tensors.values()] == [(2, 3), (4,)]
    assert [info.rows for info in ours.tensors.values()] == [2, 1]


def test_every_cut_is_refused(tmp_path: Path) -> None:
    """A file that ends early is an error wherever it ends, never half a header."""
    whole = write_sample(tmp_path / "x.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    info = read_header(tmp_path / "x.gguf").tensors["b.weight"]
    end = info.offset_bytes + info.row_bytes

    for length in [*range(0, end - 16, 7), end - 1]:
        cut.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"cut\.gguf"):
            read_header(cut)


@pytest.mark.parametrize(
    ("place", "content", "complaint"),
    [
        (0, b"GGML", "begins with"),
        (4, b"\x09\x00\x00\x00", "version 9"),
        (4, b"\x00\x00\x00\x03", "version"),
        (8, b"\xff" * 8, "readable"),
        (16, b"\xff" * 8, "readable"),
        (24, b"\xff" * 8, "beyond the file's end"),
    ],
)
def test_damage_is_refused(tmp_path: Path, place: int, content: bytes, complaint: str) -> None:
    """Foreign files, other versions, byte orders and absurd counts are refused at once."""
    path = write_sample(tmp_path / "x.gguf")
    data = bytearray(path.read_bytes())
    data[place : place + len(content)] = content
    path.write_bytes(data)

    with pytest.raises(CheckpointError, match=complaint):
        read_header(path)
