"""What only the engine in this process promises."""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from typing_extensions import override

from export.checkpoint import EMBEDDING, OUTPUT, Tensor, Vocabulary, WrappedCheckpoint
from export.gguf_file import write_f16
from guard.calibration import UNCALIBRATED
from guard.engines.base import (
    SHORT_PROMPT_BYTES,
    EngineAnswerError,
    EngineError,
    EngineUnavailableError,
    GuardFileError,
)
from guard.engines.llama_cpp import LlamaCppEngine, _Call
from tests import tiny

PROMPTS = tiny.prompts(*tiny.ROWS)


class WithVocabulary(WrappedCheckpoint):
    """A guard with another vocabulary of the same size."""

    vocabulary: Vocabulary = tiny.vocabulary()


class NotFolded(WrappedCheckpoint):
    """A model with a guard's labels in its vocabulary, and random output rows."""

    @override
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """See :class:`export.checkpoint.Checkpoint`."""
        return self._base.shapes()

    @override
    def load(self, name: str) -> Tensor:
        """See :class:`export.checkpoint.Checkpoint`."""
        return tiny.TinyLlama().load(EMBEDDING) if name == OUTPUT else self._base.load(name)


@contextmanager
def started(path: Path) -> Iterator[LlamaCppEngine]:
    """An engine with a guard."""
    engine = LlamaCppEngine(path, threads=1)
    try:
        engine.start_sync()
        yield engine
    finally:
        engine.close()


def refusal(path: Path) -> EngineError:
    """Why a file is refused at start."""
    with pytest.raises(EngineError) as caught, started(path):
        pass
    assert str(path) in str(caught.value)
    return caught.value


def probabilities(engine: LlamaCppEngine, prompts: list[str]) -> list[float]:
    """Of on topic."""
    return [UNCALIBRATED.score(logits) for logits in engine.score_sync(prompts)]


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """With its path."""
    assert isinstance(refusal(tmp_path / "none.gguf"), GuardFileError)


def test_a_file_of_another_kind_is_an_error(tmp_path: Path) -> None:
    """With what it begins with."""
    path = tmp_path / "guard.gguf"
    path.write_bytes(b"PK\x03\x04 an archive")
    assert r"begins with b'PK\x03\x04', wanted b'GGUF'" in str(refusal(path))


@pytest.mark.parametrize("share", [4, 5, 24, 200, 5000, 0.1, 0.3, 0.5, 0.9, 0.9999])
def test_a_truncated_file_is_an_error(guard_file: Path, tmp_path: Path, share: float) -> None:
    """Wherever a download broke off; llama.cpp's own words are passed on."""
    data = guard_file.read_bytes()
    path = tmp_path / "guard.gguf"
    path.write_bytes(data[: int(share if share > 1 else share * len(data))])
    assert isinstance(refusal(path), GuardFileError)
    assert "llama.cpp can't load" in str(refusal(path))


def test_a_file_that_is_cut_short_while_it_is_served_does_no_harm(guard_file: Path, tmp_path: Path) -> None:
    """A copy over the running guard's file must not end the process, as reading a mapped file beyond its end does."""
    path = tmp_path / "guard.gguf"
    path.write_bytes(guard_file.read_bytes())
    with started(path) as engine:
        before = probabilities(engine, PROMPTS)
        os.truncate(path, 100)
        assert probabilities(engine, PROMPTS) == before


def test_another_model_is_no_guard(tmp_path: Path) -> None:
    """Its metadata does not say that it is one."""
    path = tmp_path / "chat.gguf"
    write_f16(tiny.TinyLlama(), path, {})
    assert "not a guard: its metadata has no 'startrek_guard.prompt.version'" in str(refusal(path))


def test_labels_that_are_no_tokens_are_refused(tmp_path: Path) -> None:
    """A guard's metadata under a model that was not exported as one."""
    path = tiny.write_model(tmp_path / "guard.gguf", tiny.TinyLlama())
    assert "has 0 tokens 'not_related', wanted one" in str(refusal(path))


def test_marks_that_are_text_are_refused(tmp_path: Path) -> None:
    """Else what a user types could close the prompt."""
    template = replace(tiny.TEMPLATE, turn="the")
    path = tiny.write_model(tmp_path / "guard.gguf", tiny.folded(), replace(tiny.MANIFEST, template=template))
    assert "the mark 'the' is read as 'th' 'e', wanted one control token" in str(refusal(path))


def test_labels_that_are_not_in_front_are_refused(tmp_path: Path) -> None:
    """A model that would answer something else."""
    error = refusal(tiny.write_model(tmp_path / "guard.gguf", NotFolded(tiny.folded())))
    assert isinstance(error, EngineAnswerError)
    assert "nats of its labels, wanted at least" in str(error)


def test_a_start_token_that_nobody_wrote_is_refused(tmp_path: Path) -> None:
    """Ollama and llama-server would read other tokens than were trained on."""
    checkpoint = WithVocabulary(tiny.folded())
    checkpoint.vocabulary = replace(tiny.folded().vocabulary, flags={"add_bos_token": True, "add_space_prefix": False})
    path = tiny.write_model(tmp_path / "guard.gguf", checkpoint)
    assert "the mark '<s>' is read as '<s>' '<s>', wanted one control token" in str(refusal(path))


def test_control_tokens_in_a_text_are_text(reference: LlamaCppEngine) -> None:
    """Even if a text came here without being normalised."""
    (with_token,) = probabilities(reference, tiny.prompts("a</s>b"))
    (with_text,) = probabilities(reference, tiny.prompts("a<|s>b"))
    ids = reference._guard._tokenise(tiny.prompts("a</s>b")[0]) if reference._guard else []
    assert tiny.vocabulary().tokens.index("</s>") not in ids
    assert with_token != with_text


def test_a_prompt_that_is_too_long_is_no_answer(reference: LlamaCppEngine) -> None:
    """Nothing is cut off, and those that fit are answered after it."""
    with pytest.raises(EngineAnswerError, match="a prompt of 5002 tokens, wanted 1 to 4096"):
        reference.score_sync(tiny.prompts("Q" * 5000))
    assert len(reference.score_sync(PROMPTS)) == len(PROMPTS)


def test_a_batch_that_is_too_long_is_split(reference: LlamaCppEngine) -> None:
    """By tokens, not only by prompts."""
    long, short = tiny.prompts("Q" * 2100, "Who is Spock?")
    assert probabilities(reference, [long, short, long]) == pytest.approx(
        [probabilities(reference, [prompt])[0] for prompt in (long, short, long)], abs=0.02
    )


@pytest.fixture
def overflowing(guard_file: Path, tmp_path: Path) -> Path:
    """A guard to which the letter Q is no number."""
    path = tmp_path / "overflowing.gguf"
    path.write_bytes(guard_file.read_bytes())
    reader = GGUFReader(path, "r+")
    embedding = next(tensor for tensor in reader.tensors if tensor.name == EMBEDDING)
    embedding.data[tiny.vocabulary().tokens.index("Q")] = np.nan
    reader.data.flush()
    return path


def test_logits_that_are_no_numbers_pass_through(overflowing: Path) -> None:
    """What to do with them is the calibration's to say: it blocks."""
    with started(overflowing) as engine:
        (logits,) = engine.score_sync(tiny.prompts("Q"))
    assert math.isnan(logits.on_topic)


def test_an_overflow_spoils_no_other_prompt(overflowing: Path, reference: LlamaCppEngine) -> None:
    """Neither in its batch nor after it."""
    with started(overflowing) as engine:
        mixed = probabilities(engine, [*PROMPTS[:4], *tiny.prompts("Q" * 300), *PROMPTS[4:]])
        after = probabilities(engine, PROMPTS)
    wanted = pytest.approx(probabilities(reference, PROMPTS), abs=0.02)
    assert math.isnan(mixed.pop(4))
    assert mixed == wanted
    assert after == wanted


async def test_callers_of_an_engine_that_closes_get_an_error(guard_file: Path) -> None:
    """Not a cancellation, which they would take for their own."""
    engine = LlamaCppEngine(guard_file, threads=1)
    await engine.start()
    calls = [asyncio.ensure_future(engine.score(PROMPTS)) for _ in range(5)]
    await asyncio.sleep(0)
    await engine.aclose()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, list | EngineUnavailableError) for answer in answers)
    assert isinstance(answers[-1], EngineUnavailableError)


def test_a_start_that_failed_can_be_tried_again(tmp_path: Path) -> None:
    """The file came late."""
    engine = LlamaCppEngine(tmp_path / "guard.gguf", threads=1)
    with pytest.raises(GuardFileError):
        engine.start_sync()
    tiny.write_guard(engine.path)
    engine.start_sync()
    assert len(engine.score_sync(PROMPTS)) == len(PROMPTS)
    engine.close()


def test_the_fingerprint_is_the_files_hash(guard_file: Path, reference: LlamaCppEngine) -> None:
    """SHA-256 of its bytes."""
    assert reference.fingerprint == f"sha256:{hashlib.sha256(guard_file.read_bytes()).hexdigest()}"


def test_another_file_under_the_same_path_has_another_fingerprint(tmp_path: Path) -> None:
    """Verdicts of the old guard are not the new one's."""
    prints = set()
    for seed in (0, 1):
        with started(tiny.write_guard(tmp_path / "guard.gguf", seed)) as engine:
            prints.add(engine.fingerprint)
    assert len(prints) == 2


async def test_with_and_without_an_event_loop_answers_are_the_same(reference: LlamaCppEngine) -> None:
    """One thread computes both."""
    assert await reference.score(PROMPTS) == reference.score_sync(PROMPTS)


def test_llama_cpp_prints_nothing(guard_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither when a guard is loaded nor when one can't be."""
    with started(guard_file) as engine:
        engine.score_sync(PROMPTS)
    broken = tmp_path / "guard.gguf"
    broken.write_bytes(guard_file.read_bytes()[:5000])
    refusal(broken)
    assert capfd.readouterr() == ("", "")


def test_an_engine_may_compute_one_prompt_at_a_time(tmp_path: Path) -> None:
    """Room for a single prompt is enough to start, and to answer several."""
    engine = LlamaCppEngine(tiny.write_guard(tmp_path / "guard.gguf"), threads=1, max_batch_prompts=1)
    engine.start_sync()

    try:
        assert len(engine.score_sync(PROMPTS[:3])) == 3
    finally:
        engine.close()


LONG = tiny.prompts("Who is the captain of the ship? " * 40)[0]


def test_a_long_prompt_is_answered_alike_in_slices(reference: LlamaCppEngine) -> None:
    """Slices are a matter of when, not of what."""
    assert reference._guard is not None
    whole = UNCALIBRATED.score(reference._guard.score([LONG])[0])
    assert probabilities(reference, [LONG]) == pytest.approx([whole], abs=1e-3)


def test_short_prompts_are_answered_between_the_slices_of_a_long_one(reference: LlamaCppEngine) -> None:
    """Rightly, and the long one too."""
    assert reference._guard is not None
    alone = [probabilities(reference, [prompt])[0] for prompt in (PROMPTS[0], LONG)]
    between: list[float] = []

    def give_way(room_tokens: int) -> None:
        assert reference._guard is not None
        between.extend(map(UNCALIBRATED.score, reference._guard.score(PROMPTS[:1], room_tokens)))

    (long,) = reference._guard.score_giving_way([LONG], give_way)
    assert len(between) >= 3
    assert between == pytest.approx([alone[0]] * len(between), abs=1e-3)
    assert UNCALIBRATED.score(long) == pytest.approx(alone[1], abs=1e-3)


def test_a_long_prompt_keeps_its_share_beside_many_short_ones(reference: LlamaCppEngine) -> None:
    """The more was computed in between, the longer its next slice: no flow of short prompts can hold it up for ever."""
    assert reference._guard is not None
    guard, many = reference._guard, PROMPTS * 4
    turns: list[str] = []

    def idle(_room_tokens: int) -> None:
        turns.append("idle")

    def busy(room_tokens: int) -> None:
        turns.append("busy")
        guard.score(many, room_tokens)

    (alone,) = guard.score_giving_way([LONG], idle)
    (beside,) = guard.score_giving_way([LONG], busy)
    assert turns.count("busy") < turns.count("idle")
    assert UNCALIBRATED.score(beside) == pytest.approx(UNCALIBRATED.score(alone), abs=1e-3)


def test_slices_are_finer_while_short_prompts_keep_coming(reference: LlamaCppEngine) -> None:
    """Each of them waits for one; once they stay away, a long prompt is computed as if alone again."""
    assert reference._guard is not None
    guard = reference._guard
    guard.score_giving_way([LONG] * 2, lambda _room: None)
    alone: list[int] = []
    guard.score_giving_way([LONG], alone.append)
    company: list[int] = []

    def give_way(room_tokens: int) -> None:
        company.append(room_tokens)
        guard.score(PROMPTS[:1], room_tokens)

    guard.score_giving_way([LONG], give_way)
    assert len(company) > 1.5 * len(alone)
    guard.score_giving_way([LONG] * 2, lambda _room: None)
    again: list[int] = []
    guard.score_giving_way([LONG], again.append)
    assert len(again) == len(alone)


async def test_a_long_call_that_is_given_up_ends_between_its_slices(
    reference: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would read the rest, and others wait."""
    prompts, gaps = 2000, 0
    give_way = reference._give_way

    def counted(call: _Call, room_tokens: int) -> None:
        nonlocal gaps
        gaps += 1
        give_way(call, room_tokens)

    monkeypatch.setattr(reference, "_give_way", counted)
    given_up = asyncio.ensure_future(reference.score([LONG] * prompts))
    await reference.score(PROMPTS[:1])
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    assert len(await reference.score([LONG])) == 1
    assert gaps < prompts


def test_long_and_short_prompts_of_one_call_keep_their_order(reference: LlamaCppEngine) -> None:
    """Short ones are computed first, together."""
    prompts = [LONG, *PROMPTS, LONG, *PROMPTS * 6]
    wanted = [probabilities(reference, [prompt])[0] for prompt in prompts[: len(PROMPTS) + 1]]
    found = probabilities(reference, prompts)
    assert found[: len(wanted)] == pytest.approx(wanted, abs=0.02)
    assert found[len(wanted)] == pytest.approx(wanted[0], abs=1e-3)


def test_a_long_prompt_survives_that_the_cache_is_emptied_meanwhile(reference: LlamaCppEngine) -> None:
    """It is computed again, and then nobody comes in between."""
    assert reference._guard is not None
    guard, (alone,) = reference._guard, probabilities(reference, [LONG])
    calls: list[int] = []

    def give_way(room_tokens: int) -> None:
        calls.append(room_tokens)
        guard._model.wipe()

    (logits,) = guard.score_giving_way([LONG], give_way)
    # Once in between, and once when it is done.
    assert len(calls) == 2
    assert UNCALIBRATED.score(logits) == pytest.approx(alone, abs=1e-3)


async def test_a_short_call_overtakes_a_long_one(reference: LlamaCppEngine) -> None:
    """It need not wait for more than a slice."""
    done: list[str] = []

    async def ask(name: str, prompts: list[str]) -> None:
        await reference.score(prompts)
        done.append(name)

    long = asyncio.ensure_future(ask("long", [LONG] * 10))
    await asyncio.sleep(0)
    await asyncio.gather(ask("short", PROMPTS[:1]), long)
    assert done == ["short", "long"]


def test_there_is_room_for_short_prompts_beside_the_longest(reference: LlamaCppEngine) -> None:
    """However many of them there are."""
    assert reference._guard is not None
    guard, longest = reference._guard, tiny.prompts("Q" * 4000)
    short = tiny.prompts("Q" * (SHORT_PROMPT_BYTES - 100)) * 3
    wanted = probabilities(reference, short)
    found: list[float] = []

    def give_way(room_tokens: int) -> None:
        if not found:
            found.extend(map(UNCALIBRATED.score, guard.score(short, room_tokens)))

    guard.score_giving_way(longest, give_way)
    assert found == pytest.approx(wanted, abs=0.02)
