"""Fine-tune a LoRA sequence classifier with transformers' Trainer."""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from peft import LoraConfig, TaskType, get_peft_model, set_peft_model_state_dict
from peft.helpers import disable_input_dtype_casting
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import DataCollatorWithPadding, TrainingArguments, set_seed

from guard.labels import Labels
from train.clock import TrainingClock
from train.embedding_columns import ColumnOrder
from train.encode import Encoder, Examples
from train.errors import RunError
from train.interpolation import Interpolation
from train.lora_scale import EMBEDDING, check_scale
from train.micro_batches import MicroBatchTrainer
from train.model import Base, pad_token_id
from train.recipe import Recipe
from train.rounding import RoundedWeights
from train.run_dir import last_checkpoint
from train.thinning import ThinningCollator

HEAD: Final = "score"
"""The classification head's module, which is trained whole."""

MIXED_PRECISION: Final = "ACCELERATE_MIXED_PRECISION"
"""Set by ``accelerate launch``; transformers takes its own from it."""

CPU_ATTENTION: Final = "eager"
"""Transformers' name of the attention that a CPU trains fastest with. torch's own computes the same, but multiplies
each head of each row by itself, and prompts are too short for that: its backward pass took a fifth of a step."""

_NO_TEXT: Final = r"(?:.+\.)?(?:vision_tower|multi_modal_projector)\..+"
"""Modules by which a model such as Gemma 3 4B sees images. Their matrices have the names of the text model's, no prompt
reaches them, and a guard's GGUF has no place for them."""


@dataclass(frozen=True)
class Trained:
    """What a run leaves.

    Attributes:
        model: the PEFT model, on the CPU, in evaluation mode.
        log: the Trainer's log entries (``step``, ``loss``, ...), in order.
        seconds: of training, in this process and those that it goes on from.
        line: to the weights that the run began with.
    """

    model: Any
    log: list[dict[str, float]]
    seconds: float
    line: Interpolation


def finetune(  # noqa: PLR0913 - a stage takes what it needs by name
    *,
    recipe: Recipe,
    base: Base,
    encoder: Encoder,
    labels: Labels,
    examples: Examples,
    checkpoints: Path,
    column_order: ColumnOrder | None = None,
) -> Trained:
    """Train, resuming from the last checkpoint in ``checkpoints`` if there is one.

    With a ``column_order``, an adapter that the recipe goes on from is put into it.

    Raises:
        RunError: if the base can't be loaded, it or the adapter to start from doesn't fit the recipe's ``[lora]``, or
            training diverges.
    """
    set_seed(recipe.training.seed)
    marks = {encoder.mark_id(m) for m in (encoder.template.prefix, encoder.template.turn, encoder.template.suffix)}
    padding = pad_token_id(encoder.tokenizer, marks)
    encoder.tokenizer.pad_token_id = padding
    precision = effective_precision(recipe.training.precision)
    mixed = precision != "fp32"
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    classifier = base.load_classifier(labels, padding, dtype)
    _check_targets(recipe, classifier)
    if not torch.cuda.is_available():
        classifier.set_attn_implementation(CPU_ATTENTION)
    model = get_peft_model(classifier, lora_config(recipe, classifier))
    if recipe.lora.start is not None:
        check_scale(recipe, recipe.file(recipe.lora.start))
        go_on_from(model, recipe.file(recipe.lora.start), column_order)
    line = Interpolation(model)
    rounding = RoundedWeights(model) if recipe.base.rounding else None
    # Mixed precision compiles its matrix kernels for each shape that occurs: fewer shapes, less waiting.
    multiple = 8 if mixed else 1
    collator: Any = DataCollatorWithPadding(encoder.tokenizer, pad_to_multiple_of=multiple)
    if recipe.training.token_dropout:
        collator = ThinningCollator(collator, recipe.training.token_dropout, marks)
    clock = TrainingClock()
    trainer = MicroBatchTrainer(
        multiple=multiple,
        model=model,
        args=_arguments(recipe, precision, checkpoints),
        train_dataset=examples.rows,
        data_collator=collator,
        callbacks=[clock] if rounding is None else [clock, rounding],
    )
    last = last_checkpoint(checkpoints)
    # Autocast chooses the precision; PEFT's own cast to float32 before it is work undone a line later.
    with disable_input_dtype_casting(model, active=mixed), warnings.catch_warnings():
        # A checkpoint holds an adapted embedding's frozen weights as well; what the run leaves does not.
        warnings.filterwarnings("ignore", "Setting `save_embedding_layers`", UserWarning)
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    seconds = clock.seconds
    if rounding is not None:
        rounding.undo()
    log = [{k: float(v) for k, v in entry.items()} for entry in trainer.state.log_history if "loss" in entry]
    # Mixed precision wraps the model's forward, and would go on rounding what is computed with it.
    plain = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    return Trained(plain.to("cpu").eval(), log, seconds, line)


def go_on_from(model: Any, folder: Path, order: ColumnOrder | None = None) -> None:  # noqa: ANN401 - PEFT is untyped
    """Give a fresh PEFT model the weights of an adapter of the same base; what that lacks stays fresh.

    Args:
        model: whose weights are set.
        folder: the adapter's.
        order: of the tokens, if the adapter was trained with another keep-list.

    Raises:
        RunError: if the adapter can't be read, or has a weight that the model lacks or has in another shape.
    """
    file = folder / SAFETENSORS_WEIGHTS_NAME
    try:
        stored = load_file(file)
        if order is not None:
            stored = order.apply(stored)
        result = set_peft_model_state_dict(model, stored)
    except (OSError, SafetensorError, RuntimeError, RunError) as error:
        raise RunError(f"can't continue from the adapter {file}: {error}") from error
    except KeyError as error:
        raise RunError(f"can't continue from the adapter {file}: it lacks {error}") from error
    if result.unexpected_keys:
        raise RunError(f"can't continue from the adapter {file}: the recipe adapts no {result.unexpected_keys[0]!r}")


def effective_precision(wanted: str) -> str:
    """What ``auto`` means on this machine; any other precision is itself.

    Raises:
        RunError: if it would be another one: on a CPU there is no ``fp16``, and accelerate's launcher's own
            setting of mixed precision takes the place of ``fp32``.
    """
    if wanted == "fp16" and not torch.cuda.is_available():
        raise RunError("[training] precision is 'fp16' and there is no CUDA device, wanted auto, fp32 or bf16")
    precision = _automatic_precision() if wanted == "auto" else wanted
    launched = os.environ.get(MIXED_PRECISION, "no")
    if precision == "fp32" and launched != "no":
        raise RunError(f"training is in fp32 and {MIXED_PRECISION} is {launched!r}, wanted no (accelerate config)")
    return precision


def _automatic_precision() -> str:
    if torch.cuda.is_available():
        # Cards before Ampere emulate it, slowly.
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    # Without instructions for it, bfloat16 is converted back and forth: 18 against 140 GFLOP/s on an AVX2 machine.
    known = torch.cpu.get_capabilities()
    if known.get("amx_bf16") or known.get("bf16"):
        return "bf16"
    # The one Intel processor without AMX that was measured, a Xeon whose virtual machine hides it, is half as fast with
    # bfloat16 as with float32 (docs/design.md).
    intel = str(known.get("cpu_name", "")).startswith("Intel")
    return "bf16" if known.get("avx512_bf16") and not intel else "fp32"


def lora_config(recipe: Recipe, classifier: Any) -> LoraConfig:  # noqa: ANN401 - transformers is untyped
    """PEFT's settings for a recipe on a base: the matrices of its text model, and the head.

    Raises:
        RunError: if the base has too few layers.
    """
    first, layers = recipe.lora.first_layer, classifier.config.get_text_config().num_hidden_layers
    if not 0 <= first < layers:
        raise RunError(f"[lora] first_layer is {first}, wanted less than the base's {layers} layers")
    return LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=recipe.lora.rank,
        lora_alpha=recipe.lora.alpha,
        lora_dropout=recipe.lora.dropout,
        target_modules=[*recipe.lora.target_modules, *([EMBEDDING] if recipe.lora.embedding_rank else [])],
        rank_pattern={EMBEDDING: recipe.lora.embedding_rank} if recipe.lora.embedding_rank else {},
        alpha_pattern={EMBEDDING: recipe.lora.embedding_alpha} if recipe.lora.embedding_rank else {},
        layers_to_transform=list(range(first, layers)) if first else None,
        modules_to_save=[HEAD],
        # PEFT warns of a pattern that excludes nothing.
        exclude_modules=_NO_TEXT if any(map(_is_no_text, dict(classifier.named_modules()))) else None,
    )


def _is_no_text(name: str) -> bool:
    return re.fullmatch(_NO_TEXT, name) is not None


def _check_targets(recipe: Recipe, classifier: Any) -> None:  # noqa: ANN401 - transformers is untyped
    """Check that the base has what the recipe adapts: PEFT passes over an unknown name if another one is known."""
    modules = [entry for entry in classifier.named_modules() if entry[0] != HEAD and not _is_no_text(entry[0])]
    matrices = [name for name, module in modules if _is_matrix(module)]
    for target in recipe.lora.target_modules:
        # As PEFT compares them: a name may have its module's before it, such as ``self_attn.q_proj``.
        if not any(f".{name}".endswith(f".{target}") for name in matrices):
            known = ", ".join(sorted({name.rpartition(".")[2] for name in matrices}))
            raise RunError(f"[lora] target_modules has {target!r}, wanted some of the base's {known}")


def _is_matrix(module: Any) -> bool:  # noqa: ANN401 - transformers is untyped
    weight = getattr(module, "weight", None)
    return isinstance(weight, torch.Tensor) and weight.ndim == 2


def _arguments(recipe: Recipe, precision: str, checkpoints: Path) -> TrainingArguments:
    training = recipe.training
    return TrainingArguments(
        output_dir=str(checkpoints),
        per_device_train_batch_size=training.batch_rows,
        gradient_accumulation_steps=training.accumulation_steps,
        num_train_epochs=training.epochs,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.schedule,
        # Below one it is a share of all steps, which depend on how many devices there are.
        warmup_steps=training.warmup_share,
        weight_decay=training.weight_decay,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        logging_steps=20,
        # Else a loss that is no number would be told as the mean of those before it.
        logging_nan_inf_filter=False,
        save_steps=training.save_steps,
        save_total_limit=1,
        seed=training.seed,
        use_cpu=not torch.cuda.is_available(),
        report_to=[],
        dataloader_pin_memory=torch.cuda.is_available(),
    )
