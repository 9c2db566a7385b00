"""A base rounded before training to the quantisation that its guard will be served in."""

from __future__ import annotations

from typing import Final

from gguf import GGMLQuantizationType
from gguf.quants import QuantError, dequantize, quantize
from typing_extensions import override

from export.checkpoint import Checkpoint, Tensor, WrappedCheckpoint
from export.errors import CheckpointError

_TYPES: Final = {"Q4_0": GGMLQuantizationType.Q4_0}


class Rounded(WrappedCheckpoint):
    """A model whose layers' matrices hold what a quantisation leaves of them.

    Quantising such a matrix again changes nothing but the last bits: its largest weight still sets the scale.

    Args:
        base: the model.
        kind: ``Q4_0``.

    Raises:
        CheckpointError: if ``kind`` is another, or (when a matrix is loaded) its rows are no whole blocks of 32.
    """

    def __init__(self, base: Checkpoint, kind: str) -> None:
        super().__init__(base)
        if kind not in _TYPES:
            raise CheckpointError(f"weights can't be rounded to {kind!r}, wanted one of {', '.join(_TYPES)}")
        self._type = _TYPES[kind]

    @override
    def load(self, name: str) -> Tensor:
        tensor = self._base.load(name)
        # Embedding and output rows are served at Q8_0, norms as they are.
        if not name.startswith("blk.") or tensor.ndim != 2:
            return tensor
        try:
            rounded: Tensor = dequantize(quantize(tensor, self._type), self._type)
        except QuantError as error:
            raise CheckpointError(
                f"can't round {name!r} of shape {tensor.shape} to {self._type.name}: {error}"
            ) from error
        return rounded
