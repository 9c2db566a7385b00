"""What an export will take, from shapes alone: nothing is loaded, nothing written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Final

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from typing_extensions import override

from export.checkpoint import EMBEDDING, OUTPUT, Checkpoint
from export.hf_config import HfConfig
from export.quantise import FILE_TYPES

Kind = GGMLQuantizationType

PROCESS_BYTES: Final = 300 << 20
"""Python with its libraries, a large vocabulary, and the rows that are worked on; measured: about 250 MiB."""

TOKEN_BYTES: Final = 40
"""A token's text, type, and score or merge in the file's metadata; measured: 25 (Gemma) to 40 (Qwen)."""

WRITE_SECONDS: Final = 25.0
"""To read, merge and write 10^9 parameters as F16; measured on two cores."""

QUANTISE_SECONDS: Final = {"F16": 5.0, "Q8_0": 10.0, "Q6_K": 35.0, "Q5_K_M": 50.0, "Q4_K_M": 60.0, "Q4_0": 10.0}
"""To quantise 10^9 parameters, measured on two cores; more cores take less."""

_BASE_KINDS: Final = {
    "F16": Kind.F16,
    "Q8_0": Kind.Q8_0,
    "Q6_K": Kind.Q6_K,
    "Q5_K_M": Kind.Q5_K,
    "Q4_K_M": Kind.Q4_K,
    "Q4_0": Kind.Q4_0,
}
_FALLBACKS: Final = {Kind.Q4_K: Kind.Q5_0, Kind.Q5_K: Kind.Q5_1, Kind.Q6_K: Kind.Q8_0}
"""What llama.cpp takes for a row that is not made of whole 256-value blocks."""


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """What an export will take.

    Attributes:
        architecture: GGUF's name.
        parameters: how many, the folded output rows included.
        largest_name: the tensor that decides the memory.
        largest_shape: its shape, rows first.
        file_bytes: of the GGUF by quantisation; the vocabulary's share is estimated.
        peak_bytes: of memory, estimated.
        seconds: from checkpoint to quantised file by quantisation, estimated for two cores.
    """

    architecture: str
    parameters: int
    largest_name: str
    largest_shape: tuple[int, ...]
    file_bytes: Mapping[str, int]
    peak_bytes: int
    seconds: Mapping[str, float]

    @property
    def largest_bytes(self) -> int:
        """Of the largest tensor as float32."""
        return 4 * prod(self.largest_shape)

    @override
    def __str__(self) -> str:
        """The plan for people, as Markdown."""
        head = (
            f"{self.architecture}, {self.parameters / 1e9:.3f} billion parameters; largest tensor "
            f"{self.largest_name} {self.largest_shape}, {_gib(self.largest_bytes)} as float32; "
            f"about {_gib(self.peak_bytes)} of memory.\n"
        )
        # The F16 file lies beside the quantised one until that is done.
        rows = [
            f"| {kind} | {_gib(size)} | {_gib(size + self.file_bytes['F16'])} | {self.seconds[kind]:.0f} s |"
            for kind, size in self.file_bytes.items()
        ]
        title = "| quantisation | file | disk while exporting | time on 2 cores, about |"
        return "\n".join([head, title, "|---|---|---|---|", *rows])


def plan_checkpoint(checkpoint: Checkpoint) -> ExportPlan:
    """The plan for a checkpoint, cut to its first layers or kept tokens as it may be."""
    return plan_shapes(checkpoint.architecture, checkpoint.shapes())


def plan_config(config: HfConfig) -> ExportPlan:
    """The plan for a Hugging Face configuration; weights and tokenizer need not be there."""
    return plan_shapes(config.architecture.gguf_name, config.gguf_shapes)


def plan_shapes(architecture: str, shapes: Mapping[str, tuple[int, ...]]) -> ExportPlan:
    """The plan for tensors of these shapes, by GGUF name, with the head folded into rows of their own."""
    shapes = {**shapes, OUTPUT: shapes[EMBEDDING]}
    parameters = sum(map(prod, shapes.values()))
    largest = max(shapes, key=lambda name: prod(shapes[name]))
    metadata = TOKEN_BYTES * shapes[EMBEDDING][0]
    return ExportPlan(
        architecture=architecture,
        parameters=parameters,
        largest_name=largest,
        largest_shape=shapes[largest],
        file_bytes={kind: metadata + tensor_bytes(shapes, kind) for kind in FILE_TYPES},
        # As float32 and, narrowed, as F16. llama.cpp's quantising takes 1.3 times the float32 size (measured), beside
        # pages of the F16 file that the system takes back when it needs them.
        peak_bytes=6 * prod(shapes[largest]) + PROCESS_BYTES,
        seconds={kind: (WRITE_SECONDS + QUANTISE_SECONDS[kind]) * parameters / 1e9 for kind in FILE_TYPES},
    )


def tensor_bytes(shapes: Mapping[str, tuple[int, ...]], quantisation: str) -> int:
    """Bytes of all tensors in a file of this quantisation, without padding between them."""
    kinds = tensor_kinds(shapes, quantisation)
    total = 0
    for name, shape in shapes.items():
        block_values, block_bytes = GGML_QUANT_SIZES[kinds[name]]
        total += prod(shape) // block_values * block_bytes
    return total


def tensor_kinds(shapes: Mapping[str, tuple[int, ...]], quantisation: str) -> dict[str, GGMLQuantizationType]:
    """The type that each tensor gets from :func:`export.quantise.quantise`.

    Source: ``llama_tensor_get_type`` in llama.cpp's ``llama-quant.cpp``, compared with its output in the tests.
    """
    layers = len({name.split(".")[1] for name in shapes if name.startswith("blk.")})
    return {name: _tensor_kind(name, shape, quantisation, layers) for name, shape in shapes.items()}


def _tensor_kind(name: str, shape: tuple[int, ...], quantisation: str, layers: int) -> GGMLQuantizationType:
    if len(shape) == 1:
        return Kind.F32
    kind = _BASE_KINDS[quantisation]
    if kind is Kind.F16:
        return kind
    if name in (EMBEDDING, OUTPUT):
        kind = Kind.Q8_0
    elif quantisation.endswith("_K_M") and _has_more_bits(name, layers):
        kind = Kind.Q6_K
    if shape[-1] % GGML_QUANT_SIZES[kind][0]:
        kind = _FALLBACKS.get(kind, kind)
    return Kind.F16 if shape[-1] % GGML_QUANT_SIZES[kind][0] else kind


def _has_more_bits(name: str, layers: int) -> bool:
    """Whether a "medium" K-quantisation spends six bits on a tensor: values and down projections of some layers."""
    if not name.endswith(("attn_v.weight", "ffn_down.weight")):
        return False
    layer, eighth = int(name.split(".")[1]), layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
