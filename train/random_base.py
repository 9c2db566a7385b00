"""A random Qwen3 of two layers with a byte-level tokenizer: trains within seconds, and knows nothing.

For trying a whole chain, from rows to a served guard, before a real base is worth its hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

VERSION: Final = 4
"""Of what is written for the same arguments."""

_PADDING: Final = "<|endoftext|>"

_SPARE: Final = ("<|spare_0|>", "<|spare_1|>")
"""What export makes the labels of."""

_TEXTS: Final = ("Who is the captain of the other ship?", "How do I boil an egg so that the yolk is soft?")
"""For some merges: llama.cpp reads no vocabulary without any."""


def save_random_base(
    folder: Path,
    marks: Sequence[str],
    texts: Sequence[str] = _TEXTS,
    *,
    hidden_size: int = 64,
    common: float = 0.0,
) -> Path:
    """Write model and tokenizer as a Hugging Face folder.

    Args:
        folder: made if need be.
        marks: the prompt's, control tokens of the tokenizer.
        texts: its merges are learnt from them.
        hidden_size: a multiple of 32 can be quantised.
        common: standard deviation of what all tokens' embeddings have in common; theirs alone is 0.2.

    Returns:
        The folder.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=512,
            special_tokens=list(dict.fromkeys([_PADDING, *marks, *_SPARE])),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=_PADDING).save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=1024,
        # With the usual 0.02 a random model reads nothing that a low-rank adapter could use.
        initializer_range=0.2,
    )
    model = Qwen3ForCausalLM(config)
    with torch.no_grad():
        model.get_input_embeddings().weight += common * torch.randn(hidden_size)
    model.save_pretrained(folder)
    return folder
