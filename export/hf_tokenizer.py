"""Read a Hugging Face ``tokenizer.json`` as the vocabulary of a GGUF, proven to give the same token ids.

Two kinds of byte-pair encoding are known to both sides: byte-level (GPT-2's, which GGUF calls ``gpt2`` and stores with
its merges), and SentencePiece's with bytes for unknown characters (which GGUF calls ``llama`` and stores with a score
a token). Token types follow ``get_vocab_base`` and ``_create_vocab_sentencepiece`` of llama.cpp's converter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

from export.checkpoint import (
    TOKEN_TYPE_BYTE,
    TOKEN_TYPE_CONTROL,
    TOKEN_TYPE_NORMAL,
    TOKEN_TYPE_UNKNOWN,
    TOKEN_TYPE_UNUSED,
    TOKEN_TYPE_USER_DEFINED,
    Vocabulary,
)
from export.errors import CheckpointError
from export.hf_config import HfConfig
from export.token_proof import prove_pre_tokenizer
from export.vocabulary import SPACE

TOKENIZER_FILE: Final = "tokenizer.json"

BYTE_LEVEL: Final = "gpt2"
SENTENCE_PIECE: Final = "llama"

_ROLES: Final = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding", "sep": "seperator"}
"""From Hugging Face's names to GGUF's, whose spelling that is."""

_BYTE: Final = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_LOOKS_SPECIAL: Final = re.compile(r"<pad>|<mask>|<2mass>|\[@BOS@\]|<\|.*\|>|<｜.*｜>|<unused.*>", re.DOTALL)
"""Tokens that are not marked as special by all who made tokenizers of the same vocabulary, though they are."""


def read_vocabulary(folder: Path, config: HfConfig) -> Vocabulary:
    """The tokenizer in ``folder``, as large as the model's embedding.

    Raises:
        CheckpointError: if a file is missing or damaged, the tokenizer is of another kind or larger than the
            embedding, or llama.cpp reads some text as other tokens.
    """
    path = folder / TOKENIZER_FILE
    content = _read_json(path)
    if content is None:
        raise CheckpointError(f"no tokenizer in {folder}: {TOKENIZER_FILE} is missing")
    try:
        vocabulary = _vocabulary(content, _Settings.read(folder, config), config.vocabulary_size)
        tokenizer = Tokenizer.from_file(str(path))
    # ``tokenizers`` raises plain exceptions, with Rust's text.
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(f"{path} is not a usable tokenizer: {error!r}") from error
    return prove_pre_tokenizer(vocabulary, config.architecture, tokenizer)


@dataclass(frozen=True)
class _Settings:
    """What stands beside the tokenizer: ``tokenizer_config.json``, and ids in ``(generation_)config.json``."""

    tokenizer: Mapping[str, Any]
    ids: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path, config: HfConfig) -> _Settings:
        generation = _read_json(folder / "generation_config.json") or {}
        ids = {**generation, **{key: value for key, value in config.values.items() if value is not None}}
        return cls(_read_json(folder / "tokenizer_config.json") or {}, ids)

    def special_ids(self, ids_by_text: Mapping[str, int]) -> dict[str, int]:
        """Ids by GGUF's role; the tokenizer's own word goes before the model's."""
        found: dict[str, int] = {}
        for role, gguf_role in _ROLES.items():
            token = self.tokenizer.get(f"{role}_token")
            text = token.get("content") if isinstance(token, Mapping) else token
            said = ids_by_text.get(text) if isinstance(text, str) else None
            token_id = self.ids.get(f"{role}_token_id") if said is None else said
            # Generation may stop at one of several; the first is the vocabulary's own.
            first = token_id[0] if isinstance(token_id, list) and token_id else token_id
            if isinstance(first, int) and 0 <= first < len(ids_by_text):
                found[gguf_role] = first
        return found

    def flags(self) -> dict[str, bool]:
        """GGUF's flags, as far as they are said."""
        names = ("add_bos_token", "add_eos_token")
        return {name: value for name in names if isinstance(value := self.tokenizer.get(name), bool)}


def _vocabulary(content: Mapping[str, Any], settings: _Settings, size: int) -> Vocabulary:
    model = content["model"]
    kind = _model_kind(content)
    added = {int(token["id"]): token for token in content.get("added_tokens") or ()}
    texts = {int(token_id): str(text) for text, token_id in model["vocab"].items()}
    texts |= {token_id: str(token["content"]) for token_id, token in added.items()}
    if max(texts) >= size:
        raise CheckpointError(f"the tokenizer has ids up to {max(texts)}, the embedding rows for {size}")
    types = [_token_type(token_id, texts, added, model.get("unk_token")) for token_id in range(size)]
    merges = [_parts(merge) for merge in model["merges"]]
    raw = [texts.get(token_id, f"[PAD{token_id}]") for token_id in range(size)]
    return Vocabulary(
        model=kind,
        pre="default",
        # llama.cpp looks for these in text as it is typed, before spaces are marked.
        tokens=[
            text.replace(SPACE, " ") if kind == SENTENCE_PIECE and types[token_id] == TOKEN_TYPE_USER_DEFINED else text
            for token_id, text in enumerate(raw)
        ],
        types=types,
        scores=_scores(raw, merges) if kind == SENTENCE_PIECE else None,
        merges=[" ".join(merge) for merge in merges] if kind == BYTE_LEVEL else None,
        special_ids=settings.special_ids({text: token_id for token_id, text in enumerate(raw)}),
        flags=settings.flags() | ({"add_space_prefix": _prepends_space(content)} if kind == SENTENCE_PIECE else {}),
    )


def _model_kind(content: Mapping[str, Any]) -> str:
    model = content["model"]
    if model.get("type") == "BPE" and model.get("byte_fallback"):
        return SENTENCE_PIECE
    if model.get("type") == "BPE" and any(part.get("type") == "ByteLevel" for part in _parts_of(content)):
        return BYTE_LEVEL
    raise CheckpointError(
        f"a tokenizer with a model of type {model.get('type')!r}, "
        "wanted byte-pair encoding ('BPE') that is byte-level or falls back to bytes"
    )


def _token_type(
    token_id: int, texts: Mapping[int, str], added: Mapping[int, Mapping[str, Any]], unknown: str | None
) -> int:
    if token_id not in texts:
        return TOKEN_TYPE_UNUSED
    text = texts[token_id]
    if token_id in added:
        special = added[token_id].get("special") or _LOOKS_SPECIAL.fullmatch(text)
        return TOKEN_TYPE_CONTROL if special else TOKEN_TYPE_USER_DEFINED
    if _BYTE.fullmatch(text):
        return TOKEN_TYPE_BYTE
    return TOKEN_TYPE_UNKNOWN if text == unknown else TOKEN_TYPE_NORMAL


def _parts(merge: str | Sequence[str]) -> tuple[str, str]:
    """A merge's two parts; older files have them in one text, parted by a space."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _scores(texts: Sequence[str], merges: Sequence[tuple[str, str]]) -> list[float]:
    """SentencePiece merges the best-scored pair first: the earlier a token's first merge, the higher its score."""
    ranks: dict[str, int] = {}
    for rank, (left, right) in enumerate(merges):
        ranks.setdefault(left + right, rank)
    # What no merge makes is of no rank; llama.cpp looks up scores of merged pairs only.
    return [-float(ranks.get(text, len(merges))) for text in texts]


def _prepends_space(content: Mapping[str, Any]) -> bool:
    return any(
        part.get("type") == "Prepend" or (part.get("type") == "Metaspace" and part.get("prepend_scheme") != "never")
        for part in _parts_of(content)
    )


def _parts_of(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every normaliser and pre-tokenizer, those within sequences too."""
    waiting = [content.get("normalizer"), content.get("pre_tokenizer")]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Mapping):
            yield part
            waiting += [*part.get("normalizers", ()), *part.get("pretokenizers", ())]


def _read_json(path: Path) -> dict[str, Any] | None:
    """A file's object; None where there is no such file."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"can't read {path}: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, wanted an object")
    return content
