"""Real small tokenizers, each cut and merged as those of a family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from export.probe_texts import PROBE_TEXTS

CHATML: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VOCABULARY_SIZE: Final = 700
"""Rows of the embedding: more than any of the tokenizers has tokens, as Qwen's."""

_QWEN_WORDS: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The pattern in Qwen2's own tokenizer.json."""


def byte_level_tokenizer(before: Sequence[Any], extra: Sequence[str] = ()) -> Tokenizer:
    """A byte-level tokenizer as GPT-2's, cut by ``before``."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(list(before))
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=[*CHATML, *extra],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(PROBE_TEXTS, trainer)
    return tokenizer


def qwen_tokenizer() -> Tokenizer:
    """Cut as Qwen2's, with a token that is added but not special."""
    words = pre_tokenizers.Split(Regex(_QWEN_WORDS), "isolated")
    tokenizer = byte_level_tokenizer([words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.add_tokens([AddedToken("<think>", normalized=False), AddedToken("</think>", normalized=False)])
    return tokenizer


def smollm_tokenizer() -> Tokenizer:
    """Cut as SmolLM2's, with spare control tokens."""
    before = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    return byte_level_tokenizer(before, extra=["<repo_name>", "<file_sep>", "<gh_stars>"])


def gemma_tokenizer() -> Tokenizer:
    """As Gemma's: pieces of SentencePiece, with every way to merge one, and bytes for the rest."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>", "<unused0>", "<unused1>"]
    pieces = _sentence_pieces()
    tokens = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    ids = {text: token_id for token_id, text in enumerate(tokens)}
    merges = [(p[:cut], p[cut:]) for p in pieces for cut in range(1, len(p)) if p[:cut] in ids and p[cut:] in ids]
    tokenizer = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    _cut_as_gemma(tokenizer)
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in special])
    tokenizer.add_tokens([AddedToken("\n\n", normalized=False)])
    return tokenizer


def _sentence_pieces() -> list[str]:
    """Single characters and trained pieces, those merged first in front."""
    trained = Tokenizer(models.BPE())
    _cut_as_gemma(trained)
    # A piece that is a mark's text would be that mark.
    latin = [text for text in PROBE_TEXTS if text.isascii() and "<" not in text]
    trained.train_from_iterator(latin, trainers.BpeTrainer(vocab_size=330, show_progress=False))
    vocabulary = trained.get_vocab()
    return sorted(vocabulary, key=lambda piece: vocabulary[piece])


def _cut_as_gemma(tokenizer: Tokenizer) -> None:
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
