"""Tiny random Hugging Face checkpoints with real small tokenizers, of each family that export knows."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    Gemma3TextConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from export.architectures import by_gguf_name
from export.probe_texts import PROBE_TEXTS
from guard.normalise import normalise
from guard.prompt import PromptTemplate
from tests.tiny_tokenizers import VOCABULARY_SIZE, gemma_tokenizer, qwen_tokenizer, smollm_tokenizer

# A model this small is slower on several threads than on one.
torch.set_num_threads(1)

_SIZES: Final[Mapping[str, Any]] = {
    "vocab_size": VOCABULARY_SIZE,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    # With the usual 0.02 every text would get nearly the same answer.
    "initializer_range": 0.15,
}


@dataclass(frozen=True)
class Family:
    """How a tiny model of a family is made.

    Attributes:
        name: GGUF's.
        config: makes the configuration.
        tokenizer: makes the tokenizer.
    """

    name: str
    config: Callable[[], Any]
    tokenizer: Callable[[], Tokenizer]

    @property
    def template(self) -> PromptTemplate:
        """The prompt's marks."""
        return by_gguf_name(self.name).template


FAMILIES: Final = {
    family.name: family
    for family in (
        Family("qwen3", lambda: Qwen3Config(**_SIZES, head_dim=32, num_hidden_layers=2), qwen_tokenizer),
        Family("qwen2", lambda: Qwen2Config(**_SIZES, num_hidden_layers=2, tie_word_embeddings=True), qwen_tokenizer),
        Family("llama", lambda: LlamaConfig(**_SIZES, num_hidden_layers=2), smollm_tokenizer),
        # Seven layers: the sixth attends to everything, the others within a window shorter than the texts.
        Family(
            "gemma3",
            lambda: Gemma3TextConfig(
                **_SIZES, head_dim=32, query_pre_attn_scalar=32, num_hidden_layers=7, sliding_window=16
            ),
            gemma_tokenizer,
        ),
    )
}


def make_tokenizer(family: Family) -> PreTrainedTokenizerFast:
    """The family's tokenizer as transformers has it."""
    gemma = family.name == "gemma3"
    names = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
    chatml = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    return PreTrainedTokenizerFast(tokenizer_object=family.tokenizer(), **(names if gemma else chatml))


def make_model(family: Family, tokenizer: Any, *, classifier: bool, seed: int = 0) -> Any:
    """A random model whose norms, biases and head are random too."""
    torch.manual_seed(seed)
    config = family.config()
    config.num_labels, config.pad_token_id = 2, 0
    config.id2label, config.label2id = {0: "not_related", 1: "related"}, {"not_related": 0, "related": 1}
    kind = AutoModelForSequenceClassification if classifier else AutoModelForCausalLM
    model = kind.from_config(config).float().eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim == 1:
                value.add_(0.3 * torch.randn_like(value))
            if name.endswith("score.weight"):
                value.copy_(0.3 * torch.randn_like(value))
        # Final hidden states of a trained model have a common direction, which the fold needs; the suffix gives one.
        suffix = tokenizer.convert_tokens_to_ids(family.template.suffix)
        model.get_input_embeddings().weight[suffix] *= 2.0 if family.name == "gemma3" else 10.0
    return model


def add_adapter(model: Any, seed: int = 1) -> Any:
    """A PEFT model with a random adapter on every matrix and the embedding, and a random head."""
    torch.manual_seed(seed)
    # Fresh PEFT adapters change nothing: B is zero. This one's both matrices are random.
    config = LoraConfig(
        task_type="SEQ_CLS",
        r=4,
        lora_alpha=8,
        init_lora_weights=False,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "embed_tokens"],
        rank_pattern={"embed_tokens": 2},
        alpha_pattern={"embed_tokens": 1},
    )
    with warnings.catch_warnings():
        # PEFT asks transformers for a name that is deprecated.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        adapted = get_peft_model(model, config).eval()
    with torch.no_grad():
        for name, value in adapted.named_parameters():
            if "lora_B" in name:
                value.mul_(0.5)
            elif "lora_embedding" in name:
                value.mul_(0.2)
    return adapted


def random_texts(count: int, seed: int = 0) -> list[str]:
    """Normalised texts of words and characters of the probe texts, in random order."""
    generator = random.Random(seed)
    words = " ".join(PROBE_TEXTS).split(" ")
    return [normalise(" ".join(generator.choices(words, k=generator.randint(1, 20)))) for _ in range(count)]


@dataclass(frozen=True)
class Answers:
    """What a model says of prompts.

    Attributes:
        logits: shape (prompts, 2).
        hidden: shape (prompts, hidden), what the head is given.
        ids: tokens of each prompt.
    """

    logits: npt.NDArray[np.float32]
    hidden: npt.NDArray[np.float32]
    ids: list[list[int]]

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """Of class 1, shape (prompts,)."""
        difference = (self.logits[:, 1] - self.logits[:, 0]).astype(np.float64)
        return np.asarray(1.0 / (1.0 + np.exp(-difference)))


def answer(model: Any, tokenizer: Any, template: PromptTemplate, texts: Sequence[str]) -> Answers:
    """Ask one prompt after another: padding could hide a mistake."""
    prefix, suffix = tokenizer.convert_tokens_to_ids([template.prefix, template.suffix])
    ids = [[prefix, *tokenizer(text, add_special_tokens=False)["input_ids"], suffix] for text in texts]
    logits, hidden = [], []
    with torch.inference_mode():
        for prompt in ids:
            result = model(input_ids=torch.tensor([prompt]), output_hidden_states=True)
            logits.append(result.logits[0].numpy())
            hidden.append(result.hidden_states[-1][0, -1].numpy())
    return Answers(np.stack(logits), np.stack(hidden), ids)


def save(model: Any, tokenizer: Any, folder: Path, **options: Any) -> Path:
    """Save model and tokenizer; ``options`` are of ``save_pretrained``."""
    model.save_pretrained(folder, **options)
    tokenizer.save_pretrained(folder)
    return folder
