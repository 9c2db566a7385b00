"""Prove, with llama.cpp itself, what a vocabulary makes of text; nothing about tokenizers is assumed.

Texts are read as the guard reads them, after :func:`guard.normalise.normalise`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tokenizers import Tokenizer
from typing_extensions import override

from export.architectures.base import Architecture
from export.checkpoint import TOKEN_TYPE_CONTROL, TOKEN_TYPE_USER_DEFINED, Vocabulary
from export.errors import CheckpointError
from export.llama import LlamaTokenizer, tokenizer_of
from export.probe_texts import PROBE_TEXTS
from guard.labels import Labels
from guard.normalise import normalise

Tokenise = Callable[[str], Sequence[int]]
"""From text to token ids, without a start token."""

_SHOWN_IDS: Final = 12


@dataclass(frozen=True, slots=True)
class Difference:
    """A text that two tokenizers read as different tokens."""

    text: str
    wanted: Sequence[int]
    found: Sequence[int]

    @override
    def __str__(self) -> str:
        pairs = zip(self.wanted, self.found, strict=False)
        same = next((place for place, (wanted, found) in enumerate(pairs) if wanted != found), None)
        first = min(len(self.wanted), len(self.found)) if same is None else same
        shown = slice(max(0, first - 4), first + _SHOWN_IDS)
        return (
            f"{self.text!r} is {list(self.found[shown])}, wanted {list(self.wanted[shown])}, from token {shown.start}"
        )


def first_difference(wanted: Tokenise, found: Tokenise, texts: Iterable[str]) -> Difference | None:
    """The first text that the two read as different tokens; None if there is none."""
    for text in texts:
        expected, actual = wanted(text), found(text)
        if list(expected) != list(actual):
            return Difference(text, expected, actual)
    return None


def prove_pre_tokenizer(vocabulary: Vocabulary, architecture: Architecture, tokenizer: Tokenizer) -> Vocabulary:
    """The vocabulary with the first pre-tokenizer under which llama.cpp reads every probe text as ``tokenizer`` does.

    Raises:
        CheckpointError: if there is none among the architecture's; it quotes the first text that each reads otherwise.
    """
    # SentencePiece has none: llama.cpp ignores the name.
    names = architecture.pre_tokenizers if vocabulary.model == "gpt2" else ("default",)
    texts = [normalise(text) for text in PROBE_TEXTS]
    failures = []
    for name in names:
        candidate = replace(vocabulary, pre=name)
        try:
            with tokenizer_of(candidate, architecture.gguf_name) as llama:
                difference = first_difference(_ids_by(tokenizer), llama.tokenise, texts)
        except CheckpointError as error:
            failures.append(f"{name}: {error}")
            continue
        if difference is None:
            return candidate
        failures.append(f"{name}: {difference}")
    raise CheckpointError(
        "llama.cpp reads text as other tokens than the tokenizer does, "
        f"whichever pre-tokenizer it uses: {'; '.join(failures)}"
    )


def prove_same_tokens(
    before: Vocabulary, after: Vocabulary, keep: Sequence[int], texts: Iterable[str], architecture: str
) -> None:
    """Prove that ``after`` reads ``texts`` as ``before``, its ids being places in ``keep``.

    Args:
        before: the base's vocabulary.
        after: the same cut, renamed or both.
        keep: the old id of each new one.
        texts: normalised.
        architecture: GGUF's name of it.

    Raises:
        CheckpointError: quoting the first text that is read otherwise.
    """
    with tokenizer_of(before, architecture) as old, tokenizer_of(after, architecture) as new:
        _refuse_difference(old, new, keep, texts)


def prove_no_control_token(vocabulary: Vocabulary, architecture: str) -> None:
    """Prove that nobody can type a control token: normalised, not even its own text is read as one.

    llama.cpp is asked to read marks, as Ollama and llama-server do with a whole prompt.

    Raises:
        CheckpointError: listing the tokens whose text, or a disguise of it, is read as a control token.
    """
    with tokenizer_of(vocabulary, architecture) as llama:
        _refuse_typed_control(vocabulary, llama)


def prove_guard_vocabulary(before: Vocabulary, after: Vocabulary, labels: Labels, architecture: str) -> None:
    """Prove both of a guard about to be written: the labels' tokens change no text, and no control token can be typed.

    Args:
        before: the vocabulary that the guard was trained with.
        after: the same with the labels' tokens.
        labels: their names, which are read within texts too.
        architecture: GGUF's name of it.

    Raises:
        CheckpointError: quoting the text that is read otherwise, or the control tokens that can be typed.
    """
    texts = [normalise(text) for text in (*PROBE_TEXTS, *_with_labels(labels))]
    with tokenizer_of(before, architecture) as old, tokenizer_of(after, architecture) as new:
        _refuse_difference(old, new, range(len(after.tokens)), texts)
        _refuse_typed_control(after, new)


def _with_labels(labels: Labels) -> Iterator[str]:
    for label in labels.ordered:
        yield from (label, f"a {label} b", f"a{label}b", f"{label}{label}", f"{label}_{label}")


def _refuse_difference(old: LlamaTokenizer, new: LlamaTokenizer, keep: Sequence[int], texts: Iterable[str]) -> None:
    difference = first_difference(old.tokenise, lambda text: [keep[i] for i in new.tokenise(text)], texts)
    if difference is not None:
        raise CheckpointError(f"the changed vocabulary reads a text as other tokens than its base: {difference}")


def _refuse_typed_control(vocabulary: Vocabulary, llama: LlamaTokenizer) -> None:
    control = {token_id for token_id, kind in enumerate(vocabulary.types) if kind == TOKEN_TYPE_CONTROL}
    marks = [
        vocabulary.tokens[token_id]
        for token_id, kind in enumerate(vocabulary.types)
        if kind in (TOKEN_TYPE_CONTROL, TOKEN_TYPE_USER_DEFINED)
    ]
    reached = [
        mark
        for mark in marks
        if any(control & set(llama.tokenise(text, marks=True)) for text in set(map(normalise, disguises(mark))))
    ]
    if reached:
        raise CheckpointError(f"typed text could become the control tokens {', '.join(map(repr, reached[:20]))}")


def disguises(mark: str) -> Iterator[str]:
    """A mark as an attacker might type it: bare, within words, doubled, and in forms that normalising undoes."""
    yield mark
    yield f"a{mark}b"
    yield f"{mark}{mark}"
    yield f"{mark[:1]}{mark}{mark[1:]}"
    yield "\u200b".join(mark)
    yield "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in mark)
    yield "".join(f"&#{ord(c)};" for c in mark)
    yield "".join(f"%{byte:02x}" for byte in mark.encode())
    yield mark.encode().hex(" ")


def _ids_by(tokenizer: Tokenizer) -> Tokenise:
    def tokenise(text: str) -> Sequence[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    return tokenise
