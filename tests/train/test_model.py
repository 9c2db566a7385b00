"""What is trained on is cut into tokens as it will be when it is served."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from export.bases import materialise, packaged_base
from export.llama import LlamaTokenizer
from train.model import base_in


@pytest.mark.parametrize("text", ["NCC-1701 in 2364", "warp 9.975, ½ impulse", "المركبة رقم ١٧٠١", "第1701話"])
def test_a_gguf_base_cuts_numbers_as_llama_cpp_does(tmp_path: Path, text: str) -> None:
    """SmolLM2's pre-tokenizer takes every digit of every script for itself, which a GGUF file says by name only."""
    path = materialise(packaged_base("smollm2_135m"), tmp_path)
    with closing(LlamaTokenizer(path)) as llama:
        wanted = llama.tokenise(text)

    assert base_in(path).load_tokenizer().encode(text, add_special_tokens=False) == wanted
