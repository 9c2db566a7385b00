"""What a build proves of a guard before it writes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typing_extensions import override

from export.build import file_states, manifest_of, write_guard
from export.checkpoint import TOKEN_TYPE_CONTROL, TOKEN_TYPE_USER_DEFINED, Vocabulary
from export.errors import ExportError
from export.fold import Folded
from export.gguf_checkpoint import GgufCheckpoint
from guard.labels import DEFAULT_LABELS, Labels
from guard.manifest import GuardManifest
from tests.export.samples import TEMPLATE, gemma_checkpoint
from tests.export.test_fold import random_head


class Spoilt(Folded):
    """A folded model with a token of another text than its base's."""

    @property
    @override
    def vocabulary(self) -> Vocabulary:
        tokens = ["zz" if text == "th" else text for text in self._vocabulary.tokens]
        return replace(self._vocabulary, tokens=tokens)


class Typable(Folded):
    """A folded model with a word for a control token, which its base has too."""

    @property
    @override
    def vocabulary(self) -> Vocabulary:
        return of_type(self._vocabulary, "th", TOKEN_TYPE_CONTROL)


class Swallowing(Folded):
    """A folded model that looks for its label in raw text, before any piece is merged."""

    @property
    @override
    def vocabulary(self) -> Vocabulary:
        return of_type(self._vocabulary, "off", TOKEN_TYPE_USER_DEFINED)


def of_type(vocabulary: Vocabulary, text: str, kind: int) -> Vocabulary:
    """The vocabulary with one token of another type."""
    types = list(vocabulary.types)
    types[vocabulary.id_of(text)] = kind
    return replace(vocabulary, types=types)


def write(kind: type[Folded], target: Path, labels: Labels = DEFAULT_LABELS) -> None:
    """Build a tiny guard."""
    folded = kind(gemma_checkpoint(["th", "ou", "related"]), random_head(), labels, TEMPLATE)
    manifest = GuardManifest(name="tiny", topic="Star Trek", template=TEMPLATE, labels=labels)
    write_guard(folded, manifest, target, "F16", licence={})


@pytest.mark.parametrize(("named", "file"), [("", "model.safetensors"), ("base.gguf", "base.gguf")])
def test_a_base_that_is_written_over_is_another(tmp_path: Path, named: str, file: str) -> None:
    """Of a folder, and of a GGUF by itself: what was built of the old one is not served from the cache."""
    (tmp_path / file).write_bytes(b"old")
    # Perhaps exported there.
    (tmp_path / "guard.gguf").write_bytes(b"a guard")
    before = file_states(tmp_path / named)

    (tmp_path / file).write_bytes(b"another")

    assert len(before) == 1
    assert file_states(tmp_path / named) != before


def test_only_the_file_that_was_evaluated_has_an_accuracy() -> None:
    """``train evaluate`` measures Q4_0; the calibration is passed on all the same."""
    manifest = GuardManifest(name="tiny", topic="Star Trek", template=TEMPLATE, labels=DEFAULT_LABELS, accuracy=0.95)

    assert manifest_of(manifest, "Q4_0") == manifest
    assert manifest_of(manifest, "Q8_0") == replace(manifest, accuracy=None)


def test_a_sound_guard_is_written(tmp_path: Path) -> None:
    """One label is a token already, the other takes a spare entry; nothing is left beside the file."""
    write(Folded, tmp_path / "guard.gguf")

    assert {"related", "not_related"} <= set(GgufCheckpoint(tmp_path / "guard.gguf").vocabulary.tokens)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_text_that_is_read_otherwise_stops_the_build(tmp_path: Path) -> None:
    """It is quoted, and nothing is written."""
    with pytest.raises(ExportError, match=r"as other tokens than its base: \"who's the captain"):
        write(Spoilt, tmp_path / "guard.gguf")

    assert list(tmp_path.iterdir()) == []


def test_a_control_token_that_can_be_typed_stops_the_build(tmp_path: Path) -> None:
    """It is quoted, and nothing is written."""
    with pytest.raises(ExportError, match="could become the control tokens 'th'"):
        write(Typable, tmp_path / "guard.gguf")

    assert list(tmp_path.iterdir()) == []


def test_a_label_within_a_text_is_read_as_before(tmp_path: Path) -> None:
    """The labels' own texts are among those that are compared."""
    with pytest.raises(ExportError, match=r"reads a text as other tokens than its base: 'off' is \["):
        write(Swallowing, tmp_path / "guard.gguf", Labels("off", "related"))
