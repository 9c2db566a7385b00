"""The guard's base as it was published: all layers, all tokens."""

from __future__ import annotations

from pathlib import Path

from benchmarks.context import Context
from export.build import open_base_weights
from export.gguf_file import write_f16
from export.quantise import quantise
from startrek_guard.guards import open_adapter


def full_base(context: Context, kind: str) -> Path:
    """Its GGUF, ``F16`` or a quantisation that the guard may have, written once."""
    base = open_adapter(context.adapter_name).guard["base"]
    folder = context.cache / "benchmarks"
    half = folder / f"{base.get('package', 'base')}-F16.gguf"
    if not half.is_file():
        write_f16(open_base_weights(base, context.cache), half, {})
    target = half.with_name(half.name.replace("F16", kind))
    if not target.is_file():
        quantise(half, target, kind)
    return target
