"""Read a Hugging Face folder as a checkpoint, tensor by tensor."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from huggingface_hub import snapshot_download

from export.checkpoint import Tensor, Vocabulary
from export.errors import CheckpointError
from export.hf_config import HEAD, LM_HEAD, read_config
from export.hf_names import plain_name
from export.hf_tokenizer import read_vocabulary
from export.safetensors_file import SafetensorsFile

WEIGHTS_FILE: Final = "model.safetensors"
INDEX_FILE: Final = "model.safetensors.index.json"

_HUB_PATTERNS: Final = ["*.json", "*.safetensors"]
_HUB_ID: Final = re.compile(r"\w[\w.-]*/\w[\w.-]*")

_MAX_FAULTS: Final = 20
"""A wrong configuration gives hundreds; the first ones tell."""


def open_checkpoint(source: str, revision: str | None = None, *, offline: bool = False) -> HfCheckpoint:
    """The checkpoint in a local folder, or of a model id on the hub such as ``Qwen/Qwen3-0.6B``.

    Args:
        source: path or id; a folder that exists comes first.
        revision: of a model on the hub: commit, tag or branch; None is the newest.
        offline: whether only what has been downloaded before may be used.

    Raises:
        CheckpointError: if there is no such folder or model, or it is not what :class:`HfCheckpoint` reads.
    """
    folder = find_folder(source, revision, offline=offline)
    return HfCheckpoint(folder) if folder == Path(source).expanduser() else HfCheckpoint(folder, name=source)


def find_folder(source: str, revision: str | None = None, *, offline: bool = False) -> Path:
    """The local folder of a model, fetched from the hub where it is none; arguments as of :func:`open_checkpoint`.

    Raises:
        CheckpointError: if there is no such folder or model.
    """
    folder = Path(source).expanduser()
    if source and folder.is_dir():
        return folder
    if _HUB_ID.fullmatch(source) is None:
        raise CheckpointError(f"no folder {source!r}, and it is not a model id such as 'Qwen/Qwen3-0.6B' either")
    try:
        found = snapshot_download(source, revision=revision, allow_patterns=_HUB_PATTERNS, local_files_only=offline)
        return Path(found)
    # Which HTTP library the hub's client uses, and so which errors a broken download raises, changes with its version.
    except Exception as error:
        wanted = "it" if revision is None else f"its revision {revision!r}"
        raise CheckpointError(f"no folder {source!r}, and can't get {wanted} from the hub: {error}") from error


def commit_of(folder: Path) -> str | None:
    """The commit that a folder of the hub's cache holds (``.../snapshots/COMMIT``); None of any other folder."""
    return folder.name if folder.parent.name == "snapshots" else None


class HfCheckpoint:
    """The model in a folder with ``config.json``, ``tokenizer.json`` and safetensors in one file or several.

    Args:
        folder: the folder; headers are read at once, a tensor when it is asked for.
        name: of the model, for people; the folder's by default.

    Attributes:
        head: the classifier's rows, shape (2, hidden); None where the model is no classifier.
        class_names: by class id, where the configuration has any.

    Raises:
        CheckpointError: if a file is missing or damaged, the architecture is unknown, or the tensors are not those
            of the configuration.
    """

    def __init__(self, folder: Path, name: str | None = None) -> None:
        self._folder = folder
        self._config = read_config(folder)
        self._stored = _Stored(folder)
        wanted = self._config.tensors
        # Some checkpoints store the output rows although they are the embedding.
        ignored = set() if self._config.untied else {LM_HEAD}
        _check_tensors(folder, wanted, {key: s for key, s in self._stored.shapes.items() if key not in ignored})
        self._names = {self._config.gguf_name(key): key for key in wanted if key != HEAD}
        self.general: Mapping[str, Any] = {"name": name or folder.resolve().name, "type": "model"}
        self.head: Tensor | None = self._stored.load(HEAD) if self._config.classifier else None
        self.class_names = self._config.class_names

    @property
    def architecture(self) -> str:
        """See :class:`export.checkpoint.Checkpoint`."""
        return self._config.architecture.gguf_name

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """See :class:`export.checkpoint.Checkpoint`."""
        return self._config.hyperparameters

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """See :class:`export.checkpoint.Checkpoint`; proven when first asked for, which takes seconds.

        Raises:
            CheckpointError: see :func:`export.hf_tokenizer.read_vocabulary`.
        """
        return read_vocabulary(self._folder, self._config)

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """See :class:`export.checkpoint.Checkpoint`."""
        return self._config.gguf_shapes

    def load(self, name: str) -> Tensor:
        """See :class:`export.checkpoint.Checkpoint`.

        Raises:
            CheckpointError: if there is no such tensor, or it can't be read.
        """
        if name not in self._names:
            raise CheckpointError(f"the model in {self._folder} has no tensor {name!r}")
        architecture = self._config.architecture
        tensor = architecture.convert_values(name, self._stored.load(self._names[name]))
        return architecture.permute_rows(name, tensor, self._config.hyperparameters)


class _Stored:
    """The tensors of all a folder's files, by their plain Hugging Face names."""

    def __init__(self, folder: Path) -> None:
        self._places: dict[str, tuple[SafetensorsFile, str]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for file in map(SafetensorsFile, _weight_files(folder)):
            for stored, shape in file.shapes.items():
                name = plain_name(stored)
                if name is None:
                    continue
                if name in self._places:
                    raise CheckpointError(f"{folder} has the tensor {name!r} twice, once as {stored!r}")
                self._places[name] = (file, stored)
                self.shapes[name] = shape

    def load(self, name: str) -> Tensor:
        file, stored = self._places[name]
        return file.load(stored)


def _weight_files(folder: Path) -> list[Path]:
    index = folder / INDEX_FILE
    if not index.is_file():
        return [folder / WEIGHTS_FILE]
    try:
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"can't read {index}: {error!r}") from error
    if strange := [name for name in names if Path(name).name != name]:
        raise CheckpointError(f"{index} names files outside its folder: {', '.join(strange)}")
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise CheckpointError(f"{folder} lacks {', '.join(missing)}, named in {INDEX_FILE}")
    return [folder / name for name in names]


def _check_tensors(folder: Path, wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> None:
    faults = [f"missing {name!r}, wanted {wanted[name]}" for name in wanted if name not in found]
    faults += [f"unexpected {name!r} of shape {found[name]}" for name in found if name not in wanted]
    faults += [
        f"{name!r} has shape {found[name]}, wanted {shape}"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    if faults:
        more = f" and {len(faults) - _MAX_FAULTS} more" if len(faults) > _MAX_FAULTS else ""
        raise CheckpointError(f"the tensors in {folder} are not the model's: {'; '.join(faults[:_MAX_FAULTS])}{more}")
