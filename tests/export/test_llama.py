"""llama.cpp's tokenizer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from export.errors import CheckpointError
from export.llama import LlamaTokenizer, tokenizer_of
from tests.export.samples import TEMPLATE, piece_vocabulary


def test_text_becomes_ids_without_a_start_token() -> None:
    """The best-scored merge goes first; unknown characters become bytes."""
    vocabulary = piece_vocabulary(["th", "the", "er"])

    with tokenizer_of(vocabulary, "gemma3") as llama:
        ids = llama.tokenise("theré")

    assert [vocabulary.tokens[token_id] for token_id in ids] == ["the", "r", "<0xC3>", "<0xA9>"]


def test_marks_are_read_only_when_asked_for() -> None:
    """Text that looks like a control token is plain text by default."""
    vocabulary = piece_vocabulary([])

    with tokenizer_of(vocabulary, "gemma3") as llama:
        plain, marked = llama.tokenise(TEMPLATE.suffix), llama.tokenise(TEMPLATE.suffix, marks=True)

    assert len(plain) == len(TEMPLATE.suffix)
    assert marked == [vocabulary.id_of(TEMPLATE.suffix)]


def test_no_text_is_no_tokens() -> None:
    """An empty text has room for none."""
    with tokenizer_of(piece_vocabulary([]), "gemma3") as llama:
        assert llama.tokenise("") == []


def test_a_vocabulary_that_llama_cpp_refuses_is_an_error() -> None:
    """With its own reason: an unknown pre-tokenizer, for one."""
    vocabulary = replace(piece_vocabulary([]), model="gpt2", pre="no-such-thing", scores=None, merges=["t h"])

    with pytest.raises(CheckpointError, match="no-such-thing"), tokenizer_of(vocabulary, "qwen2"):
        pass


def test_a_file_that_is_none_is_an_error(tmp_path: Path) -> None:
    """Naming the file."""
    path = tmp_path / "x.gguf"
    path.write_text("damaged")

    with pytest.raises(CheckpointError, match=r"x\.gguf"):
        LlamaTokenizer(path)


def test_closing_twice_does_no_harm() -> None:
    """The second time there is nothing to free."""
    with tokenizer_of(piece_vocabulary([]), "gemma3") as llama:
        llama.close()
