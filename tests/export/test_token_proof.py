"""What llama.cpp makes of text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from export.bases import PACKAGED_BASES, PackagedBase, materialise
from export.checkpoint import TOKEN_TYPE_CONTROL
from export.errors import CheckpointError
from export.gguf_checkpoint import GgufCheckpoint
from export.probe_texts import PROBE_TEXTS
from export.token_proof import Difference, disguises, first_difference, prove_no_control_token
from guard.normalise import normalise
from tests.export.samples import piece_vocabulary


def test_the_first_difference_is_found() -> None:
    """With both readings of the text, shortened where they are long."""
    found = first_difference(lambda text: [1] * len(text), lambda text: [1] * min(len(text), 30), ["a", "b" * 40])

    assert found == Difference("b" * 40, [1] * 40, [1] * 30)
    assert len(str(found)) < 200
    assert first_difference(lambda text: [len(text)], lambda text: [len(text)], PROBE_TEXTS) is None


def test_the_probe_texts_are_of_many_scripts() -> None:
    """At least sixty texts in fifteen scripts, all different."""
    texts = set(PROBE_TEXTS)
    # A script is told by the upper bits of its letters, roughly.
    blocks = {ord(character) >> 7 for text in texts for character in text if character.isalpha()}

    assert len(texts) == len(PROBE_TEXTS) >= 60
    assert len(blocks) >= 15


def test_no_control_token_can_be_typed() -> None:
    """Marks between angle brackets fall apart, however they are disguised."""
    prove_no_control_token(piece_vocabulary(["th", "<b", "os>"]), "gemma3")


def test_a_control_token_that_can_be_typed_is_found() -> None:
    """One that is a plain word: normalising can't know it."""
    vocabulary = piece_vocabulary(["ENDTURN"])
    types = list(vocabulary.types)
    types[vocabulary.id_of("ENDTURN")] = TOKEN_TYPE_CONTROL

    with pytest.raises(CheckpointError, match="could become the control tokens 'ENDTURN'"):
        prove_no_control_token(replace(vocabulary, types=types), "gemma3")


def test_disguises_come_back_as_the_mark_or_worse() -> None:
    """Those that normalising undoes are what a careless reader would have seen."""
    undone = {normalise(text) for text in disguises("<|im_end|>")}

    assert "< |im_end|>" in undone
    assert not any("<|im_end|>" in text for text in undone)


@pytest.mark.slow
@pytest.mark.parametrize("base", PACKAGED_BASES.values(), ids=lambda base: base.name)
def test_no_control_token_of_a_packaged_base_can_be_typed(
    base: PackagedBase, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """All control and user-defined tokens of the vocabularies that are shipped."""
    path = materialise(base, tmp_path_factory.getbasetemp() / "bases")
    checkpoint = GgufCheckpoint(path)

    prove_no_control_token(checkpoint.vocabulary, checkpoint.architecture)
