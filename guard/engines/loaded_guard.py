"""A guard in memory: prompts in, the two labels' logits out; refuses a model that is no guard."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from guard.calibration import LabelLogits
from guard.engines.base import SHORT_PROMPT_BYTES, EngineAnswerError, GuardFileError
from guard.engines.llama_model import ContextSize, LlamaModel
from guard.engines.probes import CONTEXT_TOKENS, MIN_PROBE_MARGIN_NATS, PROBES
from guard.manifest import GuardManifest, ManifestError

STEP_TOKENS: Final = 512
"""Computed at once (n_ubatch). Measured on 2 cores with Q4_0: from 256 to 2,048 the times of 16 short prompts and of
a window of 2,000 bytes differ by less than their noise, and the compute buffer grows with it."""

SLICE_TOKENS: Final = 128
"""Of a long prompt, computed before short ones get their turn, while none comes. The first that comes may have to wait
for all of it; but llama.cpp spends the less on a token the more it computes at once (``python -m benchmarks lengths``).
"""

COMPANY_SLICE_TOKENS: Final = 16
"""The same while short ones keep coming, each of which waits for the slice that is being computed: their p50 beside a
long text is 35 to 37 ms, with 32 it is 55 to 58 (``python -m benchmarks load``, three runs in turns, 2 cores)."""

COMPANY_SLICES: Final = 8
"""After so many slices in which no short prompt came, a long one is alone again."""

WHOLE_TOKENS: Final = 128
"""Prompts of so many tokens still share batches in a call that gives way."""

SHORT_SHARE: Final = 2
"""A slice has at least one token for so many of short prompts that were computed before it: else a steady flow of them,
each batch larger than a slice, would hold a long prompt up for as long as it lasts."""

BESIDE_TOKENS: Final = SHORT_PROMPT_BYTES
"""Room for them while it holds its own: a short prompt has no more, since each token is a byte at least."""

GiveWay = Callable[[int], None]
"""Called between the slices of a long prompt with how many tokens have room beside it."""


class LoadedGuard:
    """A guard GGUF, loaded, checked and warmed up.

    Args:
        library: the module ``llama_cpp``.
        path: of the GGUF.
        threads: that compute.
        max_batch_prompts: that are computed together.

    Attributes:
        manifest: what the guard says of itself.

    Raises:
        GuardFileError: if the file is missing, damaged or no guard.
        EngineAnswerError: if the model does not answer with its labels.
    """

    def __init__(self, library: Any, path: Path, threads: int, max_batch_prompts: int) -> None:  # noqa: ANN401 - untyped C
        self._path = path
        self._max_prompts = max_batch_prompts
        self._computed_tokens = 0
        self._slices_alone = COMPANY_SLICES
        size = ContextSize(CONTEXT_TOKENS, max_batch_prompts, STEP_TOKENS, BESIDE_TOKENS)
        self._model = LlamaModel(library, path, size, threads)
        try:
            self.manifest = self._read_manifest()
            self._label_ids = self._find_labels()
            self._marks = self._find_marks()
            template = self.manifest.template
            self._splitter = re.compile("|".join(map(re.escape, self._marks)))
            self._model.share_prefix([self._marks[template.prefix]])
            self._probe([template.render([text]) for text in PROBES])
        except BaseException:
            self._model.close()
            raise

    def close(self) -> None:
        """Free the model; twice does no harm."""
        self._model.close()

    def score(self, prompts: Sequence[str], room_tokens: int = CONTEXT_TOKENS) -> list[LabelLogits]:
        """Logits for rendered prompts, in their order; what does not fit one batch is computed in several.

        Args:
            prompts: rendered.
            room_tokens: that a batch may have.

        Raises:
            EngineAnswerError: if a prompt is longer than a batch, or llama.cpp fails.
        """
        batches = self._pack([self._tokenise(prompt) for prompt in prompts], min(room_tokens, CONTEXT_TOKENS))
        return [logits for batch in batches for logits in self._compute(batch)]

    def score_giving_way(self, prompts: Sequence[str], give_way: GiveWay) -> list[LabelLogits]:
        """The same; between the slices of a long prompt, and between batches, ``give_way`` may call :meth:`score`.

        Raises:
            EngineAnswerError: if a prompt is longer than a batch, or llama.cpp fails.
        """
        tokenised = [self._tokenise(prompt) for prompt in prompts]
        brief = [index for index, ids in enumerate(tokenised) if len(ids) <= WHOLE_TOKENS]
        found: dict[int, LabelLogits] = {}
        for batch in self._pack([tokenised[index] for index in brief], CONTEXT_TOKENS):
            found.update(zip(brief[len(found) :], self._compute(batch), strict=False))
            give_way(CONTEXT_TOKENS)
        for index, ids in enumerate(tokenised):
            if index not in found:
                (batch,) = self._pack([ids], CONTEXT_TOKENS)
                found[index] = self._compute_slices(batch[0], give_way)
                give_way(CONTEXT_TOKENS)
        return [found[index] for index in range(len(prompts))]

    def _tokenise(self, prompt: str) -> list[int]:
        """Token ids of a rendered prompt: the marks as their ids, what stands between them as plain text.

        A string can't say which of its marks the template wrote; that no text has one is
        :func:`guard.normalise.normalise`'s promise. But here the promise is needed for the three marks only: of all
        other control tokens none can be read out of a text, because text is tokenised with special parsing off.
        """
        ids: list[int] = []
        end = 0
        for mark in self._splitter.finditer(prompt):
            ids += self._text_ids(prompt[end : mark.start()])
            ids.append(self._marks[mark.group()])
            end = mark.end()
        return ids + self._text_ids(prompt[end:])

    def _text_ids(self, text: str) -> list[int]:
        return self._model.tokenise(text, whole=False) if text else []

    def _pack(self, prompts: Sequence[list[int]], room_tokens: int) -> Iterator[list[list[int]]]:
        """Batches in order, each within ``room_tokens`` and the context's sequences."""
        batch: list[list[int]] = []
        tokens = 0
        for prompt in prompts:
            if not 0 < len(prompt) <= room_tokens:
                raise EngineAnswerError(f"a prompt of {len(prompt)} tokens, wanted 1 to {room_tokens}")
            if batch and (len(batch) == self._max_prompts or tokens + len(prompt) > room_tokens):
                yield batch
                batch, tokens = [], 0
            batch.append(prompt)
            tokens += len(prompt)
        if batch:
            yield batch

    def _compute(self, batch: Sequence[list[int]]) -> list[LabelLogits]:
        logits = self._decoded(batch)
        if all(map(_finite, logits)):
            return logits
        # One prompt that overflows spoils those that share its cache: each is asked again, alone.
        again = []
        for prompt in batch:
            self._model.wipe()
            again += self._decoded([prompt])
        self._model.wipe()
        return again

    def _decoded(self, batch: Sequence[list[int]]) -> list[LabelLogits]:
        off_topic, on_topic = self._label_ids
        self._computed_tokens += sum(map(len, batch))
        with self._model.decoded(batch) as rows:
            return [LabelLogits(row[off_topic], row[on_topic]) for row in rows]

    def _compute_slices(self, prompt: Sequence[int], give_way: GiveWay) -> LabelLogits:
        off_topic, on_topic = self._label_ids

        def between(room_tokens: int) -> int:
            before = self._computed_tokens
            give_way(room_tokens)
            short_tokens = self._computed_tokens - before
            self._slices_alone = 0 if short_tokens else self._slices_alone + 1
            return max(self._slice_tokens(), short_tokens // SHORT_SHARE)

        with self._model.decoded_in_slices(prompt, self._slice_tokens(), between) as row:
            logits = LabelLogits(row[off_topic], row[on_topic])
        if not _finite(logits):
            self._model.wipe()
        return logits

    def _slice_tokens(self) -> int:
        return COMPANY_SLICE_TOKENS if self._slices_alone < COMPANY_SLICES else SLICE_TOKENS

    def _read_manifest(self) -> GuardManifest:
        try:
            return GuardManifest.from_metadata(self._model.metadata())
        except ManifestError as error:
            raise GuardFileError(f"{self._path}: {error}") from error

    def _find_marks(self) -> dict[str, int]:
        template = self.manifest.template
        ids: dict[str, int] = {}
        for mark in (template.prefix, template.turn, template.suffix):
            found = self._model.tokenise(mark, whole=True)
            if len(found) != 1 or not self._model.is_control(found[0]):
                texts = self._texts(found)
                raise GuardFileError(f"{self._path}: the mark {mark!r} is read as {texts}, wanted one control token")
            ids[mark] = found[0]
        return ids

    def _find_labels(self) -> tuple[int, int]:
        labels = self.manifest.labels.ordered
        found = self._model.find_tokens(labels)
        for label in labels:
            if len(found[label]) != 1 or not self._model.is_normal(found[label][0]):
                raise GuardFileError(
                    f"{self._path}: the vocabulary has {len(found[label])} tokens {label!r}, "
                    "wanted one, printable: this model was not exported as a guard"
                )
        return found[labels[0]][0], found[labels[1]][0]

    def _probe(self, prompts: Sequence[str]) -> None:
        """Check what the model reads and answers; also the warm-up."""
        for prompt in prompts:
            alone, whole = self._tokenise(prompt), self._model.tokenise(prompt, whole=True)
            if alone != whole:
                # Ollama and llama-server are given the prompt as one string.
                raise GuardFileError(
                    f"{self._path}: a prompt is read as {self._texts(whole)} in one piece, wanted {self._texts(alone)}"
                )
        for prompt in prompts:
            # One by one: an engine may have been given room for no more.
            with self._model.decoded([self._tokenise(prompt)]) as rows:
                self._check_answer(prompt, rows[0][: self._model.vocabulary_size])
        self._compute([self._tokenise(prompts[0])])

    def _check_answer(self, prompt: str, logits: Sequence[float]) -> None:
        labels = [logits[token] for token in self._label_ids]
        other = max(range(len(logits)), key=lambda token: -math.inf if token in self._label_ids else logits[token])
        margin = min(labels) - logits[other]
        # Written so that a margin that is no number fails too.
        if not margin >= MIN_PROBE_MARGIN_NATS:
            raise EngineAnswerError(
                f"{self._path}: asked {prompt!r}, the model's token {self._model.token_text(other)!r} comes within "
                f"{margin:.1f} nats of its labels, wanted at least {MIN_PROBE_MARGIN_NATS}: it answers something else"
            )

    def _texts(self, ids: Sequence[int]) -> str:
        return " ".join(repr(self._model.token_text(token)) for token in ids) or "nothing"


def _finite(logits: LabelLogits) -> bool:
    return math.isfinite(logits.off_topic) and math.isfinite(logits.on_topic)
