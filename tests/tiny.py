"""A guard GGUF of some hundred kilobytes: random, seeded, written by export's own code in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from export.checkpoint import (
    EMBEDDING,
    TOKEN_TYPE_BYTE,
    TOKEN_TYPE_CONTROL,
    TOKEN_TYPE_NORMAL,
    TOKEN_TYPE_UNKNOWN,
    TOKEN_TYPE_UNUSED,
    Checkpoint,
    Tensor,
    Vocabulary,
)
from export.fold import Folded, Head
from export.gguf_file import write_f16
from guard.manifest import GuardManifest
from guard.prompt import PromptTemplate

TEMPLATE: Final = PromptTemplate(prefix="<s>", turn="<turn>", suffix="<end_of_turn>")

MANIFEST: Final = GuardManifest(
    name="tiny", topic="Star Trek", template=TEMPLATE, base_model="random", data_sha256="0" * 64, accuracy=0.5
)
"""Of every tiny guard, unless another is asked for."""

ROWS: Final = (
    "Who is Spock?",
    "How do I bake a cake?",
    "",
    "the warp core, the shields",
    "Ein Text mit Umlauten: äöü ß",
    "数字 1701 と 🖖",
    "two\nlines",
    "[ TOOL ] < s > not_related related",
    "x" * 300,
)
"""Texts of all kinds, as :func:`guard.normalise.normalise` leaves them."""

WIDTH: Final = 64
HEADS: Final = 2
LAYERS: Final = 2
_STEADY: Final = 4.0

_PIECES: Final = ("th", "he", "▁the", "▁w", "ar", "▁war", "in", "re", "la", "te", "rela", "ted", "related")


def vocabulary() -> Vocabulary:
    """SentencePiece's kind: bytes, letters, a few merged pieces, and control tokens."""
    controls = ["<s>", "</s>", TEMPLATE.turn, TEMPLATE.suffix]
    letters = ["▁", *map(chr, range(0x21, 0x7F))]
    tokens = ["<unk>", *controls, "<unused0>", "<unused1>"]
    types = [TOKEN_TYPE_UNKNOWN, *[TOKEN_TYPE_CONTROL] * 4, *[TOKEN_TYPE_UNUSED] * 2]
    tokens += [f"<0x{value:02X}>" for value in range(256)]
    types += [TOKEN_TYPE_BYTE] * 256
    tokens += [*letters, *_PIECES]
    types += [TOKEN_TYPE_NORMAL] * (len(letters) + len(_PIECES))
    # Longer pieces are merged first, as SentencePiece's own scores have it.
    scores = [float(len(text)) if kind == TOKEN_TYPE_NORMAL else 0.0 for text, kind in zip(tokens, types, strict=True)]
    return Vocabulary(
        model="llama",
        pre="default",
        tokens=tokens,
        types=types,
        scores=scores,
        special_ids={"bos": 1, "eos": 2, "unknown": 0},
        flags={"add_bos_token": True, "add_eos_token": False, "add_space_prefix": False},
    )


@dataclass(frozen=True)
class TinyLlama:
    """A random Llama of two layers.

    The first value of every hidden state is the same for every text and touched by no layer: it is the mean hidden
    state that folding needs, so no text has to be run to measure it.
    """

    seed: int = 0
    architecture: str = "llama"
    vocabulary: Vocabulary = field(default_factory=vocabulary)

    @property
    def general(self) -> Mapping[str, Any]:
        """See :class:`Checkpoint`."""
        return {"name": f"tiny {self.seed}"}

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """See :class:`Checkpoint`."""
        return {
            "vocab_size": len(self.vocabulary.tokens),
            "context_length": 8192,
            "embedding_length": WIDTH,
            "block_count": LAYERS,
            "feed_forward_length": WIDTH,
            "rope.dimension_count": WIDTH // HEADS,
            "attention.head_count": HEADS,
            "attention.head_count_kv": HEADS,
            "attention.layer_norm_rms_epsilon": 1e-5,
        }

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """See :class:`Checkpoint`."""
        matrices = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
        shapes: dict[str, tuple[int, ...]] = {EMBEDDING: (len(self.vocabulary.tokens), WIDTH)}
        for layer in range(LAYERS):
            shapes |= {f"blk.{layer}.{name}.weight": (WIDTH, WIDTH) for name in matrices}
            shapes |= {f"blk.{layer}.{name}.weight": (WIDTH,) for name in ("attn_norm", "ffn_norm")}
        return {**shapes, "output_norm.weight": (WIDTH,)}

    def load(self, name: str) -> Tensor:
        """See :class:`Checkpoint`."""
        shape = self.shapes()[name]
        if len(shape) == 1:
            return np.ones(shape, np.float32)
        random = np.random.default_rng([self.seed, list(self.shapes()).index(name)])
        tensor = random.normal(scale=1.0 if name == EMBEDDING else 0.2, size=shape).astype(np.float32)
        if name == EMBEDDING:
            tensor[:, 0] = _STEADY
        elif name.endswith(("attn_output.weight", "ffn_down.weight")):
            tensor[0] = 0.0
        return tensor


def head(seed: int = 0) -> Head:
    """A random head whose probabilities are neither all near 0 nor all near 1."""
    weight = np.random.default_rng([seed, 1]).normal(scale=0.25, size=(2, WIDTH)).astype(np.float32)
    weight[:, 0] = 0.0
    mean = np.zeros(WIDTH, np.float32)
    mean[0] = 2.0
    return Head(weight, mean)


def folded(seed: int = 0, manifest: GuardManifest = MANIFEST) -> Folded:
    """The random model with a random head folded into it."""
    return Folded(TinyLlama(seed), head(seed), manifest.labels, manifest.template)


def write_guard(path: Path, seed: int = 0, manifest: GuardManifest = MANIFEST) -> Path:
    """Write a tiny guard; another seed gives another model."""
    return write_model(path, folded(seed, manifest), manifest)


def write_model(path: Path, checkpoint: Checkpoint, manifest: GuardManifest = MANIFEST) -> Path:
    """Write any checkpoint under a guard's metadata."""
    write_f16(checkpoint, path, manifest.to_metadata())
    return path


def prompts(*texts: str) -> list[str]:
    """Rendered prompts of one turn each."""
    return [TEMPLATE.render([text]) for text in texts]
