"""A classifier that was trained elsewhere: what its own files say of it, and what a person has to add.

It is a PEFT sequence-classification adapter, as the published predecessor's, or a whole
``...ForSequenceClassification``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.build import GUARD_FILE, apply_lora
from export.checkpoint import Tensor
from export.errors import CheckpointError
from export.hf_checkpoint import HfCheckpoint, commit_of, find_folder
from export.hf_config import CONFIG_FILE, read_config
from export.lora import ADAPTER_CONFIG
from guard.labels import Labels
from guard.prompt import PromptTemplate


@dataclass(frozen=True)
class ForeignClassifier:
    """A classifier's files.

    Attributes:
        folder: of the adapter, or of the whole classifier.
        adapter: whether it is an adapter, which needs its base.
        base: what ``guard.json`` will name as its base.
        base_folder: where that lies on this machine.
        head: the classifier's rows, shape (2, hidden).
        class_names: by class id; None where its configuration has none but ``LABEL_0`` and the like.
        template: the prompt's marks for its architecture.
    """

    folder: Path
    adapter: bool
    base: Mapping[str, Any]
    base_folder: Path
    head: Tensor
    class_names: tuple[str, ...] | None
    template: PromptTemplate


def read_foreign(source: str, base: str | None = None) -> ForeignClassifier:
    """Find a classifier and check that its files fit each other; weights of the base are not loaded.

    Args:
        source: a folder or a model id on the hub.
        base: the same of an adapter's base, in place of what the adapter names.

    Raises:
        CheckpointError: if it is no classifier of two classes that export can read, or its base is not known.
    """
    folder = find_folder(source)
    if (folder / GUARD_FILE).is_file():
        raise CheckpointError(f"{folder} has a {GUARD_FILE} already: it can be exported as it is")
    if (folder / ADAPTER_CONFIG).is_file():
        return _read_adapter(folder, base)
    if base is not None:
        raise CheckpointError(
            f"the base {base!r} was given for {folder}, which has no {ADAPTER_CONFIG}: a whole model needs none"
        )
    return _read_merged(folder, source)


def choose_labels(class_names: tuple[str, ...] | None, given: str | None) -> Labels:
    """The labels in the classifier's own order: class 0 is off topic, class 1 on topic.

    Args:
        class_names: what its configuration calls them.
        given: two names parted by a comma, in place of those.

    Raises:
        CheckpointError: if there are not two usable names.
    """
    wanted = (
        "name class 0, which is off topic, and class 1, which is on topic, with --labels such as not_related,related"
    )
    if given is None and class_names is None:
        raise CheckpointError(f"the classifier's configuration names no classes (id2label); {wanted}")
    names = class_names or () if given is None else tuple(name.strip() for name in given.split(","))
    found = ", ".join(map(repr, names))
    if len(names) != 2:
        raise CheckpointError(f"{len(names)} classes, {found}, wanted two; {wanted}")
    try:
        return Labels(*names)
    except ValueError as error:
        raise CheckpointError(f"the classes {found} can't be labels: {error}; {wanted}") from error


def _read_adapter(folder: Path, base: str | None) -> ForeignClassifier:
    source, revision = (base, None) if base else _named_base(folder)
    if source.endswith(".gguf"):
        raise CheckpointError(f"the base {source!r} is a GGUF file, wanted a Hugging Face folder or a model id")
    base_folder = find_folder(source, revision)
    checkpoint = HfCheckpoint(base_folder)
    head, _ = apply_lora(folder, checkpoint)
    # Trainers save the classifier's configuration beside the adapter only if they are asked to.
    has_config = (folder / CONFIG_FILE).is_file()
    config = read_config(folder if has_config else base_folder)
    return ForeignClassifier(
        folder=folder,
        adapter=True,
        base=_base(source, base_folder),
        base_folder=base_folder,
        head=head,
        class_names=config.class_names,
        template=config.architecture.template,
    )


def _read_merged(folder: Path, source: str) -> ForeignClassifier:
    checkpoint = HfCheckpoint(folder)
    config = read_config(folder)
    if checkpoint.head is None:
        found = config.values.get("architectures")
        raise CheckpointError(f"the model in {folder} is {found}, wanted a ...ForSequenceClassification or an adapter")
    return ForeignClassifier(
        folder=folder,
        adapter=False,
        base={**_base(source, folder), "merged": True},
        base_folder=folder,
        head=checkpoint.head,
        class_names=checkpoint.class_names,
        template=config.architecture.template,
    )


def _named_base(folder: Path) -> tuple[str, str | None]:
    """The name of an adapter's base, and PEFT's ``revision`` of it."""
    path = folder / ADAPTER_CONFIG
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"can't read the adapter's {path}: {error}") from error
    config = config if isinstance(config, dict) else {}
    name, revision = config.get("base_model_name_or_path"), config.get("revision")
    if not isinstance(name, str) or not name:
        raise CheckpointError(f"{path} has the base_model_name_or_path {name!r}: name the base with --base")
    return name, revision if isinstance(revision, str) and revision else None


def _base(source: str, folder: Path) -> dict[str, Any]:
    if folder == Path(source).expanduser():
        return {"folder": str(folder.resolve()), "title": folder.resolve().name}
    commit = commit_of(folder)
    return {"hub": source} | ({"revision": commit} if commit else {})
