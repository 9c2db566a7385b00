"""Hugging Face folders as checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from export.errors import CheckpointError
from export.hf_checkpoint import HfCheckpoint, commit_of, find_folder, open_checkpoint
from export.hf_config import parse_config
from tests.export.samples import CONFIGS, classifier_config, random_tensors, save_folder


@pytest.mark.parametrize("family", CONFIGS)
def test_every_tensor_has_the_shape_that_is_announced(tmp_path: Path, family: str) -> None:
    """Names, shapes and order are the GGUF's, and each tensor loads in its shape."""
    checkpoint = HfCheckpoint(save_folder(tmp_path, CONFIGS[family]))

    assert next(iter(checkpoint.shapes())) == "token_embd.weight"
    assert {name: checkpoint.load(name).shape for name in checkpoint.shapes()} == checkpoint.shapes()
    assert checkpoint.architecture == family
    assert checkpoint.head is None
    assert checkpoint.general["name"] == tmp_path.name


def test_a_classifiers_head_is_read_apart(tmp_path: Path) -> None:
    """It is no tensor of the GGUF, but an attribute."""
    values = {**classifier_config("qwen2"), "id2label": {"0": "off", "1": "on"}}
    tensors = random_tensors(parse_config(values))

    checkpoint = HfCheckpoint(save_folder(tmp_path, values, tensors))

    np.testing.assert_array_equal(checkpoint.head, tensors["score.weight"])
    assert checkpoint.class_names == ("off", "on")
    assert "score.weight" not in checkpoint.shapes()


def test_values_are_converted_and_rows_permuted(tmp_path: Path) -> None:
    """Gemma's norms come whole, Llama's query rows interleaved."""
    gemma, llama = parse_config(CONFIGS["gemma3"]), parse_config(CONFIGS["llama"])
    norms, rows = random_tensors(gemma), random_tensors(llama)

    from_gemma = HfCheckpoint(save_folder(tmp_path / "gemma", CONFIGS["gemma3"], norms))
    from_llama = HfCheckpoint(save_folder(tmp_path / "llama", CONFIGS["llama"], rows))

    np.testing.assert_array_equal(from_gemma.load("output_norm.weight"), norms["model.norm.weight"] + 1)
    query = rows["model.layers.0.self_attn.q_proj.weight"]
    np.testing.assert_array_equal(from_llama.load("blk.0.attn_q.weight")[:4], query[[0, 4, 1, 5]])
    np.testing.assert_array_equal(
        from_llama.load("blk.0.attn_v.weight"), rows["model.layers.0.self_attn.v_proj.weight"]
    )


def test_shards_are_read_by_their_index(tmp_path: Path) -> None:
    """Tensors may lie in several files."""
    tensors = random_tensors(parse_config(CONFIGS["llama"]))
    whole = HfCheckpoint(save_folder(tmp_path / "whole", CONFIGS["llama"], tensors))
    folder = save_shards(tmp_path / "shards", tensors)

    sharded = HfCheckpoint(folder)

    assert sharded.shapes() == whole.shapes()
    for name in whole.shapes():
        np.testing.assert_array_equal(sharded.load(name), whole.load(name))


def save_shards(folder: Path, tensors: dict[str, Any]) -> Path:
    """The tensors in two files with an index."""
    save_folder(folder, CONFIGS["llama"])
    (folder / "model.safetensors").unlink()
    places = {name: f"model-{1 + index % 2:05}-of-00002.safetensors" for index, name in enumerate(tensors)}
    for file in set(places.values()):
        save_file({name: tensors[name] for name in tensors if places[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return folder


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    """A download that stopped half-way says which files are missing."""
    folder = save_shards(tmp_path, random_tensors(parse_config(CONFIGS["llama"])))
    (folder / "model-00002-of-00002.safetensors").unlink()

    with pytest.raises(CheckpointError, match=r"lacks model-00002-of-00002\.safetensors"):
        HfCheckpoint(folder)


@pytest.mark.parametrize(
    ("index", "complaint"),
    [
        ("nojson", "can't read"),
        ("[]", "can't read"),
        ('{"weight_map": {"a": "../../secret.safetensors"}}', "outside its folder"),
    ],
)
def test_a_damaged_index_is_refused(tmp_path: Path, index: str, complaint: str) -> None:
    """Neither garbage nor a path out of the folder is followed."""
    save_folder(tmp_path, CONFIGS["llama"])
    (tmp_path / "model.safetensors.index.json").write_text(index)

    with pytest.raises(CheckpointError, match=complaint):
        HfCheckpoint(tmp_path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"model.norm.weight": None}, r"missing 'model\.norm\.weight', wanted \(32,\)"),
        ({"model.extra.weight": (3, 4)}, r"unexpected 'model\.extra\.weight' of shape \(3, 4\)"),
        ({"model.norm.weight": (31,)}, r"'model\.norm\.weight' has shape \(31,\), wanted \(32,\)"),
        ({"score.weight": (3, 32)}, r"'score\.weight' has shape \(3, 32\), wanted \(2, 32\)"),
        ({"score.weight": None}, r"missing 'score\.weight', wanted \(2, 32\)"),
        ({"model.layers.0.self_attn.q_proj.bias": (64,)}, r"unexpected 'model\.layers\.0\.self_attn\.q_proj\.bias'"),
    ],
)
def test_tensors_that_are_not_the_configurations_are_listed(
    tmp_path: Path, change: dict[str, tuple[int, ...] | None], complaint: str
) -> None:
    """Missing, extra and misshapen tensors are named with what was wanted and what was found."""
    values = classifier_config("qwen3")
    tensors = dict(random_tensors(parse_config(values)))
    for name, shape in change.items():
        tensors.pop(name, None)
        if shape is not None:
            tensors[name] = np.zeros(shape, np.float32)

    with pytest.raises(CheckpointError, match=complaint):
        HfCheckpoint(save_folder(tmp_path, values, tensors))


def test_a_long_list_of_faults_is_cut(tmp_path: Path) -> None:
    """A configuration of another model gives hundreds of faults; the first twenty are listed."""
    values = {**CONFIGS["llama"], "num_hidden_layers": 20}

    with pytest.raises(CheckpointError, match=r"and 142 more$"):
        HfCheckpoint(save_folder(tmp_path, values, random_tensors(parse_config(CONFIGS["llama"]))))


def test_prefixes_of_wrapped_models_are_understood(tmp_path: Path) -> None:
    """A text model within one that sees images has its tensors under longer names, and others beside them."""
    values = CONFIGS["gemma3"]
    plain = random_tensors(parse_config(values))
    stored = {name.replace("model.", "model.language_model.", 1): tensor for name, tensor in plain.items()}
    stored["model.vision_tower.patch.weight"] = np.zeros(3, np.float32)
    stored["lm_head.weight"] = plain["model.embed_tokens.weight"]

    checkpoint = HfCheckpoint(save_folder(tmp_path, values, stored))

    np.testing.assert_array_equal(checkpoint.load("token_embd.weight"), plain["model.embed_tokens.weight"])


def test_two_tensors_of_one_name_are_refused(tmp_path: Path) -> None:
    """Which one is meant can't be known."""
    tensors = random_tensors(parse_config(CONFIGS["gemma3"]))
    tensors["language_model.norm.weight"] = tensors["model.norm.weight"]

    with pytest.raises(CheckpointError, match=r"'model\.norm\.weight' twice"):
        HfCheckpoint(save_folder(tmp_path, CONFIGS["gemma3"], tensors))


def test_a_tensor_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Asking for it is an error with its name."""
    checkpoint = HfCheckpoint(save_folder(tmp_path, CONFIGS["llama"]))

    with pytest.raises(CheckpointError, match=r"no tensor 'blk\.9\.attn_q\.weight'"):
        checkpoint.load("blk.9.attn_q.weight")


def test_a_folder_without_a_tokenizer_says_so(tmp_path: Path) -> None:
    """Weights can be planned and read without one; a vocabulary can't."""
    checkpoint = open_checkpoint(str(save_folder(tmp_path, CONFIGS["llama"])))

    with pytest.raises(CheckpointError, match=r"tokenizer\.json is missing"):
        _ = checkpoint.vocabulary


@pytest.mark.parametrize("source", ["./nowhere", "/nowhere/at/all", "plainname", ""])
def test_what_is_neither_folder_nor_id_is_refused(source: str) -> None:
    """The error says what an id looks like."""
    with pytest.raises(CheckpointError, match="not a model id such as"):
        open_checkpoint(source)


def test_a_model_that_is_not_downloaded_is_an_error_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network the hub's error becomes ours, with the id."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    with pytest.raises(CheckpointError, match="'nobody/no-model', and can't get it from the hub"):
        open_checkpoint("nobody/no-model", offline=True)


def test_a_model_that_was_downloaded_is_read_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot in the hub's cache is opened, under the id as its name."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--somebody--tiny"
    save_folder(repository / "snapshots" / "0123456789abcdef", CONFIGS["llama"])
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123456789abcdef")

    checkpoint = open_checkpoint("somebody/tiny", offline=True)

    assert checkpoint.general["name"] == "somebody/tiny"


def test_a_revision_is_the_one_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By commit, whatever the branch is by now; one that can't be got is named."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    old, new = "0" * 40, "1" * 40
    for commit in (old, new):
        save_folder(tmp_path / "models--somebody--tiny" / "snapshots" / commit, CONFIGS["llama"])
    (tmp_path / "models--somebody--tiny" / "refs").mkdir()
    (tmp_path / "models--somebody--tiny" / "refs" / "main").write_text(new)

    assert commit_of(find_folder("somebody/tiny", offline=True)) == new
    assert commit_of(find_folder("somebody/tiny", old, offline=True)) == old
    assert commit_of(tmp_path) is None
    with pytest.raises(CheckpointError, match="can't get its revision 'v9' from the hub"):
        find_folder("somebody/tiny", "v9", offline=True)
