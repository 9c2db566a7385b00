"""What of a base is adapted."""

from __future__ import annotations

import pytest
import torch
from peft import get_peft_model
from transformers import AutoModelForSequenceClassification, Gemma3Config, Gemma3TextConfig

from train.finetune import CPU_ATTENTION, lora_config
from train.recipe import load_recipe

_SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_only_the_text_model_is_adapted() -> None:
    """Gemma 3 from 4B on sees images with matrices of the same names, which no guard's GGUF has a place for."""
    text = {**_SIZES, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 64, "pad_token_id": 0}
    config = Gemma3Config(text_config=text, vision_config={**_SIZES, "image_size": 28, "patch_size": 14}, num_labels=2)
    classifier = AutoModelForSequenceClassification.from_config(config)
    model = get_peft_model(classifier, lora_config(load_recipe("qwen3_4b"), classifier))

    model(input_ids=torch.tensor([[2, 3, 4], [2, 5, 0]]), labels=torch.tensor([0, 1])).loss.backward()

    adapted = [name for name, parameter in model.named_parameters() if "lora_" in name and parameter.grad is not None]
    assert len(adapted) == 2 * 7 * _SIZES["num_hidden_layers"]
    assert all(".language_model.layers." in name for name in adapted)
    assert not any("vision_tower" in name for name in model.state_dict() if "lora_" in name)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_attention_on_a_cpu_computes_what_the_usual_one_does() -> None:
    """Of Gemma 3, which shares heads, has a window in some layers and sees rows of unlike length in one batch."""
    config = Gemma3TextConfig(
        **_SIZES, num_key_value_heads=1, head_dim=16, vocab_size=64, pad_token_id=0, num_labels=2, sliding_window=2
    )
    model = AutoModelForSequenceClassification.from_config(config).eval()
    rows = {
        "input_ids": torch.tensor([[2, 3, 4, 5], [2, 5, 0, 0]]),
        "attention_mask": torch.tensor([[1] * 4, [1, 1, 0, 0]]),
    }
    before, usual = model.config._attn_implementation, model(**rows).logits

    model.set_attn_implementation(CPU_ATTENTION)

    assert model.config._attn_implementation == "eager" != before
    torch.testing.assert_close(model(**rows).logits, usual)
