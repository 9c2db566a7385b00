"""Training sees the weights as Q4_0 will leave them, and gives the frozen ones back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize
from peft import LoraConfig, get_peft_model

from guard.labels import DEFAULT_LABELS
from train.model import Base
from train.rounding import REFRESH_STEPS, RoundedWeights, round_q4_0

# PEFT asks transformers for it by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

Q4_0 = GGMLQuantizationType.Q4_0


def _adapted(base: Base) -> Any:
    """The tiny model, whose rows are no multiple of 32 but in ``down_proj``, with an adapter that does something."""
    model = get_peft_model(
        base.load_classifier(DEFAULT_LABELS, 0, torch.float32), LoraConfig(target_modules=["down_proj"], r=4)
    )
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def _layer(model: Any) -> Any:
    return model.base_model.model.model.layers[0].mlp.down_proj


@pytest.mark.parametrize("scale", [1e-6, 0.05, 300.0])
def test_rounding_is_ggmls(scale: float) -> None:
    """To the bit, for small and large weights and a block of zeros."""
    weight = np.random.default_rng(7).normal(scale=scale, size=(6, 96)).astype(np.float32)
    weight[2, 32:64] = 0

    rounded = round_q4_0(torch.from_numpy(weight)).numpy()

    np.testing.assert_array_equal(rounded, dequantize(quantize(weight, Q4_0), Q4_0))


def test_rows_that_are_no_blocks_are_refused() -> None:
    """Quoting their length."""
    with pytest.raises(ValueError, match="rows of 48 weights, wanted a multiple of 32"):
        round_q4_0(torch.zeros(2, 48))


def test_the_forward_pass_is_the_rounded_ones(base: Base) -> None:
    """Frozen weight and adapter together are what Q4_0 makes of their sum."""
    model = _adapted(base)
    layer = _layer(model)
    wanted = round_q4_0(layer.base_layer.weight + layer.get_delta_weight("default"))
    text = torch.randn(3, 96)

    RoundedWeights(model).refresh()

    torch.testing.assert_close(layer(text), text @ wanted.T, atol=1e-5, rtol=1e-4)


def test_the_frozen_weights_come_back(base: Base) -> None:
    """As they were, to the bit."""
    model = _adapted(base)
    before = _layer(model).base_layer.weight.clone()
    rounding = RoundedWeights(model)
    rounding.refresh()
    assert not torch.equal(_layer(model).base_layer.weight, before)

    rounding.undo()

    assert torch.equal(_layer(model).base_layer.weight, before)


def test_a_resumed_run_begins_rounded(base: Base) -> None:
    """It need not begin at a step at which weights are rounded anew."""
    model = _adapted(base)
    before = _layer(model).base_layer.weight.clone()

    RoundedWeights(model).on_train_begin(None, SimpleNamespace(global_step=REFRESH_STEPS // 2), None)

    assert not torch.equal(_layer(model).base_layer.weight, before)


def test_it_rounds_anew_every_few_steps(base: Base) -> None:
    """Not at each, which would take longer than the step."""
    model = _adapted(base)
    rounding = RoundedWeights(model)
    before = _layer(model).base_layer.weight.clone()

    rounding.on_step_begin(None, SimpleNamespace(global_step=REFRESH_STEPS - 1), None)
    assert torch.equal(_layer(model).base_layer.weight, before)

    rounding.on_step_begin(None, SimpleNamespace(global_step=REFRESH_STEPS), None)
    assert not torch.equal(_layer(model).base_layer.weight, before)
