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

_PADDING: Final = "<|endoftext|>"


def save_random_base(folder: Path, marks: Sequence[str], texts: Sequence[str] = (), seed: int = 0) -> Path:
    """Write model and tokenizer as a Hugging Face folder.

    Args:
        folder: made if need be.
        marks: the prompt's, control tokens of the tokenizer.
        texts: its merges are learnt from them; of none, each byte is a token.
        seed: of the weights.

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
            special_tokens=list(dict.fromkeys([_PADDING, *marks])),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=_PADDING).save_pretrained(folder)
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=1024,
        # With the usual 0.02 a random model reads nothing that a low-rank adapter could use.
        initializer_range=0.2,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder
