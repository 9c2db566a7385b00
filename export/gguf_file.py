"""Write a checkpoint as an F16 GGUF, one tensor in memory at a time.

At its peak the writer holds one tensor twice, as float32 and as F16: 1.5 times its float32 size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType

from export.atomic import replacing
from export.checkpoint import Checkpoint, MetadataValue, Tensor, Vocabulary
from export.errors import ExportError
from export.rows import row_chunks


def write_f16(
    checkpoint: Checkpoint,
    path: Path,
    metadata: Mapping[str, MetadataValue],
    advance: Callable[[int, int], None] = lambda _done, _total: None,
) -> None:
    """Write ``checkpoint`` to ``path``: matrices as F16, vectors as F32.

    Args:
        checkpoint: what to write.
        path: is replaced when the file is complete and on disk, never before.
        metadata: further keys, whole; they win over the checkpoint's own ``general.*``.
        advance: called with tensors written and tensors in all.

    Raises:
        ExportError: if the file can't be written (a full disk, say); the old file stays.
    """
    try:
        with replacing(path) as temporary:
            _write(checkpoint, temporary, metadata, advance)
    except OSError as error:
        raise ExportError(f"can't write {path}: {error}") from error


def write_vocabulary(vocabulary: Vocabulary, architecture: str, path: Path) -> None:
    """Write a GGUF that has a vocabulary and no tensors, for llama.cpp to tokenise with.

    Raises:
        ExportError: if the file can't be written.
    """
    writer = GGUFWriter(path, architecture)
    for key, value in vocabulary.metadata().items():
        _add(writer, key, value)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
    except OSError as error:
        raise ExportError(f"can't write {path}: {error}") from error
    finally:
        writer.close()


def _write(
    checkpoint: Checkpoint,
    path: Path,
    metadata: Mapping[str, MetadataValue],
    advance: Callable[[int, int], None],
) -> None:
    writer = GGUFWriter(path, checkpoint.architecture)
    for key, value in all_metadata(checkpoint, metadata).items():
        _add(writer, key, value)
    shapes = checkpoint.shapes()
    for name, shape in shapes.items():
        kind = np.dtype(np.float32 if len(shape) == 1 else np.float16)
        writer.add_tensor_info(name, list(shape), kind, int(np.prod(shape)) * kind.itemsize, _raw_type(kind))
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for done, (name, shape) in enumerate(shapes.items(), start=1):
            tensor = checkpoint.load(name)
            if tensor.shape != shape:
                raise ExportError(f"tensor {name!r} has shape {tensor.shape}, wanted {shape}")
            writer.write_tensor_data(_narrow(tensor, name))
            advance(done, len(shapes))
    finally:
        writer.close()


def all_metadata(checkpoint: Checkpoint, metadata: Mapping[str, MetadataValue]) -> dict[str, Any]:
    """Every key of the file but the architecture, which the writer adds itself."""
    own: dict[str, Any] = {f"general.{key}": value for key, value in checkpoint.general.items()}
    own |= {f"{checkpoint.architecture}.{key}": value for key, value in checkpoint.hyperparameters.items()}
    own |= checkpoint.vocabulary.metadata()
    own |= {"general.file_type": int(LlamaFileType.MOSTLY_F16), "general.quantization_version": 2}
    own |= metadata
    # The writer has set it already, and only warns of a second time.
    own.pop("general.architecture", None)
    return own


def _raw_type(kind: np.dtype[Any]) -> GGMLQuantizationType:
    return GGMLQuantizationType.F16 if kind == np.float16 else GGMLQuantizationType.F32


def _narrow(tensor: Tensor, name: str) -> npt.NDArray[np.float16] | Tensor:
    """The tensor as it is written; chunk by chunk, as whole-array checks would cost as much memory again."""
    if tensor.ndim == 1:
        _refuse_unusable(tensor, name, float(np.finfo(np.float32).max))
        return tensor
    rows = tensor.reshape(-1, tensor.shape[-1])
    narrow = np.empty(rows.shape, dtype=np.float16)
    for part in row_chunks(*rows.shape):
        _refuse_unusable(rows[part], name, float(np.finfo(np.float16).max))
        narrow[part] = rows[part]
    return narrow


def _refuse_unusable(values: Tensor, name: str, limit: float) -> None:
    largest = float(np.abs(values).max(initial=0.0))
    # A NaN anywhere makes the maximum NaN, which is not below anything.
    if not largest <= limit:
        raise ExportError(f"tensor {name!r} has the value {largest}, wanted none beyond {limit}")


def _add(writer: GGUFWriter, key: str, value: Any) -> None:  # noqa: ANN401 - the type decides
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, list):
        writer.add_array(key, value)
    else:
        writer.add_uint32(key, int(value))
