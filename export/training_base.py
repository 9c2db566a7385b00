"""The base that a recipe trains on: the very weights and tokenizer that export will build the guard from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from export.architectures import by_gguf_name
from export.bases import packaged_base
from export.build import BUILD_VERSION, cut, file_states, open_base_weights
from export.errors import CheckpointError
from export.gguf_file import write_f16
from export.hf_checkpoint import find_folder
from export.hf_config import read_config
from guard.prompt import PromptTemplate


def training_base(  # noqa: PLR0913 - a stage takes what it needs by name
    base: Mapping[str, str | None],
    cache: Path,
    path: Path | None,
    *,
    layers: int | None,
    keep_list: Path | None,
    rounding: str | None = None,
) -> tuple[Path, PromptTemplate]:
    """Where a base lies for training, and the prompt's marks for its architecture.

    A base that comes as GGUF is written out anew with its layers and vocabulary cut, so that the tokenizer trained
    with is the one served with. A Hugging Face folder is used as it is, and can't be cut.

    Args:
        base: ``package``, ``folder``, or ``hub`` and its ``revision``.
        cache: where written bases are kept.
        path: a GGUF file or folder in place of what ``base`` names.
        layers: to keep; None for all.
        keep_list: of the vocabulary; None for all tokens.
        rounding: the quantisation that the layers are rounded to; None for none.

    Returns:
        A GGUF file or a Hugging Face folder, and the marks.

    Raises:
        CheckpointError: if the base is missing, of an unknown architecture, or can't be cut.
    """
    source = path or base.get("folder") or base.get("hub")
    if source is not None and Path(source).suffix != ".gguf":
        if layers is not None or keep_list is not None or rounding is not None:
            raise CheckpointError(
                f"only a GGUF base can have its layers or vocabulary cut, or its weights rounded, not {source}"
            )
        # A folder takes the place of what the hub has, so that nothing is known of its revision.
        named = path or base.get("folder")
        folder = find_folder(str(source), None if named else base.get("revision"))
        return folder, read_config(folder).architecture.template
    checkpoint = cut(open_base_weights(base, cache, path), layers, keep_list, rounding)
    kept = keep_list.read_text() if keep_list else ""
    made_of = [packaged_base(str(base.get("package"))).sha256] if source is None else _states(Path(source))
    key = "/".join([*made_of, str(BUILD_VERSION), str(layers), kept, *([rounding] if rounding else [])])
    target = cache / "training" / hashlib.sha256(key.encode()).hexdigest()[:16] / "base.gguf"
    if not target.is_file():
        write_f16(checkpoint, target, {})
    return target, by_gguf_name(checkpoint.architecture).template


def _states(path: Path) -> list[str]:
    """Tells a file from others, and from what it was before."""
    return [str(path.resolve()), *file_states(path)]
