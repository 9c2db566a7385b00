"""Hugging Face tokenizers as GGUF vocabularies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from export.checkpoint import (
    TOKEN_TYPE_BYTE,
    TOKEN_TYPE_CONTROL,
    TOKEN_TYPE_NORMAL,
    TOKEN_TYPE_UNUSED,
    TOKEN_TYPE_USER_DEFINED,
    Vocabulary,
)
from export.errors import CheckpointError
from export.hf_tokenizer import read_vocabulary
from export.token_proof import prove_no_control_token
from tests.export.samples import config
from tests.tiny_tokenizers import (
    VOCABULARY_SIZE,
    byte_level_tokenizer,
    gemma_tokenizer,
    qwen_tokenizer,
    smollm_tokenizer,
)


def read(folder: Path, tokenizer: Tokenizer, family: str, **settings: Any) -> Vocabulary:
    """The vocabulary of a folder with this tokenizer and these tokenizer settings."""
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return read_vocabulary(folder, config(family, vocab_size=VOCABULARY_SIZE))


@pytest.mark.parametrize(
    ("make", "family", "model", "pre"),
    [
        (qwen_tokenizer, "qwen3", "gpt2", "qwen2"),
        (qwen_tokenizer, "qwen2", "gpt2", "qwen2"),
        (smollm_tokenizer, "llama", "gpt2", "smollm"),
        (gemma_tokenizer, "gemma3", "llama", "default"),
    ],
)
def test_the_right_pre_tokenizer_is_found(
    tmp_path: Path, make: Callable[[], Tokenizer], family: str, model: str, pre: str
) -> None:
    """The first one under which llama.cpp reads every probe text as the tokenizer does; and no mark can be typed."""
    vocabulary = read(tmp_path, make(), family)

    assert (vocabulary.model, vocabulary.pre) == (model, pre)
    assert (vocabulary.merges is None, vocabulary.scores is None) == (model == "llama", model == "gpt2")
    prove_no_control_token(vocabulary, family)


def test_another_candidate_is_taken_where_the_first_reads_otherwise(tmp_path: Path) -> None:
    """A llama whose digits are not cut apart is not SmolLM2's."""
    tokenizer = byte_level_tokenizer([pre_tokenizers.ByteLevel(add_prefix_space=False)])

    assert read(tmp_path, tokenizer, "llama").pre == "gpt-2"


def test_a_tokenizer_that_llama_cpp_does_not_have_is_refused(tmp_path: Path) -> None:
    """The error quotes the first text that is read otherwise, for each candidate, with both readings."""
    every_letter = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer = byte_level_tokenizer([every_letter, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.model = qwen_tokenizer().model

    with pytest.raises(CheckpointError, match=r"qwen2: 'Who is Spock\?' is \[.*\], wanted \[.*; gpt-2: .*; default: "):
        read(tmp_path, tokenizer, "qwen3")


def test_types_follow_what_a_token_is(tmp_path: Path) -> None:
    """Special, added, bytes, padding; and what looks special counts as special."""
    tokenizer = gemma_tokenizer()
    tokenizer.add_tokens([AddedToken("<unused7>", normalized=False)])

    vocabulary = read(tmp_path, tokenizer, "gemma3")

    def kind(text: str) -> int:
        return vocabulary.types[vocabulary.id_of(text)]

    assert kind("<start_of_turn>") == TOKEN_TYPE_CONTROL
    assert kind("<unused7>") == TOKEN_TYPE_CONTROL
    assert kind("\n\n") == TOKEN_TYPE_USER_DEFINED
    assert kind("<0x0A>") == TOKEN_TYPE_BYTE
    assert kind("th") == TOKEN_TYPE_NORMAL
    assert kind(f"[PAD{VOCABULARY_SIZE - 1}]") == TOKEN_TYPE_UNUSED
    assert len(vocabulary.tokens) == VOCABULARY_SIZE


def test_special_ids_come_from_the_tokenizer_then_from_the_model(tmp_path: Path) -> None:
    """A token by its text, as a string or an object; else an id of the model's configuration; else none."""
    (tmp_path / "generation_config.json").write_text(json.dumps({"bos_token_id": 1, "eos_token_id": [1, 2]}))

    vocabulary = read(
        tmp_path,
        qwen_tokenizer(),
        "qwen3",
        pad_token={"content": "<|endoftext|>"},
        sep_token=None,
        unk_token="not a token",
        add_bos_token=False,
    )

    assert vocabulary.special_ids == {"bos": 1, "eos": 1, "padding": 0}
    assert vocabulary.flags == {"add_bos_token": False}


def test_a_leading_space_is_added_only_where_the_tokenizer_does(tmp_path: Path) -> None:
    """llama.cpp adds one by default, so the flag is always said."""
    tokenizer = gemma_tokenizer()
    assert read(tmp_path, tokenizer, "gemma3").flags == {"add_space_prefix": False}

    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    assert read(tmp_path, tokenizer, "gemma3").flags == {"add_space_prefix": True}


def test_more_tokens_than_rows_are_refused(tmp_path: Path) -> None:
    """A tokenizer of another model has ids for which there is no embedding."""
    qwen_tokenizer().save(str(tmp_path / "tokenizer.json"))

    with pytest.raises(CheckpointError, match="ids up to 601, the embedding rows for 600"):
        read_vocabulary(tmp_path, config("qwen3", vocab_size=600))


@pytest.mark.parametrize(
    ("tokenizer", "complaint"),
    [
        (Tokenizer(models.WordLevel({"a": 0}, unk_token="a")), "type 'WordLevel', wanted byte-pair encoding"),
        (Tokenizer(models.Unigram([("a", 0.0)], unk_id=0)), "type 'Unigram'"),
        (Tokenizer(models.BPE({"a": 0}, [])), "type 'BPE', wanted byte-pair"),
    ],
)
def test_other_kinds_of_tokenizer_are_refused(tmp_path: Path, tokenizer: Tokenizer, complaint: str) -> None:
    """The error names the kind."""
    with pytest.raises(CheckpointError, match=complaint):
        read(tmp_path, tokenizer, "llama")


@pytest.mark.parametrize("content", ["nojson", "[]", "{}", '{"model": {"type": "BPE", "byte_fallback": true}}'])
def test_a_damaged_file_is_refused(tmp_path: Path, content: str) -> None:
    """Naming the file."""
    (tmp_path / "tokenizer.json").write_text(content)

    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        read_vocabulary(tmp_path, config("llama"))


def test_merges_of_older_files_are_read(tmp_path: Path) -> None:
    """They have a merge's two parts in one text."""
    tokenizer = qwen_tokenizer()
    wanted = read(tmp_path, tokenizer, "qwen3")
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text("utf-8"))
    content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
    path.write_text(json.dumps(content))

    assert read_vocabulary(tmp_path, config("qwen3", vocab_size=VOCABULARY_SIZE)) == wanted
