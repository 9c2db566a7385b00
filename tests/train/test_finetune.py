"""What of a base is adapted."""

from __future__ import annotations

import pytest
import torch
from peft import get_peft_model
from transformers import AutoModelForSequenceClassification, Gemma3Config

from train.finetune import lora_config
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
