"""What a classifier that was trained elsewhere says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from export.errors import CheckpointError
from export.foreign import choose_labels, read_foreign
from tests.export.samples import CONFIGS, classifier_config, save_folder

NAMES = {"id2label": {"0": "other", "1": "space"}}


def save_classifier(folder: Path, **changes: Any) -> Path:
    """A whole Qwen3 classifier."""
    return save_folder(folder, {**classifier_config("qwen3"), **changes})


def save_adapter(folder: Path, base: str | None, *, head: bool = True) -> Path:
    """A PEFT adapter on one matrix, as Hugging Face's trainers leave it."""
    folder.mkdir()
    config = {"peft_type": "LORA", "task_type": "SEQ_CLS", "r": 2, "lora_alpha": 4, "base_model_name_or_path": base}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    name = "base_model.model.model.layers.0.mlp.up_proj"
    tensors = {f"{name}.lora_A.weight": np.ones((2, 32)), f"{name}.lora_B.weight": np.ones((64, 2))}
    tensors |= {"base_model.model.score.weight": np.ones((2, 32))} if head else {}
    save_file({key: value.astype(np.float32) for key, value in tensors.items()}, folder / "adapter_model.safetensors")
    return folder


def test_a_whole_classifier_is_its_own_base(tmp_path: Path) -> None:
    """Names, marks and head come from the folder."""
    folder = save_classifier(tmp_path / "model", **NAMES)

    found = read_foreign(str(folder))

    assert found.base == {"folder": str(folder), "title": "model", "merged": True}
    assert (found.adapter, found.class_names, found.head.shape) == (False, ("other", "space"), (2, 32))
    assert found.template.suffix == "<|im_end|>"


def test_an_adapter_names_its_base(tmp_path: Path) -> None:
    """And has the head; the base's configuration says no names."""
    base = save_folder(tmp_path / "base", CONFIGS["qwen3"])

    found = read_foreign(str(save_adapter(tmp_path / "adapter", str(base))))

    assert found.base == {"folder": str(base), "title": "base"}
    assert (found.adapter, found.base_folder, found.class_names) == (True, base, None)


def test_a_base_given_wins_over_the_one_named(tmp_path: Path) -> None:
    """The name is often a path of the machine that trained."""
    base = save_folder(tmp_path / "base", CONFIGS["qwen3"])

    assert read_foreign(str(save_adapter(tmp_path / "a", "/elsewhere")), str(base)).base_folder == base


def test_the_revision_that_an_adapter_names_is_its_bases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit is kept, so that a guard is built from the same weights ever after."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    repository, commit = tmp_path / "hub" / "models--somebody--tiny", "a" * 40
    save_folder(repository / "snapshots" / commit, CONFIGS["qwen3"])
    (repository / "refs").mkdir()
    (repository / "refs" / "v1").write_text(commit)
    adapter = save_adapter(tmp_path / "adapter", "somebody/tiny")
    named = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**named, "revision": "v1"}))

    assert read_foreign(str(adapter)).base == {"hub": "somebody/tiny", "revision": commit}


def test_names_beside_the_adapter_are_taken(tmp_path: Path) -> None:
    """A configuration saved beside it is the classifier's own."""
    base = save_folder(tmp_path / "base", CONFIGS["qwen3"])
    adapter = save_adapter(tmp_path / "adapter", str(base))
    (adapter / "config.json").write_text(json.dumps({**classifier_config("qwen3"), **NAMES}))

    assert read_foreign(str(adapter)).class_names == ("other", "space")


def test_what_is_no_classifier_is_refused(tmp_path: Path) -> None:
    """Each with what was found and what was wanted."""
    base = save_folder(tmp_path / "base", CONFIGS["qwen3"])
    cases = {
        str(base): r"is \['Qwen3ForCausalLM'\], wanted a ...ForSequenceClassification or an adapter",
        str(save_adapter(tmp_path / "headless", str(base), head=False)): "has no classification head",
        str(save_adapter(tmp_path / "lost", None)): "base_model_name_or_path None: name the base with --base",
        str(save_adapter(tmp_path / "on_gguf", "x/base.gguf")): "the base 'x/base.gguf' is a GGUF file",
        str(tmp_path / "nowhere"): "no folder",
    }
    for source, complaint in cases.items():
        with pytest.raises(CheckpointError, match=complaint):
            read_foreign(source)


def test_a_base_for_a_whole_classifier_or_a_second_import_is_refused(tmp_path: Path) -> None:
    """Neither could mean anything."""
    folder = save_classifier(tmp_path / "model")

    with pytest.raises(CheckpointError, match=r"the base 'x' was given for .*: a whole model needs none"):
        read_foreign(str(folder), "x")
    (folder / "guard.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"has a guard.json already"):
        read_foreign(str(folder))


def test_labels_are_the_classes_in_their_order() -> None:
    """Given names win, spaces round the comma or not."""
    assert choose_labels(("other", "space"), None).ordered == ("other", "space")
    assert choose_labels(("LABEL", "X"), "not_x, x").ordered == ("not_x", "x")


@pytest.mark.parametrize(
    ("names", "given", "complaint"),
    [
        (None, None, "names no classes"),
        (("a", "b", "c"), None, "3 classes, 'a', 'b', 'c', wanted two"),
        (("off topic", "x"), None, "'off topic', 'x' can't be labels"),
        (("a", "b"), "x", "1 classes, 'x', wanted two"),
        (None, "x,x", "both are 'x'"),
    ],
)
def test_classes_that_are_no_labels_are_listed(
    names: tuple[str, ...] | None, given: str | None, complaint: str
) -> None:
    """With the option that names them."""
    with pytest.raises(CheckpointError, match=f"{complaint}.*--labels"):
        choose_labels(names, given)
